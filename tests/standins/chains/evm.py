"""A real EVM chain as tests hold it: tokens, payments, tricks, time and reorganisations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import requests

from tools.anvil import AnvilServer, CompiledToken, compile_tokens

Payment = tuple[str, int]  # receiver and amount in the token's smallest unit

RPC_SECONDS = 10.0
MINED_SECONDS = 10.0
# Asked to estimate it, a node may refuse what is bound to fail, and no block would have it.
GAS_OF_A_FAILURE = 200_000


class RpcError(RuntimeError):
    """The node's refusal (JSON-RPC 2.0, section 5.1)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


class EvmChain:
    """Plain JSON-RPC to Anvil. Addresses are 0x and 40 hex digits, amounts in the smallest unit.

    With automine, which is on at first, a transaction is in a block when its method returns;
    without, it waits for `mine()`. `deploy()` and `mint()` do not wait, nor what waits before them.
    """

    def __init__(self, server: AnvilServer) -> None:
        self.server = server
        self.chain_id = server.chain_id
        self.accounts: list[str] = []  # the node signs for them; each has 10,000 coins
        self._http = requests.Session()
        self._http.trust_env = False

    def start(self) -> Self:
        self.server.start()
        self.accounts = self.rpc("eth_accounts")
        return self

    def stop(self) -> None:
        self._http.close()
        self.server.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return self.server.url()

    def rpc(self, method: str, *params: object) -> Any:
        """The result of one call; raises RpcError."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._http.post(self.url, json=body, timeout=RPC_SECONDS).json()
        if "error" in answer:
            raise RpcError(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    # Tokens

    def deploy(self, symbol: str, decimals: int) -> str:
        """The new token's address."""
        arguments = word(64) + word(decimals) + packed_text(symbol)
        receipt = self._settled(
            self._send({"from": self.accounts[0], "data": f"0x{code().bytecode}{arguments}"})
        )
        return str(receipt["contractAddress"])

    def mint(self, token: str, to: str, amount: int) -> str:
        """New money out of nothing; its log is a Transfer from the zero address."""
        tx_hash = self._call(token, self.accounts[0], "mint(address,uint256)", to, amount)
        self._settled(tx_hash)
        return tx_hash

    def balance(self, token: str, owner: str) -> int:
        data = f"0x{code().selectors['balanceOf(address)']}{word(owner)}"
        return int(self.rpc("eth_call", {"to": token, "data": data}, "latest"), 16)

    # Payments: each returns the transaction's hash

    def transfer(self, token: str, sender: str, to: str, amount: int) -> str:
        return self._call(token, sender, "transfer(address,uint256)", to, amount)

    def transfer_many(self, token: str, sender: str, payments: Sequence[Payment]) -> str:
        """One transaction with a Transfer log for each payment."""
        receivers = packed_list([to for to, _ in payments])
        amounts = packed_list([amount for _, amount in payments])
        first = 2 * 32
        heads = word(first) + word(first + len(receivers) // 2)
        selector = code().selectors["transferMany(address[],uint256[])"]
        return self._send(
            {"from": sender, "to": token, "data": f"0x{selector}{heads}{receivers}{amounts}"}
        )

    def spoof(self, token: str, sender: str, to: str) -> str:
        """A Transfer log of zero in the name of `sender`, who signs nothing."""
        return self._call(token, self.accounts[-1], "spoof(address,address)", sender, to)

    def failing_transfer(self, token: str, sender: str, to: str, amount: int) -> str:
        """Gets into a block, with status 0x0 and without logs."""
        method = "transferThenRevert(address,uint256)"
        return self._call(token, sender, method, to, amount, gas=GAS_OF_A_FAILURE)

    def native_transfer(self, sender: str, to: str, amount: int) -> str:
        """The chain's own coin, in wei: no log at all."""
        return self._send({"from": sender, "to": to, "value": hex(amount)})

    # Blocks

    def receipt(self, tx_hash: str) -> dict[str, Any] | None:
        """None while pending, unknown or reorganised away."""
        found: dict[str, Any] | None = self.rpc("eth_getTransactionReceipt", tx_hash)
        return found

    @property
    def block_number(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def mine(self, blocks: int = 1) -> None:
        self.rpc("anvil_mine", hex(blocks))

    def automine(self, on: bool) -> None:
        self.rpc("evm_setAutomine", on)

    def reorg(self, depth: int) -> None:
        """As many empty blocks take the place of the last `depth`, and their transactions go."""
        self.rpc("anvil_reorg", depth, [])

    def snapshot(self) -> str:
        return str(self.rpc("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        """Back to the snapshot, which is used up by that; none outlives a stop of the server."""
        if not self.rpc("evm_revert", snapshot):
            raise ValueError(f"no snapshot {snapshot}")

    # Time

    def set_next_time(self, unix: int) -> None:
        """The time of the next block, in seconds; it must not lie before the last one's."""
        self.rpc("evm_setNextBlockTimestamp", unix)

    def increase_time(self, seconds: int) -> None:
        """Of all blocks to come."""
        self.rpc("evm_increaseTime", seconds)

    # Inside

    def _call(
        self, token: str, sender: str, method: str, *arguments: str | int, gas: int | None = None
    ) -> str:
        data = code().selectors[method] + "".join(word(each) for each in arguments)
        limit = {} if gas is None else {"gas": hex(gas)}
        return self._send({"from": sender, "to": token, "data": f"0x{data}", **limit})

    def _send(self, transaction: dict[str, str]) -> str:
        tx_hash = str(self.rpc("eth_sendTransaction", transaction))
        if self.rpc("anvil_getAutomine"):
            self._mined(tx_hash)
        return tx_hash

    def _settled(self, tx_hash: str) -> dict[str, Any]:
        if not self.rpc("anvil_getAutomine"):
            self.mine()
        receipt = self._mined(tx_hash)
        assert receipt["status"] == "0x1", receipt
        return receipt

    def _mined(self, tx_hash: str) -> dict[str, Any]:
        """Anvil answers before its miner is done, so that the receipt comes a moment later."""
        deadline = time.monotonic() + MINED_SECONDS
        while (receipt := self.receipt(tx_hash)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{tx_hash} is in no block")
            time.sleep(0.005)
        return receipt


def code() -> CompiledToken:
    return compile_tokens()["Token"]


def word(value: str | int) -> str:
    """32 bytes in hex of a number or an address (Solidity's Contract ABI Specification)."""
    number = int(value, 16) if isinstance(value, str) else value
    return f"{number:064x}"


def packed_text(text: str) -> str:
    raw = text.encode()
    return word(len(raw)) + raw.hex() + "00" * (-len(raw) % 32)


def packed_list(values: Sequence[str | int]) -> str:
    return word(len(values)) + "".join(word(each) for each in values)
