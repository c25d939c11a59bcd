"""`flask ledger …`"""

from __future__ import annotations

import click
from flask.cli import AppGroup, with_appcontext

from manga_backend.kernel.money.ledger.queries import prove
from manga_backend.kit.db import one_snapshot, transaction

ledger = AppGroup("ledger", help="The book.")


@ledger.command("check")
@with_appcontext
def check() -> None:
    """Prove the whole book: exits 1 and names what does not add up."""
    with transaction():
        one_snapshot()
        proof = prove()
    click.echo(f"{proof.accounts} accounts, {proof.transfers} transfers")
    for finding in proof.findings:
        click.echo(f"WRONG  {finding.where}: {finding.what}")
    if not proof.holds:
        raise SystemExit(1)
    click.echo("It adds up.")
