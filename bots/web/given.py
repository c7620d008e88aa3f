"""What callers give: ids, cursors and words, bounded and fit to be kept; which talk they mean, and which persona."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from storage.model import Channel, storable
from storage.sought import Sought

from .. import seeking
from ..errors import TroupeError
from ..settings import PersonaSettings
from ..titles import JOINERS, on_one_line
from .callers import Caller
from .desk import Desk

Id = Annotated[str, Path(min_length=1, max_length=200), AfterValidator(storable)]
IdGiven = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]
Cursor = Annotated[
    str | None, Query(max_length=400, description="Where the page before ended; without it, the newest.")
]
Html = Annotated[bool, Query(description="Tell words as HTML, too.")]
Short = Annotated[str, Field(max_length=200), AfterValidator(storable)]


def _one_line(text: str) -> str:
    """Empty where there is nothing that could be seen."""
    kept = on_one_line(storable(text))
    return kept if kept.strip(JOINERS) else ""


def _seen(text: str) -> str:
    if not (kept := _one_line(text)):
        raise ValueError("there is nothing in it that could be seen")
    return kept


def _in_reach(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except (OverflowError, ValueError):
        raise ValueError("no such time can be told in UTC") from None


Title = Annotated[str, Field(max_length=100), AfterValidator(_one_line)]
Tag = Annotated[str, Field(min_length=1, max_length=40, pattern="^[^,]*$"), AfterValidator(_seen)]
Time = Annotated[AwareDatetime, AfterValidator(_in_reach)]


class Filters(BaseModel):
    """Which talk is meant; what is not said matters not."""

    tag: Annotated[list[Short], Field(max_length=20)] = []
    """The session has all of these."""
    starred: bool | None = None
    """Only starred sessions, or only others."""
    archived: bool | None = None
    """Only archived sessions, or only others."""
    persona: Short = ""
    """It said something there."""
    person: Short = ""
    """A name or an id of somebody who said something there."""
    since: Short = ""
    """From then on: `2026-03-02`, or with a time `2026-03-02T18:30`, in UTC where no zone is named."""
    until: Short = ""
    """Up to then, said in the same way as `since`; a day alone counts in full."""
    files: bool | None = None
    """Whether there is a file beside a message."""
    channel: Short = ""
    """A channel's key, id or name."""
    mine: bool = False
    """Only what is in the caller's own place on the web."""

    async def sought(self, desk: Desk, caller: Caller) -> Sought:
        """What is meant, as far as the caller may see it. Raises `TroupeError` for names that nobody and nothing
        there has: of others' places and names nothing is told."""
        wide = caller.keys is None
        own = wide or not self.channel.strip() or is_named(caller.channel, self.channel)
        found = await seeking.sought(
            desk.store,
            desk.settings.personas,
            channels=(self.channel,) if wide and self.channel.strip() else (),
            person=self.person if wide else "",
            persona=self.persona,
            tags=self.tag,
            since=self.since,
            until=self.until,
            starred=self.starred,
            archived=self.archived,
            files=self.files,
        )
        if not wide and self.person.strip():
            called = self.person.strip().removeprefix("@").casefold() == caller.person.name.casefold()
            people = {caller.person.id if called else self.person.strip()}
            found = replace(found, people=people)
        if not own:
            return found.within(())
        return found.within((caller.channel.key,) if self.mine else caller.keys)


def personas(desk: Desk, caller: Caller) -> list[PersonaSettings]:
    """Those whom the caller may ask."""
    allowed = desk.bot.admission.access.grant(caller.channel, caller.person, ()).personas
    return [each for each in desk.settings.personas if allowed is None or each.name in allowed]


def persona_named(desk: Desk, caller: Caller, name: str) -> PersonaSettings:
    """The persona meant, by any of its names, of those whom the caller may ask. Raises `TroupeError`."""
    known, wanted = personas(desk, caller), name.strip().casefold()
    for each in known:
        if wanted in (each.name, each.display.casefold(), *(alias.casefold() for alias in each.aliases)):
            return each
    names = ", ".join(each.display for each in known) or "nobody"
    raise TroupeError(f"Nobody here is called {name[:80]!r}. You can ask for {names}.")


def is_named(channel: Channel, name: str) -> bool:
    """Whether a channel is called that: by its key, its id or its name."""
    return name.strip().casefold() in (channel.key.casefold(), channel.id.casefold(), channel.name.casefold())
