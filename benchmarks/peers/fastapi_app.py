"""FastAPI with async SQLAlchemy: as its documentation has it, or (TUNED=1) one Core select."""

import os
import re
import secrets
import time
import uuid
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

import jwt
import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

KEY = os.environ["JWT_SECRET_KEY"]
TUNED = os.environ.get("TUNED") == "1"
hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
engine = create_async_engine(
    os.environ["PEER_DSN"].replace("postgresql://", "postgresql+asyncpg://"),
    pool_size=40,
    max_overflow=0,
    pool_pre_ping=not TUNED,
)
autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    public_id: Mapped[uuid.UUID]
    username: Mapped[str | None]
    username_key: Mapped[str | None]
    password_hash: Mapped[str | None]
    role: Mapped[str]
    banned_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class Login(Base):
    __tablename__ = "sessions"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.BigInteger)
    salt: Mapped[str]
    ended_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class Subscription(Base):
    __tablename__ = "subscriptions"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.BigInteger)
    product: Mapped[str]
    plan_code: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Payment(Base):
    __tablename__ = "payments"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.BigInteger)
    status: Mapped[str]


class PeerPayment(Base):
    """What a payment is without a book, invoices and questions to admins: one unique row."""

    __tablename__ = "peer_payments"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.BigInteger)
    tx_hash: Mapped[str]
    status: Mapped[str] = mapped_column(sa.Text, default="pending")


class PeerOutbox(Base):
    __tablename__ = "peer_outbox"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(sa.JSON)


class StatusOut(BaseModel):
    username: str | None
    active: bool
    plan: str | None
    started_at: datetime | None
    expires_at: datetime | None
    purchases_count: int


class PaymentIn(BaseModel):
    tx_hash: str = Field(pattern=r"^[0-9a-f]{64}$")


class PaymentOut(BaseModel):
    payment_id: int
    status: str


class LoginIn(BaseModel):
    username: str = Field(min_length=3, max_length=32)
    password: str = Field(min_length=8, max_length=128)


app = FastAPI()
bearer = HTTPBearer()


async def open_session() -> Any:
    async with sessions() as session:
        yield session


Db = Annotated[AsyncSession, Depends(open_session)]


def decode(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(
        token, KEY, algorithms=["HS256"], audience="manga_backend", issuer="manga_backend"
    )
    return found


if TUNED:  # ours keeps verified tokens as well (decision 22)
    decode = lru_cache(maxsize=4096)(decode)


def read_claims(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> Any:
    try:
        claims = decode(credentials.credentials)
    except jwt.PyJWTError:
        raise HTTPException(401, "token_invalid") from None
    if claims["exp"] <= time.time():
        raise HTTPException(401, "token_expired")
    return claims


Claims = Annotated[dict[str, Any], Depends(read_claims)]


async def current_user(db: Db, claims: Claims) -> User:
    login = await db.get(Login, uuid.UUID(claims["sid"]))
    if login is None or login.ended_at or not secrets.compare_digest(login.salt, claims["salt"]):
        raise HTTPException(401, "session_replaced")
    user = await db.get(User, login.user_id)
    if user is None or user.banned_at:
        raise HTTPException(403, "banned")
    return user


COUNT = (
    sa.select(sa.func.count())
    .where(Payment.user_id == User.id, Payment.status == "approved")
    .scalar_subquery()
)
ONE = (
    sa.select(
        *(Login.salt, Login.ended_at, User.id, User.banned_at, User.username),
        *(Subscription.plan_code, Subscription.started_at, Subscription.expires_at),
        COUNT.label("purchases_count"),
    )
    .join(User, User.id == Login.user_id)
    .outerjoin(
        Subscription, sa.and_(Subscription.user_id == User.id, Subscription.product == "manga")
    )
    .where(Login.id == sa.bindparam("sid"))
)


async def current_row(claims: Claims) -> Any:
    async with autocommit.connect() as connection:
        row = (await connection.execute(ONE, {"sid": uuid.UUID(claims["sid"])})).first()
    if row is None or row.ended_at or not secrets.compare_digest(row.salt, claims["salt"]):
        raise HTTPException(401, "session_replaced")
    if row.banned_at:
        raise HTTPException(403, "banned")
    return row


def _status(row: Any, count: int) -> StatusOut:
    ends = row.expires_at if row is not None else None
    return StatusOut(
        username=None,
        active=bool(ends and ends > datetime.now(UTC)),
        plan=row.plan_code if row is not None else None,
        started_at=row.started_at if row is not None else None,
        expires_at=ends,
        purchases_count=count,
    )


async def _subscription(db: AsyncSession, user_id: int) -> Subscription | None:
    found: Subscription | None = await db.scalar(
        sa.select(Subscription).where(
            Subscription.user_id == user_id, Subscription.product == "manga"
        )
    )
    return found


if TUNED:

    @app.get("/api/user/status", response_model=StatusOut)
    async def status(row: Annotated[Any, Depends(current_row)]) -> Any:
        found = _status(row, row.purchases_count)
        found.username = row.username
        return found

    @app.get("/api/user/access")
    async def access(row: Annotated[Any, Depends(current_row)]) -> Response:
        paid = row.expires_at and row.expires_at > datetime.now(UTC)
        return Response(status_code=204 if paid else 402)

else:

    @app.get("/api/user/status", response_model=StatusOut)
    async def status(db: Db, user: Annotated[User, Depends(current_user)]) -> Any:
        found = await db.scalar(
            sa.select(sa.func.count())
            .select_from(Payment)
            .where(Payment.user_id == user.id, Payment.status == "approved")
        )
        answer = _status(await _subscription(db, user.id), found or 0)
        answer.username = user.username
        return answer

    @app.get("/api/user/access")
    async def access(db: Db, user: Annotated[User, Depends(current_user)]) -> Response:
        found = await _subscription(db, user.id)
        paid = found is not None and found.expires_at > datetime.now(UTC)
        return Response(status_code=204 if paid else 402)


@app.post("/payment/submit", status_code=202, response_model=PaymentOut)
async def submit(body: PaymentIn, db: Db, user: Annotated[User, Depends(current_user)]) -> Any:
    payment = PeerPayment(user_id=user.id, tx_hash=body.tx_hash)
    db.add(payment)
    try:
        await db.flush()
        db.add(PeerOutbox(kind="payment", payload={"payment": payment.id, "user": user.username}))
        await db.commit()
    except IntegrityError:
        raise HTTPException(409, "transaction_already_used") from None
    return PaymentOut(payment_id=payment.id, status=payment.status)


@app.post("/auth/login")
async def log_in(body: LoginIn, db: Db) -> dict[str, Any]:
    key = re.sub(r"\s", "", body.username).lower()
    user = await db.scalar(sa.select(User).where(User.username_key == key))
    if user is None or user.password_hash is None:
        raise HTTPException(401, "invalid_credentials")
    try:
        await run_in_threadpool(hasher.verify, user.password_hash, body.password)
    except VerifyMismatchError:
        raise HTTPException(401, "invalid_credentials") from None
    salt = secrets.token_urlsafe(16)
    await db.execute(
        sa.text("INSERT INTO peer_logins (user_id, salt) VALUES (:u, :s)"),
        {"u": user.id, "s": salt},
    )
    await db.commit()
    now = int(datetime.now(UTC).timestamp())
    claims = {"sub": str(user.public_id), "salt": salt, "iat": now}
    return {
        name: jwt.encode({**claims, "type": name, "exp": now + 3600}, KEY, algorithm="HS256")
        for name in ("access_token", "refresh_token")
    }
