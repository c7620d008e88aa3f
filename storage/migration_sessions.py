"""The sessions of a migration: where each stands between the two times that a reader gives it, and what is saved."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Sender, Session, SessionContext

UNFINISHED = "migration"
"""In the metadata of a session whose migration was cut off; gone once all of it is there."""


@dataclass(slots=True)
class Talk:
    """One session on its way."""

    first: Session
    """As it was given first."""
    kept: Session | None
    """As it stood in the store before."""
    final: Session | None = None
    """As it was given last."""
    refused: str = ""
    """Why nothing of it is taken."""
    found: int = 0
    taken: int = 0
    left_out: int = 0
    silenced: bool = False
    """Whether something of somebody who asked to be forgotten was left out of it."""
    heard: bool = False
    """Whether it was given before."""
    quiet: bool = False
    """Whether the line before was."""

    counted: bool = False
    _begun: Session | None = None

    def current(self) -> Session:
        """What its messages are kept with."""
        if self.kept is not None:
            return self.kept
        if self._begun is None:
            marked = {**self.first.metadata, UNFINISHED: "unfinished"}
            self._begun = self._decent(self.first).model_copy(update={"metadata": marked})
        return self._begun

    def silence(self) -> None:
        """A line of somebody who asked to be forgotten was left out of it."""
        self.quiet = True
        if not self.silenced:
            self.silenced, self._begun = True, None

    def finished(self) -> Session | None:
        """What is to be saved now that it is complete; None where it stays as it is.

        What people have changed since stays. A session of which every message is kept elsewhere is not made."""
        final = self._decent(self.final or self.first)
        if self.kept is None:
            empty = self.found == 0 and self.left_out == 0
            return final if self.taken or empty else None
        if UNFINISHED in self.kept.metadata:
            return _resumed(self.kept, self.first, final)
        late = self.kept.last_at < final.last_at and not self.left_out  # cut off where its end was being written
        return _grown(self.kept, final) if self.taken or late else None

    def _decent(self, session: Session) -> Session:
        """A session without the words that may quote somebody who asked to be forgotten."""
        if not self.silenced:
            return session
        return session.model_copy(update={"title": "", "context": SessionContext()})


def _resumed(kept: Session, first: Session, final: Session) -> Session:
    """A session that was cut off, complete: what is no longer as the migration left it was changed by people."""
    theirs = {
        name: getattr(kept, name)
        for name in Session.model_fields
        if name not in _WORKED_OUT and getattr(kept, name) != getattr(first, name)
    }
    noted = {key: value for key, value in kept.metadata.items() if first.metadata.get(key) != value}
    noted.pop(UNFINISHED, None)
    grown = _grown(kept, final)
    own = {
        "participants": grown.participants,
        "last_at": grown.last_at,
        "closed_at": kept.closed_at if kept.last_at > final.last_at else final.closed_at,
        "metadata": {**final.metadata, **noted},
    }
    return final.model_copy(update={**theirs, **own})


def _grown(kept: Session, final: Session) -> Session:
    """A session that was complete, and of which the source has more now."""
    closed = final.closed_at if kept.closed_at and kept.last_at <= final.last_at else kept.closed_at
    return kept.model_copy(
        update={
            "participants": _together(final.participants, kept.participants),
            "last_at": max(kept.last_at, final.last_at),
            "closed_at": closed,
        }
    )


def _together(first: tuple[Sender, ...], more: tuple[Sender, ...]) -> tuple[Sender, ...]:
    there = {each.id for each in first}
    return (*first, *(each for each in more if each.id not in there))


_WORKED_OUT = ("id", "channel", "participants", "last_at", "closed_at", "message_count", "metadata")
"""Fields that are worked out, and not simply taken from one side."""
