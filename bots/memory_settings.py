"""What people may write about what a bot remembers, recalls and understands: memory, embedder, routing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .values import Address, Secret, Section, Span, Url

OFF = "off, for `memory.enabled` is false: nothing is learned, and nothing of earlier talk is recalled"
"""For people, of a bot without a memory."""
WORDS_ALONE = "words alone"
"""What a bot without an embedder finds earlier talk by."""


class EmbedderSettings(Section):
    """What turns texts into vectors, for recall and routing by meaning."""

    provider: Literal["auto", "minilm", "openai", "hashed", "none"] = "auto"
    """`minilm` is a small model on this machine (`make embed` installs it), `openai` any server that speaks OpenAI's
    embeddings, `hashed` likeness of letters alone, `none` words alone; `auto` takes `minilm` where it is installed."""
    model: Annotated[str, Field(min_length=1)] = "text-embedding-3-small"
    """For `openai`: the model's name at the provider."""
    api_key: Secret | None = None
    """For `openai`: left empty, the embedder is off and the bot says so, unless `base_url` names a server."""
    base_url: Url = None
    """For `openai`: any server that speaks OpenAI's protocol."""
    path: Address = None
    """For `minilm`: a folder with `model.safetensors` and `vocab.txt`, if the model is not installed as a package.
    While a bot runs, replace these files by renaming others to their names: to overwrite or shorten one that is in use
    ends the bot."""


class MemorySettings(Section):
    """What a bot remembers beyond a session, and how much of it a model is shown."""

    enabled: bool = True
    """Whether the bot remembers and recalls anything beyond a session at all."""
    extract: Literal["auto", "model", "rules", "off"] = "auto"
    """Who finds what is worth remembering in what was said: a model, rules on this machine, or nobody; `auto` is a
    model where one is set, and rules otherwise."""
    calls: Annotated[int, Field(ge=0, le=10_000)] = 24
    """How often in a day of UTC a model may be asked for it; beyond that the rules do."""
    recall_tokens: Annotated[int, Field(ge=0, le=32_000)] = 1_000
    """The most that recalled memories and notes take of a prompt; 0 recalls nothing."""
    half_life: Span = 30 * 86_400
    """The time in which a memory that nobody needs loses half its weight."""
    capacity: Annotated[int, Field(ge=10, le=1_000_000)] = 10_000
    """Memories for one audience; beyond that the least useful are put together into summaries."""


class RoutingSettings(Section):
    """How the persona is found where no rule names one."""

    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """How sure it must be that a persona was meant, from 0 to 1, before another than the default answers. Left out:
    what `troupe route calibrate` has found, or what is built in."""
    split: bool = False
    """Whether a message on several topics is answered by each persona for its part, in one reply."""
    tie_breaks: Annotated[int, Field(ge=0, le=10_000)] = 0
    """How often in a day of UTC a model may be asked which of two personas was meant, where they are close."""
