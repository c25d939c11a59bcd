"""Lists: exports that carry no formula, words instead of stored ones, sizes that are kept."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from manga_backend.kernel.backoffice.admin import ListView
from manga_backend.kernel.backoffice.domain import csv_lines, harmless
from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.types import Role
from manga_backend.kit.db import db
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import at_work, count, make_reader, rows
from tests.support import Api, counted_queries, new_hash

FORMULAS = ["=HYPERLINK(1)", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\u202e=1", " =1", "＝1"]


class TestCells:
    @pytest.mark.parametrize("cell", FORMULAS)
    def test_what_begins_a_formula_is_text(self, cell: str) -> None:
        assert harmless(cell) == f"'{cell}"

    @pytest.mark.parametrize("cell", ["-5.00", "+1", "5", "", "ok", "سلام", "a=1", "2026-11-26"])
    def test_all_else_stays_as_it_is(self, cell: str) -> None:
        assert harmless(cell) == cell

    @given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=7), st.integers(1, 3))
    def test_whatever_is_written_is_read_back(self, cells: list[list[str]], stretch: int) -> None:
        text = "".join(csv_lines(["a", "b"], cells, stretch)).removeprefix("\ufeff")
        found = list(csv.reader(io.StringIO(text, newline="")))
        assert found == [["a", "b"], *([harmless(cell) for cell in row] for row in cells)]


def exported(panel: Panel, path: str) -> list[dict[str, str]]:
    answer = panel.post(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    text = answer.get_data().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


class TestExport:
    def test_of_every_list_is_offered_and_answers(self, api: Api) -> None:
        make_reader(api).submit()
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        lists = [
            view.url for view in api.app.extensions["admin"][0]._views if isinstance(view, ListView)
        ]
        assert len(lists) >= 12
        for url in lists:
            exported(panel, f"{url}/csv")
        assert count(api.app, AuditEntry, AuditEntry.action == "list.exported") == len(lists)

    def test_has_exact_values_and_keeps_the_filters(self, api: Api) -> None:
        reader = make_reader(api)
        first, second = new_hash(), new_hash()
        for tx in (first, second):
            reader.submit(tx)
        panel = Panel(api, api.staff().username)
        found = exported(panel, "/admin/payments/csv")
        assert [row["Hash"] for row in found] == [second, first]
        assert {row["Amount"] for row in found} == {"5.00"}
        assert {row["Status"] for row in found} == {"pending"}
        assert found[0]["Sent"].endswith("Z")
        assert [r["Hash"] for r in exported(panel, f"/admin/payments/csv?search={first}")] == [
            first
        ]
        assert exported(panel, "/admin/payments/csv?flt0_status_equals=approved") == []

    def test_a_whole_hash_is_looked_up_in_any_spelling(self, api: Api) -> None:
        tx = new_hash()
        make_reader(api).submit(f"0x{tx}", network="ethereum")
        make_reader(api).submit()
        panel = Panel(api, api.staff().username)
        for typed in (tx, f"0x{tx}", tx.upper()):
            with counted_queries(api.app) as statements:
                page = panel.get(f"/admin/payments/?search={typed}").text
            assert "1" in page
            assert page.count("Open</a>") == 1
            assert not any("LIKE" in statement.upper() for statement in statements)

    def test_of_a_name_that_is_a_formula_is_text(self, api: Api) -> None:
        reader = make_reader(api)
        with at_work(api.app) as current:
            found = current.scalar(select(User).where(User.username == reader.username))
            assert found is not None
            found.username = '=HYPERLINK("http://evil.example")'
        panel = Panel(api, api.staff().username)
        names = [row["Username"] for row in exported(panel, "/admin/users/csv")]
        assert '\'=HYPERLINK("http://evil.example")' in names

    def test_gives_signs_of_life_to_the_server_that_would_end_its_worker(self, api: Api) -> None:
        signs: list[int] = []
        for _ in range(3):
            make_reader(api)
        panel = Panel(api, api.staff().username)
        api.app.extensions["sign_of_life"] = lambda: signs.append(1)
        try:
            exported(panel, "/admin/users/csv")
        finally:
            del api.app.extensions["sign_of_life"]
        assert signs

    def test_gives_its_connection_back(self, api: Api) -> None:
        panel = Panel(api, api.staff().username)
        exported(panel, "/admin/users/csv")
        broken_off = panel.client.post(
            "/admin/users/csv", data={"csrf_token": panel.token_of("/admin/users/")}
        )
        next(iter(broken_off.response))
        broken_off.close()
        with api.app.app_context():
            assert [engine.pool.checkedout() for engine in db.engines.values()] == [0, 0]

    def test_is_for_admins_and_by_a_form_with_its_token(self, api: Api) -> None:
        support = Panel(api, api.staff(Role.SUPPORT).username)
        assert "All as CSV" not in support.get("/admin/users/").text
        assert support.post("/admin/users/csv").status_code == 403
        admin = Panel(api, api.staff().username)
        assert "All as CSV" in admin.get("/admin/users/").text
        assert admin.client.post("/admin/users/csv").status_code == 400
        assert admin.get("/admin/users/csv").status_code == 405


class TestLook:
    def test_states_are_in_the_readers_language(self, api: Api) -> None:
        make_reader(api).submit()
        panel = Panel(api, api.staff().username)
        assert '<option value="pending">Pending</option>' in panel.get("/admin/payments/").text
        panel.post("/admin/sign-in/language", language="fa", next="/admin/payments/")
        page = panel.get("/admin/payments/").text
        assert "در انتظار" in page
        assert ">pending<" not in page

    def test_the_size_of_a_page_is_kept(self, api: Api) -> None:
        for _ in range(21):
            make_reader(api)
        panel = Panel(api, api.staff().username)
        panel.get("/admin/users/?page_size=20")
        assert "Page 1 of 2" in panel.get("/admin/users/").text
        assert "Page 1 of" not in panel.get("/admin/users/?page_size=100").text
        assert "Page 1 of" not in panel.get("/admin/users/?page_size=7").text

    def test_stored_text_is_harmless(self, api: Api) -> None:
        reader = make_reader(api)
        evil = "<script>alert(1)</script>\u202e"
        with at_work(api.app) as current:
            found = current.scalar(select(User).where(User.username == reader.username))
            assert found is not None
            found.username, user_id = evil, found.id
        panel = Panel(api, api.staff().username)
        for path in ("/admin/users/", f"/admin/users/details/?id={user_id}"):
            page = panel.get(path).text
            assert "<script>alert" not in page
            assert "&lt;script&gt;alert(1)" in page


MANY = 100_000
LISTS = {
    "users": ("/admin/users/", "/admin/users/?search=reader-7"),
    "payments": (
        "/admin/payments/",
        "/admin/payments/?page=900",
        "/admin/payments/?flt0_status_equals=pending",
        f"/admin/payments/?search={'7' * 64}",
    ),
}


FILL = f"""
INSERT INTO users (public_id, role, created_at, username, username_key)
SELECT gen_random_uuid(), 'user', now(), 'reader-' || n, 'reader-' || n
FROM generate_series(1, {MANY}) n;
INSERT INTO invoices (id, user_id, product, item_code, item, title, fulfilment, amount, currency,
    status, created_at)
