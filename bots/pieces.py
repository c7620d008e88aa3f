"""The pieces in which an answer arrives at a front."""

from __future__ import annotations

from dataclasses import dataclass

from storage.model import Message

from .router import Decision


@dataclass(frozen=True, slots=True)
class Opened:
    """Somebody is about to answer."""

    message_id: str
    """The id that the answer will have."""
    speaker: str
    decision: Decision
    persona: str
    """The speaker's name in the config."""


@dataclass(frozen=True, slots=True)
class Delta:
    """More words."""

    text: str


@dataclass(frozen=True, slots=True)
class Reset:
    """Forget the words so far: the same person said more, and the answer starts anew."""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer as it is kept; its `text` is exactly what people should end up seeing."""

    message: Message


@dataclass(frozen=True, slots=True)
class Left:
    """Forget the words so far, and nothing more comes from here: the bot goes elsewhere, and these lines, which are
    kept, want an answer there."""

    lines: tuple[Message, ...]


Piece = Opened | Delta | Reset | Done | Left
