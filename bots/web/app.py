"""The app: every route of one bot's web front, and what stands before them."""

from __future__ import annotations

from functools import partial
from importlib import metadata
from typing import Any

from fastapi import FastAPI

from storage.durable import in_thread

from . import (
    attachments,
    backups,
    commanding,
    configuring,
    exporting,
    graphql,
    housekeeping,
    memories,
    messages,
    neighbours,
    office,
    openai_compat,
    openai_responses,
    operating,
    personas,
    privacy,
    searching,
    session_templates,
    sessions,
    streaming,
    surgery,
    usage,
)
from .attachments import Uploads
from .console import router as console
from .description import Description
from .description import router as description
from .desk import Desk
from .discord_login import router as discord_login
from .guard import Guard
from .health import router as health
from .live import Here
from .live import router as live
from .live_channels import router as live_channels
from .live_told import Telling
from .login import router as login
from .problems import PROBLEM, TITLES, Problem, tell_problems
from .talking import Talking
from .tokens import Tokens

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": TITLES[status], "content": {PROBLEM: {"schema": Problem.model_json_schema()}}}
    for status in (400, 401, 403, 404, 409, 413, 422, 429, 503)
}


def create_app(desk: Desk) -> FastAPI:
    """The whole web front over one bot."""
    app = FastAPI(
        title=f"Troupe: {desk.settings.display}",
        version=metadata.version("troupe"),
        description="Everything one bot keeps and does. Times are ISO 8601 with a zone, ids are opaque, cursors too.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        responses=_PROBLEMS,
    )
    desk.bot.privacy.beside.append(partial(_sign_out, Tokens(desk.settings.root)))
    app.state.desk = desk
    app.state.talking = Talking(desk)
    app.state.uploads = Uploads()
    app.state.exporting = set()
    app.state.description = Description()
    app.state.live = Here(Telling(desk))
    app.state.held = None
    talk = (sessions, messages, streaming, attachments, surgery, session_templates, searching, exporting, commanding)
    for each in (*talk, openai_responses, openai_compat, graphql):  # in turn asked whose a request is: the busy first
        app.include_router(each.router)
    tell_problems(app)
    app.include_router(console)
    app.include_router(live)
    app.include_router(live_channels)
    app.include_router(login)
    app.include_router(health)
    app.include_router(description)
    app.include_router(discord_login)
    app.state.office = office.Office.of(desk)
    for each in (backups, configuring, housekeeping, memories, neighbours, office, operating, personas, privacy, usage):
        app.include_router(each.router)
    app.add_middleware(Guard)
    return app


async def _sign_out(tokens: Tokens, person_id: str) -> None:
    """Takes back every token of a person. Raises `TroupeError`."""
    if theirs := [each.id for each in tokens.all() if each.person_id == person_id]:
        await in_thread(tokens.revoke, *theirs)
