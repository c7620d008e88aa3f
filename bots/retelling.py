"""Which answers tell what was recalled for them, so that their own words are neither recalled nor summed up.

They may tell what is meant for others, was deleted since, or is to be forgotten.
"""

from __future__ import annotations

from storage.model import Message, Note

RECALLED = "recalled"
"""In an answer's metadata: what was recalled for it, as JSON without a word of it: id, kind, score, why."""


def retells(message: Message) -> bool:
    """Whether it is such an answer."""
    return RECALLED in message.metadata


def taken_back(answer: Message) -> Message:
    """An answer that drew on what was removed while it was given: what it took, without its words."""
    metadata = {name: value for name, value in answer.metadata.items() if name != RECALLED}
    return answer.model_copy(update={"parts": (Note(text="-# (This answer was taken back.)"),), "metadata": metadata})
