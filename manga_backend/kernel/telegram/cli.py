"""`flask telegram …`"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.operations.service.health import in_seconds
from manga_backend.kernel.operations.types import Finding, fault, fine
from manga_backend.kernel.telegram import queries
from manga_backend.kernel.telegram.clients import BotClient
from manga_backend.kernel.telegram.errors import (
    RecipientUnreachable,
    TelegramError,
    TelegramRefused,
)
from manga_backend.kernel.telegram.models import TelegramPoller
from manga_backend.kernel.telegram.runner import in_words
from manga_backend.kernel.telegram.service.poller import is_fresh
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.db import reading, transaction
from manga_backend.kit.leader import Leadership
from manga_backend.kit.settings import CoreSettings, settings

telegram = AppGroup("telegram", help="The bot.")


@telegram.command("poll")
@with_appcontext
def poll() -> None:
    """Stand for leader in this process: poll Telegram and see to schedules until Ctrl-C."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    leadership = Leadership(app, settings(CoreSettings))
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    leadership.start()
    click.echo("Waiting to lead or leading; Ctrl-C stops.")
    stopped.wait()
    leadership.stop()


LISTEN_SECONDS = 6
"""Our poll ends that of another program; when it comes again it ends ours, which is the sign."""


@telegram.command("doctor")
@with_appcontext
def doctor() -> None:
    """Say what is wrong with the bot and what to do; exits 1 on any fault."""
    healthy = True
    for finding in examine():
        click.echo(f"{'ok   ' if finding.ok else 'FAULT'}  {finding.words}")
        healthy = healthy and finding.ok
    if not healthy:
        raise SystemExit(1)


def examine() -> Iterator[Finding]:
    """The bot, whom it can write to, and who reads its updates."""
    config = settings(TelegramSettings)
    if not config.token:
        words = "TELEGRAM_BOT_TOKEN is not set; make a bot with @BotFather"
        yield fault(f"{words} (until then `make run` talks to a stand-in of its own)")
        return
    via = f" through {_without_login(config.proxy)}" if config.proxy else ""
    address = f"{_without_login(config.api_url)}{via}"
    client = BotClient(config)
    try:
        me = client.get_me()
    except TelegramError as error:
        yield fault(f"{address}: {in_words(error, client)}")
        return
    yield fine(f"{address} answers; the token is that of @{me.get('username')}")
    yield fine(f"TELEGRAM_MODE is {config.mode}")
    yield from _examine_clock(client)
    for look in (_examine_updates, _examine_admins, _examine_log_channel):
        try:
            yield from look(config, client, int(me["id"]))
        except TelegramError as error:
            yield fault(in_words(error, client))
        except SQLAlchemyError as error:
            words = f"the database is away ({type(error).__name__})"
            yield fault(f"{words}: who reads is not known")


def _without_login(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


LARGEST_SKEW_SECONDS = 30


def _examine_clock(client: BotClient) -> Iterator[Finding]:
    """initData, tokens and one-time codes go by the clock."""
    theirs = client.read_clock()
    if theirs is None:
        return
    skew = (clock.now() - theirs).total_seconds()
    if abs(skew) <= LARGEST_SKEW_SECONDS:
        yield fine("the same time as Telegram")
    else:
        words = f"this machine's clock is {in_seconds(skew)} of Telegram's"
        yield fault(f"{words}: timedatectl set-ntp true")


def _examine_updates(config: TelegramSettings, client: BotClient, _me: int) -> Iterator[Finding]:
    info = client.get_webhook()
    url = str(info.get("url") or "")
    if config.mode == "webhook":
        yield from _examine_webhook(config, info)
        return
    if config.mode == "off":
        yield fine("updates are not read")
        return
    if url:
        words = f"a webhook is set: {url}; a process that leads removes it when it starts"
        yield fault(f"{words}, else something else sets it")
        return
    ours = _find_leader()
    if ours is not None and is_fresh(ours) and ours.polled_at is not None:
        seconds = int((clock.now() - ours.polled_at).total_seconds())
        yield fine(f"no webhook is set; our leader read updates {seconds} s ago")
    elif ours is not None and ours.problem:
        yield fault(f"our leader can't read updates: {ours.problem}")
    elif client.is_polled_elsewhere(LISTEN_SECONDS):
        words = "another program reads this bot's updates"
        yield fault(f"{words}; stop it, or make a bot for this one")
    else:
        yield fault("nobody reads updates: start the server, or `flask telegram poll`")


def _examine_webhook(config: TelegramSettings, info: dict[str, object]) -> Iterator[Finding]:
    url, wanted = str(info.get("url") or ""), config.webhook_url
    if not url:
        yield fault("no webhook is set; set TELEGRAM_WEBHOOK_URL and start the server")
        return
    if wanted and url != wanted:
        yield fault(f"the webhook is {url}, not {wanted}; another deployment uses this bot")
        return
    yield fine(f"the webhook is {url}")
    if info.get("last_error_message"):
        words = f"{info['last_error_message']}; {info.get('pending_update_count')} updates wait"
        told = f"last fault in bringing an update: {words}"
        yield Finding(not info.get("pending_update_count"), told)
    ours = _find_leader()
    if ours is None or not is_fresh(ours):
        yield fault("no process of ours watches the webhook: start the server")


def _find_leader() -> TelegramPoller | None:
    with reading(), transaction():
        return queries.find_poller()


def _examine_admins(config: TelegramSettings, client: BotClient, _me: int) -> Iterator[Finding]:
    if not config.admin_ids:
        yield fault("TELEGRAM_ADMIN_IDS is empty: nobody is asked about payments on Telegram")
    for admin in config.admin_ids:
        try:
            chat = client.get_chat(admin)
        except (RecipientUnreachable, TelegramRefused) as error:
            words = f"admin {admin} has not pressed Start, or blocked the bot"
            yield fault(f"{words} ({error.description})")
        else:
            name = chat.get("first_name") or "no name"
            yield fine(f"admin {admin} ({name}) can be written to")


def _examine_log_channel(config: TelegramSettings, client: BotClient, me: int) -> Iterator[Finding]:
    channel = config.log_channel_id
    if channel is None:
        yield fine("no TELEGRAM_LOG_CHANNEL_ID is set: nothing is written to a channel")
        return
    try:
        title = client.get_chat(channel).get("title")
        member = client.get_member(channel, me)
    except (RecipientUnreachable, TelegramRefused) as error:
        words = f"the log channel {channel} is missing or the bot is not in it"
        yield fault(f"{words} ({error.description}); add the bot as an administrator")
        return
    status = member.get("status")
    if status in ("left", "kicked"):
        yield fault(f"the bot is not in the log channel {title}: add it as an administrator")
    elif member.get("can_post_messages") is False or member.get("can_send_messages") is False:
        yield fault(f"the bot may not post in {title}: give it the right to post messages")
    else:
        yield fine(f"the bot may post in {title} ({channel})")
