"""`flask coupon …`"""

from __future__ import annotations

from datetime import UTC, datetime

import click
from flask.cli import AppGroup

from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.memberships import service
from manga_backend.kernel.memberships.schemas import MAX_COUNT, MAX_DAYS, MAX_USES
from manga_backend.kit.db import transaction
from manga_backend.kit.problems import DomainError

coupon = AppGroup("coupon", help="Gift coupons.")


@coupon.command("create")
@click.argument("days", type=click.IntRange(1, MAX_DAYS))
@click.argument("count", type=click.IntRange(1, MAX_COUNT), default=1)
@click.option("--max-uses", type=click.IntRange(1, MAX_USES), default=1)
@click.option("--expires-at", type=click.DateTime(), help="UTC.")
@click.option("--note")
def create(
    days: int, count: int, max_uses: int, expires_at: datetime | None, note: str | None
) -> None:
    """Make COUNT coupons of DAYS of the default plan and print their codes."""
    try:
        with transaction():
            codes = service.issue_coupons(
                CLI,
                days=days,
                count=count,
                max_uses=max_uses,
                expires_at=expires_at.replace(tzinfo=UTC) if expires_at else None,
                note=note,
            )
    except DomainError as refusal:
        raise click.ClickException(f"{refusal.message()} {refusal.errors or ''}") from None
    for code in codes:
        click.echo(code)
