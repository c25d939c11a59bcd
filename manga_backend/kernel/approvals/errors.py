"""Refusals of the desk."""

from __future__ import annotations

from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class AlreadyApproved(DomainError):
    """Someone was first, and approved."""

    status = 409
    code = "already_decided"
    detail = N_("Already approved by %(who)s.")


class AlreadyRejected(DomainError):
    """Someone was first, and rejected."""

    status = 409
    code = "already_decided"
    detail = N_("Already rejected by %(who)s.")


class ApprovalNotFound(DomainError):
    """No such question."""

    status = 404
    code = "approval_not_found"
    detail = N_("This question does not exist any more.")


class NotAnAdmin(DomainError):
    """A press by someone who may not decide."""

    status = 403
    code = "not_allowed"
    detail = N_("You are not allowed to decide this.")


class OptionGone(DomainError):
    """What the button offered is not offered any more."""

    status = 409
    code = "option_gone"
    detail = N_("This is not offered any more. Please look at the question again.")


class OptionDiffers(DomainError):
    """The first of two admins approved it in another way."""

    status = 409
    code = "option_differs"
    detail = N_("%(who)s approved something else: %(what)s. Approve the same, or reject.")


class SecondAdminNeeded(DomainError):
    """The same admin approved it before; somebody else has to look as well."""

    status = 409
    code = "second_admin_needed"
    detail = N_("You have approved this already. Another admin must approve it as well.")
