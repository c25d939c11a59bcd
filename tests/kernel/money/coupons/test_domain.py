"""Coupon codes as people read, copy and type them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.kernel.money.coupons.domain import new_code, normalised, shown
from manga_backend.kit.codes import ALPHABET

CODE = "7H2K9QX4TB0M"


class TestNewCode:
    def test_is_twelve_characters_of_crockford(self) -> None:
        codes = [new_code() for _ in range(500)]
        assert all(re.fullmatch(f"[{ALPHABET}]{{12}}", code) for code in codes)
        assert len(set(codes)) == 500
        assert set("".join(codes)) == set(ALPHABET)

    def test_has_no_letter_that_looks_like_another(self) -> None:
        assert not set("ILOU") & set(ALPHABET)
        assert len(set(ALPHABET)) == 32

    def test_is_shown_in_three_groups_of_four(self) -> None:
        assert shown(CODE) == "7H2K-9QX4-TB0M"


class TestNormalised:
    @pytest.mark.parametrize(
        "typed",
        [
            "7H2K-9QX4-TB0M",
            "7h2k-9qx4-tb0m",
            "7H2K9QX4TB0M",
            " 7H2K 9QX4 TB0M ",
            "7H2K–9QX4—TB0M",
            "7H2K_9QX4_TB0M\n",
            "--7-H-2-K-9-Q-X-4-T-B-0-M--",
        ],
    )
    def test_case_spaces_and_dashes_do_not_matter(self, typed: str) -> None:
        assert normalised(typed) == CODE

    @pytest.mark.parametrize(
        ("typed", "stored"),
        [
            ("7H2K-9QX4-TBOM", CODE),
            ("7h2k-9qx4-tbom", CODE),
            ("IL1I-0OoO-ilLi", "111100001111"),
        ],
    )
    def test_look_alikes_are_read_as_digits(self, typed: str, stored: str) -> None:
        assert normalised(typed) == stored

    @pytest.mark.parametrize(
        "typed",
        ["", "-", "7H2K-9QX4-TB0", "7H2K-9QX4-TB0MM", "7H2K-9QX4-TB0U", "7H2K+9QX4+TB0M", "۷" * 12],
    )
    def test_what_can_not_be_a_code(self, typed: str) -> None:
        assert normalised(typed) is None

    @given(st.text(max_size=200))
    def test_any_text_is_a_code_or_nothing(self, typed: str) -> None:
        code = normalised(typed)
        assert code is None or (len(code) == 12 and set(code) <= set(ALPHABET))

    @given(st.text(ALPHABET, min_size=12, max_size=12))
    def test_what_is_shown_is_read_back(self, code: str) -> None:
        assert normalised(shown(code)) == code
        assert normalised(shown(code).lower()) == code
