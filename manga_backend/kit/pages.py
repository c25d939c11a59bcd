"""/docs: the readable page of the API, with assets served by us."""

from __future__ import annotations

import secrets

from flask import Blueprint, Flask, Response, render_template
from swagger_ui_bundle import swagger_ui_path

from manga_backend.kit.principal import mark_public, public

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def init_app(app: Flask) -> None:
    """A page outside any OpenAPI document, and the swagger-ui files of its package."""
    pages = Blueprint(
        "pages", __name__, static_folder=str(swagger_ui_path), static_url_path="/docs/assets"
    )

    @pages.route("/docs")
    @public
    def docs() -> Response:
        nonce = secrets.token_urlsafe(16)
        response = Response(render_template("pages/docs.html", nonce=nonce))
        response.headers["Content-Security-Policy"] = CONTENT_POLICY.format(nonce=nonce)
        return response

    app.register_blueprint(pages)
    mark_public(app, "pages.static")
