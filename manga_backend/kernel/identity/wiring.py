"""Plugs identity in."""

from __future__ import annotations

from datetime import timedelta

from flask_jwt_extended import JWTManager

from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.backoffice.permissions import ENTER_PANEL
from manga_backend.kernel.backoffice.service import gates
from manga_backend.kernel.identity import admin, bot, cli, jobs, permissions, queries, routes
from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.service.telegram import staff_actor
from manga_backend.kernel.identity.service.tokens import ALGORITHM, AUDIENCE, ISSUER
from manga_backend.kernel.identity.settings import IdentitySettings
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.telegram.service.updates import commands, language_of, presses, staff
from manga_backend.kernel.telegram.types import BotCommand
from manga_backend.kit.app import App
from manga_backend.kit.i18n import N_, gettext_lazy
from manga_backend.kit.jobs import Schedule, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.principal import grants, register_authenticator

GRANTS = {
    permissions.USE_OWN_ACCOUNT: Role.USER,
    permissions.READ_USERS: Role.SUPPORT,
    permissions.BAN_USERS: Role.ADMIN,
    permissions.END_SESSIONS: Role.ADMIN,
    permissions.CHANGE_ROLES: Role.SUPERUSER,
}


caller_key = routes.caller_key


def init_app(app: App) -> None:
    """Called once by create_app()."""
    config: IdentitySettings = app.extensions["settings"][IdentitySettings]
    app.config.update(
        JWT_SECRET_KEY=config.jwt_keys[0],
        JWT_ALGORITHM=ALGORITHM,
        JWT_ENCODE_ISSUER=ISSUER,
        JWT_ENCODE_AUDIENCE=AUDIENCE,
        JWT_ACCESS_TOKEN_EXPIRES=config.access_lifetime,
        JWT_REFRESH_TOKEN_EXPIRES=config.refresh_lifetime,
    )
    JWTManager(app)
    register_authenticator(app, routes.authenticate)
    for right, role in GRANTS.items():
        grants.register(app, right, role.value)
    gates.register(app, "panel", admin.PanelGate())
    language_of.register(app, "profile", queries.find_language_of_telegram_id)
    staff.register(app, "rights", staff_actor)
    commands.register(app, "start", BotCommand(bot.start, N_("Begin, or link your account")))
    commands.register(app, "help", BotCommand(bot.help_, N_("What this bot can do")))
    commands.register(app, "language", BotCommand(bot.choose_language, N_("Choose a language")))
    presses.register(app, bot.LANGUAGE_PRESS, bot.language_chosen)
    staff_only = BotCommand(bot.admin, N_("What staff can do here"), ENTER_PANEL)
    commands.register(app, "admin", staff_only)
    about_users = N_("Users, or one of them: /users NAME")
    commands.register(app, "users", BotCommand(bot.users, about_users, permissions.READ_USERS))
    job_registry.register(app, "identity.purge", jobs.purge)
    schedules.register(app, "identity.purge", Schedule("identity.purge", timedelta(hours=6)))
    app.cli.add_command(cli.users)
    app.api.register_blueprint(routes.auth)
    add_view(app, admin.Door(name="Door", endpoint="panel_door", url="/admin/sign-in"))
    mine = gettext_lazy("My account")
    add_view(app, admin.AccountView(mine, endpoint="panel_account", url="/admin/account"))
    add_view(app, admin.UsersView(User, gettext_lazy("Users"), "panel_users"))
