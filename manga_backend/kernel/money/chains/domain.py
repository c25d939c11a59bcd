"""Hashes and addresses: their shapes and one stored form; and what a transaction is worth."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime

import base58

from manga_backend.kernel.money.chains.types import (
    Chain,
    Expected,
    Finding,
    Network,
    Transaction,
    Verdict,
)
from manga_backend.kit.later import Later
from manga_backend.kit.money import EXPONENTS

keccak = Later("Crypto.Hash.keccak")

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_EVM = re.compile(r"0[xX][0-9a-fA-F]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")

_URL_SAFE = str.maketrans("-_", "+/")

_EVM_NETWORKS = frozenset({Network.ETHEREUM, Network.BSC, Network.POLYGON})

EXPLORERS = {
    Network.TRON: "https://tronscan.org/#/transaction/{}",
    Network.ETHEREUM: "https://etherscan.io/tx/{}",
    Network.BSC: "https://bscscan.com/tx/{}",
    Network.POLYGON: "https://polygonscan.com/tx/{}",
    Network.TON: "https://tonviewer.com/transaction/{}",
    Network.BITCOIN: "https://mempool.space/tx/{}",
}


def normalised(network: Network, typed: str) -> str | None:
    """64 lower-case hex digits, the same for one hash on every network; None for a wrong shape.

    EVM networks write `0x` and 64 hex digits; TRON and Bitcoin 64 hex digits; TON 64 hex digits or
    the 32 bytes in base64 (facts.md iv).
    """
    text = typed.strip()
    if network in _EVM_NETWORKS:
        return text[2:].lower() if _EVM.fullmatch(text) else None
    if _HEX.fullmatch(text):
        return text.lower()
    if network is Network.TON and _BASE64.fullmatch(text):
        # base64url is spelled as base64 first; both mean the same 32 bytes.
        raw = base64.b64decode(text.rstrip("=").translate(_URL_SAFE) + "=", validate=True)
        return raw.hex()
    return None


def any_hash(typed: str) -> str | None:
    """The stored form of a hash of any network; None when it is none."""
    return next(filter(None, (normalised(network, typed) for network in Network)), None)


def shown(network: Network, stored: str) -> str:
    """The hash as that network's explorers write it."""
    return f"0x{stored}" if network in _EVM_NETWORKS else stored


def explorer_url(network: Network, stored: str) -> str:
    """A page that shows the transaction."""
    return EXPLORERS[network].format(shown(network, stored))


# ---- addresses ----------------------------------------------------------------------------

_EVM_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")
_BITCOIN_ADDRESS = re.compile(r"(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[02-9ac-hj-np-z]{11,71})")
_TON_ADDRESS = re.compile(r"(?:-?[01]:[0-9a-fA-F]{64}|[A-Za-z0-9_+/-]{48})")
_TRON_PREFIX = 0x41


def is_address(network: Network, text: str) -> bool:
    """Whether this is an address of the network: its shape, and its checksum where it has one (not
    looked at in Bitcoin's `bc1…`; EVM addresses in one case have none)."""
    if network in _EVM_NETWORKS:
        return bool(_EVM_ADDRESS.fullmatch(text)) and _case_fits(text[2:])
    if network is Network.TRON:
        return tron_bytes(text) is not None
    if network is Network.BITCOIN:
        return bool(_BITCOIN_ADDRESS.fullmatch(text)) and (text.startswith("bc1") or _checks(text))
    return bool(_TON_ADDRESS.fullmatch(text)) and (":" in text or _crc_fits(text))


def _case_fits(digits: str) -> bool:
    """EIP-55: the case of each letter is a bit of the address' Keccak-256."""
    if digits in (digits.lower(), digits.upper()):
        return True
    hashed = keccak.new(digest_bits=256, data=digits.lower().encode()).hexdigest()
    return all(
        digit.isdigit() or digit.isupper() == (int(nibble, 16) >= 8)
        for digit, nibble in zip(digits, hashed, strict=False)
    )


