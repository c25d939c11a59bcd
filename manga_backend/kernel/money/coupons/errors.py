"""Refusals of coupons."""

from __future__ import annotations

from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class CouponNotFound(DomainError):
    """No coupon has this code."""

    status = 404
    code = "coupon_not_found"
    detail = N_("There is no coupon with this code.")


class CouponExpired(DomainError):
    """Its time is over, has not come, or it was revoked."""

    status = 422
    code = "coupon_expired"
    detail = N_("This coupon is not valid at this time.")


class CouponExhausted(DomainError):
    """All its uses are taken."""

    status = 422
    code = "coupon_exhausted"
    detail = N_("This coupon has been used up.")


class CouponAlreadyUsed(DomainError):
    """Once per user."""

    status = 409
    code = "coupon_already_used"
    detail = N_("You have already used this coupon.")


class CouponGoesWithIntent(DomainError):
    """A percentage is taken off a price that is still to be paid."""

    status = 422
    code = "coupon_goes_with_intent"
    detail = N_("This coupon lowers the price. Start a payment with it.")


class CouponIsNoDiscount(DomainError):
    """Days and credit are redeemed by themselves."""

    status = 422
    code = "coupon_is_no_discount"
    detail = N_("This coupon does not lower the price. Redeem it by itself.")
