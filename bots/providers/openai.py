"""OpenAI's chat completions, and every server that speaks them: OpenRouter, Ollama, vLLM, Gemini's endpoint."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from storage.model import Usage

from ..errors import ProviderError
from . import Chunk, Prompt
from .failures import provider_error, refuses_temperature

if TYPE_CHECKING:
    from openai import AsyncStream
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionChunk

_HOME = "https://api.openai.com/v1"
_KEYLESS = "none"
_IDLE = 240.0
"""Seconds an idle connection is kept: people pause for longer than the SDK's five between two questions."""


class OpenAI:
    """One model behind OpenAI's wire.

    Usage is the server's own: `tokens_in` is the whole prompt with what came from the cache, `cache_read` the part
    that did, `cache_write` is not reported. Everything stays 0 where a server sends no usage."""

    name = "openai"

    def __init__(self, model: str, api_key: str = "", base_url: str | None = None) -> None:
        """`base_url` names any compatible server; one that wants no key gets none of ours.

        Imports the SDK, which takes about half a second: to be called before a bot is open to people."""
        import httpx2
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        self.model = model
        self._key = api_key
        # OpenAI's newer models know only the one name, most other servers only the other.
        self._longest = "max_completion_tokens" if base_url is None else "max_tokens"
        self._takes_temperature = True
        self._client = AsyncOpenAI(
            # Never None: the SDK would take both from the environment, and send OpenAI's key anywhere.
            api_key=api_key or _KEYLESS,
            base_url=base_url or _HOME,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(limits=httpx2.Limits(max_connections=None, keepalive_expiry=_IDLE)),
        )
        # Loaded now rather than in front of the first answer.
        self._completions = self._client.chat.completions

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        stream, usage, reason = None, None, None
        try:
            stream = await self._opened(prompt)
            async for event in stream:
                usage = event.usage or usage
                for choice in event.choices or ():
                    reason = choice.finish_reason or reason
                    if choice.delta and choice.delta.content:
                        yield Chunk(choice.delta.content)
            _check(reason, usage)
        except Exception as error:
            raise provider_error(error, self._key) from None
        finally:
            if stream is not None:
                await stream.close()
        yield Chunk(usage=self._usage(usage))

    async def close(self) -> None:
        await self._client.close()

    async def _opened(self, prompt: Prompt) -> AsyncStream[ChatCompletionChunk]:
        try:
            return await self._asked(prompt)
        except Exception as error:
            if not self._tempers(prompt) or not refuses_temperature(error):
                raise
        self._takes_temperature = False
        return await self._asked(prompt)

    async def _asked(self, prompt: Prompt) -> AsyncStream[ChatCompletionChunk]:
        messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
        messages += [{"role": line.role, "content": line.text} for line in prompt.lines]
        body: dict[str, Any] = {"messages": messages, self._longest: prompt.max_tokens}
        if self._tempers(prompt):
            body["temperature"] = prompt.temperature
        # Past the SDK's walk over `messages`, which takes 10 ms for forty of them.
        return await self._completions.create(
            model=self.model, messages=[], stream=True, stream_options={"include_usage": True}, extra_body=body
        )

    def _tempers(self, prompt: Prompt) -> bool:
        return self._takes_temperature and prompt.temperature is not None

    def _usage(self, usage: CompletionUsage | None) -> Usage:
        if usage is None:
            return Usage(provider=self.name, model=self.model)
        cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None
        return Usage(
            provider=self.name,
            model=self.model,
            tokens_in=usage.prompt_tokens or 0,
            tokens_out=usage.completion_tokens or 0,
            cache_read=cached or 0,
        )


def _check(reason: str | None, usage: CompletionUsage | None) -> None:
    """Whether an answer that ended was whole."""
    if reason == "content_filter":
        raise ProviderError("filtered", "finish_reason content_filter")
    if reason is None and usage is None:
        raise ProviderError("unavailable", "the stream ended without a finish_reason")