def _crc_fits(text: str) -> bool:
    """TEP-2: 34 bytes, and their CRC-16 (XMODEM) behind them."""
    raw = base64.b64decode(text.translate(_URL_SAFE))
    return binascii.crc_hqx(raw[:34], 0) == int.from_bytes(raw[34:])


def _checks(text: str) -> bool:
    try:
        return bool(base58.b58decode_check(text))
    except ValueError:
        return False


def tron_bytes(address: str) -> str | None:
    """The 20 bytes of a base58check address in hex, as logs have them; None if it is none."""
    try:
        decoded = base58.b58decode_check(address)
    except ValueError:
        return None
    return decoded[1:].hex() if len(decoded) == 21 and decoded[0] == _TRON_PREFIX else None


def tron_address(twenty_bytes: str) -> str:
    """The base58check address of 20 bytes in hex."""
    raw = bytes([_TRON_PREFIX]) + bytes.fromhex(twenty_bytes)
    return base58.b58encode_check(raw).decode()


def evm_bytes(address: str) -> str:
    """Its 20 bytes in small hex without 0x, however it is spelled."""
    return address[2:].lower()


# ---- verdicts -----------------------------------------------------------------------------


def in_minor(raw_amount: int, decimals: int) -> int:
    """Minor units of USDT in the ledger, which has 6 decimals; what is smaller is cut off."""
    exponent = EXPONENTS["USDT"]
    if decimals >= exponent:
        return int(raw_amount // 10 ** (decimals - exponent))
    return int(raw_amount * 10 ** (exponent - decimals))


def in_raw(minor: int, decimals: int) -> int:
    """The token's smallest units for an amount of the ledger."""
    exponent = EXPONENTS["USDT"]
    if decimals < exponent:
        raise ValueError("a token with fewer decimals than the ledger")
    return int(minor * 10 ** (decimals - exponent))


def judge(found: Transaction | None, expected: Expected, chain: Chain) -> Finding:
    """What one transaction says of a payment. Amounts are compared in the token's own units."""
    if found is None:
        return Finding(Verdict.NOT_FOUND, needed=chain.confirmations)
    settled = found.final or found.confirmations >= chain.confirmations
    verdict = _verdict(found, expected, chain)
    if found.block_number is None or (not settled and verdict in _NEED_CONFIRMATION):
        verdict = Verdict.UNCONFIRMED
    return Finding(
        verdict,
        amount=in_minor(found.raw_amount, chain.decimals) if chain.is_priced else None,
        raw_amount=found.raw_amount,
        confirmations=found.confirmations,
        needed=chain.confirmations,
        sender=found.incoming[0].sender if found.incoming else None,
        block_time=found.block_time,
        final=settled and found.block_number is not None,
    )


_NEED_CONFIRMATION = frozenset(
    {Verdict.MATCH, Verdict.TOO_LITTLE, Verdict.TOO_MUCH, Verdict.RECEIVED}
)


def _verdict(found: Transaction, expected: Expected, chain: Chain) -> Verdict:
    if not found.succeeded:
        return Verdict.FAILED
    if not found.raw_amount:  # a Transfer of nothing is a lure, and brought nothing
        if found.other_to_us and not found.token_to_others:
            return Verdict.WRONG_TOKEN
        return Verdict.WRONG_RECEIVER
    if _is_before(found.block_time, expected.not_before):
        return Verdict.TOO_OLD
    if not chain.is_priced:
        return Verdict.RECEIVED
    wanted = in_raw(expected.amount, chain.decimals)
    if found.raw_amount == wanted:
        return Verdict.MATCH
    return Verdict.TOO_LITTLE if found.raw_amount < wanted else Verdict.TOO_MUCH


def _is_before(moment: datetime | None, limit: datetime) -> bool:
    return moment is not None and moment < limit


def same_story(one: Transaction | None, other: Transaction | None) -> bool:
    """Whether two sources tell the same of a transaction; how far the chain has grown since may
    differ."""
    if one is None or other is None:
        return one is other
    return (one.succeeded, one.block_number, sorted(one.incoming)) == (
        other.succeeded,
        other.block_number,
        sorted(other.incoming),
    )
