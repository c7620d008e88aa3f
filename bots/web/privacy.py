"""What the bot keeps about whoever asks: told, handed over, and removed for good; nobody sees another's."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from storage.model import Sender

from .auditing import changes_nothing
from .callers import Chatter, Reader
from .desk import At
from .exporting import streamed
from .office import In

router = APIRouter(prefix="/api/privacy", tags=["privacy"])


class AboutShown(BaseModel):
    """How much is kept about whoever asks, and by what policy."""

    policy: str
    person: Sender
    nothing: bool
    names: list[str]
    messages: int
    answers: int
    sessions: int
    private: int
    marks: int
    memories: int
    profile: bool
    records: int
    spendings: int
    files: int
    file_bytes: int
    first: datetime | None
    last: datetime | None


@router.get("")
async def about(desk: At, caller: Reader) -> AboutShown:
    """What is kept about whoever asks."""
    kept = await desk.bot.privacy.about(caller.person.id)
    plain = {name: getattr(kept, name) for name in AboutShown.model_fields if hasattr(kept, name)}
    return AboutShown(
        **{**plain, "names": sorted(kept.names)}, policy=desk.settings.privacy.policy, person=caller.person
    )


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def export(desk: At, caller: Reader, at: Request, files: bool = True) -> StreamingResponse:
    """Everything that is kept about whoever asks, as a zip; without `files`, attachments are left out."""
    pieces = desk.bot.privacy.export(caller.person.id, files=files)
    return await streamed(caller, at, pieces, "application/zip", "privacy.zip")


class Forget(BaseModel):
    """That one wants to be forgotten; with the code that the first asking gave, that one means it."""

    model_config = ConfigDict(extra="forbid")
    confirm: Annotated[str, Field(max_length=40)] | None = None


class ForgetShown(BaseModel):
    """A code to be given back, or what was forgotten."""

    confirm: str | None
    until: datetime | None
    """How long the code is good."""
    forgotten: dict[str, int] | None
    """How much of what is gone for good."""


@router.post("/forget", dependencies=[Depends(changes_nothing)])
async def forget(desk: At, office: In, caller: Chatter, wanted: Forget) -> ForgetShown:
    """Removes everything about whoever asks, for good, in two steps: asked without a code, it only gives one.

    The audit has that somebody was forgotten, and not who: that is why this request leaves no entry of its own."""
    if wanted.confirm is None:
        code, until = office.confirmations.ask(caller.person.id)
        return ForgetShown(confirm=code, until=until, forgotten=None)
    office.confirmations.confirm(caller.person.id, wanted.confirm)
    done = await desk.bot.privacy.forget(caller.person.id)
    return ForgetShown(confirm=None, until=None, forgotten=done.all())
