"""Transaction hashes as people paste them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.kernel.money.chains.domain import explorer_url, normalised, shown
from manga_backend.kernel.money.chains.types import Network

STORED = "0a" * 16 + "bc" * 8 + "ff" * 8
RAW = bytes.fromhex(STORED)
EVM = (Network.ETHEREUM, Network.BSC, Network.POLYGON)
BARE = (Network.TRON, Network.TON, Network.BITCOIN)

networks = st.sampled_from(list(Network))
raw_hashes = st.binary(min_size=32, max_size=32)


class TestAcceptedShapes:
    @pytest.mark.parametrize("network", BARE)
    @pytest.mark.parametrize("typed", [STORED, STORED.upper(), f"  {STORED}\n"])
    def test_64_hex_digits_in_any_case(self, network: Network, typed: str) -> None:
        assert normalised(network, typed) == STORED

    @pytest.mark.parametrize("network", EVM)
    @pytest.mark.parametrize(
        "typed", [f"0x{STORED}", f"0X{STORED}", f"0x{STORED.upper()}", f"\t0x{STORED} "]
    )
    def test_0x_and_64_hex_digits_on_evm(self, network: Network, typed: str) -> None:
        assert normalised(network, typed) == STORED

    @given(raw_hashes)
    def test_ton_base64_and_base64url_are_the_same_hash_as_hex(self, raw: bytes) -> None:
        plain, url = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()
        for typed in (plain, url, plain.rstrip("="), url.rstrip("="), raw.hex()):
            assert normalised(Network.TON, typed) == raw.hex()

    def test_a_ton_hash_with_both_alphabets_in_it(self) -> None:
        raw = bytes.fromhex("fbef" * 16)
        assert "+" in base64.b64encode(raw).decode()
        assert "-" in base64.urlsafe_b64encode(raw).decode()
        assert normalised(Network.TON, base64.b64encode(raw).decode()) == raw.hex()
        assert normalised(Network.TON, base64.urlsafe_b64encode(raw).decode()) == raw.hex()

    def test_case_matters_in_base64(self) -> None:
        text = base64.b64encode(RAW).decode()
        assert normalised(Network.TON, text.swapcase()) != STORED


class TestRefusedShapes:
    @pytest.mark.parametrize("network", list(Network))
    @pytest.mark.parametrize(
        "typed",
        [
            "",
            " ",
            "0x",
            STORED[:-1],
            STORED + "0",
            "g" + STORED[1:],
            f"{STORED[:32]} {STORED[32:]}",
            f"{STORED[:32]}\n{STORED[32:]}",
            f"0x0x{STORED[2:]}",
            f"0x{STORED}00",
            f"0x{STORED[:-1]}",
            f"https://tronscan.org/#/transaction/{STORED}",
            "٠" * 64,
            "Ａ" * 64,
        ],
    )
    def test_what_is_no_hash_anywhere(self, network: Network, typed: str) -> None:
        assert normalised(network, typed) is None

    @pytest.mark.parametrize("network", EVM)
    def test_without_0x_on_evm(self, network: Network) -> None:
        assert normalised(network, STORED) is None

    @pytest.mark.parametrize("network", BARE)
    def test_with_0x_elsewhere(self, network: Network) -> None:
        assert normalised(network, f"0x{STORED}") is None

    @pytest.mark.parametrize("network", [n for n in Network if n is not Network.TON])
    def test_base64_elsewhere_than_on_ton(self, network: Network) -> None:
        assert normalised(network, base64.b64encode(RAW).decode()) is None

    @pytest.mark.parametrize("size", [31, 33])
    def test_base64_of_another_length(self, size: int) -> None:
        assert normalised(Network.TON, base64.b64encode(bytes(size)).decode()) is None

    @pytest.mark.parametrize("typed", ["=" * 44, "A" * 42 + "==", "A" * 44, "A" * 43 + "=="])
    def test_base64_padded_wrongly(self, typed: str) -> None:
        assert normalised(Network.TON, typed) is None


class TestAnyText:
    @given(networks, st.text())
    def test_never_raises(self, network: Network, typed: str) -> None:
        assert normalised(network, typed) is None or len(typed.strip()) >= 43

    @given(networks, st.text("0123456789abcdefABCDEFxX+/-_=", min_size=40, max_size=68))
    def test_gives_the_one_form_or_nothing(self, network: Network, typed: str) -> None:
        stored = normalised(network, typed)
        assert stored is None or (len(stored) == 64 and set(stored) <= set("0123456789abcdef"))

    @given(st.from_regex(r"[A-Za-z0-9+/_-]{43}=?", fullmatch=True))
    def test_anything_like_base64_is_32_bytes_on_ton(self, typed: str) -> None:
        stored = normalised(Network.TON, typed)
        assert stored is not None
        assert len(bytes.fromhex(stored)) == 32


class TestShown:
    @given(networks, raw_hashes)
    def test_reads_back_to_what_is_stored(self, network: Network, raw: bytes) -> None:
        assert normalised(network, shown(network, raw.hex())) == raw.hex()

    @pytest.mark.parametrize("network", list(Network))
    def test_every_network_has_an_explorer(self, network: Network) -> None:
        url = explorer_url(network, STORED)
        assert url.startswith("https://")
        assert url.endswith(shown(network, STORED))

    def test_one_hash_is_one_stored_form_on_every_network(self) -> None:
        forms = {normalised(network, shown(network, STORED)) for network in Network}
        assert forms == {STORED}
