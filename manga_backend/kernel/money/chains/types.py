"""The networks on which people pay, what is read on them, and what that says of a payment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Network(StrEnum):
    """A public chain."""

    TRON = "tron"
    ETHEREUM = "ethereum"
    BSC = "bsc"
    POLYGON = "polygon"
    TON = "ton"
    BITCOIN = "bitcoin"


class Verdict(StrEnum):
    """What the chain says of a payment (kernel.md §3).

    `received` is for networks on which no USDT moves: something came, an admin compares the amount.
    """

    UNCHECKED = "unchecked"
    MATCH = "match"
    WRONG_RECEIVER = "wrong_receiver"
    WRONG_TOKEN = "wrong_token"  # noqa: S105
    TOO_LITTLE = "too_little"
    TOO_MUCH = "too_much"
    FAILED = "failed"
    TOO_OLD = "too_old"
    UNCONFIRMED = "unconfirmed"
    NOT_FOUND = "not_found"
    UNKNOWN = "unknown"
    RECEIVED = "received"


ASK_AGAIN = frozenset({Verdict.UNCONFIRMED, Verdict.NOT_FOUND, Verdict.UNKNOWN})
"""Never a reason to reject: the chain, or the node, had not got that far."""


@dataclass(frozen=True, slots=True, order=True)
class Incoming:
    """One transfer of our token to our address; `raw_amount` is in the token's smallest unit."""

    tx_hash: str
    log_index: int
    sender: str
    raw_amount: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a source knows of one transaction. Without a block it is known, and waits."""

    tx_hash: str
    succeeded: bool
    incoming: tuple[Incoming, ...] = ()
    token_to_others: bool = False
    """Our token moved, but not to us."""
    other_to_us: bool = False
    """Something came to our address that is not our token."""
    block_number: int | None = None
    block_time: datetime | None = None
    confirmations: int = 0
    final: bool = False
    """The network itself says that it cannot be undone."""

    @property
    def raw_amount(self) -> int:
        """All that came to us in it."""
        return sum(one.raw_amount for one in self.incoming)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Transactions that brought something to our address, and where to go on reading."""

    transactions: list[Transaction]
    cursor: str


@dataclass(frozen=True, slots=True)
class Chain:
    """How one network is read: `sources` are the addresses of nodes, of which all must agree."""

    network: Network
    address: str
    sources: tuple[str, ...]
    token: str
    decimals: int
    confirmations: int
    api_key: str = field(default="", repr=False)

    @property
    def is_priced(self) -> bool:
        """Whether what comes is the money that plans are priced in."""
        return bool(self.token)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a payment should have brought: `amount` in minor units, not before `not_before`."""

    amount: int
    not_before: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with what it rests on. `amount` is in minor units of USDT."""

    verdict: Verdict
    amount: int | None = None
    raw_amount: int | None = None
    confirmations: int = 0
    needed: int = 0
    sender: str | None = None
    block_time: datetime | None = None
    final: bool = False
    """Nothing will change any more: it need not be asked again."""
    note: str | None = None


class Reader(Protocol):
    """One source of one network."""

    def find(self, tx_hash: str) -> Transaction | None:
        """By its stored form (64 hex digits). None when the source has never heard of it. Raises
        SourceAway."""

    def arrivals(self, cursor: str | None, since: datetime) -> Arrivals:
        """Confirmed transactions after `cursor`, or since a moment; some may come twice. Raises
        SourceAway."""
