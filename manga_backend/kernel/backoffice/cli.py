"""`flask audit …`"""

from __future__ import annotations

import click
from flask.cli import AppGroup, with_appcontext

from manga_backend.kernel.backoffice.queries import find_last_hash, walk_chain
from manga_backend.kit.db import one_snapshot, reading, transaction

MOST_NAMED = 20

audit = AppGroup("audit", help="The audit log.")


@audit.command("verify")
@with_appcontext
def verify() -> None:
    """Prove that no row was changed or taken out: exits 1 and names where the chain breaks.

    Rows taken from its end can't be seen by themselves: compare the number of rows and the last
    hash with what was printed before.
    """
    broken = count = 0
    with reading(), transaction():
        one_snapshot()
        for number, problem in walk_chain():
            count += 1
            if problem is not None:
                broken += 1
                if broken <= MOST_NAMED:
                    click.echo(f"WRONG  row {number}: {problem}")
            if count % 100_000 == 0:
                click.echo(f"{count} rows …", err=True)
        last = find_last_hash()
    click.echo(f"{count} rows, the last hash is {last}")
    if broken:
        raise SystemExit(1)
    click.echo("The chain holds.")
