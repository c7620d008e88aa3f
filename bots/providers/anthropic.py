"""Anthropic's messages, with the prompt's stable beginning marked for its cache."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

from storage.model import Usage

from ..errors import ProviderError
from . import Chunk, Image, Line, Prompt, in_turns
from .failures import Temper, provider_error

if TYPE_CHECKING:
    from anthropic import AsyncStream
    from anthropic.types import MessageDeltaUsage, RawMessageStreamEvent
    from anthropic.types import Usage as MessageUsage

_HOME = "https://api.anthropic.com"
_KEYLESS = "none"
_IDLE = 240.0
"""Seconds an idle connection is kept: people pause for longer than the SDK's five between two questions."""
_LONG = 6
"""Messages from which on a conversation is worth caching beside its system prompt."""
_UNDER_WAY = "(The conversation is already under way.)"
_FULL = ("max_tokens", "model_context_window_exceeded")
_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class Anthropic:
    """One model behind Anthropic's wire.

    Anthropic counts what it read from or wrote to its cache apart from `input_tokens`; here `tokens_in` is the
    whole prompt, the sum of the three, as for every other provider."""

    name = "anthropic"

    def __init__(self, model: str, api_key: str = "", base_url: str | None = None, *, vision: bool = True) -> None:
        """`base_url` names any compatible server; one that wants no key gets none of ours. Without `vision` the model
        is shown no images.

        Imports the SDK, which takes about a second: to be called before a bot is open to people."""
        import httpx2
        from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient

        self.model = model
        self._key = api_key
        self._vision = vision
        self._temper = Temper()
        self._client = AsyncAnthropic(
            # Never None: the SDK would look both up in the environment and in the home folder.
            api_key=api_key or _KEYLESS,
            base_url=base_url or _HOME,
            max_retries=0,
            open_telemetry=False,
            http_client=DefaultAsyncHttpxClient(limits=httpx2.Limits(max_connections=None, keepalive_expiry=_IDLE)),
        )
        # Loaded now rather than in front of the first answer.
        self._messages = self._client.messages

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        stream, reason, counts = None, None, dict.fromkeys(_COUNTS, 0)
        try:
            stream = await self._temper.asked(self._asked, prompt)
            async for event in stream:
                if event.type == "content_block_delta":
                    if event.delta.type == "text_delta" and event.delta.text:
                        yield Chunk(event.delta.text)
                elif event.type == "message_delta":
                    reason = event.delta.stop_reason or reason
                    _count(counts, event.usage)
                elif event.type == "message_start":
                    _count(counts, event.message.usage)
            _check(reason)
            used = self._usage(counts)
        except Exception as error:
            raise provider_error(error, self._key) from None
        finally:
            if stream is not None:
                await stream.close()
        yield Chunk(usage=used, full=reason in _FULL)

    async def close(self) -> None:
        await self._client.close()

    async def _asked(self, prompt: Prompt) -> AsyncStream[RawMessageStreamEvent]:
        options: dict[str, Any] = {"system": [_block(prompt.system, cached=True)]} if prompt.system else {}
        if self._temper.wanted(prompt):
            # The SDK's own argument is gone; models that take a temperature still read it from the body.
            options["extra_body"] = {"temperature": prompt.temperature}
        shown = messages(prompt.lines, vision=self._vision)
        stream: AsyncStream[RawMessageStreamEvent] = await self._messages.create(
            model=self.model, max_tokens=prompt.max_tokens, messages=shown, stream=True, **options
        )
        return stream

    def _usage(self, counts: dict[str, int]) -> Usage:
        read, written = counts["cache_read_input_tokens"], counts["cache_creation_input_tokens"]
        return Usage(
            provider=self.name,
            model=self.model,
            tokens_in=counts["input_tokens"] + read + written,
            tokens_out=counts["output_tokens"],
            cache_read=read,
            cache_write=written,
        )


def messages(lines: Sequence[Line], *, vision: bool = True) -> list[Any]:
    """The lines as the API wants them: a user first, roles in turn; with `vision` what stands beside them.

    In a long conversation the last message before the question is marked for the cache. Every message is a block
    whether marked or not, so that the same beginning is the same bytes in the next turn."""
    first = [Line("user", _UNDER_WAY)] if lines and lines[0].role != "user" else []
    merged = in_turns((*first, *lines))
    marked = len(merged) - 2 if len(merged) >= _LONG else None
    return [
        {
            "role": line.role,
            "content": [
                *(_picture(image) for image in line.images if vision and line.role == "user"),
                _block(line.text, cached=place == marked),
            ],
        }
        for place, line in enumerate(merged)
    ]


def _picture(image: Image) -> dict[str, Any]:
    data = base64.b64encode(image.data).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": data}}


def _block(text: str, *, cached: bool) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": text}
    if cached:
        block["cache_control"] = {"type": "ephemeral"}
    return block


def _count(counts: dict[str, int], usage: MessageUsage | MessageDeltaUsage | None) -> None:
    """Takes over what `usage` reports: its counts are cumulative, and the later event may repeat only some."""
    for name in _COUNTS:
        count = getattr(usage, name, None)
        # The SDK takes whatever a compatible server writes there.
        counts[name] = count if isinstance(count, int) and count > 0 else counts[name]


def _check(reason: str | None) -> None:
    """Whether an answer that ended was whole."""
    if reason == "refusal":
        raise ProviderError("filtered", "stop_reason refusal")
    if reason is None:
        raise ProviderError("unavailable", "the stream ended without a stop_reason")
