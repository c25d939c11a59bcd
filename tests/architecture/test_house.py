"""The rules of the house that import contracts can't say."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from manga_backend.kit import db as kit_db
from manga_backend.kit.app import App
from manga_backend.kit.principal import MARK, grants
from manga_backend.kit.settings import ROOT
from tests.conftest import Deployment

PACKAGE = ROOT / "manga_backend"
SHELVES = ("kernel", "products")
FILE_NAMES = {
    *("__init__", "types", "models", "domain", "queries", "service", "clients", "events"),
    *("errors", "permissions", "messages", "schemas", "routes", "admin", "bot", "jobs", "cli"),
    *("runner", "settings", "wiring"),
}
FOLDERS_FOR = {"service", "clients"}
MAX_LINES = 500
MEDIAN_LINES = 120
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "logic"}


def modules(*below: str) -> list[Path]:
    """All Python files of the package, or of some of its shelves."""
    roots = [PACKAGE / name for name in below] or [PACKAGE]
    return sorted(path for root in roots for path in root.rglob("*.py"))


def tracked(pattern: str) -> list[Path]:
    """Files that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def test_files_have_only_the_names_of_the_house() -> None:
    strange = []
    for path in modules(*SHELVES):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        inside = next((i for i, part in enumerate(parts[:-1]) if part in FOLDERS_FOR), None)
        if inside is None and parts[-1] not in FILE_NAMES:
            strange.append(str(path.relative_to(ROOT)))
    assert strange == []


def test_no_file_is_a_junk_drawer() -> None:
    assert [p for p in modules() if p.stem in FORBIDDEN_NAMES] == []


def test_no_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py")
        if "migrations" not in path.parts
        and (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}


def test_the_median_file_is_short() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in modules())
    assert lengths[len(lengths) // 2] <= MEDIAN_LINES


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_says_what_lives_in_it(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_public_functions_say_what_their_signature_cannot() -> None:
    silent = []
    for path in modules():
        if path.stem in ("schemas", "admin"):
            continue  # their names are the documentation: fields, and pages of the panel
        for node in ast.parse(path.read_text()).body:
            named = isinstance(node, ast.FunctionDef | ast.ClassDef)
            if named and not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert silent == []


def test_only_the_kit_commits() -> None:
    found = [
        str(path.relative_to(PACKAGE))
        for path in modules()
        if re.search(r"\.commit\(", path.read_text())
    ]
    assert found == ["kit/db.py"]


def test_only_settings_read_the_environment() -> None:
    found = [
        str(path.relative_to(PACKAGE))
        for path in modules()
        if re.search(r"os\.environ|getenv", path.read_text())
    ]
    # prometheus_client takes its folder from there alone.
    assert found == ["kit/metrics_folder.py", "kit/settings.py"]


def test_only_clients_use_the_network() -> None:
    names = r"(requests|telebot|httpx|urllib\.request)"
    libraries = re.compile(rf"^\s*(import|from) {names}|(Later|import_module)\(.{names}", re.M)
    found = {
        str(path.relative_to(PACKAGE)) for path in modules() if libraries.search(path.read_text())
    }
    assert found == {"kernel/telegram/clients.py"}


def test_time_goes_through_the_clock() -> None:
    direct = re.compile(r"datetime\.(now|utcnow)\(|time\.time\(\)")
    found = {str(p.relative_to(PACKAGE)) for p in modules() if direct.search(p.read_text())}
    # The `limits` library counts in seconds since 1970, and its tests move that clock.
    assert found == {"kit/clock.py", "kit/ratelimit.py", "kit/limit_windows.py"}


def test_tables_are_plural_and_their_constraints_named(on_sqlite: Deployment) -> None:
    tables = kit_db.db.metadata.tables
    uncountable = {"invoice_history", "payment_history", "payout_history", "telegram_poller"}
    assert {n for n in tables if not n.endswith("s")} == uncountable
    for table in tables.values():
        for constraint in table.constraints:
            assert constraint.name, (table.name, constraint)


def test_every_foreign_key_has_an_index(on_sqlite: Deployment) -> None:
    bare = []
    for table in kit_db.db.metadata.tables.values():
        leading = {next(iter(index.columns)).name for index in table.indexes}
        for constraint in table.constraints:
            columns = list(getattr(constraint, "columns", []))
            if columns and type(constraint).__name__ in (
                "UniqueConstraint",
                "PrimaryKeyConstraint",
            ):
                leading.add(columns[0].name)
        for constraint in table.foreign_key_constraints:
            first = next(iter(constraint.columns)).name
            if first not in leading:
                bare.append(f"{table.name}.{first}")
    # Plans are a handful, and nobody asks for the subscriptions of one.
    assert bare == ["subscriptions.plan_code"]


class TestRoutes:
    def test_each_is_marked(self, app: App) -> None:
        marks = {
            rule.endpoint: app.view_functions[rule.endpoint] for rule in app.url_map.iter_rules()
        }
        assert [name for name, view in marks.items() if not hasattr(view, MARK)] == []

    def test_each_right_asked_for_is_granted_to_some_role(self, app: App) -> None:
        with app.app_context():
            known = {right for right, _role in grants.items()}
        asked = {
            getattr(app.view_functions[rule.endpoint], MARK) for rule in app.url_map.iter_rules()
        } - {"public", "panel"}
        assert asked <= known

    def test_public_ones_are_these(self, app: App) -> None:
        public = {
            rule.rule
            for rule in app.url_map.iter_rules()
            if getattr(app.view_functions[rule.endpoint], MARK) == "public"
        }
        assert public == {
            *("/auth/register", "/auth/login", "/auth/refresh", "/api/plans"),
            *("/admin/system/coupon", "/health", "/health/live", "/health/ready", "/metrics"),
            *("/api/system/health", "/api/system/version", "/openapi.json", "/docs"),
            *("/auth/telegram/webapp", "/auth/telegram/widget"),
            *("/api/orders", "/api/orders/events", "/api/reviews"),
            "/api/orders/<string(length=12):order_id>",
            "/telegram/webhook",
            "/api/webhook/cryptomus",
            *("/docs/assets/<path:filename>", "/static/<path:filename>"),
        }

    def test_endpoints_are_named_for_their_package(self, app: App) -> None:
        blueprints = {name for name in app.blueprints if not name.startswith("panel")}
        strange = {n for n in blueprints if not re.fullmatch(r"[a-z]+_[a-z]+|api-docs|pages", n)}
        assert strange == set()


def test_no_secret_or_machine_path_is_tracked() -> None:
    here = str(ROOT.parent) + "/"
    home = str(Path.home()) + "/"
    found = [
        str(path.relative_to(ROOT))
        for path in tracked("*")
        if path.suffix not in (".mo", ".png", ".woff2")
        and any(place in path.read_text(errors="replace") for place in (here, home))
    ]
    assert found == []
