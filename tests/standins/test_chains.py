"""The chains' stand-ins, over HTTP as the payment verifier reaches them."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.standins import chains
from tests.standins.chains import EvmChain, TronGridStandIn, TronTransfer, toncenter
from tests.standins.chains.tron import FAKE_USDT, USDT, some_address, to_base58, to_hex
from tools.anvil import AnvilServer, compile_tokens
from tools.process import ServiceError

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
BSC = 56
SHOP, FRIEND = some_address("shop"), some_address("friend")


@pytest.fixture(scope="module")
def node() -> Iterator[EvmChain]:
    try:
        compile_tokens()
        server = AnvilServer(BSC)
    except ServiceError as error:
        pytest.skip(f"Anvil cannot be had: {error}")
    with EvmChain(server) as running:
        yield running


@pytest.fixture
def chain(node: EvmChain) -> Iterator[EvmChain]:
    """As new for each test."""
    before = node.snapshot()
    yield node
    node.automine(True)
    node.revert(before)


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def usdt(chain: EvmChain) -> str:
    """The first account has 100."""
    token = chain.deploy("USDT", 6)
    chain.mint(token, chain.accounts[0], 100)
    return token


@pytest.mark.xdist_group("anvil")
class TestEvm:
    @pytest.mark.parametrize("decimals", [6, 18])
    def test_a_transfer_leaves_a_log(self, chain: EvmChain, decimals: int) -> None:
        payer, shop = chain.accounts[:2]
        token, amount = chain.deploy("USDT", decimals), 25 * 10**decimals
        chain.mint(token, payer, 2 * amount)
        receipt = chain.rpc("eth_getTransactionReceipt", chain.transfer(token, payer, shop, amount))
        [log] = receipt["logs"]
        assert (receipt["status"], log["address"], log["topics"][0]) == ("0x1", token, TRANSFER)
        assert [f"0x{topic[-40:]}" for topic in log["topics"][1:]] == [payer, shop]
        assert int(log["data"], 16) == amount == chain.balance(token, shop)
        assert int(chain.rpc("eth_chainId"), 16) == chain.chain_id == BSC
        with pytest.raises(chains.RpcError, match="-32601"):
            chain.rpc("eth_noSuchMethod")

    def test_tricks(self, chain: EvmChain, usdt: str) -> None:
        payer, shop, other = chain.accounts[:3]
        hashes = (
            chain.transfer_many(usdt, payer, [(shop, 1), (other, 2), (shop, 3)]),
            chain.spoof(usdt, payer, shop),
            chain.failing_transfer(usdt, payer, shop, 5),
            chain.native_transfer(payer, shop, 10**18),
        )
        receipts = [chain.rpc("eth_getTransactionReceipt", each) for each in hashes]
        assert [each["status"] for each in receipts] == ["0x1", "0x1", "0x0", "0x1"]
        logs = [[int(log["data"], 16) for log in each["logs"]] for each in receipts]
        assert logs == [[1, 2, 3], [0], [], []]
        assert receipts[1]["logs"][0]["topics"][1][-40:] == payer[2:] != receipts[1]["from"][2:]
        assert (chain.balance(usdt, payer), chain.balance(usdt, shop)) == (94, 4)

    def test_pending_mined_and_reorganised(self, chain: EvmChain, usdt: str) -> None:
        payer, shop = chain.accounts[:2]
        chain.automine(False)
        tx_hash = chain.transfer(usdt, payer, shop, 5)
        assert chain.receipt(tx_hash) is None
        chain.mine(3)
        head = chain.block_number
        mined = int(chain.rpc("eth_getTransactionReceipt", tx_hash)["blockNumber"], 16)
        assert (head - mined, chain.balance(usdt, shop)) == (2, 5)
        chain.reorg(3)
        assert chain.receipt(tx_hash) is None
        assert (chain.block_number, chain.balance(usdt, shop)) == (head, 0)

    def test_time(self, chain: EvmChain) -> None:
        def next_time() -> int:
            chain.mine()
            return int(chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

        start = next_time()
        chain.set_next_time(start + 1000)
        assert next_time() == start + 1000
        chain.increase_time(500)
        assert start + 1500 <= next_time() < start + 1530

    def test_goes_on_after_a_stop(self, node: EvmChain) -> None:
        with EvmChain(AnvilServer(BSC + 1)) as chain:
            tx_hash = chain.native_transfer(chain.accounts[0], chain.accounts[1], 1)
            chain.server.stop()
            with pytest.raises(requests.ConnectionError):
                chain.rpc("eth_blockNumber")
            chain.server.start()
            assert chain.receipt(tx_hash) is not None


class Tron:
    """What a client asks of the stand-in."""

    def __init__(self, chain: TronGridStandIn, http: requests.Session) -> None:
        self.chain, self._http = chain, http

    def ask(self, path: str, txid: str = "") -> Any:
        url, headers = f"{self.chain.url}/{path}", {"TRON-PRO-API-KEY": "key"}
        return self._http.post(url, json={"value": txid}, headers=headers, timeout=5).json()

    def receipt(self, txid: str) -> Any:
        return self.ask("walletsolidity/gettransactioninfobyid", txid)

    def history(self, **asked: str | int) -> Any:
        url = f"{self.chain.url}/v1/accounts/{SHOP}/transactions/trc20"
        return self._http.get(url, params=asked, timeout=5).json()


@pytest.fixture
def tron(http: requests.Session) -> Iterator[Tron]:
    with TronGridStandIn() as running:
        yield Tron(running, http)


class TestTron:
    def test_a_receipt(self, tron: Tron) -> None:
        fake, out = TronTransfer(SHOP, 3, FAKE_USDT), TronTransfer(FRIEND, 4, sender=SHOP)
        transfers = [TronTransfer(SHOP, 1), TronTransfer(FRIEND, 2), fake, out]
        txid = tron.chain.transfer_many(transfers, at=1_700_000_000)
        shown = tron.receipt(txid)
        assert (shown["id"], shown["blockTimeStamp"]) == (txid, 1_700_000_000_000)
        assert (shown["receipt"]["result"], shown.get("result")) == ("SUCCESS", None)
        assert [int(log["data"], 16) for log in shown["log"]] == [1, 2, 3, 4]
        log = shown["log"][0]
        assert log["address"] == "a614f803b6fd780986a42c78ec9c7f77e6ded13c"
        assert log["topics"][0] == TRANSFER.removeprefix("0x")
        assert to_base58("41" + log["topics"][2][-40:]) == SHOP
        with pytest.raises(ValueError, match="no TRON address"):
            to_hex(SHOP[:-1] + "1")
        assert tron.chain.calls[0].headers["tron-pro-api-key"] == "key"
        [row] = tron.history(only_to="true", contract_address=USDT.address)["data"]
        assert (row["transaction_id"], row["to"], row["value"]) == (txid, SHOP, "1")
        assert (row["token_info"]["address"], row["token_info"]["decimals"]) == (USDT.address, 6)
        assert [each["value"] for each in tron.history()["data"]] == ["1", "3", "4"]

    def test_not_solid_at_first(self, tron: Tron) -> None:
        before = tron.chain.transfer(SHOP, 1)
        txid = tron.chain.transfer(SHOP, 2, solidified=False)
        after = tron.chain.transfer(SHOP, 3)
        assert tron.receipt(txid) == tron.ask("walletsolidity/gettransactionbyid", txid) == {}
        block = tron.ask("wallet/gettransactioninfobyid", txid)["blockNumber"]
        body = tron.ask("wallet/gettransactionbyid", txid)
        assert (body["txID"], body["ret"]) == (txid, [{"contractRet": "SUCCESS"}])
        heads = [tron.ask(f"{view}/getnowblock") for view in ("walletsolidity", "wallet")]
        numbers = [head["block_header"]["raw_data"]["number"] for head in heads]
        assert numbers == [block - 1, block]
        assert tron.receipt(before)["blockNumber"] <= tron.receipt(after)["blockNumber"] < block
        confirmed = tron.history(only_confirmed="true")["data"]
        assert (len(confirmed), len(tron.history()["data"])) == (2, 3)
        tron.chain.solidify(txid)
        assert tron.receipt(txid)["blockNumber"] == block
        assert len(tron.history(only_confirmed="true")["data"]) == 3

    def test_failed_unknown_and_forgotten(self, tron: Tron) -> None:
        failed = tron.receipt(tron.chain.transfer(SHOP, 1, failed=True))
        assert (failed["result"], failed["receipt"]["result"]) == ("FAILED", "OUT_OF_ENERGY")
        assert ("log" in failed, tron.history()["data"]) == (False, [])
        gone = tron.chain.transfer(SHOP, 1, solidified=False)
        tron.chain.forget(gone)
        assert tron.ask("wallet/gettransactioninfobyid", gone) == tron.receipt("00" * 32) == {}

    def test_pages(self, tron: Tron) -> None:
        for number in range(45):
            tron.chain.transfer(SHOP, number, at=1_700_000_000 + number)
        first = tron.history(min_timestamp=1_700_000_003_000)
        assert [row["value"] for row in first["data"]] == [str(n) for n in range(44, 24, -1)]
        rest = tron.history(limit=200, fingerprint=first["meta"]["fingerprint"])
        assert (len(rest["data"]), rest["meta"].get("fingerprint")) == (25, None)
        assert tron.history(order_by="block_timestamp,asc")["data"][0]["value"] == "0"
        assert tron.history(limit=201)["statusCode"] == 400


class TestFaults:
    def test_refusals(self, tron: Tron, http: requests.Session) -> None:
        for status, path in ((403, "wallet"), (429, "v1"), (503, "wallet")):
            tron.chain.fail_next(status)
            answer = http.get(f"{tron.chain.url}/{path}/x", timeout=5)
            assert (answer.status_code, "frequency limit" in answer.text) == (status, True)

    def test_garbage_slowness_and_cuts(self, tron: Tron, http: requests.Session) -> None:
        txid, url = tron.chain.transfer(SHOP, 1), tron.chain.url
        tron.chain.fail_next("garbage")
        tron.chain.fail_next("slow", delay_seconds=0.1)
        tron.chain.fail_next("hang up")
        tron.chain.fail_next("slow", delay_seconds=60)
        with pytest.raises(requests.JSONDecodeError):
            tron.receipt(txid)
        start = time.monotonic()
        assert tron.receipt(txid)["id"] == txid
        assert time.monotonic() - start >= 0.1
        with pytest.raises(requests.ConnectionError):
            tron.receipt(txid)
        with pytest.raises(requests.Timeout):
            http.get(url, timeout=0.05)
        until = time.monotonic() + 30
        while len(tron.chain.calls) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        tron.chain.stop()  # does not wait for the slow call
        assert time.monotonic() - start < 45
        with pytest.raises(requests.ConnectionError):
            tron.receipt(txid)
        tron.chain.start()
        assert (tron.receipt(txid)["id"], tron.chain.url) == (txid, url)


class TestEsplora:
    def test_transactions(self, http: requests.Session) -> None:
        with chains.EsploraStandIn() as bitcoin:

            def ask(path: str) -> requests.Response:
                return http.get(f"{bitcoin.url}/api/{path}", timeout=5)

            waiting = bitcoin.pay("bc1shop", 1000, confirmed=False)
            paid = bitcoin.pay_many([("bc1shop", 5), ("bc1else", 6)], at=1_700_000_000)
            bitcoin.mine(5)
            shown = ask(f"tx/{paid}").json()
            outputs = [(each["scriptpubkey_address"], each["value"]) for each in shown["vout"]]
            assert outputs == [("bc1shop", 5), ("bc1else", 6)]
            assert (shown["txid"], shown["status"]["block_time"]) == (paid, 1_700_000_000)
            assert int(ask("blocks/tip/height").text) - shown["status"]["block_height"] == 5
            assert ask(f"tx/{waiting}").json()["status"] == {"confirmed": False}
            assert [each["txid"] for each in ask("address/bc1shop/txs").json()] == [waiting, paid]
            bitcoin.forget(paid)
            missing = ask(f"tx/{paid}")
            assert (missing.status_code, missing.text) == (404, "Transaction not found")


class TestTon:
    def test_transfers(self, http: requests.Session) -> None:
        shop, master = toncenter.some_account("shop"), toncenter.USDT_MASTER
        with chains.TonCenterStandIn() as ton:

            def ask(path: str, **asked: str | int) -> Any:
                return http.get(f"{ton.url}/api/v3/{path}", params=asked, timeout=5).json()

            paid = ton.transfer(shop, 5, comment="order 7 ✓", at=1_700_000_000)
            ton.transfer(shop, 6, master=toncenter.FAKE_MASTER)
            ton.transfer(toncenter.some_account("friend"), 7, sender=shop)
            ton.transfer(shop, 8, aborted=True, comment="x", decoded=False)
            path, owner = "jetton/transfers", toncenter.to_friendly(shop)
            assert (
                toncenter.to_friendly(master) == "EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs"
            )
            answer = ask(path, owner_address=owner, direction="in", jetton_master=master)
            newest, first = answer["jetton_transfers"]
            assert (first["transaction_hash"], first["amount"]) == (paid, "5")
            assert (first["destination"], first["jetton_master"]) == (shop, master)
            assert (first["transaction_now"], first["transaction_aborted"]) == (
                1_700_000_000,
                False,
            )
            assert first["decoded_forward_payload"]["comment"] == "order 7 ✓"
            assert base64.b64decode(first["forward_payload"]).endswith("order 7 ✓".encode())
            assert (newest["transaction_aborted"], newest["decoded_forward_payload"]) == (
                True,
                None,
            )
            page = ask(path, address=shop, sort="asc", limit=2, offset=2, start_utime=1_700_000_001)
            assert [each["amount"] for each in page["jetton_transfers"]] == ["8"]
            assert "error" in ask(path, owner_address="EQnonsense")
            for form in (paid, base64.b64decode(paid).hex()):
                [found] = ask("transactions", hash=form)["transactions"]
                assert (found["hash"], found["description"]["aborted"]) == (paid, False)
            [root] = ask("transactions", hash=ton.trace_of(paid))["transactions"]
            assert root["trace_id"] == first["trace_id"] == root["hash"] != paid
            ton.forget(paid)
            assert ask("transactions", hash=paid)["transactions"] == []
            ton.fail_next(429)
            assert ask("transactions")["result"] == "Ratelimit exceed"