SELECT gen_random_uuid(), id, 'manga', 'monthly', '{{}}', 'Monthly', 'manga.days', 5000000, 'USDT',
    'open', now() FROM users WHERE username LIKE 'reader-%%';
INSERT INTO payments (id, invoice_id, user_id, method, status, amount, currency, network, tx_hash,
    submitted_at)
SELECT gen_random_uuid(), id, user_id, 'crypto', 'pending', 5000000, 'USDT', 'tron',
    md5(id::text) || md5(user_id::text), now() FROM invoices;
ANALYZE;
"""


@pytest.fixture
def many(pg_api: Api) -> Api:
    """100,000 users with a payment each."""
    with at_work(pg_api.app) as current:
        current.connection().exec_driver_sql(FILL)
    return pg_api


class TestManyRows:
    def test_pages_cost_the_same_queries_and_exports_are_streamed(self, many: Api) -> None:
        panel = Panel(many, many.staff().username)
        counted = set()
        for paths in LISTS.values():
            for path in paths:
                panel.get(path)
                with counted_queries(many.app) as statements:
                    assert panel.get(path).status_code == 200
                counted.add(len(statements))
        assert counted == {3}  # session, count, rows
        answer = panel.client.post(
            "/admin/payments/csv",
            data={"csrf_token": panel.token_of("/admin/payments/")},
            buffered=False,
        )
        lines = 0
        largest = 0
        for part in answer.response:
            largest = max(largest, len(part))
            lines += part.count(b"\n")
        assert lines == MANY + 1
        assert largest < 1_000_000
        assert rows(many.app, AuditEntry)[-1].action == "list.exported"
