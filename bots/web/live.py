"""The live socket: everything that happens in the bot and that the caller may see, as it happens.

Who is here and who is writing is told of the consoles alone: what Discord knows of that, and that the bot shows itself
writing there, does not come here. That the bot is about to say something is told by `began`."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from storage.errors import StorageError

from ..events import Behind, Event, Listening, Presence, Typing, places
from .callers import Caller
from .desk import Desk
from .live_told import Telling, Told, joined, under_way, written
from .problems import NotThere

router = APIRouter()

TOO_SLOW, TOO_LARGE = 4008, 1009
"""The codes with which a socket is closed; those of the guard beside."""
_ROOM = 2_000
"""Events that may wait for one client."""
_SENT_WITHIN = 15.0
"""Seconds that a client may take for what is sent to it."""
_LARGEST = 65_536
_BREATH = 0.001
"""Seconds by which each further client that hears everything has all of them hear words less often, joined: so many
can look on without the bot having hands full with them."""
_LONGEST_BREATH = 0.5
_TYPED_EVERY = timedelta(seconds=1)
_Id = Annotated[str, Field(max_length=200)]


class Watch(BaseModel):
    """What the client wants to hear from now on; both left out is all that it may see."""

    model_config = ConfigDict(extra="forbid")
    do: Literal["watch"]
    sessions: Annotated[list[_Id], Field(max_length=500)] | None = None
    channels: Annotated[list[_Id], Field(max_length=500)] | None = None


class Writes(BaseModel):
    """The person at the client is writing."""

    model_config = ConfigDict(extra="forbid")
    do: Literal["typing"]
    session: _Id


class Ping(BaseModel):
    """Asks whether somebody is there."""

    model_config = ConfigDict(extra="forbid")
    do: Literal["ping"]


_WISHES: TypeAdapter[Watch | Writes | Ping] = TypeAdapter(
    Annotated[Watch | Writes | Ping, Field(discriminator="do")],
)


@router.websocket("/api/live")
async def live(socket: WebSocket) -> None:
    """Tells what happens until the client leaves, or is too slow."""
    caller: Caller = socket.scope["caller"]
    await socket.accept()
    desk: Desk = socket.app.state.desk
    here: Here = socket.app.state.live
    async with _present(here, desk, caller):
        with desk.events.listen(room=_ROOM, at=caller.keys) as listening:
            listening.wanted = _Seen(caller)
            await _Live(socket, desk, caller, listening, here.telling).run()


@dataclass
class Here:
    """All clients of one bot."""

    telling: Telling
    clients: Counter[str] = field(default_factory=Counter)
    """How many each person has open, by id."""


class _Seen:
    """Which events one client hears: those of its caller's own, or of every, channel, and among them what it wants."""

    def __init__(self, caller: Caller, wanted: frozenset[str] | None = None) -> None:
        self._keys, self._wanted = caller.keys, wanted

    def __call__(self, event: Event) -> bool:
        at = places(event)
        if not at:
            return True
        mine = self._keys is None or at[0] in self._keys
        return mine and (self._wanted is None or not self._wanted.isdisjoint(at))


class _Live:
    def __init__(self, socket: WebSocket, desk: Desk, caller: Caller, listening: Listening, telling: Telling) -> None:
        self._socket, self._desk, self._caller, self._listening = socket, desk, caller, listening
        self._told = telling
        self._one = asyncio.Lock()
        self._typed: datetime | None = None

    async def run(self) -> None:
        """Tells and hears until one of the two ends."""
        person = self._caller.person
        standing = self._desk.bot.under_way.standing(self._listening.wanted)
        me = {"id": person.id, "name": person.name, "scope": self._caller.scope, "channel": self._caller.channel.key}
        telling = asyncio.ensure_future(self._tell({"is": "hello", "me": me, "under_way": under_way(standing.answers)}))
        tasks = [telling, asyncio.ensure_future(self._hear())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in tasks:
                each.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        slow = any(isinstance(end, TimeoutError) for end in ends)
        code = TOO_SLOW if slow else next((end for end in ends if isinstance(end, int)), None)
        if code is not None:
            with contextlib.suppress(RuntimeError, TimeoutError, WebSocketDisconnect):
                async with asyncio.timeout(_SENT_WITHIN):
                    await self._socket.close(code)
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect | RuntimeError | TimeoutError):
                raise end

    async def _tell(self, hello: Told) -> int:
        """Sends what is heard; returns the code with which the socket is to be closed."""
        try:
            await self._send(hello)
            while True:
                breath = min(_BREATH * self._desk.events.everywhere, _LONGEST_BREATH)
                for event in joined(await self._listening.some(breath)):
                    try:
                        text = await self._told.text(event, self._caller)
                    except StorageError:  # whom it replies to cannot be looked up: the next page that is read has it
                        continue
                    await self._send_text(text)
        except Behind:
            return TOO_SLOW

    async def _send(self, told: Told) -> None:
        await self._send_text(written(told))

    async def _send_text(self, text: str) -> None:
        async with self._one, asyncio.timeout(_SENT_WITHIN):
            await self._socket.send_text(text)

    async def _hear(self) -> int | None:
        """Does what the client wants; returns the code with which the socket is to be closed, if any."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return None
            text = message.get("text")
            if text is None or len(text) > _LARGEST:
                return TOO_LARGE
            try:
                wish = _WISHES.validate_json(text)
                await self._follow(wish)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                await self._send({"is": "problem", "detail": f"{where or 'What was sent'}: {first['msg']}."})
            except (NotThere, StorageError) as error:
                await self._send({"is": "problem", "detail": str(error)})

    async def _follow(self, wish: Watch | Writes | Ping) -> None:
        match wish:
            case Ping():
                await self._send({"is": "pong"})
            case Watch():
                self._watch(wish)
            case Writes(session=session_id):
                await self._writes(session_id)

    def _watch(self, wish: Watch) -> None:
        """Hears other things from now on, and first how they stand."""
        everything = wish.sessions is None and wish.channels is None
        wanted = None if everything else frozenset((*(wish.sessions or ()), *(wish.channels or ())))
        seen = self._listening.wanted = _Seen(self._caller, wanted)
        self._desk.events.move(self._listening, self._caller.keys if wanted is None else wanted)
        self._listening.hear(self._desk.bot.under_way.standing(seen))

    async def _writes(self, session_id: str) -> None:
        now = self._desk.now()
        if not self._caller.may("chat") or (self._typed is not None and now - self._typed < _TYPED_EVERY):
            return
        self._typed = now
        session = await self._caller.session(self._desk, session_id)
        self._desk.events.tell(Typing(session.channel.key, self._caller.person, now, session.id))


@asynccontextmanager
async def _present(here: Here, desk: Desk, caller: Caller) -> AsyncIterator[None]:
    """Tells that somebody is at the console, from their first client to their last."""
    key, person, clients = caller.channel.key, caller.person, here.clients
    clients[person.id] += 1
    if clients[person.id] == 1:
        desk.events.tell(Presence(key, person, "here", desk.now()))
    try:
        yield
    finally:
        clients[person.id] -= 1
        if not clients[person.id]:
            del clients[person.id]
            desk.events.tell(Presence(key, person, "gone", desk.now()))
