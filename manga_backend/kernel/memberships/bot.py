"""/status, /balance and /coupon."""

from __future__ import annotations

from typing import Any

from manga_backend.kernel.memberships import messages, queries, service
from manga_backend.kernel.memberships.domain import days_remaining
from manga_backend.kernel.memberships.schemas import MAX_DAYS
from manga_backend.kernel.money.ledger.queries import list_wallets
from manga_backend.kernel.money.payments.queries import count_purchases, count_waiting
from manga_backend.kernel.telegram.types import Button, Command, Message
from manga_backend.kit import clock
from manga_backend.kit.i18n import gettext, language, render
from manga_backend.kit.money import Money
from manga_backend.kit.settings import CoreSettings, settings

MAX_COUPONS = 50
"""More do not fit one message."""
_MAX_DIGITS = 6


def status(command: Command) -> Message:
    """Each subscription of the account, and how its last payment fares."""
    account = queries.get_account_of_chat(command.sender.id)
    payment = queries.find_last_payment(account.user_id)
    text = render(
        messages.STATUS,
        language(),
        username=account.label,
        subscriptions=_subscriptions(account.user_id),
        payment=payment and _described(payment),
    )
    url = settings(CoreSettings).web_app_url
    return Message(text, [[Button(gettext("Open the site"), url=url)]] if url else [])


def balance(command: Command) -> Message:
    """Money in the wallets, days left, purchases, and payments that wait."""
    account = queries.get_account_of_chat(command.sender.id)
    text = render(
        messages.BALANCE,
        language(),
        username=account.label,
        wallets=[
            Money(wallet.available, wallet.currency)
            for wallet in list_wallets(account.user_id)
            if wallet.balance
        ],
        subscriptions=_subscriptions(account.user_id),
        purchases=count_purchases(account.user_id),
        waiting=count_waiting(account.user_id),
    )
    return Message(text)


def coupon(command: Command) -> Message:
    """`/coupon DAYS [COUNT]`: gift coupons of the default plan, one use each."""
    asked = _numbers(command.argument)
    if asked is None:
        usage = render(
            messages.COUPON_USAGE, language(), most_days=MAX_DAYS, most_coupons=MAX_COUPONS
        )
        return Message(usage)
    days, count = asked
    assert command.actor is not None
    codes = service.issue_coupons(command.actor, days=days, count=count)
    return Message(render(messages.COUPONS, language(), codes=codes, days=days))


def _numbers(argument: str) -> tuple[int, int] | None:
    """Days and count within their limits; digits of any script are read."""
    words = argument.split()
    if not 1 <= len(words) <= 2:
        return None
    if not all(word.isdecimal() and len(word) <= _MAX_DIGITS for word in words):
        return None
    days, count = int(words[0]), int(words[1]) if len(words) == 2 else 1
    return (days, count) if 1 <= days <= MAX_DAYS and 1 <= count <= MAX_COUPONS else None


def _subscriptions(user_id: int) -> list[dict[str, Any]]:
    now = clock.now()
    found = []
    for subscription in queries.list_subscriptions(user_id):
        plan = queries.find_plan(subscription.plan_code)
        found.append(
            {
                "plan": plan.name(language()) if plan else subscription.plan_code,
                "expires_at": subscription.expires_at,
                "days": days_remaining(subscription.expires_at, now),
            }
        )
    return found


def _described(payment: Any) -> dict[str, Any]:
    return {
        "method": gettext(messages.METHOD[payment.method]),
        "status": gettext(messages.PAYMENT_STATUS[payment.status]),
        "submitted_at": payment.submitted_at,
        "reason": payment.reason,
    }
