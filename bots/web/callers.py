"""Who asks, and what they may: scopes, and whose talk somebody sees."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from fastapi import Depends
from fastapi.requests import HTTPConnection

from storage.model import Channel, Message, Sender, Session, storable

from ..settings import BotSettings
from .desk import Desk
from .problems import Conflict, Forbidden, NotThere, Unknown
from .tokens import Scope, Token

SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody at the web front."""

    person: Sender
    scope: Scope
    by: Literal["here", "token", "cookie"]
    """How they are known: being at this machine, a token in the header, or one in a cookie."""
    token: str = ""
    """The id of that token."""

    def may(self, scope: Scope) -> bool:
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    @property
    def channel(self) -> Channel:
        """Their own place on the web: all of their sessions there are in it."""
        return Channel(front="web", id=self.person.id, kind="web", name=self.person.name, parent_id=self.person.id)

    @property
    def keys(self) -> Collection[str] | None:
        """The keys of the channels whose talk they may see; None is every one."""
        return None if self.may("admin") else (self.channel.key,)

    async def session(self, desk: Desk, session_id: str, *, gone: bool = False) -> Session:
        """A session that they may see, as it stands now; with `gone`, also one that was taken out of sight. Raises
        `NotThere`: whoever may not see it does not learn that there is one."""
        kept = await desk.store.session(storable(session_id))
        seen = kept is not None and (self.keys is None or kept.channel.key in self.keys)
        if kept is None or not seen or (kept.deleted_at is not None and not gone):
            raise NotThere(f"There is no session '{session_id[:60]}' that you may see.")
        return latest(desk, kept)

    async def message(self, desk: Desk, message_id: str) -> tuple[Message, Session]:
        """A message that they may see, and its session. Raises `NotThere`, and `Conflict` where it is still given."""
        found = await desk.store.message(storable(message_id))
        under_way = desk.bot.turn(message_id) if found is None else None
        there = under_way.session.id if under_way is not None else None
        if found is not None and found.deleted_at is None:
            there = found.session_id
        try:
            session = await self.session(desk, there) if there is not None else None
        except NotThere:
            session = None  # told in the same words as where there is none
        if session is None:
            raise NotThere(f"There is no message '{message_id[:60]}' that you may see.")
        if found is None:
            raise Conflict("That answer is still being given: stop it first, or wait for its end.")
        return found, session


def latest(desk: Desk, kept: Session) -> Session:
    """A session that was just read, as it stands now: only the store counts its messages."""
    return desk.bot.sessions.latest(kept).model_copy(update={"message_count": kept.message_count})


def scope_of(token: Token, settings: BotSettings) -> Scope | None:
    """What a token lets its bearer do by the settings as they are now; None where they do not let them in."""
    if token.sign_in != "discord":
        return token.scope
    login = settings.web.login
    if login is None or login.guild != (token.of or None):
        return None
    return "admin" if token.person_id in login.admins else "chat"


class Asks:
    """Whom the guard has let in, where that suffices."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, connection: HTTPConnection) -> Caller:
        caller: Caller | None = connection.scope.get("caller")
        if caller is None:
            raise Unknown("Say who you are: send `Authorization: Bearer <token>`, or sign in at the console.")
        if not caller.may(self.scope):
            raise Forbidden(f"This takes the scope '{self.scope}', and yours is '{caller.scope}'.")
        return caller


Reader = Annotated[Caller, Depends(Asks("read"))]
Chatter = Annotated[Caller, Depends(Asks("chat"))]
Admin = Annotated[Caller, Depends(Asks("admin"))]
