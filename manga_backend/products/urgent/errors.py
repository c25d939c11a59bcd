"""Refusals of urgent orders; where seeds/003 gives the words, they are exactly these."""

from __future__ import annotations

from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class TelegramRequired(DomainError):
    """The account has no Telegram id that was proved."""

    status = 403
    code = "telegram_required"
    detail = N_("Link your Telegram account first.")


class NoAccountYet(DomainError):
    """Whoever writes to the bot has not opened the Mini App."""

    status = 404
    code = "no_account"
    detail = N_("Open the app once, then come back here.")


class OrderNotFound(DomainError):
    """No order has this id, or it was deleted."""

    status = 404
    code = "order_not_found"
    detail = N_("There is no such order.")


class NotOwnOrder(DomainError):
    """The order is somebody else's."""

    status = 403
    code = "not_own_order"
    detail = N_("This is not your order.")


class OwnOrder(DomainError):
    """Clients don't take their own orders."""

    status = 403
    code = "own_order"
    detail = N_("This is your own order.")


class OrderTaken(DomainError):
    """Somebody has paid for it as it is."""

    status = 409
    code = "order_taken"
    detail = N_("Somebody has taken this order.")


class CityLocked(DomainError):
    """The city is what executors found the order by."""

    status = 422
    code = "city_locked"
    detail = N_("The city of an order can't be changed.")


class OrderNotActive(DomainError):
    """Its time is over, or it was closed."""

    status = 409
    code = "order_not_active"
    detail = N_("This order is not active any more.")


class MaxExecutors(DomainError):
    """Three have it already."""

    status = 409
    code = "max_executors"
    detail = N_("Maximum 3 executors reached")
    exact = True


class InsufficientBalance(DomainError):
    """The wallet holds less than the price of a contact."""

    status = 402
    code = "insufficient_balance"
    detail = N_("Insufficient balance. Need 2₽")
    exact = True


class TooManyOrders(DomainError):
    """So many an hour from one client are enough."""

    status = 429
    code = "too_many_orders"
    detail = N_("You have posted 10 orders within an hour. Wait a little.")

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.headers = {"Retry-After": str(max(1, retry_after_seconds))}  # type: ignore[misc]


class NotAnExecutor(DomainError):
    """This person has not taken the order, or got the money back."""

    status = 422
    code = "executor_not_of_order"
    detail = N_("This person has not taken the order.")


class NotTaken(DomainError):
    """The caller has not paid for this order."""

    status = 422
    code = "order_not_taken"
    detail = N_("You have not taken this order.")


class ExecutorNeeded(DomainError):
    """Several have taken the order."""

    status = 422
    code = "executor_needed"
    detail = N_("Several people have taken this order: say who is meant.")


class AlreadyReviewed(DomainError):
    """One review for each order."""

    status = 409
    code = "already_reviewed"
    detail = N_("You have reviewed this order already.")


class AlreadyComplained(DomainError):
    """One complaint about each order."""

    status = 409
    code = "already_complained"
    detail = N_("You have complained about this order already.")


class ComplaintNotPending(DomainError):
    """It was decided before."""

    status = 409
    code = "complaint_not_pending"
    detail = N_("This complaint has been decided already.")


class ReviewNotFound(DomainError):
    """No review has this number."""

    status = 404
    code = "review_not_found"
    detail = N_("There is no such review.")
