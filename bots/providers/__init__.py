"""Who can answer: the contract between a turn and a model, whoever runs the model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from storage.model import Usage

from ..errors import ProviderFailure


@dataclass(frozen=True, slots=True)
class Image:
    """A picture for a model that can see."""

    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the conversation a model sees."""

    role: Literal["user", "assistant"]
    text: str
    images: tuple[Image, ...] = ()
    """What stands beside a user's line; a model that cannot see gets the text alone."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """Something of earlier talk, for a provider that quotes it."""

    id: str
    heading: str
    """Whose words they are, and of when: `You said on 21 November 2026`."""
    words: str
    asked_for: bool = False
    """Whether the question asks for just this, and not only shares words with it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked.

    `system` is byte-stable for a persona and a session, so that providers' prompt caches hit; whatever changes
    from turn to turn stands in the last line. `lines` alternates freely, ends with a user line and has no empty
    text. `question` is what the person said, bare, for providers that answer from text themselves.
    """

    system: str
    lines: tuple[Line, ...]
    question: str
    max_tokens: int = 1024
    temperature: float | None = None
    models: frozenset[str] | None = None
    """The models that may be asked, by name; None is all. The offline provider may always be asked."""
    persona: str = ""
    """The name of the one who answers, for providers that have notes of its own."""
    announced: bool = False
    """Whether people have just been told who answers, and why."""
    earlier: tuple[Earlier, ...] = ()
    """What was recalled, best first, which stands in the last line too: for providers that answer from text
    themselves."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer: words, or a `notice` for people ahead of the words, or what it took, as far as that is
    known by then; the last `usage` counts."""

    text: str = ""
    notice: str = ""
    usage: Usage | None = None
    so_far: Callable[[str], Usage] | None = None
    """Where `usage` is not final, and somebody can say: roughly what an answer takes that ends after such words."""
    full: bool = False
    """Whether the words end here because an answer may not become longer."""
    drew_on: frozenset[str] | None = None
    """The ids of what was recalled that the answer tells; None where nobody can say."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """How a provider has failed, and since when it fails like that."""

    kind: ProviderFailure
    since: datetime


def in_turns(lines: Iterable[Line]) -> list[Line]:
    """The lines with roles in turn, as many servers insist: neighbours of one role become one line."""
    merged: list[Line] = []
    for line in lines:
        if merged and merged[-1].role == line.role:
            merged[-1] = Line(line.role, f"{merged[-1].text}\n{line.text}", (*merged[-1].images, *line.images))
        else:
            merged.append(line)
    return merged


class Provider(Protocol):
    """Somebody who can answer."""

    name: str
    """The kind of provider, as in config: `openai`, `anthropic`, `offline`."""
    model: str

    def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        """The answer piece by piece; its last chunk carries the usage.

        Raises `ProviderError` and nothing else. Closing the iterator (or cancelling its task) ends the request
        at once."""

    async def close(self) -> None:
        """Lets go of connections."""


class Embedder(Protocol):
    """Something that turns texts into vectors in which likeness of meaning is nearness."""

    id: str
    """The model and how it is used, as it stands in `Vector.model`: vectors with different ids are never compared."""
    dimensions: int | None
    """Numbers in a vector; None where that is known only once the provider has answered."""
    semantic: bool
    """Whether it goes by meaning; False where by letters alone."""

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """A vector of length 1 for each text, in the order given; texts beyond its reach are cut. Raises
        `ProviderError` and nothing else."""

    async def close(self) -> None:
        """Lets go of connections and weights."""


def begun(provider: Provider) -> Usage:
    """What an answer took of which nobody knows how much: that it was given, and by whom."""
    return Usage(provider=provider.name, model=provider.model, cost_micros=0 if provider.name == "offline" else None)
