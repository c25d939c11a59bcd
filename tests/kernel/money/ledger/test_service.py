"""Money moves whole, once for each key, and never below zero, whatever runs at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import DBAPIError

from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.money.ledger import jobs, queries, service
from manga_backend.kernel.money.ledger.errors import (
    NotEnoughMoney,
    TransferKeyReused,
    TransferNotFound,
    TransferNotPending,
)
from manga_backend.kernel.money.ledger.models import Account, Transfer
from manga_backend.kernel.money.ledger.types import (
    AccountKind,
    Move,
    TransferKind,
    TransferState,
    Wallet,
)
from manga_backend.kit.app import App
from tests.kernel.factories import at_work, make_user, rows
from tests.support import at_once

USDT = "USDT"


def fill(app: App, user_id: int, amount: int, currency: str = USDT, key: str = "") -> None:
    """Put money into a wallet, as an admin would."""
    key = key or f"fill:{user_id}:{currency}:{amount}"
    with at_work(app):
        service.correct(user_id, amount, currency, key=key, note="test", actor=CLI)


def wallet(app: App, user_id: int, currency: str = USDT) -> Wallet:
    with at_work(app):
        return queries.find_wallet(user_id, currency)


def sale(user_id: int, amount: int, key: str, currency: str = USDT) -> Move:
    """From a wallet to what we sold."""
    return Move(
        kind=TransferKind.SALE,
        debit_account_id=service.wallet_account(user_id, currency),
        credit_account_id=service.own_account(AccountKind.REVENUE, "manga", currency, key),
        amount=amount,
        currency=currency,
        key=key,
        subject="invoice:1",
    )


def between(giver: int, taker: int, amount: int, key: str) -> Move:
    """From one wallet to another."""
    return Move(
        kind=TransferKind.CORRECTION,
        debit_account_id=service.wallet_account(giver, USDT),
        credit_account_id=service.wallet_account(taker, USDT),
        amount=amount,
        currency=USDT,
        key=key,
        subject="test",
    )


def proof(app: App) -> queries.Proof:
    with at_work(app):
        return queries.prove()


class TestTransfer:
    def test_moves_the_amount_and_both_sides_know(self, app: App) -> None:
        user = make_user(app)
        fill(app, user, 5_000_000)
        with at_work(app):
            (made,) = service.transfer([sale(user, 2_000_000, "s1")])
        assert (made.state, made.debit_after, made.credit_after) == (
            TransferState.POSTED,
            3_000_000,
            None,
        )
        assert wallet(app, user) == Wallet(USDT, 3_000_000, 0)
        assert proof(app).holds

    def test_twice_is_once(self, app: App) -> None:
        user = make_user(app)
        fill(app, user, 5_000_000)
        for _ in range(2):
            with at_work(app):
                service.transfer([sale(user, 2_000_000, "same")])
        assert wallet(app, user).balance == 3_000_000
        with at_work(app), pytest.raises(TransferKeyReused):
            service.transfer([sale(user, 2_000_001, "same")])
        with at_work(app), pytest.raises(TransferKeyReused):
            service.transfer([sale(make_user(app), 2_000_000, "same")])

    def test_a_key_that_stands_twice_in_one_call_counts_once(self, app: App) -> None:
        user = make_user(app)
        fill(app, user, 5)
        with at_work(app):
            service.transfer([sale(user, 2, "twin"), sale(user, 2, "twin")])
        assert wallet(app, user).balance == 3

    def test_never_below_zero_and_then_none_of_them(self, app: App) -> None:
        user = make_user(app)
        fill(app, user, 5)
        with pytest.raises(NotEnoughMoney), at_work(app):
            service.transfer([sale(user, 3, "a"), sale(user, 3, "b")])
        assert wallet(app, user).balance == 5
        assert [t.key for t in rows(app, Transfer)] == [f"fill:{user}:USDT:5"]

    def test_whoever_goes_on_after_a_refusal_leaves_a_whole_book(self, app: App) -> None:
        user = make_user(app)
        fill(app, user, 5)
        with at_work(app):
            with suppress(NotEnoughMoney):
                service.transfer([sale(user, 3, "a"), sale(user, 3, "b")])
            service.transfer([sale(user, 4, "c")])
        assert wallet(app, user).balance == 1
        assert proof(app).holds

    def test_wallets_of_two_currencies_do_not_mix(self, app: App) -> None:
        user = make_user(app)
        fill(app, user, 500, "RUB")
        fill(app, user, 7_000_000)
        with at_work(app):
            assert [w.currency for w in queries.list_wallets(user)] == ["RUB", "USDT"]
        with pytest.raises(NotEnoughMoney), at_work(app):
            service.transfer([sale(user, 501, "r", "RUB")])

    def test_accounts_of_another_currency_are_refused_by_the_database(self, app: App) -> None:
        user = make_user(app)
        fill(app, user, 500, "RUB")
        with at_work(app):
            move = replace(sale(user, 1, "mixed", "RUB"), currency=USDT)
        with pytest.raises(DBAPIError), at_work(app):
            service.transfer([move])

    def test_an_unknown_currency_has_no_wallet(self, app: App) -> None:
        with pytest.raises(ValueError, match="currency"), at_work(app):
            service.wallet_account(make_user(app), "XXX")


class TestReserve:
    def test_what_is_reserved_cannot_be_spent_and_comes_back(self, app: App) -> None:
        user = make_user(app)
        fill(app, user, 5)
        with at_work(app):
            service.reserve([sale(user, 4, "payout")])
        assert wallet(app, user) == Wallet(USDT, 5, 4)
        with pytest.raises(NotEnoughMoney), at_work(app):
            service.transfer([sale(user, 2, "too much")])
        with at_work(app):
            service.void("payout")
        assert wallet(app, user) == Wallet(USDT, 5, 0)
        assert proof(app).holds

    @pytest.mark.parametrize("first", [service.post, service.void])
    @pytest.mark.parametrize("second", [service.post, service.void])
    def test_it_is_settled_once(
        self,
        app: App,
        first: Callable[[str], Transfer],
        second: Callable[[str], Transfer],
    ) -> None:
        user = make_user(app)
        fill(app, user, 5)
        with at_work(app):
            service.reserve([sale(user, 4, "p")])
        with at_work(app):
            first("p")
        after = wallet(app, user)
        assert after == Wallet(USDT, 1 if first is service.post else 5, 0)
        with pytest.raises(TransferNotPending), at_work(app):
            second("p")
        assert wallet(app, user) == after
        assert proof(app).holds

    def test_what_never_was_cannot_be_settled(self, app: App) -> None:
        with pytest.raises(TransferNotFound), at_work(app):
            service.post("nothing")


class TestAtOnce:
    def test_50_buyers_of_one_wallet_spend_what_it_holds(self, pg_app: App) -> None:
        user = make_user(pg_app)
        fill(pg_app, user, 10)

        def buy(number: int) -> bool:
            with suppress(NotEnoughMoney), at_work(pg_app):
                service.transfer([sale(user, 3, f"buy:{number}")])
                return True
            return False

        assert sum(at_once(50, buy)) == 3
        assert wallet(pg_app, user).balance == 1
        assert proof(pg_app).holds

    def test_one_key_from_50_threads_counts_once(self, pg_app: App) -> None:
        user = make_user(pg_app)
        fill(pg_app, user, 10)

        def buy(_number: int) -> None:
            with at_work(pg_app):
                service.transfer([sale(user, 3, "one")])

        at_once(50, buy)
        assert wallet(pg_app, user).balance == 7

    def test_opposite_transfers_do_not_lock_each_other_out(self, pg_app: App) -> None:
        one, two = make_user(pg_app), make_user(pg_app)
        fill(pg_app, one, 1000)
        fill(pg_app, two, 1000)

        def swap(number: int) -> None:
            pair = (one, two) if number % 2 else (two, one)
            for turn in range(5):
                with at_work(pg_app):
                    service.transfer([between(*pair, 1, f"{number}:{turn}")])

        at_once(16, swap)
        assert wallet(pg_app, one).balance + wallet(pg_app, two).balance == 2000
        assert proof(pg_app).holds

    def test_a_wallet_is_made_once(self, pg_app: App) -> None:
        user = make_user(pg_app)

        def make(_number: int) -> int:
            with at_work(pg_app):
                return service.wallet_account(user, USDT)

        assert len(set(at_once(20, make))) == 1


class TestDatabase:
    """What the database refuses by itself, whatever the code does."""

    def booked(self, app: App) -> int:
        user = make_user(app)
        fill(app, user, 5)
        return user

    @pytest.mark.parametrize(
        "change",
        [
            update(Transfer).values(amount=6),
            update(Transfer).values(state=TransferState.VOIDED),
            delete(Transfer),
            delete(Account),
            update(Account).where(Account.kind == "wallet").values(debits_posted=6),
            update(Account).where(Account.kind == "wallet").values(debits_pending=6),
            update(Account).values(credits_pending=-1),
            update(Account).where(Account.kind == "wallet").values(user_id=None),
        ],
        ids=str,
    )
    def test_refuses(self, app: App, change: object) -> None:
        user = self.booked(app)
        with pytest.raises(DBAPIError), at_work(app) as current:
            current.execute(change)  # type: ignore[call-overload]
        assert wallet(app, user).balance == 5
        assert proof(app).holds


class TestProof:
    def test_names_what_does_not_add_up(self, app: App) -> None:
        user = make_user(app)
        fill(app, user, 5)
        with at_work(app) as current:
            current.execute(
                update(Account).where(Account.user_id == user).values(credits_posted=50)
            )
        found = proof(app)
        assert not found.holds
        assert {finding.where for finding in found.findings} == {f"wallet:{user}:USDT", USDT}
        with app.app_context(), pytest.raises(jobs.LedgerBroken, match=f"wallet:{user}"):
            jobs.check()

    def test_costs_the_same_number_of_queries_whatever_there_is(self, app: App) -> None:
        for _ in range(3):
            fill(app, make_user(app), 5)
        found = proof(app)
        assert (found.holds, found.transfers) == (True, 3)

    def test_by_command(self, app: App) -> None:
        user = make_user(app)
        fill(app, user, 5)
        runner = app.test_cli_runner()
        good = runner.invoke(args=["ledger", "check"])
        assert (good.exit_code, "It adds up." in good.output) == (0, True)
        with at_work(app) as current:
            current.execute(update(Account).where(Account.user_id == user).values(credits_posted=9))
        bad = runner.invoke(args=["ledger", "check"])
        assert (bad.exit_code, f"WRONG  wallet:{user}:USDT" in bad.output) == (1, True)


class TestEdge:
    def test_sums_stay_exact_up_to_64_bits_and_go_no_further(self, app: App) -> None:
        user, most = make_user(app), 2**62
        fill(app, user, most)
        fill(app, user, most - 1, key="more")
        assert wallet(app, user).balance == 2**63 - 1
        with pytest.raises((DBAPIError, OverflowError)):
            fill(app, user, 1, key="over")
        assert wallet(app, user).balance == 2**63 - 1
        assert proof(app).holds
