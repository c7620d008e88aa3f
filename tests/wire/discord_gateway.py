"""Discord's gateway over a real WebSocket: HELLO, IDENTIFY, RESUME, heartbeats, dispatch, and every way to lose it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import secrets
import zlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.wire.discord_accounts import ALL_INTENTS, BotAccount, Intents, Json
from tests.wire.discord_model import Guild
from tests.wire.discord_world import Event, World

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, REQUEST_MEMBERS, INVALID_SESSION, HELLO, ACK = (
    0,
    1,
    2,
    6,
    7,
    8,
    9,
    10,
    11,
)
# Presence, voice state, soundboard and channel-info requests: allowed, and of no effect here.
IGNORED = frozenset({3, 4, 31, 43})
UNKNOWN_OPCODE, DECODE_ERROR, NOT_AUTHENTICATED, BAD_TOKEN, ALREADY_AUTHENTICATED = 4001, 4002, 4003, 4004, 4005
INVALID_INTENTS, DISALLOWED_INTENTS = 4013, 4014
MAX_PAYLOAD = 4096


class Gateway:
    """Every bot's sessions, whether their sockets are up or not."""

    def __init__(self, world: World, *, heartbeat_interval: float, buffer_size: int) -> None:
        self.world = world
        self.heartbeat_interval = heartbeat_interval
        self.buffer_size = buffer_size
        self.sessions: dict[str, Session] = {}
        self.identifies: Counter[BotAccount] = Counter()
        self.resumes: Counter[BotAccount] = Counter()
        self.closures: Counter[tuple[BotAccount | None, int]] = Counter()
        """Closes made by this side, by bot and close code."""
        self._lines: set[Line] = set()
        world.tell = self.dispatch

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One connection, from HELLO to its end."""
        socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        pack = compressor(request.query.get("compress", ""))
        await socket.prepare(request)
        line = Line(socket, request.transport, pack)
        self._lines.add(line)
        pump = asyncio.create_task(line.pump())
        line.put({"op": HELLO, "d": {"heartbeat_interval": int(self.heartbeat_interval * 1000), "_trace": []}})
        try:
            async for frame in socket:
                if frame.type is not WSMsgType.TEXT:
                    continue
                self._receive(line, frame.data)
        finally:
            self._lines.discard(line)
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump
            self._lost(line, socket.close_code)
        return socket

    def dispatch(self, bot: BotAccount, event: Event) -> None:
        """Sends an event to each session of a bot that asked for its kind, or keeps it until that session resumes."""
        for session in self.of(bot):
            if session.wants(event):
                session.send(event.name, event.text_for(bot, session.intents))

    def of(self, bot: BotAccount) -> list[Session]:
        return [session for session in self.sessions.values() if session.bot is bot]

    def live(self, bot: BotAccount) -> list[Session]:
        """The sessions of a bot whose socket is up."""
        return [session for session in self.of(bot) if session.line is not None]

    def drop(self, bot: BotAccount) -> None:
        """Cuts the bot's connections without a word, as a dead network does."""
        for session in self.live(bot):
            line = session.detach()
            line.abort()
            self.world.note("disconnect", bot=bot, code=None)

    def reconnect(self, bot: BotAccount) -> None:
        """Asks the bot to connect anew and resume (op 7)."""
        for session in self.live(bot):
            session.detach().put({"op": RECONNECT, "d": None})

    def invalidate(self, bot: BotAccount, *, resumable: bool = False) -> None:
        """Tells the bot that its session is no longer valid (op 9)."""
        for session in self.of(bot):
            line = session.line
            if not resumable:
                self.sessions.pop(session.id)
            if line is not None:
                session.detach().put({"op": INVALID_SESSION, "d": resumable})

    def close(self, bot: BotAccount, code: int) -> None:
        """Closes the bot's connections with a close code."""
        for session in self.live(bot):
            self._refuse(session.detach(), code, bot)

    def stop(self) -> None:
        for line in list(self._lines):
            line.abort()

    # -- what a client says

    def _receive(self, line: Line, text: str) -> None:
        try:
            payload = json.loads(text)
            op, data = payload["op"], payload.get("d")
        except (ValueError, KeyError, TypeError):
            return self._refuse(line, DECODE_ERROR)
        if len(text) > MAX_PAYLOAD:
            return self._refuse(line, DECODE_ERROR)
        if op == HEARTBEAT:
            return line.put({"op": ACK})
        if op in (IDENTIFY, RESUME):
            if line.session is not None:
                return self._refuse(line, ALREADY_AUTHENTICATED)
            return self._identify(line, data) if op == IDENTIFY else self._resume(line, data)
        if op != REQUEST_MEMBERS and op not in IGNORED:
            return self._refuse(line, UNKNOWN_OPCODE)
        if line.session is None:
            return self._refuse(line, NOT_AUTHENTICATED)
        if op == REQUEST_MEMBERS:
            self._send_members(line.session, data)
        return None

    def _identify(self, line: Line, data: Json) -> None:
        bot = self.world.bots.get(data.get("token", ""))
        if bot is None:
            return self._refuse(line, BAD_TOKEN)
        self.identifies[bot] += 1
        intents = data.get("intents")
        if not isinstance(intents, int) or intents & ~ALL_INTENTS:
            return self._refuse(line, INVALID_INTENTS, bot)
        if intents & ~bot.intents_allowed:
            return self._refuse(line, DISALLOWED_INTENTS, bot)
        shard = tuple(data.get("shard") or (0, 1))
        for old in self.of(bot):
            if old.line is None and old.shard == shard:
                self.sessions.pop(old.id)
        session = Session(secrets.token_hex(16), bot, intents, shard, deque(maxlen=self.buffer_size))
        self.sessions[session.id] = session
        session.attach(line)
        self._greet(session, sharded=bool(data.get("shard")))
        return None

    def _greet(self, session: Session, *, sharded: bool) -> None:
        bot = session.bot
        guilds = [one for one in self.world.guilds.values() if bot.id in one.members and session.covers(one.id)]
        ready: Json = {
            "v": 10,
            "user": bot.own_json(),
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
            "private_channels": [],
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": self.world.origin.replace("http", "ws", 1) + "/gateway/resume",
            "application": {"id": str(bot.id), "flags": bot.application_flags},
            **({"shard": list(session.shard)} if sharded else {}),
        }
        session.send("READY", json.dumps(ready))
        for guild in guilds:
            if session.intents & Intents.GUILDS:
                session.send("GUILD_CREATE", json.dumps(guild.create_json(bot, session.intents)))
        self.world.note("ready", bot=bot, session=session.id)

    def _resume(self, line: Line, data: Json) -> None:
        bot = self.world.bots.get(data.get("token", ""))
        if bot is None:
            return self._refuse(line, BAD_TOKEN)
        session = self.sessions.get(data.get("session_id") or "")
        if session is None or session.bot is not bot or not session.can_replay(data.get("seq")):
            if session is not None:
                self.sessions.pop(session.id)
            return line.put({"op": INVALID_SESSION, "d": False})
        if session.line is not None:
            # The client knows its old socket is dead before we do.
            session.detach().abort()
        self.resumes[bot] += 1
        session.attach(line)
        for text in session.missed(data["seq"]):
            line.put_text(text)
        session.send("RESUMED", '{"_trace": []}')
        return self.world.note("resume", bot=bot, session=session.id)

    def _send_members(self, session: Session, data: Json) -> None:
        guild = self.world.guilds.get(int(data["guild_id"]))
        if guild is None:
            return
        found = _asked_for(guild, data)
        chunk: Json = {"guild_id": str(guild.id), "members": [guild.member_json(one) for one in found]}
        chunk |= {"chunk_index": 0, "chunk_count": 1, "not_found": [], "nonce": data.get("nonce")}
        session.send("GUILD_MEMBERS_CHUNK", json.dumps(chunk))

    # -- how a connection ends

    def _refuse(self, line: Line, code: int, bot: BotAccount | None = None) -> None:
        self.closures[bot, code] += 1
        line.put_close(code)
        self.world.note("refused", bot=bot, code=code)

    def _lost(self, line: Line, code: int | None) -> None:
        session = line.session
        if session is None or session.line is not line:
            return
        session.detach()
        # Discord forgets a session that its client closes with either of these codes.
        if code in (1000, 1001):
            self.sessions.pop(session.id, None)
        self.world.note("disconnect", bot=session.bot, code=code)


