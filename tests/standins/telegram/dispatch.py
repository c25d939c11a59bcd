"""One Bot API request from its path to the bytes of its answer: token, faults, method, log."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from .counts import Counts
from .limits import Fault, FaultQueue
from .methods import BotApi
from .model import PREFIXES, ApiError, Call, ConnectionDropped, Json
from .params import Params, read_params
from .state import State

encode_json = json.JSONEncoder(ensure_ascii=False).encode
BOT_PATH = re.compile(r"/bot(?P<token>\d+:[\w-]+)/(?P<method>\w+)")
FILE_PATH = re.compile(r"/file/bot(?P<token>\d+:[\w-]+)/documents/(?P<file_id>[\w-]+)")
# A webhook's answer may carry any method but these (WebhookActor.cpp): nobody reads the result.
NOT_IN_ANSWERS = re.compile(r"(get\w*|setwebhook|deletewebhook|close|logout)?")
GARBAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(slots=True)
class Reply:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(status: int, value: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, encode_json(value).encode(errors="replace"), headers=headers or {})


def refusal(error: ApiError) -> Reply:
    value: Json = {"ok": False, "error_code": error.status, "description": error.description}
    headers = {}
    if error.migrate_to_chat_id is not None:
        value["parameters"] = {"migrate_to_chat_id": error.migrate_to_chat_id}
    if error.retry_after is not None:
        value["parameters"] = {"retry_after": error.retry_after}
        headers["Retry-After"] = str(error.retry_after)
    return json_reply(error.status, value, headers)


class Dispatcher:
    def __init__(
        self, token: str, state: State, api: BotApi, faults: FaultQueue, *, keep_calls: bool
    ) -> None:
        self._token = token
        self._state = state
        self._api = api
        self._faults = faults
        self._keep_calls = keep_calls
        self.counts = Counts()

    def serve(
        self, path: str, query: str, content_type: str, body: bytes, alive: Callable[[], bool]
    ) -> Reply:
        """Answers a request below /bot or /file/bot; ConnectionDropped means no answer at all."""
        if self._state.monitor.down:
            raise ConnectionDropped
        if "%" in path:
            path = unquote(path)
        file_match = FILE_PATH.fullmatch(path) if path.startswith("/file") else None
        found = file_match or BOT_PATH.fullmatch(path)
        if not found:
            return refusal(ApiError(404))
        if found["token"] != self._token:
            return refusal(ApiError(401))
        if file_match:
            content = self._state.files.get(file_match["file_id"])
            if content is None:
                return refusal(ApiError(404))
            return Reply(200, content, "application/octet-stream")
        try:
            params = read_params(query, content_type, body)
        except ApiError as error:
            return refusal(error)
        return self._logged(found["method"], params, alive)

    def take_webhook_answer(self, content_type: str, body: bytes) -> None:
        """Carries out the method that the answer to a webhook delivery may hold."""
        try:
            params = read_params("", content_type, body)
        except ApiError:
            return  # an answer that is no request is none, however it looks
        method = params.text("method").strip()
        if NOT_IN_ANSWERS.fullmatch(method.lower()):
            return
        del params.values["method"]
        with contextlib.suppress(ConnectionDropped):
            self._logged(method, params, lambda: True)

    def _logged(self, method: str, params: Params, alive: Callable[[], bool]) -> Reply:
        shown = params.to_log() if self._keep_calls else {}
        call = Call(method, shown, time.monotonic())
        if self._keep_calls:
            self._state.calls.append(call)
        reply = self._answer(call, params, alive)
        if self._state.monitor.down:
            raise ConnectionDropped  # the outage began while the answer was made
        call.status = reply.status
        return reply

    def _answer(self, call: Call, params: Params, alive: Callable[[], bool]) -> Reply:
        fault = self._faults.take(call.method)
        if fault is None:
            return self._carry_out(call, params, alive)
        if fault.delay:
            self._state.monitor.rest(fault.delay)
        if fault.status != 200:
            reply = self._failed(call, fault)
        else:
            reply = self._carry_out(call, params, alive)
        if fault.drop_connection:
            raise ConnectionDropped
        return Reply(reply.status, GARBAGE, "text/html") if fault.garbage else reply

    def _failed(self, call: Call, fault: Fault) -> Reply:
        self.counts.count_injected()
        error = ApiError(fault.status, retry_after=fault.retry_after)
        if fault.status == 429 and fault.retry_after is not None:
            error.description = f"Too Many Requests: retry after {fault.retry_after}"
        given = fault.description
        if given:
            prefix = PREFIXES.get(fault.status, "Error")
            error.description = given if given.startswith(prefix) else f"{prefix}: {given}"
        call.description = error.description
        return refusal(error)

    def _carry_out(self, call: Call, params: Params, alive: Callable[[], bool]) -> Reply:
        method = call.method.lower()
        try:
            result = self._api.call(method, params, alive)
        except ApiError as error:
            self.counts.count_refused(error.status)
            call.description = error.description
            self._state.monitor.rest(error.delay_seconds)
            return refusal(error)
        self.counts.count_done(method)
        return json_reply(200, {"ok": True, "result": result})
