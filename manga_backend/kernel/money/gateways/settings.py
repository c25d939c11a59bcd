"""Settings of the gateways."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from manga_backend.kit.settings import CoreSettings, Env

WEBHOOK_PREFIX = "/api/webhook"
WEBHOOK_PATH = f"{WEBHOOK_PREFIX}/cryptomus"


@dataclass(frozen=True)
class GatewaySettings:
    """Cryptomus, or Heleket, which has the same API: `url` says which. Off without a merchant."""

    merchant: str
    payment_key: str = field(repr=False)
    payout_key: str = field(repr=False)
    url: str
    public_url: str
    """Ours, at which the provider's webhooks arrive; empty: they are only polled for."""

    @property
    def enabled(self) -> bool:
        """Whether checkouts are offered."""
        return bool(self.merchant and self.payment_key)

    @property
    def sends(self) -> bool:
        """Whether it can pay out."""
        return bool(self.merchant and self.payout_key)

    @property
    def account(self) -> str:
        """Which provider and merchant: what one was told another knows nothing of."""
        return f"{self.merchant} at {self.url}"

    @property
    def callback_url(self) -> str | None:
        """Where the provider tells us what happened."""
        return f"{self.public_url}{WEBHOOK_PATH}" if self.public_url else None


def load(env: Env, _core: CoreSettings) -> GatewaySettings:
    """CRYPTOMUS_* of kernel.md §9 and PUBLIC_URL."""
    url = (env.str("CRYPTOMUS_URL", "") or "https://api.cryptomus.com").rstrip("/")
    public = (env.str("PUBLIC_URL", "") or "").rstrip("/")
    for name, value in (("CRYPTOMUS_URL", url), ("PUBLIC_URL", public)):
        if value and not re.fullmatch(r"https?://\S+", value):
            env.complain(name, "must be an address like https://host")
    merchant = env.str("CRYPTOMUS_MERCHANT_ID", "") or ""
    payment_key = env.str("CRYPTOMUS_PAYMENT_KEY", "") or ""
    payout_key = env.str("CRYPTOMUS_PAYOUT_KEY", "") or ""
    if bool(merchant) != bool(payment_key or payout_key):
        keys = "CRYPTOMUS_PAYMENT_KEY or CRYPTOMUS_PAYOUT_KEY"
        env.complain("CRYPTOMUS_MERCHANT_ID", f"goes together with {keys}")
    return GatewaySettings(
        merchant=merchant,
        payment_key=payment_key,
        payout_key=payout_key,
        url=url,
        public_url=public,
    )