@dataclass(eq=False)
class Session:
    """What a client can come back to: its sequence number and the events it may have missed."""

    id: str
    bot: BotAccount
    intents: int
    shard: tuple[int, ...]
    buffer: deque[tuple[int, str]]
    sequence: int = 0
    line: Line | None = None

    def covers(self, guild_id: int | None) -> bool:
        number, count = self.shard
        return (((guild_id or 0) >> 22) % count) == number

    def wants(self, event: Event) -> bool:
        return (not event.intent or bool(self.intents & event.intent)) and self.covers(event.guild_id)

    def send(self, name: str, data: str) -> None:
        self.sequence += 1
        text = f'{{"op": 0, "t": "{name}", "s": {self.sequence}, "d": {data}}}'
        self.buffer.append((self.sequence, text))
        if self.line is not None:
            self.line.put_text(text)

    def can_replay(self, seen: Any) -> bool:
        if not isinstance(seen, int) or not 0 <= seen <= self.sequence:
            return False
        return seen == self.sequence or (bool(self.buffer) and self.buffer[0][0] <= seen + 1)

    def missed(self, seen: int) -> list[str]:
        return [text for number, text in self.buffer if number > seen]

    def attach(self, line: Line) -> None:
        self.line, line.session = line, self

    def detach(self) -> Line:
        """Gives up the socket; what happens from now on waits in the buffer."""
        line = self.line
        assert line is not None
        self.line = line.session = None
        return line


