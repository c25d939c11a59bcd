"""`flask user …`"""

from __future__ import annotations

import secrets

import click
from flask.cli import AppGroup

from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity import domain, queries
from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.service import accounts
from manga_backend.kernel.identity.types import Role
from manga_backend.kit.db import transaction
from manga_backend.kit.problems import DomainError

users = AppGroup("user", help="Accounts.")


def _password(given: str | None) -> str:
    password = given or secrets.token_urlsafe(12)
    if not domain.MIN_PASSWORD <= len(password) <= domain.MAX_PASSWORD:
        raise click.BadParameter("a password has 8 to 128 characters")
    return password


def _find(username: str) -> User:
    user = queries.find_user_called(username)
    if user is None:
        raise click.ClickException(f"there is no user {username!r}")
    return user


@users.command("create-admin")
@click.argument("username")
@click.option("--password", help="Made up and printed when left out.")
@click.option("--role", type=click.Choice([r.value for r in Role]), default=Role.SUPERUSER.value)
@click.option("--telegram-id", type=int, help="A claim; verify it with a link.")
def create_admin(username: str, password: str | None, role: str, telegram_id: int | None) -> None:
    """Open an account for someone who works here."""
    if not domain.USERNAME.fullmatch(username):
        raise click.BadParameter("3–32 of A–Z a–z 0–9 . _ -")
    chosen = _password(password)
    try:
        with transaction():
            accounts.register(username, chosen, telegram_id, role=Role(role))
    except DomainError as refusal:
        raise click.ClickException(refusal.message()) from None
    click.echo(f"{username} ({role})")
    if password is None:
        click.echo(f"password: {chosen}")


@users.command("set-password")
@click.argument("username")
@click.option("--password", help="Made up and printed when left out.")
def set_password(username: str, password: str | None) -> None:
    """Set a password and end all sessions."""
    chosen = _password(password)
    with transaction():
        accounts.set_password(_find(username).id, chosen, CLI)
    click.echo(f"password: {chosen}" if password is None else "done")


@users.command("reset-second-factor")
@click.argument("username")
def reset_second_factor(username: str) -> None:
    """For whoever lost the authenticator: a password is enough again."""
    with transaction():
        accounts.reset_second_factor(_find(username).id, CLI, Role.SUPERUSER)
    click.echo("done")


@users.command("set-role")
@click.argument("username")
@click.argument("role", type=click.Choice([r.value for r in Role]))
def set_role(username: str, role: str) -> None:
    """Give a role."""
    with transaction():
        accounts.set_role(_find(username).id, Role(role), CLI, Role.SUPERUSER)
    click.echo("done")


@users.command("ban")
@click.argument("username")
@click.option("--reason")
def ban(username: str, reason: str | None) -> None:
    """Ban an account and end its sessions."""
    with transaction():
        accounts.ban(_find(username).id, CLI, Role.SUPERUSER, reason)
    click.echo("done")


@users.command("unban")
@click.argument("username")
def unban(username: str) -> None:
    """Lift a ban."""
    with transaction():
        accounts.unban(_find(username).id, CLI, Role.SUPERUSER)
    click.echo("done")
