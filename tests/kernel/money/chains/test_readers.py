"""Verdicts: real transfers on a local EVM chain, and the documented answers of the other chains."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from manga_backend.kernel.money.chains.clients.readers import examine, list_arrivals
from manga_backend.kernel.money.chains.errors import SourceAway
from manga_backend.kernel.money.chains.settings import TOKENS
from manga_backend.kernel.money.chains.types import Chain, Expected, Finding, Network, Verdict
from tests.standins.chains import EsploraStandIn, EvmChain, TonCenterStandIn, TronGridStandIn
from tests.standins.chains.toncenter import some_account
from tests.standins.chains.tron import FAKE_USDT, TronTransfer, some_address
from tools.services import free_port

PRICE = 5_000_000
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def expected(amount: int = PRICE, not_before: datetime = LONG_AGO) -> Expected:
    return Expected(amount, not_before)


@pytest.mark.xdist_group("anvil")
@pytest.mark.parametrize("decimals", [6, 18])
class TestEvm:
    """USDT has 6 decimals on Ethereum and Polygon, 18 on BSC."""

    @pytest.fixture
    def chain(self, evm: EvmChain, decimals: int) -> Chain:
        token = evm.deploy("USDT", decimals)
        evm.mint(token, evm.accounts[0], 10**9 * 10**decimals)
        ours = evm.accounts[1]
        return Chain(Network.BSC, ours, (evm.url,), token, decimals, 1)

    def raw(self, chain: Chain, minor: int) -> int:
        return minor * 10 ** (chain.decimals - 6)

    def pay(self, evm: EvmChain, chain: Chain, minor: int = PRICE, to: str = "") -> str:
        tx = evm.transfer(chain.token, evm.accounts[0], to or chain.address, self.raw(chain, minor))
        return tx[2:]

    def verdict(self, chain: Chain, tx_hash: str, **more: object) -> Finding:
        return examine(chain, tx_hash, expected(**more))  # type: ignore[arg-type]

    def test_match(self, evm: EvmChain, chain: Chain) -> None:
        found = self.verdict(chain, self.pay(evm, chain))
        assert (found.verdict, found.amount, found.final) == (Verdict.MATCH, PRICE, True)
        assert found.sender == evm.accounts[0].lower()
        assert found.raw_amount == self.raw(chain, PRICE)

    @pytest.mark.parametrize(
        ("minor", "verdict"),
        [(PRICE - 1, Verdict.TOO_LITTLE), (PRICE + 1, Verdict.TOO_MUCH), (1, Verdict.TOO_LITTLE)],
    )
    def test_another_amount(
        self, evm: EvmChain, chain: Chain, minor: int, verdict: Verdict
    ) -> None:
        found = self.verdict(chain, self.pay(evm, chain, minor))
        assert (found.verdict, found.amount) == (verdict, minor)

    def test_the_smallest_unit_less_is_too_little(self, evm: EvmChain, chain: Chain) -> None:
        tx = evm.transfer(chain.token, evm.accounts[0], chain.address, self.raw(chain, PRICE) - 1)
        assert self.verdict(chain, tx[2:]).verdict is Verdict.TOO_LITTLE

    def test_wrong_receiver(self, evm: EvmChain, chain: Chain) -> None:
        tx = self.pay(evm, chain, to=evm.accounts[2])
        assert self.verdict(chain, tx).verdict is Verdict.WRONG_RECEIVER

    def test_another_token_of_the_same_name(self, evm: EvmChain, chain: Chain) -> None:
        fake = evm.deploy("USDT", chain.decimals)
        evm.mint(fake, evm.accounts[0], 10**30)
        tx = evm.transfer(fake, evm.accounts[0], chain.address, self.raw(chain, PRICE))
        assert self.verdict(chain, tx[2:]).verdict is Verdict.WRONG_TOKEN

    def test_the_own_coin_of_the_chain(self, evm: EvmChain, chain: Chain) -> None:
        tx = evm.native_transfer(evm.accounts[0], chain.address, 10**18)
        assert self.verdict(chain, tx[2:]).verdict is Verdict.WRONG_TOKEN

    def test_a_lure_of_nothing(self, evm: EvmChain, chain: Chain) -> None:
        tx = evm.spoof(chain.token, evm.accounts[0], chain.address)
        assert self.verdict(chain, tx[2:]).verdict is Verdict.WRONG_RECEIVER

    def test_failed(self, evm: EvmChain, chain: Chain) -> None:
        tx = evm.failing_transfer(
            chain.token, evm.accounts[0], chain.address, self.raw(chain, PRICE)
        )
        found = self.verdict(chain, tx[2:])
        assert (found.verdict, found.amount) == (Verdict.FAILED, 0)

    def test_several_in_one_transaction_add_up_and_others_do_not_count(
        self, evm: EvmChain, chain: Chain
    ) -> None:
        half = self.raw(chain, PRICE // 2)
        payments = [(chain.address, half), (evm.accounts[3], half), (chain.address, half)]
        tx = evm.transfer_many(chain.token, evm.accounts[0], payments)
        assert self.verdict(chain, tx[2:]).verdict is Verdict.MATCH

    def test_too_old(self, evm: EvmChain, chain: Chain) -> None:
        tx = self.pay(evm, chain)
        now = datetime.now(UTC)
        old = self.verdict(chain, tx, not_before=now + timedelta(hours=1))
        assert old.verdict is Verdict.TOO_OLD
        assert self.verdict(chain, tx, not_before=now - timedelta(hours=1)).verdict is Verdict.MATCH

    def test_unconfirmed_then_confirmed(self, evm: EvmChain, chain: Chain) -> None:
        careful = replace(chain, confirmations=3)
        tx = self.pay(evm, chain)
        found = self.verdict(careful, tx)
        assert (found.verdict, found.confirmations, found.final) == (Verdict.UNCONFIRMED, 1, False)
        evm.mine(2)
        assert self.verdict(careful, tx).verdict is Verdict.MATCH

    def test_waiting_for_a_block(self, evm: EvmChain, chain: Chain) -> None:
        evm.automine(False)
        tx = self.pay(evm, chain)
        assert self.verdict(chain, tx).verdict is Verdict.UNCONFIRMED
        evm.mine(1)
        assert self.verdict(chain, tx).verdict is Verdict.MATCH

    def test_a_reorganised_block_takes_it_back(self, evm: EvmChain, chain: Chain) -> None:
        careful = replace(chain, confirmations=3)
        evm.mine(3)
        tx = self.pay(evm, chain)
        assert self.verdict(careful, tx).verdict is Verdict.UNCONFIRMED
        evm.reorg(1)
        evm.mine(5)
        assert self.verdict(careful, tx).verdict in (Verdict.NOT_FOUND, Verdict.UNCONFIRMED)

    def test_never_heard_of(self, chain: Chain) -> None:
        assert self.verdict(chain, "ab" * 32).verdict is Verdict.NOT_FOUND

    def test_a_second_source_must_agree(self, evm: EvmChain, chain: Chain) -> None:
        tx = self.pay(evm, chain)
        both = replace(chain, sources=(evm.url, evm.url))
        assert self.verdict(both, tx).verdict is Verdict.MATCH
        with TronGridStandIn() as stranger:  # not even a JSON-RPC server
            lost = replace(chain, sources=(evm.url, stranger.url))
            assert self.verdict(lost, tx).verdict is Verdict.UNKNOWN
        away = replace(chain, sources=(evm.url, f"http://127.0.0.1:{free_port()}"))
        found = self.verdict(away, tx)
        assert (found.verdict, found.note) == (Verdict.UNKNOWN, "refused")

    def test_arrivals_are_read_once_confirmed_and_go_on_where_they_ended(
        self, evm: EvmChain, chain: Chain
    ) -> None:
        careful = replace(chain, confirmations=2)
        since = datetime.now(UTC) - timedelta(hours=1)
        first = self.pay(evm, chain)
        evm.spoof(chain.token, evm.accounts[0], chain.address)
        found = list_arrivals(careful, None, since)
        assert [one.tx_hash for one in found.transactions if one.incoming] == [first]
        second = self.pay(evm, chain, 7)
        early = list_arrivals(careful, found.cursor, since)
        assert second not in [one.tx_hash for one in early.transactions]
        evm.mine(2)
        later = list_arrivals(careful, found.cursor, since)
        assert second in [one.tx_hash for one in later.transactions]
        assert first not in [one.tx_hash for one in later.transactions]


class TestTron:
    @pytest.fixture
    def grid(self) -> Iterator[TronGridStandIn]:
        with TronGridStandIn() as running:
            yield running

    @pytest.fixture
    def chain(self, grid: TronGridStandIn) -> Chain:
        token, decimals = TOKENS[Network.TRON]
        ours = some_address("shop")
        return Chain(Network.TRON, ours, (grid.url,), token, decimals, 19, api_key="k-1")

    def verdict(self, chain: Chain, tx_hash: str, **more: object) -> Finding:
        return examine(chain, tx_hash, expected(**more))  # type: ignore[arg-type]

    def test_match_with_the_key_sent_along(self, grid: TronGridStandIn, chain: Chain) -> None:
        found = self.verdict(chain, grid.transfer(chain.address, PRICE))
        assert (found.verdict, found.amount, found.final) == (Verdict.MATCH, PRICE, True)
        assert found.sender is not None
        assert found.sender.startswith("T")
        assert grid.calls[-1].headers["tron-pro-api-key"] == "k-1"

    @pytest.mark.parametrize(
        ("amount", "verdict"),
        [(PRICE - 1, Verdict.TOO_LITTLE), (PRICE + 1, Verdict.TOO_MUCH)],
    )
    def test_another_amount(
        self, grid: TronGridStandIn, chain: Chain, amount: int, verdict: Verdict
    ) -> None:
        assert self.verdict(chain, grid.transfer(chain.address, amount)).verdict is verdict

    def test_wrong_receiver_and_wrong_token(self, grid: TronGridStandIn, chain: Chain) -> None:
        elsewhere = grid.transfer(some_address("friend"), PRICE)
        assert self.verdict(chain, elsewhere).verdict is Verdict.WRONG_RECEIVER
        fake = grid.transfer(chain.address, PRICE, token=FAKE_USDT)
        assert self.verdict(chain, fake).verdict is Verdict.WRONG_TOKEN

    def test_failed(self, grid: TronGridStandIn, chain: Chain) -> None:
        tx = grid.transfer(chain.address, PRICE, failed=True)
        assert self.verdict(chain, tx).verdict is Verdict.FAILED

    def test_unconfirmed_until_it_is_solidified(self, grid: TronGridStandIn, chain: Chain) -> None:
        tx = grid.transfer(chain.address, PRICE, solidified=False)
        assert self.verdict(chain, tx).verdict is Verdict.UNCONFIRMED
        grid.solidify(tx)
        assert self.verdict(chain, tx).verdict is Verdict.MATCH

    def test_too_old(self, grid: TronGridStandIn, chain: Chain) -> None:
        tx = grid.transfer(chain.address, PRICE, at=int(time.time()) - 90_000)
        limit = datetime.now(UTC) - timedelta(hours=24)
        assert self.verdict(chain, tx, not_before=limit).verdict is Verdict.TOO_OLD

    def test_several_in_one(self, grid: TronGridStandIn, chain: Chain) -> None:
        tx = grid.transfer_many(
            [
                TronTransfer(chain.address, PRICE - 7),
                TronTransfer(some_address("friend"), 7),
                TronTransfer(chain.address, 7),
            ]
        )
        assert self.verdict(chain, tx).verdict is Verdict.MATCH

    def test_never_heard_of(self, chain: Chain) -> None:
        assert self.verdict(chain, "cd" * 32).verdict is Verdict.NOT_FOUND

    @pytest.mark.parametrize("fault", [429, 403, 503, "garbage", "hang up"])
    def test_a_node_in_trouble_says_nothing_about_a_payment(
        self, grid: TronGridStandIn, chain: Chain, fault: int | str
    ) -> None:
        tx = grid.transfer(chain.address, PRICE)
        grid.fail_next(fault)  # type: ignore[arg-type]
        found = self.verdict(chain, tx)
        assert found.verdict is Verdict.UNKNOWN
        assert found.note
        assert grid.url not in found.note
        assert self.verdict(chain, tx).verdict is Verdict.MATCH

    def test_arrivals_of_many_pages(self, grid: TronGridStandIn, chain: Chain) -> None:
        now = int(time.time())
        sent = [grid.transfer(chain.address, 1 + n, at=now - 600 + n) for n in range(230)]
        grid.transfer(some_address("friend"), 5)
        grid.transfer(chain.address, 5, token=FAKE_USDT)
        since = datetime.fromtimestamp(now - 3600, UTC)
        found = list_arrivals(chain, None, since)
        assert {one.tx_hash for one in found.transactions} == set(sent)
        new = grid.transfer(chain.address, 9)
        later = list_arrivals(chain, found.cursor, since)
        assert new in {one.tx_hash for one in later.transactions}
        assert len(later.transactions) < 120  # not from the beginning

    def test_arrivals_of_a_node_in_trouble(self, grid: TronGridStandIn, chain: Chain) -> None:
        grid.fail_next(503)
        with pytest.raises(SourceAway, match="503"):
            list_arrivals(chain, None, datetime.now(UTC))


class TestBitcoin:
    ADDRESS = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"

    @pytest.fixture
    def esplora(self) -> Iterator[EsploraStandIn]:
        with EsploraStandIn() as running:
            yield running

    @pytest.fixture
    def chain(self, esplora: EsploraStandIn) -> Chain:
        return Chain(Network.BITCOIN, self.ADDRESS, (f"{esplora.url}/api",), "", 8, 2)

    def test_says_that_something_came_and_leaves_the_amount_to_people(
        self, esplora: EsploraStandIn, chain: Chain
    ) -> None:
        tx = esplora.pay(self.ADDRESS, 12_345)
        assert examine(chain, tx, expected()).verdict is Verdict.UNCONFIRMED
        esplora.mine(2)
        found = examine(chain, tx, expected())
        assert (found.verdict, found.raw_amount, found.amount) == (Verdict.RECEIVED, 12_345, None)

    def test_to_somebody_else_and_unknown(self, esplora: EsploraStandIn, chain: Chain) -> None:
        tx = esplora.pay("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", 12_345)
        esplora.mine(2)
        assert examine(chain, tx, expected()).verdict is Verdict.WRONG_RECEIVER
        assert examine(chain, "ef" * 32, expected()).verdict is Verdict.NOT_FOUND


class TestTon:
    @pytest.fixture
    def center(self) -> Iterator[TonCenterStandIn]:
        with TonCenterStandIn() as running:
            yield running

    @pytest.fixture
    def chain(self, center: TonCenterStandIn) -> Chain:
        token, decimals = TOKENS[Network.TON]
        return Chain(Network.TON, some_account("shop"), (center.url,), token, decimals, 1)

    def hex_of(self, shown: str) -> str:
        return base64.b64decode(shown).hex()

    def test_match_and_not_found(self, center: TonCenterStandIn, chain: Chain) -> None:
        tx = self.hex_of(center.transfer(chain.address, PRICE))
        assert examine(chain, tx, expected()).verdict is Verdict.MATCH
        assert examine(chain, "01" * 32, expected()).verdict is Verdict.NOT_FOUND

    def test_aborted_is_failed(self, center: TonCenterStandIn, chain: Chain) -> None:
        tx = self.hex_of(center.transfer(chain.address, PRICE, aborted=True))
        assert examine(chain, tx, expected()).verdict is Verdict.FAILED
