"""Settings that were changed while the app ran."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kit.db import Model


class ChangedSetting(Model):
    """A setting that was changed in the panel: it wins over the environment."""

    __tablename__ = "changed_settings"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str]
    changed_at: Mapped[datetime]
    changed_by_label: Mapped[str]
