"""The rules of verdicts, over everything that a chain might say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.kernel.money.chains.domain import (
    in_minor,
    in_raw,
    is_address,
    judge,
    same_story,
    tron_address,
    tron_bytes,
)
from manga_backend.kernel.money.chains.settings import TOKENS
from manga_backend.kernel.money.chains.types import (
    ASK_AGAIN,
    Chain,
    Expected,
    Incoming,
    Network,
    Transaction,
    Verdict,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
RAW = st.integers(0, 2**256 - 1)
DECIMALS = st.integers(6, 36)


def chain(decimals: int = 6, confirmations: int = 12) -> Chain:
    ours, token = "0x" + "1" * 40, "0x" + "2" * 40
    return Chain(Network.BSC, ours, ("http://x",), token, decimals, confirmations)


def brought(*raw: int, **more: object) -> Transaction:
    incoming = tuple(Incoming("ab" * 32, n, "0x0", amount) for n, amount in enumerate(raw))
    given_: dict[str, object] = {
        "succeeded": True,
        "block_number": 7,
        "block_time": NOW,
        "confirmations": 50,
    }
    return Transaction("ab" * 32, incoming=incoming, **{**given_, **more})  # type: ignore[arg-type]


class TestAmounts:
    @given(RAW, DECIMALS)
    def test_minor_units_never_say_more_than_came(self, raw: int, decimals: int) -> None:
        minor = in_minor(raw, decimals)
        assert in_raw(minor, decimals) <= raw < in_raw(minor + 1, decimals)

    @given(st.integers(0, 2**63 - 1), DECIMALS)
    def test_there_and_back_is_exact(self, minor: int, decimals: int) -> None:
        assert in_minor(in_raw(minor, decimals), decimals) == minor

    @given(st.lists(RAW, min_size=1, max_size=5), st.integers(1, 2**62), DECIMALS)
    def test_a_match_is_exactly_the_price_and_nothing_else(
        self, raw: list[int], price: int, decimals: int
    ) -> None:
        found = judge(brought(*raw), Expected(price, NOW), chain(decimals))
        came, wanted = sum(raw), in_raw(price, decimals)
        if came == 0:
            assert found.verdict is Verdict.WRONG_RECEIVER
        elif came == wanted:
            assert found.verdict is Verdict.MATCH
        else:
            assert found.verdict is (Verdict.TOO_LITTLE if came < wanted else Verdict.TOO_MUCH)

    def test_a_token_with_too_few_decimals_is_refused(self) -> None:
        with pytest.raises(ValueError, match="decimals"):
            in_raw(1, 5)


class TestJudge:
    @given(st.integers(0, 100), st.integers(0, 100))
    def test_money_counts_only_once_it_is_confirmed(self, confirmations: int, needed: int) -> None:
        found = judge(brought(5, confirmations=confirmations), Expected(5, NOW), chain(6, needed))
        settled = confirmations >= needed
        assert found.verdict is (Verdict.MATCH if settled else Verdict.UNCONFIRMED)
        assert found.final is settled

    def test_what_the_network_calls_final_needs_no_count(self) -> None:
        story = brought(5, confirmations=0, final=True)
        assert judge(story, Expected(5, NOW), chain()).verdict is Verdict.MATCH

    def test_without_a_block_it_waits(self) -> None:
        story = brought(5, block_number=None, confirmations=0)
        found = judge(story, Expected(5, NOW), chain())
        assert (found.verdict, found.final) == (Verdict.UNCONFIRMED, False)

    def test_not_found_is_asked_again(self) -> None:
        found = judge(None, Expected(5, NOW), chain())
        assert found.verdict is Verdict.NOT_FOUND
        assert found.verdict in ASK_AGAIN

    @given(st.integers(-100_000, 100_000))
    def test_nothing_from_before_the_limit_counts(self, seconds: int) -> None:
        limit = NOW + timedelta(seconds=seconds)
        found = judge(brought(5), Expected(5, limit), chain())
        assert found.verdict is (Verdict.TOO_OLD if seconds > 0 else Verdict.MATCH)

    def test_failed_comes_before_all_else(self) -> None:
        story = brought(5, succeeded=False)
        assert judge(story, Expected(5, NOW), chain()).verdict is Verdict.FAILED


class TestAgreement:
    def test_growth_of_the_chain_is_no_other_story(self) -> None:
        assert same_story(brought(5), brought(5, confirmations=99))
        assert same_story(None, None)

    @pytest.mark.parametrize(
        "other",
        [brought(6), brought(5, 1), brought(5, succeeded=False), brought(5, block_number=8), None],
        ids=["amount", "more", "failed", "block", "unknown"],
    )
    def test_anything_else_is(self, other: Transaction | None) -> None:
        assert not same_story(brought(5), other)
        assert not same_story(other, brought(5))


class TestAddresses:
    @given(st.binary(min_size=20, max_size=20))
    def test_trons_are_read_as_they_are_written(self, raw: bytes) -> None:
        address = tron_address(raw.hex())
        assert tron_bytes(address) == raw.hex()
        assert is_address(Network.TRON, address)

    @given(st.binary(min_size=20, max_size=20), st.integers(1, 33))
    def test_a_slip_of_the_pen_is_no_address(self, raw: bytes, place: int) -> None:
        address = tron_address(raw.hex())
        wrong = "2" if address[place] != "2" else "3"
        assert tron_bytes(address[:place] + wrong + address[place + 1 :]) is None

    def test_usdts_contracts_are_addresses(self) -> None:
        assert all(is_address(network, token) for network, (token, _) in TOKENS.items())
        assert tron_bytes(TOKENS[Network.TRON][0]) == "a614f803b6fd780986a42c78ec9c7f77e6ded13c"

    @given(st.text(max_size=80))
    def test_any_text_is_answered(self, text: str) -> None:
        assert {is_address(network, text) for network in Network} <= {True, False}

    @pytest.mark.parametrize("network", list(Network))
    def test_emptiness_is_none(self, network: Network) -> None:
        assert not is_address(network, "")
        assert not is_address(network, "0x" + "g" * 40)
