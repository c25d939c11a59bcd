"""Runs the stand-in by itself: python -m tests.standins.telegram --port 8001 --open-chats."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from .standin import BotApiStandIn


def named(value: str) -> tuple[int, str]:
    """Reads ID=NAME."""
    chat_id, separator, name = value.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"expected ID=NAME, not {value!r}")
    return int(chat_id), name


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
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    stand_in = BotApiStandIn(
        arguments.token,
        host=arguments.host,
        port=arguments.port,
        state_file=arguments.state,
        open_chats=arguments.open_chats,
        username=arguments.username,
    )
    for user_id, name in arguments.name:
        stand_in.add_person(user_id, first_name=name)
        stand_in.open_chat(user_id)
    for chat_id, title in arguments.channel:
        stand_in.add_group(chat_id, title)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with stand_in:
        sys.stdout.write(f"Telegram stand-in: {stand_in.url}\n")
        sys.stdout.flush()
        done.wait()


if __name__ == "__main__":
    main()
