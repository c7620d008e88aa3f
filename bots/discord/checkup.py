"""What `troupe doctor` asks Discord by REST: token, intents, starts left, commands, rights in every channel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import aiohttp
import discord
from discord.http import Route

from ..access import means
from ..checkup import Check, clock
from ..settings import BotSettings
from . import sync
from .diagnosis import Kind, Need, lacking

Json = dict[str, Any]

_KINDS: dict[int, Kind] = {0: "text", 5: "text", 15: "forum", 16: "forum"}
"""By Discord's numbers for kinds of channels."""
_CONTENT = discord.ApplicationFlags(gateway_message_content=True, gateway_message_content_limited=True).value
_GUILDS = 100
"""The most guilds that are looked at; each takes three requests."""
_NAMED = 5
_PATIENCE = 10.0
"""The longest wait, in seconds, that Discord may ask for."""
_FEW_STARTS = 100


class Unanswered(Exception):
    """Discord did not give what was asked for; the text says why."""


class Account:
    """One bot's account, seen from outside its process."""

    def __init__(self, settings: BotSettings, session: aiohttp.ClientSession, *, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._session = session
        self._now = now

    async def checks(self) -> AsyncIterator[Check]:
        """Everything about it, one after the other; after a token that is not accepted, nothing more is asked."""
        token = self._settings.discord.token
        if not token:
            remedy = f"Set {token.variable}." if token is not None else "Write `token: ${VARIABLE:-}` under discord."
            yield Check("off", "token", "discord.token", "There is none: the bot runs without Discord.", remedy)
            return
        try:
            me, date = await self._get("/users/@me")
        except Unanswered as error:
            sentence, remedy = f"Discord cannot be asked ({error}).", "Check the network and `discord.api_url`."
            if str(error) == "HTTP 401":
                sentence = f"Discord does not accept the token in {token.variable}."
                remedy = "Make a new one in the Developer Portal (your application, Bot, Reset Token), set it, restart."
            yield Check("wrong", "token", token.variable, sentence, remedy)
            return
        yield Check("ok", "token", token.variable, f"It is that of {me['username']} ({me['id']}).")
        yield clock(date, self._now())
        for part in (self._application, self._starts, self._guilds):
            try:
                async for check in part(me):
                    yield check
            except Unanswered as error:
                what = part.__name__.strip("_")
                yield Check("wrong", what, "Discord", f"Discord did not say ({error}).", "Try again in a minute.")

    async def _application(self, _me: Json) -> AsyncIterator[Check]:
        """Its intents and commands."""
        application, _ = await self._get("/applications/@me")
        granted = bool(int(application.get("flags", 0)) & _CONTENT)
        wanted = self._settings.discord.message_content
        if wanted and not granted:
            remedy = (
                "Turn it on in the Developer Portal (your application, Bot, Privileged Gateway Intents), or set "
                "`discord.message_content: false`."
            )
            yield Check("wrong", "intents", "Message Content", "It is wanted and not granted.", remedy)
        elif granted and not wanted:
            yield Check("note", "intents", "Message Content", "It is granted, and `discord.message_content` is false.")
        else:
            yield Check("ok", "intents", "Message Content", "It is granted." if granted else "It is not wanted.")
        there, _ = await self._get(f"/applications/{application['id']}/commands")
        yield await asyncio.to_thread(self._commands, str(application["id"]), there)

    def _commands(self, application: str, there: Sequence[Json]) -> Check:
        """What the last sync left in the root, beside what Discord has."""
        path = self._settings.root / sync.FILE
        names = {(int(each.get("type", 1)), str(each["name"])) for each in there}
        try:
            kept = json.loads(path.read_text())
            mine = {(int(kind), str(name)) for kind, name in kept["commands"]}
            known = kept["application"] == application
        except (OSError, ValueError, KeyError, TypeError):
            known, kept, mine = False, {}, set()
        if not known:
            return Check("note", "commands", str(path), "They were never synced.", "The bot's next start does it.")
        if missing := sorted(name for _, name in mine - names):
            remedy = f"Remove {path} and restart the bot: it creates them again."
            return Check("wrong", "commands", str(path), f"Discord does not have {', '.join(missing)}.", remedy)
        if not kept.get("fingerprint"):
            return Check("note", "commands", str(path), "The last sync was not finished.", "Restart the bot.")
        return Check("ok", "commands", str(path), f"Discord has all {len(mine)} of them.")

    async def _starts(self, _me: Json) -> AsyncIterator[Check]:
        """How often it may still connect today."""
        gateway, _ = await self._get("/gateway/bot")
        limit = gateway["session_start_limit"]
        few = limit["remaining"] < _FEW_STARTS
        sentence = f"{limit['remaining']:,} of {limit['total']:,} connections are left today."
        remedy = "Find out why it keeps connecting anew: at 0, Discord resets the token." if few else ""
        yield Check("wrong" if few else "ok", "starts", "gateway", sentence, remedy)

    async def _guilds(self, me: Json) -> AsyncIterator[Check]:
        """Its rights wherever it is."""
        guilds, _ = await self._get("/users/@me/guilds?limit=200")
        if not guilds:
            remedy = "Invite it: Developer Portal, your application, Installation."
            yield Check("wrong", "guilds", "Discord", "It is in no server.", remedy)
        for each in guilds[:_GUILDS]:
            guild, _ = await self._get(f"/guilds/{each['id']}")
            channels, _ = await self._get(f"/guilds/{each['id']}/channels")
            member, _ = await self._get(f"/guilds/{each['id']}/members/{me['id']}")
            for check in self._guild(guild, channels, member):
                yield check
        if len(guilds) > _GUILDS:
            yield Check("note", "guilds", "Discord", f"Only the first {_GUILDS} servers were looked at.")

    def _guild(self, guild: Json, channels: Sequence[Json], member: Json) -> Iterator[Check]:
        """What it lacks in one guild, each permission once with the channels that lack it."""
        muted = member.get("communication_disabled_until")
        if muted and datetime.fromisoformat(muted) > self._now():
            sentence = f"A moderator has timed the bot out until {muted[:16].replace('T', ' ')} UTC."
            yield Check("wrong", "guilds", guild["name"], sentence, "Take the timeout back in the member list.")
        faces = self._settings.discord.faces and len(self._settings.personas) > 1
        lack: dict[str, tuple[Need, list[str]]] = {}
        seen = 0
        for channel in channels:
            kind = _KINDS.get(channel["type"])
            if kind is None:
                continue
            rights = permissions(guild, member, channel)
            seen += rights.view_channel
            # What it cannot see may well be none of its business, unless the file says so.
            for need in lacking(rights, kind, faces=faces) if rights.view_channel or self._wanted(channel) else ():
                lack.setdefault(need.flag, (need, []))[1].append(f"#{channel['name']}")
        for need, names in lack.values():
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            where = f"{guild['name']}: {', '.join(names[:_NAMED])}{more}"
            remedy = f"Give its role {need.name} there (Edit Channel, Permissions)."
            sentence = f"Without {need.name} {need.without}."
            yield Check("wrong" if need.weight == "blocks" else "note", "permissions", where, sentence, remedy)
        if not any(need.weight == "blocks" for need, _ in lack.values()):
            yield Check("ok", "permissions", guild["name"], f"It can answer wherever it can read: {_many(seen)}.")

    def _wanted(self, channel: Json) -> bool:
        """Whether the bot's file names a channel."""
        patterns = self._settings.discord.channels
        name, id = str(channel["name"]), str(channel["id"])
        return any(means(each, name, id) for each in (*patterns.always, *patterns.listen))

    async def _get(self, path: str) -> tuple[Any, str | None]:
        """What Discord tells, and when. Raises `Unanswered`."""
        token = self._settings.discord.token
        headers = {"Authorization": f"Bot {token.value if token else ''}", "User-Agent": _AGENT}
        url = f"{(self._settings.discord.api_url or Route.BASE).rstrip('/')}{path}"
        try:
            for last in (False, True):
                async with self._session.get(url, headers=headers, allow_redirects=False) as reply:
                    if reply.status == 200:
                        return await reply.json(content_type=None), reply.headers.get("Date")
                    pause = _pause(reply.headers)
                    if reply.status != 429 or last or pause > _PATIENCE:
                        raise Unanswered(f"HTTP {reply.status}")
                await asyncio.sleep(pause)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unanswered(type(error).__name__) from error
        raise AssertionError("unreachable")


def permissions(guild: Json, member: Json, channel: Json) -> discord.Permissions:
    """What a member may do in a channel, by Discord's own rules, from the JSON of the three."""
    if guild.get("owner_id") == member["user"]["id"]:
        return discord.Permissions.all()
    mine = {guild["id"], *member["roles"]}
    given = 0
    for role in guild["roles"]:
        given |= int(role["permissions"]) if role["id"] in mine else 0
    if given & discord.Permissions.administrator.flag:
        return discord.Permissions.all()
    overwrites = {each["id"]: each for each in channel.get("permission_overwrites", ())}
    steps = ({guild["id"]}, set(member["roles"]), {member["user"]["id"]})
    for step in steps:
        found = [overwrites[id] for id in step & overwrites.keys()]
        for each in found:
            given &= ~int(each["deny"])
        for each in found:
            given |= int(each["allow"])
    return discord.Permissions(given)


def _many(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels:,} channels"


def _pause(headers: Mapping[str, str]) -> float:
    try:
        return float(headers.get("Retry-After", 1))
    except ValueError:
        return _PATIENCE + 1


_AGENT = "DiscordBot (troupe, doctor)"
"""Discord refuses requests without one in this form."""
