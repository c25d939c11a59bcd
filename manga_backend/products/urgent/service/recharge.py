"""Rubles for the wallet: what they cost in Stars and in USDT."""

from __future__ import annotations

import math

from manga_backend.kernel.money.payments.service.recharges import (
    recharge_for_nothing,
    recharge_offer,
)
from manga_backend.kernel.money.payments.types import Offer
from manga_backend.kit.i18n import gettext
from manga_backend.kit.money import EXPONENTS, Money
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.settings import CoreSettings, settings
from manga_backend.products.urgent.settings import UrgentSettings
from manga_backend.products.urgent.types import CURRENCY, RUBLE, RechargeMethod

CENT = 10 ** (EXPONENTS["USDT"] - 2)
"""Prices in USDT are rounded up to it."""
LEAST_USDT = 1_000_000
MOST_STARS = 100_000
"""Telegram's limit for one invoice."""


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
