"""What new sessions can begin with, over HTTP: templates listed, saved and removed."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from storage.model import storable
from storage.records import Template

from ..templates import EVERYWHERE, OPENING
from .callers import Caller, Chatter, Reader
from .desk import At, Desk
from .given import IdGiven
from .problems import Forbidden, NotThere

router = APIRouter(prefix="/api/chat/templates", tags=["sessions"])

_Id = Annotated[str, Path(min_length=1, max_length=400), AfterValidator(storable)]


class SaveTemplate(BaseModel):
    """What is kept of a session as a template."""

    model_config = ConfigDict(extra="forbid")
    session: IdGiven
    """The id of the session."""
    name: Annotated[str, Field(min_length=1, max_length=60)]
    lines: Annotated[int, Field(ge=0, le=OPENING)] = 0
    """How many of its first lines it begins with."""
    everywhere: bool = False
    """Offered in every place, which takes the scope `admin`."""


class OpeningShown(BaseModel):
    """A line that a session begins with."""

    role: Literal["user", "assistant"]
    text: str


class TemplateShown(BaseModel):
    """Something that a session can begin with."""

    id: str
    name: str
    title: str
    persona: str | None
    tags: list[str]
    goals: list[str]
    constraints: list[str]
    shared_knowledge: list[str]
    opening: list[OpeningShown]
    """Empty words are of a line that is no more."""
    everywhere: bool
    written: bool
    """Whether it stands in the configuration, which nobody changes from here."""
    by: str
    mine: bool
    """Whether the caller may remove it."""
    at: AwareDatetime


@router.get("")
async def templates(desk: At, caller: Reader) -> list[TemplateShown]:
    """The templates for the caller's own place: the configuration's first, then the newest."""
    offered = await desk.bot.conversations.templates.offered(desk.settings, caller.channel)
    return [await _shown(desk, caller, each) for each in offered]


@router.post("", status_code=201)
async def save_template(desk: At, caller: Chatter, given: SaveTemplate) -> TemplateShown:
    """Keeps what a session is as a template for its place. Of people's lines only the caller's own are taken."""
    if given.everywhere and not caller.may("admin"):
        raise Forbidden("A template for everywhere takes the scope 'admin'; left at one place, yours will do.")
    session = await caller.session(desk, given.session)
    known = desk.bot.conversations.templates
    saved = await known.save(
        desk.settings, session, given.name, caller.person, lines=given.lines, everywhere=given.everywhere
    )
    return await _shown(desk, caller, saved)


@router.delete("/{id:path}", status_code=204, response_class=Response)
async def remove_template(desk: At, caller: Chatter, id: _Id) -> None:
    """Removes a template for good."""
    known = desk.bot.conversations.templates
    offered = await known.offered(desk.settings, None if caller.keys is None else caller.channel)
    found = next((each for each in offered if each.id == id), None)
    if found is None:
        raise NotThere("There is no such template that you may see.")
    if not (_may(desk, caller, found) or known.is_written(found)):
        raise Forbidden(f"Only {found.by.name}, who saved it, can remove that template.")
    await known.remove(found)


async def _shown(desk: Desk, caller: Caller, template: Template) -> TemplateShown:
    told = template.model_dump(
        include={"id", "name", "title", "persona", "tags", "goals", "constraints", "shared_knowledge", "at"}
    )
    return TemplateShown(
        **told,
        opening=[
            OpeningShown(role=each.role, text=each.text or await _said(desk, each.line)) for each in template.opening
        ],
        everywhere=template.audience == EVERYWHERE,
        written=desk.bot.conversations.templates.is_written(template),
        by=template.by.name,
        mine=_may(desk, caller, template),
    )


def _may(desk: Desk, caller: Caller, template: Template) -> bool:
    known = desk.bot.conversations.templates
    return known.may_change(template, caller.person) or (caller.may("admin") and not known.is_written(template))


async def _said(desk: Desk, line_id: str) -> str:
    """The words of a line, where it is still in sight."""
    line = await desk.store.message(line_id)
    if line is None or line.deleted_at is not None:
        return ""
    session = await desk.store.session(line.session_id)
    return line.words if session is not None and session.deleted_at is None else ""
