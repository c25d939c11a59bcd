"""Refusals of identity."""

from __future__ import annotations

from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class TokenMissing(DomainError):
    """No `Authorization: Bearer …`."""

    status = 401
    code = "token_missing"
    detail = N_("Sign in first.")


class TokenInvalid(DomainError):
    """Malformed, of the wrong kind, or signed with another key."""

    status = 401
    code = "token_invalid"
    detail = N_("This token is not valid. Sign in again.")


class TokenExpired(DomainError):
    """Its time is over; the refresh token may still be good."""

    status = 401
    code = "token_expired"
    detail = N_("This token has expired.")


class SessionReplaced(DomainError):
    """Signed in elsewhere since."""

    status = 401
    code = "session_replaced"
    detail = N_("You have signed in on another device, so this session has ended.")


class SessionRevoked(DomainError):
    """Signed out, banned, password changed, or ended from elsewhere."""

    status = 401
    code = "session_revoked"
    detail = N_("This session has ended. Sign in again.")


class CodeRequired(DomainError):
    """The password is right; this account has an authenticator."""

    status = 401
    code = "code_required"
    detail = N_("Enter the code of your authenticator app as well.")


class CodeWrong(DomainError):
    """Of the authenticator, or a recovery code."""

    status = 403
    code = "code_wrong"
    detail = N_("This code is not right, or it was used before.")


class SecondFactorOn(DomainError):
    """It has to be turned off before another one is set up."""

    status = 409
    code = "second_factor_on"
    detail = N_("An authenticator is set up already.")


class InitDataInvalid(DomainError):
    """Not signed by Telegram for our bot, or not as Telegram sends it."""

    status = 401
    code = "init_data_invalid"
    detail = N_("Invalid hash - data integrity check failed")
    exact = True


class InitDataExpired(DomainError):
    """Signed too long ago, or in the future."""

    status = 401
    code = "init_data_expired"
    detail = N_("This sign-in by Telegram is too old. Open the app again.")


class WidgetUsed(DomainError):
    """A payload of the Login Widget signs in once: it travels in addresses."""

    status = 401
    code = "telegram_login_used"
    detail = N_("This sign-in by Telegram has been used. Please sign in again.")


class TelegramSignInOff(DomainError):
    """There is no bot whose signature could be checked."""

    status = 422
    code = "telegram_off"
    detail = N_("Signing in by Telegram is not available.")


class RefreshReused(DomainError):
    """An old refresh token came back: it may be stolen, so the session ends."""

    status = 401
    code = "refresh_reused"
    detail = N_("This refresh token was used before, so the session has ended. Sign in again.")
    keeps_changes = True


class InvalidCredentials(DomainError):
    """Wrong name or wrong password: one answer for both."""

    status = 401
    code = "invalid_credentials"
    detail = N_("The username or the password is wrong.")


class Banned(DomainError):
    """The account is banned."""

    status = 403
    code = "banned"
    detail = N_("This account is banned.")


class UsernameTaken(DomainError):
    """Case does not matter."""

    status = 409
    code = "username_taken"
    detail = N_("This username is taken.")


class TelegramIdTaken(DomainError):
    """Another account has this Telegram id."""

    status = 409
    code = "telegram_id_taken"
    detail = N_("Another account uses this Telegram ID.")


class WrongPassword(DomainError):
    """The current password, asked again before a change, is wrong."""

    status = 403
    code = "wrong_password"
    detail = N_("The current password is wrong.")


class SessionNotFound(DomainError):
    """No live session of the caller has this id."""

    status = 404
    code = "session_not_found"
    detail = N_("There is no such session.")


class UserNotFound(DomainError):
    """No account has this id or name."""

    status = 404
    code = "user_not_found"
    detail = N_("There is no such user.")


class LinkCodeInvalid(DomainError):
    """Unknown, used or expired."""

    status = 422
    code = "link_code_invalid"
    detail = N_("This link has expired or was used. Ask the site for a new one.")


class RoleTooHigh(DomainError):
    """Nobody may touch someone above themselves or give a role above their own."""

    status = 403
    code = "role_too_high"
    detail = N_("Your role does not allow this.")


class AdminSecretRequired(DomainError):
    """The X-Admin-Secret header is missing."""

    status = 401
    code = "admin_secret_required"
    detail = N_("Send the admin secret in the X-Admin-Secret header.")


class AdminSecretWrong(DomainError):
    """The X-Admin-Secret header is wrong; the attempt is audited."""

    status = 403
    code = "admin_secret_wrong"
    detail = N_("The admin secret is wrong.")
    keeps_changes = True


SESSION_REFUSALS = (TokenMissing, TokenInvalid, TokenExpired, SessionReplaced, SessionRevoked)
