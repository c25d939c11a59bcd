"""A shop with a payment gateway."""

from tests.kernel.money.conftest import shop

__all__ = ["shop"]
