"""Messages over HTTP: read both ways, worded anew, taken away, reacted to, noted on, explained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from storage.backend import Page
from storage.forgetting import is_theirs
from storage.model import Annotation, Message, Reaction, Session, storable

from ..errors import TroupeError
from ..explaining_sessions import SessionsExplained
from ..sessions import short
from .callers import Caller, Chatter, Reader
from .desk import At, Desk
from .given import Cursor, Html, Id
from .problems import Forbidden, NotThere, WebError
from .shapes import MessageShown, PageShown, messages_shown

router = APIRouter(prefix="/api/chat", tags=["messages"])

_MARKS = 100
"""Notes on one message, and emoji."""
Emoji = Annotated[str, Path(min_length=1, max_length=64), AfterValidator(storable)]


class Reworded(BaseModel):
    """A message in other words."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(min_length=1, max_length=100_000), AfterValidator(storable)]


class Note(BaseModel):
    """What somebody notes on a message."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["thumb", "remark", "insight"]
    text: Annotated[str, Field(min_length=1, max_length=4_000), AfterValidator(storable)]
    """For a thumb `up` or `down`; one of each person counts."""


class WhyShown(BaseModel):
    """Why a message is what it is, and where it is."""

    message_id: str
    lines: list[str]
    """For people, a fact each."""
    facts: dict[str, Any] | None = None
    """Of an answer: `persona`, `why`, `decision`, `understood`, `recalled` and `cited`."""


@router.get("/sessions/{id}/messages")
async def messages(
    desk: At,
    caller: Reader,
    id: Id,
    cursor: Cursor = None,
    around: Annotated[
        str | None, Query(max_length=200, description="The id of a message: the page that it stands in the middle of.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    html: Html = False,
) -> PageShown[MessageShown]:
    """What was said in a session, oldest first; without a cursor the newest page, with `oldest` the oldest."""
    session = await caller.session(desk, id)
    if around is None:
        page = await desk.store.read(session.id, cursor=cursor, limit=limit)
    else:
        page = await _around(desk, session, around, limit)
    told = await messages_shown(desk, page.items, caller, html=html)
    return PageShown(items=told, older=page.older, newer=page.newer)


@router.get("/messages/{id}")
async def message(desk: At, caller: Reader, id: Id, html: Html = False) -> MessageShown:
    """One message."""
    found, _ = await caller.message(desk, id)
    return await _shown(desk, caller, found, html=html)


@router.put("/messages/{id}")
async def reword_message(desk: At, caller: Chatter, id: Id, given: Reworded, html: Html = False) -> MessageShown:
    """Words a message anew: one's own, or an answer in one's own place. The earlier wording stays known, copies in
    other sessions follow, and an answer to it that is under way is asked anew."""
    found, session = await caller.message(desk, id)
    answered_here = session.channel.key == caller.channel.key and found.role == "assistant"
    if not (is_theirs(found.sender, caller.person.id) or answered_here):
        raise Forbidden("Only who said that can word it anew; a branch from here says something else instead.")
    changed = await desk.bot.afterwards.reword(found.id, given.text, desk.now())
    return await _shown(desk, caller, _still(changed, id), html=html)


@router.delete("/messages/{id}", status_code=204)
async def delete_message(desk: At, caller: Chatter, id: Id) -> None:
    """Takes a message out of sight, and its copies in other sessions; what was learned from it goes as well."""
    found, session = await caller.message(desk, id)
    own = session.channel.key == caller.channel.key or is_theirs(found.sender, caller.person.id)
    if not (own or caller.may("admin")):
        raise Forbidden("Only who said that can take it away.")
    _still(await desk.bot.afterwards.delete(found.id, desk.now()), id)


@router.put("/messages/{id}/reactions/{emoji}")
async def react(desk: At, caller: Chatter, id: Id, emoji: Emoji) -> MessageShown:
    """Puts an emoji on a message; each of one person counts once."""
    found, _ = await caller.message(desk, id)
    if not emoji.strip() or not emoji.isprintable() or "\ufffd" in emoji:
        raise TroupeError("That is no emoji: send a character that can be seen.")
    if len(found.reactions) >= _MARKS:
        raise TroupeError(f"There are {len(found.reactions)} reactions on that already, which is the most.")
    reaction = Reaction(emoji=emoji, sender=caller.person, at=desk.now())
    return await _shown(desk, caller, _still(await desk.bot.afterwards.react(found.id, reaction), id))


@router.delete("/messages/{id}/reactions/{emoji}")
async def take_reaction_back(desk: At, caller: Chatter, id: Id, emoji: Emoji) -> MessageShown:
    """Takes the caller's own emoji off a message."""
    found, _ = await caller.message(desk, id)
    changed = await desk.bot.afterwards.unreact(found.id, emoji, caller.person.id)
    return await _shown(desk, caller, _still(changed, id))


