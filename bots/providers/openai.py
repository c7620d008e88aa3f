"""OpenAI's chat completions, and every server that speaks them: OpenRouter, Ollama, vLLM, Gemini's endpoint."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from storage.model import Usage

from ..errors import ProviderError
from . import Chunk, Image, Line, Prompt, in_turns
from .failures import Temper, provider_error, told

if TYPE_CHECKING:
    from openai import AsyncAPIResponse, AsyncOpenAI

_HOME = "https://api.openai.com/v1"
_KEYLESS = "none"
_IDLE = 240.0
"""Seconds an idle connection is kept: people pause for longer than the SDK's five between two questions."""


class OpenAI:
    """One model behind OpenAI's wire.

    Usage is the server's own: `tokens_in` is the whole prompt with what came from the cache, `cache_read` the part
    that did, `cache_write` is not reported. Everything stays 0 where a server sends no usage."""

    name = "openai"

    def __init__(self, model: str, api_key: str = "", base_url: str | None = None, *, vision: bool = True) -> None:
        """`base_url` names any compatible server; one that wants no key gets none of ours. Without `vision` the model
        is shown no images.

        Imports the SDK, which takes about half a second: to be called before a bot is open to people."""
        self.model = model
        self._key = api_key
        self._vision = vision
        # OpenAI's newer models know only the one name, most other servers only the other.
        self._longest = "max_completion_tokens" if base_url is None else "max_tokens"
        self._temper = Temper()
        self._client = client(api_key, base_url)
        # The SDK's own reading of the stream builds a tree of objects for every piece, ten times the work of taking
        # the two or three fields wanted: at a hundred answers at once that was most of the time a bot took.
        # Looked up now, so that what it imports is loaded before the first answer.
        self._completions = self._client.chat.completions.with_streaming_response

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        response, usage, reason = None, None, None
        try:
            response = await self._temper.asked(self._asked, prompt)
            async for line in response.iter_lines():
                event = _event(line)
                usage = event.get("usage") or usage
                for choice in event.get("choices") or ():
                    reason = choice.get("finish_reason") or reason
                    said = (choice.get("delta") or {}).get("content")
                    if said:
                        words = said if isinstance(said, str) else _words(said)
                        if words:
                            yield Chunk(words)
            _check(reason, usage)
            used = self._usage(usage)
        except Exception as error:
            raise provider_error(error, self._key) from None
        finally:
            if response is not None:
                await response.close()
        yield Chunk(usage=used, full=reason == "length")

    async def close(self) -> None:
        await self._client.close()

    async def _asked(self, prompt: Prompt) -> AsyncAPIResponse[Any]:
        messages: list[dict[str, Any]] = [{"role": "system", "content": prompt.system}] if prompt.system else []
        messages += [{"role": line.role, "content": self._content(line)} for line in in_turns(prompt.lines)]
        body: dict[str, Any] = {"messages": messages, self._longest: prompt.max_tokens}
        if self._temper.wanted(prompt):
            body["temperature"] = prompt.temperature
        # Past the SDK's walk over `messages`, which takes 10 ms for forty of them.
        asking = self._completions.create(
            model=self.model, messages=[], stream=True, stream_options={"include_usage": True}, extra_body=body
        )
        return await asking.__aenter__()  # left again by `response.close()`, which is all that its exit does

    def _content(self, line: Line) -> str | list[dict[str, Any]]:
        """A line's text, and in parts of its own what stands beside it; many servers take only the bare text."""
        if not (line.images and self._vision and line.role == "user"):
            return line.text
        # Behind the text, so that the beginning stays the same whether there are images or not.
        return [
            {"type": "text", "text": line.text},
            *({"type": "image_url", "image_url": {"url": _data_url(image)}} for image in line.images),
        ]

    def _usage(self, usage: object) -> Usage:
        return Usage(
            provider=self.name,
            model=self.model,
            tokens_in=_count(usage, "prompt_tokens"),
            tokens_out=_count(usage, "completion_tokens"),
            cache_read=_count(_field(usage, "prompt_tokens_details"), "cached_tokens"),
        )


def client(api_key: str, base_url: str | None, *, retries: int = 0) -> AsyncOpenAI:
    """The SDK's client for OpenAI or the server at `base_url`. Imports the SDK, which takes about half a second."""
    import httpx2
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    return AsyncOpenAI(
        # Never None: the SDK would take both from the environment, and send OpenAI's key anywhere.
        api_key=api_key or _KEYLESS,
        base_url=base_url or _HOME,
        max_retries=retries,
        http_client=DefaultAsyncHttpxClient(limits=httpx2.Limits(max_connections=None, keepalive_expiry=_IDLE)),
    )


def _data_url(image: Image) -> str:
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"


def _words(said: object) -> str:
    """The words among the parts in which reasoning models of some servers write; their thoughts stay with them."""
    parts = said if isinstance(said, list) else ()
    texts = (_field(part, "text") for part in parts if _field(part, "type") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def _count(usage: object, name: str) -> int:
    """A number of tokens; 0 where a server wrote anything else there."""
    number = _field(usage, name)
    return number if isinstance(number, int) and number > 0 else 0


def _field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _event(line: str) -> dict[str, Any]:
    """What one line of the stream says; nothing where it is a comment, blank or the end mark."""
    name, _, data = line.partition(":")
    if name != "data" or data.strip() == "[DONE]":
        return {}
    event = json.loads(data)
    if not isinstance(event, dict):
        raise ProviderError("unavailable", f"the stream holds {type(event).__name__}, not an event")
    if event.get("error"):
        raise ProviderError("unavailable", f"the stream ended in an error{told(event)}")
    return event


def _check(reason: str | None, usage: object) -> None:
    """Whether an answer that ended was whole."""
    if reason == "content_filter":
        raise ProviderError("filtered", "finish_reason content_filter")
    if reason is None and usage is None:
        raise ProviderError("unavailable", "the stream ended without a finish_reason")
