"""Search over HTTP: messages that hold words, with who, when and where."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field

from storage.model import storable
from storage.sought import EVERYTHING

from ..errors import TroupeError
from ..titles import titled
from .callers import Reader
from .desk import At
from .given import Filters
from .shapes import MessageShown, SessionShown, messages_shown, session_shown

router = APIRouter(prefix="/api/chat", tags=["sessions"])


class Sought(Filters):
    """What is looked for."""

    q: Annotated[str, Field(max_length=1_000), AfterValidator(storable)] = ""
    """Words: all of them; `"several in a row"`, `-without`, `begin*`. Empty, the newest of what the filters leave."""


class HitShown(BaseModel):
    """A message that was found."""

    message: MessageShown
    session: SessionShown
    snippet: str
    """The stretch of its words that tells why."""
    hits: list[tuple[int, int]]
    """Where in the snippet the words stand: from, to, in characters."""
    score: float


class HitsShown(BaseModel):
    """What was found, the best first."""

    items: list[HitShown]
    more: int | None = None
    """What to `skip` for the next ones; null where there are none."""


@router.get("/search")
async def search(
    desk: At,
    caller: Reader,
    wanted: Annotated[Sought, Query()],
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    skip: Annotated[int, Query(ge=0, le=1_000)] = 0,
) -> HitsShown:
    """Messages in sight that hold the words, the best match first."""
    sought = await wanted.sought(desk, caller)
    if not wanted.q.strip() and sought.within(None) == EVERYTHING.within(caller.keys):
        raise TroupeError("Say which words to look for, or whose, when, or with which tag.")
    found = await desk.store.search(wanted.q, sought=sought, limit=limit + 1, skip=skip)
    shown = await messages_shown(desk, [each.message for each in found[:limit]], caller)
    sessions: dict[str, SessionShown] = {}
    items = list[HitShown]()
    for each, message in zip(found, shown, strict=False):
        if message.session_id not in sessions:
            session = await desk.store.session(message.session_id)
            if session is None:  # removed meanwhile
                continue
            sessions[session.id] = session_shown(await titled(desk.store, session), caller)
        hits = {"snippet": each.snippet, "hits": list(each.hits), "score": each.score}
        items.append(HitShown(message=message, session=sessions[message.session_id], **hits))
    return HitsShown(items=items, more=skip + limit if len(found) > limit else None)
