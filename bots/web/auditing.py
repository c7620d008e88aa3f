"""Every request that changes something leaves an entry in the audit, whichever route it goes to."""

from __future__ import annotations

import re
from dataclasses import dataclass

import structlog
from fastapi.requests import HTTPConnection
from pydantic import JsonValue
from starlette.types import Scope

from storage.errors import StorageError
from storage.model import message_id, storable
from storage.records import AuditEntry

from .callers import Caller
from .desk import Desk
from .origins import READS

log = structlog.get_logger()

_ACTS = "acts"


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a request did, or was to do."""

    status: int
    """How it went."""
    name: str
    """What it was, beside the route."""
    target: str


def acted(connection: HTTPConnection, *acts: Act) -> None:
    """Says what a request did, for a route by which one does different things, or only a GET."""
    connection.scope[_ACTS] = acts


def changes_nothing(connection: HTTPConnection) -> None:
    """Keeps a request out of the audit that only asks, though by POST: a dependency of its route, or called there."""
    acted(connection)


async def audit(desk: Desk, scope: Scope, status: int) -> None:
    """Notes what was asked, of what, by whom, and how it went; never a word of what was sent. An audit that cannot be
    kept stops nobody."""
    caller: Caller | None = scope.get("caller")
    route = template(scope)
    if caller is None or route is None:
        return
    at, ids = desk.now(), {name: storable(str(value)[:200]) for name, value in scope.get("path_params", {}).items()}
    usual = () if scope["method"] in READS else (Act(status, "", _target(route, ids)),)
    acts: tuple[Act, ...] = scope.get(_ACTS, usual)
    for act in acts:
        details: dict[str, JsonValue] = {"status": act.status, "by": caller.by, "scope": caller.scope, **ids}
        entry = AuditEntry(
            id=message_id(at, desk.chance()),
            at=at,
            actor=caller.person,
            action=f"{scope['method']} {route} {act.name}".rstrip(),
            target=act.target,
            details=details,
        )
        try:
            await desk.store.keep(entry)
        except StorageError as error:
            log.warning("web.unaudited", action=entry.action, error=type(error).__name__)


def _target(route: str, ids: dict[str, str]) -> str:
    """What was meant: `session:<id>` where the path is `…/sessions/{id}/…`."""
    found = re.search(r"([^/{}]+)/\{(\w+)[^}]*\}", route)
    if found is None:
        return "web"
    noun = re.sub(r"ies$", "y", found[1]).removesuffix("s")
    return f"{noun}:{ids.get(found[2], '')}"


def template(scope: Scope) -> str | None:
    """The path of the route that a request went to, with names in place of ids; None where there is none."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else None
