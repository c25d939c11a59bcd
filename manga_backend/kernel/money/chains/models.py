"""Where we want to be paid, as superusers set it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.money.chains.types import Network
from manga_backend.kit.db import Model, enum_type


class ReceivingAddress(Model):
    """Our address on one network; it wins over the environment's."""

    __tablename__ = "receiving_addresses"

    network: Mapped[Network] = mapped_column(enum_type(Network, "network"), primary_key=True)
    address: Mapped[str]
    """Empty: nothing is taken on this network, whatever the environment says."""
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]
    changed_by_label: Mapped[str]
