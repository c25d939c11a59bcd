"""/api/plans and /admin/system/coupon."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import g, request

from manga_backend.kernel.identity.errors import AdminSecretRequired, AdminSecretWrong
from manga_backend.kernel.identity.service.secret import check_admin_secret
from manga_backend.kernel.memberships import errors, queries, schemas, service
from manga_backend.kernel.money.chains.settings import ChainSettings
from manga_backend.kernel.money.payments.queries import receiving_addresses
from manga_backend.kit.http import Blueprint
from manga_backend.kit.principal import public
from manga_backend.kit.ratelimit import client_address, limit_route
from manga_backend.kit.settings import settings

F = TypeVar("F", bound=Callable[..., Any])

plans = Blueprint(
    "memberships_plans", __name__, url_prefix="/api/plans", description="What can be bought."
)
system = Blueprint(
    "memberships_system",
    __name__,
    url_prefix="/admin/system",
    description="For the team's own programs.",
)


@plans.route("")
@public
@plans.arguments(schemas.PlansQuerySchema, location="query")
@plans.response(200, schemas.PlansSchema)
def list_plans(query: dict[str, Any]) -> Any:
    """Plans on sale, where to pay, and what is meant when nothing is said."""
    default = queries.find_default_plan(query.get("product"))
    return {
        "plans": queries.list_plans(query.get("product")),
        "addresses": receiving_addresses(),
        "default_plan": default.code if default else None,
        "default_network": settings(ChainSettings).default_network.value,
    }


def _with_admin_secret(view: F) -> F:
    """The secret is checked before the body is read; the actor is in `g.holder`."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = request.headers.get("X-Admin-Secret")
        g.holder = check_admin_secret(given, client_address())
        return view(*args, **kwargs)

    return checked  # type: ignore[return-value]


@system.route("/coupon", methods=["POST"])
@public
@limit_route("secret")
@_with_admin_secret
@system.refuses(AdminSecretRequired, AdminSecretWrong, errors.NoDefaultPlan)
@system.doc(security=[{"admin_secret": []}])
@system.arguments(schemas.NewCouponSchema)
@system.response(201, schemas.CouponsSchema)
def make_coupons(asked: dict[str, Any]) -> Any:
    """Make gift coupons. The header X-Admin-Secret is the right to."""
    return schemas.as_coupons(service.issue_coupons(g.holder, **asked), asked)
