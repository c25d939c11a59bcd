"""Runs the stand-in by itself: python -m tests.standins.telegram --port 8001 --open-chats."""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from .limits import Limits
from .standin import BotApiStandIn


def named(value: str) -> tuple[int, str]:
    """Reads ID=NAME."""
    chat_id, separator, name = value.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"expected ID=NAME, not {value!r}")
    return int(chat_id), name


def limits(value: str) -> Limits | None:
    """Reads "off", or the factor by which Telegram's limits are scaled."""
    return None if value == "off" else Limits.scaled(float(value))


def yes_or_no(value: str) -> bool:
    if value not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"expected yes or no, not {value!r}")
    return value == "yes"


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.standins.telegram",
        description="A stand-in for Telegram's Bot API on this machine, with a chat page at /.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1 or localhost")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--token", default="1000:stand-in")
    parser.add_argument("--username", default="two_manga_bot", help="the bot's user name")
    parser.add_argument("--state", type=Path, help="a file that keeps the chats over restarts")
    parser.add_argument(
        "--open-chats", action="store_true", help="any user id counts as having started the bot"
    )
    parser.add_argument(
        "--name", type=named, action="append", default=[], metavar="ID=NAME", help="a user to show"
    )
    parser.add_argument(
        "--channel",
        type=named,
        action="append",
        default=[],
        metavar="ID=TITLE",
        help="a channel that the bot may write to, say --channel=-1001=Log",
    )
    parser.add_argument(
        "--limits",
        type=limits,
        default="off",
        metavar="1|50|off",
        help="answer 429 as Telegram does, with its limits times this number",
    )
    parser.add_argument(
        "--strict-limits",
        action="store_true",
        help="with --limits: also never more than the number in any second",
    )
    parser.add_argument(
        "--keep-calls",
        type=yes_or_no,
        default="yes",
        metavar="yes|no",
        help="keep the list of calls",
    )
    parser.add_argument(
        "--keep-last", type=int, metavar="N", help="keep only the last messages of each chat"
    )
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    found: Limits | None = arguments.limits
    stand_in = BotApiStandIn(
        arguments.token,
        host=arguments.host,
        port=arguments.port,
        state_file=arguments.state,
        open_chats=arguments.open_chats,
        username=arguments.username,
        limits=found and replace(found, strict=arguments.strict_limits),
        keep_calls=arguments.keep_calls,
        keep_last=arguments.keep_last,
    )
    for user_id, name in arguments.name:
        stand_in.add_person(user_id, first_name=name)
        stand_in.open_chat(user_id)
    for chat_id, title in arguments.channel:
        stand_in.add_group(chat_id, title)
    # Its chats are many and live long: to look through them all now and then would stop it for a
    # fifth of a second, which a load test would take for a fault of ours.
    gc.set_threshold(50_000, 50, 1000)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with stand_in:
        sys.stdout.write(f"Telegram stand-in: {stand_in.url}\n")
        sys.stdout.flush()
        done.wait()


if __name__ == "__main__":
    main()
