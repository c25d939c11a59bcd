"""What tests let happen: people write, press, block; groups change; the server fails."""

from __future__ import annotations

from typing import Literal

from .limits import Fault, FaultQueue
from .model import Message
from .stars import Stars
from .state import State


class Acts:
    """The half of BotApiStandIn that changes its world; all methods may come from any thread."""

    _state: State
    _stars: Stars
    _faults: FaultQueue

    def message(self, chat_id: int, message_id: int) -> Message:
        raise NotImplementedError

    # --- what people do ---------------------------------------------------------------------

    def send_text(
        self,
        user_id: int,
        text: str,
        *,
        first_name: str | None = None,
        username: str | None = None,
        language_code: str | None = None,
    ) -> int:
        """Writes to the bot in private, which opens the chat; the update's id, 0 if not wanted."""
        self.add_person(
            user_id, first_name=first_name, username=username, language_code=language_code
        )
        return self._state.receive_text(user_id, text)

    def add_person(
        self,
        user_id: int,
        *,
        first_name: str | None = None,
        username: str | None = None,
        language_code: str | None = None,
    ) -> None:
        """Names a person without opening a chat."""
        self._state.person(
            user_id, first_name=first_name, username=username, language_code=language_code
        )

    def open_chat(self, user_id: int) -> None:
        """The user has started the bot, without an update to tell of it."""
        self._state.start_chat(user_id)

    def press(
        self,
        user_id: int,
        message_id: int,
        *,
        chat_id: int | None = None,
        text_contains: str | None = None,
        data: str | None = None,
    ) -> str:
        """Presses the first fitting callback button of a message; the callback query's id."""
        message = self.message(user_id if chat_id is None else chat_id, message_id)
        for button in message.buttons:
            if "callback_data" not in button:
                continue
            fits_text = text_contains is None or text_contains in button["text"]
            if fits_text and data in (None, button["callback_data"]):
                return self.press_raw(user_id, message_id, button["callback_data"], chat_id)
        raise AssertionError(f"no such button; message {message_id} has {message.buttons}")

    def press_raw(
        self, user_id: int, message_id: int, data: str, chat_id: int | None = None
    ) -> str:
        """A client that says it pressed a button with any data at all."""
        chat = user_id if chat_id is None else chat_id
        self.message(chat, message_id)
        return self._state.press(user_id, chat, message_id, data)

    def pay(self, user_id: int, link: str) -> str:
        """Opens an invoice link and presses Pay; the id of the question that the bot is asked. With
        its yes the Stars change hands."""
        return self._stars.pay(user_id, link)

    def checkout_outcome(self, query_id: str) -> str:
        """ "" as long as the bot has not answered; "paid", or why not."""
        with self._state.monitor:
            return self._stars.checkouts[query_id].outcome

    def is_given_back(self, query_id: str) -> bool:
        """Whether the Stars that came of it went back."""
        with self._state.monitor:
            return self._stars.checkouts[query_id].charge_id in self._stars.refunded

    def add_stranger(self, user_id: int, *, is_known: bool = True) -> None:
        """A person who has not started the bot, not even with `open_chats`.

        The bot may know them, say from a group (403), or not (400 "chat not found"). Their first
        message opens the chat.
        """
        self._state.add_stranger(user_id, "stranger" if is_known else "unknown")

    def block(self, user_id: int) -> None:
        """Stops the bot: it gets `my_chat_member`, and 403 when it writes."""
        self._state.close_chat(user_id, "blocked")

    def unblock(self, user_id: int) -> None:
        self._state.close_chat(user_id, "")

    def deactivate(self, user_id: int) -> None:
        self._state.close_chat(user_id, "deactivated")

    def add_group(
        self,
        chat_id: int,
        title: str,
        type: Literal["channel", "supergroup", "group"] = "channel",
        *,
        can_post: bool = True,
    ) -> None:
        """The bot becomes a member of a channel or a group; again after a kick.

        It is an administrator; without `can_post` one who may not post, or in a group a member
        who may not write.
        """
        if chat_id >= 0 or type not in ("channel", "supergroup", "group"):
            raise ValueError("a channel or a group has a negative id")
        self._state.add_group(chat_id, title, type, can_post=can_post)

    def kick(self, chat_id: int) -> None:
        self._state.close_chat(chat_id, "kicked")

    def leave(self, chat_id: int) -> None:
        """The bot is no member of a channel or a group any more, but may come back."""
        self._state.close_chat(chat_id, "left")

    def upgrade_group(self, chat_id: int, new_chat_id: int) -> None:
        """A group becomes a supergroup; the old id answers with `migrate_to_chat_id`."""
        self._state.upgrade_group(chat_id, new_chat_id)

    def advance(self, seconds: float) -> None:
        """Pushes the clock of the stand-in forward: presses, updates and messages grow older."""
        with self._state.monitor:
            self._state.clock.ahead_seconds += seconds
            self._state.monitor.mark_updates()

    # --- trouble ----------------------------------------------------------------------------

    def fail_next(
        self,
        method: str,
        count: int = 1,
        *,
        status: int = 500,
        description: str = "",
        retry_after: int | None = None,
        garbage: bool = False,
        delay: float = 0.0,
        drop_connection: bool = False,
    ) -> None:
        """Spoils the next calls of a method ("*": of any).

        With `status=200` the method is carried out, and only its answer suffers: late, garbage or
        lost. With any other status nothing is done. `delay` is in seconds.
        """
        self._faults.add(
            Fault(
                method.lower(),
                count,
                status,
                description,
                retry_after,
                garbage,
                delay,
                drop_connection,
            )
        )

    def clear_faults(self) -> None:
        self._faults.clear()

    def go_down(self) -> None:
        """An outage: Bot API connections are closed without an answer, waiting polls too."""
        self._set_down(True)

    def come_back(self) -> None:
        self._set_down(False)

    def _set_down(self, down: bool) -> None:
        with self._state.monitor:
            self._state.monitor.down = down
            self._state.monitor.mark_updates()
