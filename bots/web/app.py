"""The app: every route of one bot's web front, and what stands before them."""

from __future__ import annotations

from importlib import metadata

from fastapi import FastAPI

from .desk import Desk
from .guard import Guard
from .problems import Problem, tell_problems

_PROBLEMS = {status: {"model": Problem} for status in (400, 401, 403, 404, 409, 413, 422, 429, 503)}


def create_app(desk: Desk) -> FastAPI:
    """The whole web front over one bot."""
    app = FastAPI(
        title=f"Troupe: {desk.settings.display}",
        version=metadata.version("troupe"),
        description="Everything one bot keeps and does. Times are ISO 8601 with a zone, ids are opaque, cursors too.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses=_PROBLEMS,  # type: ignore[arg-type]
    )
    app.state.desk = desk
    tell_problems(app)
    app.add_middleware(Guard)
    return app
