"""Keeps the state in a JSON file, so that a demo goes on where it stopped."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict
from pathlib import Path

from .model import Callback, Chat, Json, Message, Person
from .state import State
from .updates import Update, UpdateRecord, Webhook

DEBOUNCE_SECONDS = 0.3


def to_json(state: State) -> Json:
    """A snapshot; uploaded files and the log of calls are left out."""
    with state.monitor:
        now = state.clock.now()
        queue = state.updates
        return {
            "people": [asdict(person) for person in state.people.values()],
            "chats": [
                asdict(chat) | {"messages": [asdict(m) for m in chat.messages.values()]}
                for chat in state.chats.values()
            ],
            "callbacks": [asdict(c) for c in state.callbacks.values() if c.expires_at > now],
            "commands": state.commands,
            "last_update_id": queue.last_update_id,
            "pending": [asdict(update) for update in queue.pending],
            "webhook": asdict(queue.webhook),
            "allowed_updates": queue.allowed_updates,
        }


def restore(state: State, saved: Json) -> None:
    with state.monitor:
        state.people = {row["id"]: Person(**row) for row in saved["people"]}
        for row in saved["chats"]:
            messages = [Message(**message) for message in row["messages"]]
            chat = Chat(**{**row, "messages": {m.message_id: m for m in messages}})
            state.chats[chat.id] = chat
        state.callbacks = {row["id"]: Callback(**row) for row in saved["callbacks"]}
        state.commands = saved["commands"]
        queue = state.updates
        queue.last_update_id = saved["last_update_id"]
        queue.pending = [Update(**row) for row in saved["pending"]]
        queue.records = {u.update_id: UpdateRecord(u.update_id, u.kind) for u in queue.pending}
        queue.webhook = Webhook(**saved["webhook"])
        queue.allowed_updates = saved["allowed_updates"]


class StateFile:
    """Writes the state a moment after each change, and once more at the end."""

    def __init__(self, path: Path, state: State) -> None:
        self._path = path
        self._state = state
        self._written = -1  # the version that the file holds
        self._thread = threading.Thread(target=self._run, name="telegram-state", daemon=True)
        if path.exists():
            restore(state, json.loads(path.read_text("utf-8")))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Call it after the monitor is stopped."""
        self._thread.join(timeout=5)

    def _run(self) -> None:
        monitor = self._state.monitor
        while True:
            with monitor:
                monitor.wait_for(lambda: monitor.stopped or monitor.version != self._written)
            monitor.rest(DEBOUNCE_SECONDS)
            with monitor:
                stopped, self._written = monitor.stopped, monitor.version
            self._write()
            if stopped:
                return

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(self._path.suffix + ".new")
        draft.write_text(json.dumps(to_json(self._state), ensure_ascii=False), "utf-8")
        os.replace(draft, self._path)
