"""Rubles for the wallet: what they cost in Stars and in USDT."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from manga_backend.kernel.money.chains.queries import chains
from manga_backend.kernel.money.gateways.settings import GatewaySettings
from manga_backend.kernel.money.payments.service.recharges import (
    recharge_for_nothing,
    recharge_offer,
)
from manga_backend.kernel.money.payments.types import Offer
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit.i18n import gettext
from manga_backend.kit.money import EXPONENTS, Money
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.settings import CoreSettings, settings
from manga_backend.products.urgent.settings import UrgentSettings
from manga_backend.products.urgent.types import CURRENCY, MOST_RUBLES, RUBLE, RechargeMethod

CENT = 10 ** (EXPONENTS["USDT"] - 2)
"""Prices in USDT are rounded up to it."""
LEAST_USDT = 1_000_000
MOST_STARS = 100_000
"""Telegram's limit for one invoice."""


@dataclass(frozen=True, slots=True)
class Way:
    """How rubles can be bought, from `least` to `most` of them."""

    method: RechargeMethod
    networks: list[str]
    currency: str
    rubles_per_unit: str
    least: int
    most: int


def price_of(rubles: int, method: RechargeMethod) -> Money:
    """At RUB_PER_STAR and RUB_PER_USDT, rounded up: we never give more than was paid for.
    InvalidInput for less than a network or a provider moves, and for more Stars than one invoice
    may have."""
    rates = settings(UrgentSettings)
    if method is RechargeMethod.STARS:
        stars = math.ceil(rubles / rates.rub_per_star)
        if stars > MOST_STARS:
            raise InvalidInput({"amount": [gettext("That is more than Telegram lets one pay.")]})
        return Money(stars, "XTR")
    price = math.ceil(rubles / rates.rub_per_usdt * 100) * CENT
    if price < LEAST_USDT:
        least = math.ceil(rates.rub_per_usdt)
        raise InvalidInput(
            {"amount": [gettext("At least %(least)s ₽ by this method.", least=str(least))]}
        )
    return Money(price, "USDT")


def list_ways() -> list[Way]:
    """Each way that is open now."""
    rates = settings(UrgentSettings)
    watched = [network.value for network, chain in chains().items() if chain.is_priced]
    most_in_stars = min(MOST_RUBLES, math.floor(MOST_STARS * rates.rub_per_star))
    by_stars = Way(RechargeMethod.STARS, [], "XTR", _shown(rates.rub_per_star), 1, most_in_stars)
    usdt, least = _shown(rates.rub_per_usdt), math.ceil(rates.rub_per_usdt)
    by_page = Way(RechargeMethod.GATEWAY, [], "USDT", usdt, least, MOST_RUBLES)
    by_transfer = Way(RechargeMethod.CRYPTO, watched, "USDT", usdt, least, MOST_RUBLES)
    open_ways = (
        (by_stars, settings(TelegramSettings).enabled),
        (by_page, settings(GatewaySettings).enabled),
        (by_transfer, bool(watched)),
    )
    return [way for way, is_open in open_ways if is_open]


def _shown(rate: Fraction) -> str:
    return f"{float(rate):.6f}".rstrip("0").rstrip(".")


def offer_for(rubles: int, method: RechargeMethod) -> Offer:
    """What a recharge costs now. InvalidInput."""
    return recharge_offer(Money(rubles * RUBLE, CURRENCY), price_of(rubles, method))


def is_free(method: RechargeMethod) -> bool:
    """In development every method credits at once. InvalidInput for `dev` elsewhere."""
    development = settings(CoreSettings).development
    if method is RechargeMethod.DEV and not development:
        raise InvalidInput({"method": [gettext("Only in development.")]})
    return development


def credit(user_id: int, rubles: int) -> None:
    """For nothing: in development alone."""
    recharge_for_nothing(user_id, Money(rubles * RUBLE, CURRENCY))
