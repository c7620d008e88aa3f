"""How OpenAI and Anthropic write an answer, an error and a refusal on the wire."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from typing import Any, Protocol

from bots.providers import Image, Line


class Wish(Protocol):
    """What a form needs to know of a scripted answer."""

    @property
    def finish(self) -> str | None: ...
    @property
    def usage(self) -> bool: ...
    @property
    def cache_read(self) -> int: ...
    @property
    def cache_write(self) -> int: ...
    @property
    def odd(self) -> bool: ...


class Form(Protocol):
    """One answer written in one wire's way."""

    def head(self) -> bytes:
        """What comes before the first piece."""

    def piece(self, text: str) -> bytes: ...

    def tail(self) -> bytes:
        """What comes after the last piece, usage included."""

    def error(self) -> bytes:
        """The wire's error event."""

    def garbled(self) -> bytes:
        """An event torn in the middle of its JSON."""

    def whole(self) -> dict[str, Any]:
        """The answer to a request that does not stream."""


class OpenAIForm:
    """The chat-completions wire."""

    def __init__(self, model: str, text: str, system: str, lines: Sequence[Line], wish: Wish) -> None:
        self._text, self._wish = text, wish
        self._finish = wish.finish or "stop"
        self._common = {"id": "chatcmpl-loopback", "created": int(time.time()), "model": model}
        tokens_in = _words(system, *(line.text for line in lines)) + wish.cache_read
        self._usage = {
            "prompt_tokens": tokens_in,
            "completion_tokens": _words(text),
            "total_tokens": tokens_in + _words(text),
            "prompt_tokens_details": {"cached_tokens": wish.cache_read},
        }

    def head(self) -> bytes:
        odd = b""
        if self._wish.odd:
            odd = b": PROCESSING\n\n" + self._event([]) + self._event([{"index": 0, "delta": None}])
        return odd + self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def tail(self) -> bytes:
        end = self._chunk({}, self._finish)
        if self._wish.usage:
            end += self._event([], usage=self._usage)
        return end + b"data: [DONE]\n\n"

    def error(self) -> bytes:
        return _data({"error": {"message": "The server had an error.", "type": "server_error", "code": None}})

    def garbled(self) -> bytes:
        return self._chunk({"content": "torn"})[:-12] + b"\n\n"

    def whole(self) -> dict[str, Any]:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self._text, "refusal": None},
            "finish_reason": self._finish,
        }
        return {**self._common, "object": "chat.completion", "choices": [choice], "usage": self._usage}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return self._event([{"index": 0, "delta": delta, "finish_reason": finish}])

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return _data({**self._common, "object": "chat.completion.chunk", "choices": choices, **more})


class AnthropicForm:
    """The messages wire."""

    def __init__(self, model: str, text: str, system: str, lines: Sequence[Line], wish: Wish) -> None:
        self._text, self._wish = text, wish
        self._finish = wish.finish or "end_turn"
        self._message = {"id": "msg_loopback", "type": "message", "role": "assistant", "model": model}
        self._usage = {
            "input_tokens": _words(system, *(line.text for line in lines)),
            "cache_creation_input_tokens": wish.cache_write,
            "cache_read_input_tokens": wish.cache_read,
        }

    def head(self) -> bytes:
        ends: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
        usage = {"usage": {**self._usage, "output_tokens": 1}} if self._wish.usage else {}
        return (
            _named("message_start", message={**self._message, **ends, **usage})
            + _named("content_block_start", index=0, content_block={"type": "text", "text": ""})
            + _named("ping")
        )

    def piece(self, text: str) -> bytes:
        return _named("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def tail(self) -> bytes:
        delta = {"stop_reason": self._finish, "stop_sequence": None}
        usage = {"usage": {"output_tokens": _words(self._text)}} if self._wish.usage else {}
        return (
            _named("content_block_stop", index=0)
            + _named("message_delta", delta=delta, **usage)
            + _named("message_stop")
        )

    def error(self) -> bytes:
        return _named("error", error={"type": "overloaded_error", "message": "Overloaded"})

    def garbled(self) -> bytes:
        return self.piece("torn")[:-12] + b"\n\n"

    def whole(self) -> dict[str, Any]:
        return {
            **self._message,
            "content": [{"type": "text", "text": self._text}],
            "stop_reason": self._finish,
            "stop_sequence": None,
            "usage": {**self._usage, "output_tokens": _words(self._text)},
        }


FORMS: dict[str, type[OpenAIForm] | type[AnthropicForm]] = {"openai": OpenAIForm, "anthropic": AnthropicForm}

_OPENAI_TYPES = {401: "invalid_request_error", 429: "rate_limit_exceeded", 500: "server_error"}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def refusal(wire: str, status: int, message: str) -> dict[str, Any]:
    """The JSON body of an error status."""
    if wire == "openai":
        kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        code = "invalid_api_key" if status == 401 else None
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}
    kind = _ANTHROPIC_TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_loopback"}


def heard(wire: str, body: dict[str, Any]) -> tuple[str, tuple[Line, ...]]:
    """The system prompt and the lines of a request, blocks joined, with the images beside them."""
    messages = body.get("messages", [])
    system = _text(body.get("system", ""))
    if wire == "openai":
        system = "\n".join(_text(m["content"]) for m in messages if m["role"] in ("system", "developer"))
    said = (m for m in messages if m["role"] in ("user", "assistant"))
    return system, tuple(Line(m["role"], _text(m["content"]), _images(m["content"])) for m in said)


def _text(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def _images(content: str | list[dict[str, Any]]) -> tuple[Image, ...]:
    blocks = [] if isinstance(content, str) else content
    return tuple(_image(block) for block in blocks if block["type"] in ("image", "image_url"))


def _image(block: dict[str, Any]) -> Image:
    if block["type"] == "image":
        assert block["source"]["type"] == "base64"
        return Image(block["source"]["media_type"], base64.b64decode(block["source"]["data"], validate=True))
    head, _, data = block["image_url"]["url"].partition(";base64,")
    assert head.startswith("data:image/")
    return Image(head.removeprefix("data:"), base64.b64decode(data, validate=True))


def _words(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)


def _named(event: str, **fields: Any) -> bytes:
    return f"event: {event}\n".encode() + _data({"type": event, **fields})


def _data(fields: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"
