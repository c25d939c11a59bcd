"""The floor: a WSGI function, one check of a JWT, one prepared query, and nothing else."""

import os
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt
import orjson
import psycopg2

KEY = os.environ["JWT_SECRET_KEY"]
PREPARE = """
PREPARE status (uuid) AS
SELECT s.salt, s.ended_at, u.banned_at, u.username, b.plan_code, b.started_at, b.expires_at,
       (SELECT count(*) FROM payments p WHERE p.user_id = u.id AND p.status = 'approved')
FROM sessions s JOIN users u ON u.id = s.user_id
LEFT JOIN subscriptions b ON b.user_id = u.id AND b.product = 'manga'
WHERE s.id = $1
"""
connection = psycopg2.connect(os.environ["PEER_DSN"])
connection.autocommit = True
cursor = connection.cursor()
cursor.execute(PREPARE)


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """GET /api/user/status and /api/user/access."""
    try:
        token = environ.get("HTTP_AUTHORIZATION", "")[7:]
        claims = jwt.decode(
            token, KEY, algorithms=["HS256"], audience="manga_backend", issuer="manga_backend"
        )
        cursor.execute("EXECUTE status (%s)", (str(UUID(claims["sid"])),))
        row = cursor.fetchone()
        if row is None or row[0] != claims["salt"] or row[1] or row[2]:
            raise ValueError
    except (jwt.InvalidTokenError, ValueError, KeyError):
        return _answer(start_response, "401 Unauthorized", b'{"code":"token_invalid"}')
    active = bool(row[6] and row[6] > datetime.now(UTC))
    if environ["PATH_INFO"] == "/api/user/access":
        start_response("204 No Content" if active else "402 Payment Required", [])
        return []
    body = {
        "username": row[3],
        "active": active,
        "plan": row[4],
        "started_at": row[5],
        "expires_at": row[6],
        "purchases_count": row[7],
    }
    return _answer(start_response, "200 OK", orjson.dumps(body))


def _answer(start_response: Any, status: str, body: bytes) -> list[bytes]:
    kind = ("Content-Type", "application/json")
    start_response(status, [kind, ("Content-Length", str(len(body)))])
    return [body]
