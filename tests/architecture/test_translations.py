"""Every text exists in every language."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from manga_backend.kit.settings import LANGUAGES, ROOT

TRANSLATIONS = ROOT / "manga_backend" / "translations"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """All texts of the code and the templates of today."""
    target = tmp_path_factory.mktemp("texts") / "messages.pot"
    keywords = ["-k", "gettext_lazy", "-k", "N_", "-k", "_"]
    subprocess.run(
        [
            *(sys.executable, "-m", "babel.messages.frontend", "extract", "-F", "babel.cfg"),
            *(*keywords, "-o", str(target), "."),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    with target.open("rb") as file:
        return read_po(file)


def folder(language: str) -> Path:
    return TRANSLATIONS / language / "LC_MESSAGES"


@pytest.mark.parametrize("language", LANGUAGES)
class TestCatalog:
    def test_is_complete_and_not_fuzzy(self, template: Catalog, language: str) -> None:
        with (folder(language) / "messages.po").open("rb") as file:
            catalog = read_po(file, locale=language)
        missing = []
        for message in template:
            if not message.id:
                continue
            found = catalog.get(message.id)
            texts = found.string if found else ""
            parts = texts if isinstance(texts, tuple) else (texts,)
            if found is None or found.fuzzy or not all(parts):
                missing.append(message.id)
        assert missing == []

    def test_keeps_the_places_for_values(self, language: str) -> None:
        with (folder(language) / "messages.po").open("rb") as file:
            catalog = read_po(file, locale=language)
        broken = [m.id for m in catalog if m.id and m.string and list(m.check())]
        assert broken == []

    def test_is_compiled(self, language: str) -> None:
        with (folder(language) / "messages.po").open("rb") as file:
            source = read_po(file, locale=language)
        compiled = read_mo(io.BytesIO((folder(language) / "messages.mo").read_bytes()))
        texts = {m.id: m.string for m in source if m.id and m.string and not m.fuzzy}
        assert {key: compiled.get(key).string for key in texts if compiled.get(key)} == texts
