"""What users read about their wallets."""

from __future__ import annotations

WALLET_CORRECTED = "messages/wallet_corrected.html"