@dataclass(eq=False)
class Line:
    """One socket and what still has to go down it, in order."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    pack: Callable[[bytes], bytes] | None
    session: Session | None = None
    outbox: asyncio.Queue[str | int] = field(default_factory=asyncio.Queue)

    def put(self, payload: Json) -> None:
        self.outbox.put_nowait(json.dumps(payload))

    def put_text(self, text: str) -> None:
        self.outbox.put_nowait(text)

    def put_close(self, code: int) -> None:
        self.outbox.put_nowait(code)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def pump(self) -> None:
        """Writes what is put, until the socket goes away."""
        with contextlib.suppress(ConnectionError):
            while True:
                item = await self.outbox.get()
                if isinstance(item, int):
                    await self.socket.close(code=item)
                    return
                if self.pack is None:
                    await self.socket.send_str(item)
                else:
                    await self.socket.send_bytes(self.pack(item.encode()))


def compressor(asked: str) -> Callable[[bytes], bytes] | None:
    """The transport compression that a client asked for in `compress=`: one stream for the whole connection."""
    if not asked:
        return None
    if asked == "zlib-stream":
        deflate = zlib.compressobj()
        return lambda data: deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)
    if asked == "zstd-stream":
        # Asked for only by a client that has this package itself.
        zstandard = importlib.import_module("zstandard")
        squeeze = zstandard.ZstdCompressor().compressobj()
        return lambda data: bytes(squeeze.compress(data) + squeeze.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    raise web.HTTPBadRequest(text=f"unknown transport compression {asked!r}")


def _asked_for(guild: Guild, data: Json) -> list[Any]:
    """The members a REQUEST_MEMBERS means: by ids, by the beginning of a name, or all."""
    if "user_ids" in data:
        listed = data["user_ids"]
        wanted = {int(one) for one in (listed if isinstance(listed, list) else [listed])}
        return [one for one in guild.members.values() if one.id in wanted]
    found = [one for one in guild.members.values() if one.name.startswith(data.get("query") or "")]
    return found[: data["limit"]] if data.get("limit") else found