@router.post("/messages/{id}/annotations", status_code=201)
async def annotate(desk: At, caller: Chatter, id: Id, given: Note) -> MessageShown:
    """Notes something on a message."""
    found, _ = await caller.message(desk, id)
    if given.kind == "thumb" and given.text not in ("up", "down"):
        raise TroupeError("A thumb is `up` or `down`.")
    if len(found.annotations) >= _MARKS:
        raise TroupeError(f"There are {len(found.annotations)} notes on that already, which is the most.")
    me = caller.person
    note_id = f"thumb-{found.id}-{me.id}" if given.kind == "thumb" else desk.bot.new_id()
    note = Annotation(id=note_id, kind=given.kind, text=given.text, sender=me, at=desk.now())
    return await _shown(desk, caller, _still(await desk.bot.afterwards.annotate(found.id, note), id))


@router.delete("/messages/{id}/annotations/{annotation_id}")
async def take_annotation_back(
    desk: At, caller: Chatter, id: Id, annotation_id: Annotated[str, Path(min_length=1, max_length=200)]
) -> MessageShown:
    """Takes a note off a message: one's own, or with the scope `admin` anybody's."""
    found, _ = await caller.message(desk, id)
    note = next((each for each in found.annotations if each.id == annotation_id), None)
    if note is None:
        raise NotThere("There is no such note on that message.")
    if not (is_theirs(note.sender, caller.person.id) or caller.may("admin")):
        raise Forbidden(f"Only {note.sender.name}, whose note it is, can take it back.")
    changed = await desk.bot.afterwards.unannotate(found.id, note.id)
    return await _shown(desk, caller, _still(changed, id))


@router.get("/messages/{id}/why")
async def why(desk: At, caller: Reader, id: Id) -> WhyShown:
    """Why an answer came from whom it did, with what in mind; or why a line is in the session that it is in."""
    found, _ = await caller.message(desk, id)
    if found.role == "assistant":
        told = desk.bot.explaining
        facts = {name: fact for name, fact in (await told.facts(found)).items() if name != "message"}
        return WhyShown(message_id=found.id, lines=await told.of(found, desk.settings), facts=facts)
    placed = SessionsExplained(desk.store, desk.bot.conversations, desk.bot.sessions)
    return WhyShown(message_id=found.id, lines=(await placed.of(found)).splitlines())


async def _around(desk: Desk, session: Session, message_id: str, limit: int) -> Page[Message]:
    """The page that a message stands in the middle of."""
    found = await desk.store.message(storable(message_id))
    if found is None or found.session_id != session.id:
        raise WebError("That message is not part of the session: leave `around` out, or name another one.")
    after = await desk.store.read(session.id, cursor=await desk.store.after(found.id), limit=max(1, limit // 2))
    behind = after.items if limit > 1 else ()
    before = await desk.store.read(session.id, cursor=after.older, limit=limit - len(behind))
    return Page((*before.items, *behind), before.older, after.newer if behind else before.newer)


def _still(changed: Message | None, id: str) -> Message:
    if changed is None:
        raise NotThere(f"There is no message '{short(id, 60)}' any more.")
    return changed


async def _shown(desk: Desk, caller: Caller, message: Message, *, html: bool = False) -> MessageShown:
    (told,) = await messages_shown(desk, [message], caller, html=html)
    return told
