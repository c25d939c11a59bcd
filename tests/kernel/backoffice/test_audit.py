"""The audit log: one chain of hashes, append-only in the database itself."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from manga_backend.kernel.backoffice.domain import GENESIS, chain_hash
from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import CLI, Actor, Channel
from manga_backend.kit import clock
from manga_backend.kit.app import App
from tests.kernel.factories import at_work, rows
from tests.support import at_once

VALUES: list[dict[str, Any] | None] = [
    None,
    {},
    {"b": 1, "a": [1, 2, {"z": None, "y": True}]},
    {"نام": "سلام 🙂", "quote": "\"'\\"},
    {"big": 10**15, "text": "1e3", "when": clock.now()},
]


def write(app: App, number: int = 0, actor: Actor = CLI) -> None:
    """One entry."""
    with at_work(app):
        record_audit(
            actor,
            f"test.{number}",
            "thing",
            number,
            before=VALUES[number % 5],
            after=VALUES[(number + 2) % 5],
        )


def fields(entry: AuditEntry) -> dict[str, Any]:
    """What the hash covers, from the row alone."""
    return {
        "actor": entry.actor,
        "actor_label": entry.actor_label,
        "channel": entry.channel.value,
        "address": entry.address,
        "action": entry.action,
        "subject_type": entry.subject_type,
        "subject_id": entry.subject_id,
        "before": entry.before,
        "after": entry.after,
    }


def assert_unbroken(entries: list[AuditEntry]) -> None:
    """Numbers without a gap, each hash over its row and the hash before it."""
    assert [entry.id for entry in entries] == list(range(1, len(entries) + 1))
    previous = GENESIS
    for entry in entries:
        assert entry.previous_hash == previous
        assert entry.hash == chain_hash(previous, entry.id, entry.at, fields(entry))
        previous = entry.hash


class TestRecordAudit:
    def test_hashes_verify_from_the_stored_rows(self, app: App) -> None:
        person = Actor("user:1", "سارا", Channel.PANEL, 1, "2001:db8::1")
        for number in range(10):
            write(app, number, (CLI, person)[number % 2])
        entries = rows(app, AuditEntry)
        assert len(entries) == 10
        assert_unbroken(entries)

    def test_says_who_did_what_to_what_and_from_where(self, app: App) -> None:
        actor = Actor("user:7", "sara", Channel.API, 7, "10.0.0.1")
        with at_work(app):
            record_audit(actor, "user.banned", "user", 9, before={"a": 1}, after={"a": 2})
        (entry,) = rows(app, AuditEntry)
        assert fields(entry) == {
            "actor": "user:7",
            "actor_label": "sara",
            "channel": "api",
            "address": "10.0.0.1",
            "action": "user.banned",
            "subject_type": "user",
            "subject_id": "9",
            "before": {"a": 1},
            "after": {"a": 2},
        }

    def test_what_is_rolled_back_leaves_no_gap(self, app: App) -> None:
        write(app)
        with pytest.raises(ZeroDivisionError):
            write_and_fail(app)
        write(app, 1)
        assert_unbroken(rows(app, AuditEntry))

    def test_several_in_one_transaction_are_one_chain(self, app: App) -> None:
        with at_work(app):
            for number in range(5):
                record_audit(CLI, f"test.{number}", "thing", number)
        assert_unbroken(rows(app, AuditEntry))

    def test_20_threads_append_without_gap_or_fork(self, pg_app: App) -> None:
        def run(number: int) -> None:
            for more in range(5):
                write(pg_app, number * 5 + more)

        at_once(20, run)
        entries = rows(pg_app, AuditEntry)
        assert len(entries) == 100
        assert_unbroken(entries)
        assert {entry.action for entry in entries} == {f"test.{n}" for n in range(100)}

    def test_threads_that_fail_now_and_then_leave_an_unbroken_chain(self, pg_app: App) -> None:
        def run(number: int) -> None:
            if random.Random(number).random() < 0.4:
                with pytest.raises(ZeroDivisionError):
                    write_and_fail(pg_app)
            else:
                write(pg_app, number)

        at_once(20, run)
        assert_unbroken(rows(pg_app, AuditEntry))


def write_and_fail(app: App) -> None:
    with at_work(app):
        record_audit(CLI, "test.lost", "thing", 1)
        raise ZeroDivisionError


class TestAppendOnly:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE audit_entries SET action = 'x'",
            "UPDATE audit_entries SET hash = hash",
            "DELETE FROM audit_entries",
            "DELETE FROM audit_entries WHERE id = 1",
        ],
    )
    def test_the_database_refuses_change_and_removal(self, app: App, statement: str) -> None:
        write(app)
        before = fields(rows(app, AuditEntry)[0])
        with pytest.raises(DatabaseError, match="append-only"), at_work(app) as current:
            current.execute(text(statement))
        (entry,) = rows(app, AuditEntry)
        assert fields(entry) == before

    def test_postgresql_refuses_truncate_too(self, pg_app: App) -> None:
        write(pg_app)
        with pytest.raises(DatabaseError, match="append-only"), at_work(pg_app) as current:
            current.execute(text("TRUNCATE audit_entries"))
        assert len(rows(pg_app, AuditEntry)) == 1

    def test_the_same_hash_twice_is_refused(self, app: App) -> None:
        write(app)
        with pytest.raises(DatabaseError), at_work(app) as current:
            current.execute(
                text(
                    "INSERT INTO audit_entries (id, at, actor, actor_label, channel, action,"
                    " subject_type, subject_id, previous_hash, hash)"
                    " SELECT 2, at, actor, actor_label, channel, action, subject_type, subject_id,"
                    " previous_hash, hash FROM audit_entries"
                )
            )


class TestChainHash:
    BASE = ("0" * 64, 1, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))

    def test_every_part_counts(self) -> None:
        previous, number, at = self.BASE
        same = chain_hash(previous, number, at, {"a": 1})
        assert chain_hash(previous, number, at, {"a": 1}) == same
        others = {
            chain_hash("1" * 64, number, at, {"a": 1}),
            chain_hash(previous, 2, at, {"a": 1}),
            chain_hash(previous, number, at.replace(microsecond=1), {"a": 1}),
            chain_hash(previous, number, at, {"a": 2}),
            chain_hash(previous, number, at, {"b": 1}),
        }
        assert len(others - {same}) == 5

    def test_the_order_of_keys_does_not(self) -> None:
        assert chain_hash(*self.BASE, {"a": 1, "b": 2}) == chain_hash(*self.BASE, {"b": 2, "a": 1})


class TestVerify:
    @pytest.fixture
    def written(self, app: App) -> App:
        with at_work(app):
            for number in range(5):
                record_audit(CLI, "test.done", "thing", number, after={"number": number})
        return app

    def tampered(self, app: App, statement: str) -> str:
        """As somebody with the database's own rights does it; what the command says of it."""
        with at_work(app) as current:
            connection = current.connection()
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
                connection.exec_driver_sql(statement)
            else:
                triggers = connection.exec_driver_sql(
                    "SELECT name, sql FROM sqlite_master"
                    " WHERE tbl_name = 'audit_entries' AND type = 'trigger'"
                ).all()
                for name, _ in triggers:
                    connection.exec_driver_sql(f"DROP TRIGGER {name}")
                connection.exec_driver_sql(statement)
                for _, sql in triggers:
                    connection.exec_driver_sql(sql)
        found = app.test_cli_runner().invoke(args=["audit", "verify"])
        assert found.exit_code == 1
        return found.output

    def test_an_unbroken_chain_holds(self, written: App) -> None:
        found = written.test_cli_runner().invoke(args=["audit", "verify"])
        assert found.exit_code == 0
        assert "5 rows" in found.output
        assert "The chain holds." in found.output

    def test_an_empty_one_holds(self, app: App) -> None:
        assert app.test_cli_runner().invoke(args=["audit", "verify"]).exit_code == 0

    def test_a_changed_row_is_named(self, written: App) -> None:
        said = self.tampered(written, "UPDATE audit_entries SET actor_label = 'me' WHERE id = 3")
        assert "row 3: it was changed" in said
        assert said.count("WRONG") == 1

    def test_a_row_that_was_taken_out_is_missed(self, written: App) -> None:
        said = self.tampered(written, "DELETE FROM audit_entries WHERE id IN (2, 3)")
        assert "row 4: rows 2 to 3 are missing" in said

    def test_a_hash_that_was_made_to_fit_breaks_the_next(self, written: App) -> None:
        fake = "0" * 63 + "1"
        said = self.tampered(written, f"UPDATE audit_entries SET hash = '{fake}' WHERE id = 2")
        assert "row 2: it was changed" in said
        assert "row 3: it does not follow" in said
