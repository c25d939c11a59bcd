"""What a user sees of the wallet."""

from __future__ import annotations

from manga_backend.kernel.money.ledger import service
from manga_backend.kernel.operations.service.health import readiness
from manga_backend.kit.jobs import run_schedule, tick
from tests.kernel.factories import at_work
from tests.kernel.money.ledger.test_service import fill, sale
from tests.support import Api, counted_queries


class TestBalance:
    def test_is_nothing_at_first(self, api: Api) -> None:
        answer = api.reader().get("/api/balance")
        assert answer.get_json() == {"balance": "0.00", "currency": "USDT", "reserved": "0.00"}

    def test_is_exact_and_without_what_is_reserved(self, api: Api) -> None:
        reader = api.reader()
        user = api.user_id(reader)
        fill(api.app, user, 5_000_001)
        fill(api.app, user, 750, "RUB")
        with at_work(api.app):
            service.reserve([sale(user, 2_000_000, "r")])
        assert reader.get("/api/balance/").get_json() == {
            "balance": "3.000001",
            "currency": "USDT",
            "reserved": "2.00",
        }
        assert reader.get("/api/balance?currency=RUB").get_json()["balance"] == "7.50"

    def test_an_unknown_currency_is_refused(self, api: Api) -> None:
        assert api.reader().get("/api/balance?currency=DOGE").status_code == 400

    def test_needs_a_session(self, api: Api) -> None:
        assert api.client().get("/api/balance").status_code == 401


class TestTransactions:
    def test_newest_first_with_sign_and_what_was_left(self, api: Api) -> None:
        reader, other = api.reader(), api.reader()
        user = api.user_id(reader)
        fill(api.app, user, 5_000_000)
        fill(api.app, api.user_id(other), 9)
        with at_work(api.app):
            service.transfer([sale(user, 2_000_000, "s")])
        answer = reader.get("/api/balance/transactions")
        found = [(t["type"], t["amount"], t["balance_after"]) for t in answer.get_json()]
        assert found == [("sale", "-2.00", "3.00"), ("correction", "5.00", "5.00")]
        assert other.get("/api/balance/transactions").get_json()[0]["amount"] == "0.000009"

    def test_pages_with_a_constant_number_of_queries(self, api: Api) -> None:
        reader = api.reader()
        user = api.user_id(reader)
        for number in range(12):
            fill(api.app, user, 1, key=f"{number}")
        with counted_queries(api.app) as statements:
            page = reader.get("/api/balance/transactions?page=2&page_size=5")
        assert len(page.get_json()) == 5
        assert '"total": 12' in page.headers["X-Pagination"]
        assert len(statements) <= 4


class TestReadiness:
    def test_is_red_from_a_failed_proof_until_one_holds(self, api: Api) -> None:
        user = api.user_id(api.reader())
        fill(api.app, user, 5)
        with api.app.app_context():
            tick()
            run_schedule("ledger.check")
            assert readiness()["ledger"].ok
        with at_work(api.app) as current:
            service_account(current, user).credits_posted += 1
        with api.app.app_context():
            run_schedule("ledger.check")
            red = readiness()["ledger"]
        assert not red.ok
        assert not red.vital
        assert f"wallet:{user}" in red.detail
        with at_work(api.app) as current:
            service_account(current, user).credits_posted -= 1
        with api.app.app_context():
            run_schedule("ledger.check")
            assert readiness()["ledger"].ok


def service_account(current: object, user: int) -> service.Account:
    found = current.get(service.Account, service.wallet_account(user, "USDT"))  # type: ignore[attr-defined]
    assert isinstance(found, service.Account)
    return found
