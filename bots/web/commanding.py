"""Slash commands in the console: what people do in the middle of a talk, as in Discord and at the terminal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, get_args

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from storage.exports import Form
from storage.forgetting import pages
from storage.model import Session

from ..errors import TroupeError
from ..memory_meant import meant
from ..memory_settings import OFF
from ..sessions import short
from .callers import Caller, Chatter, Reader
from .desk import At, Desk
from .given import Id, persona_named
from .shapes import SessionShown, shown_now
from .streaming import talking
from .talking import Talking

router = APIRouter(prefix="/api/chat", tags=["chat"])

_LISTED = 40
"""Memories that are told at once."""
_FEW = 20
"""Messages looked through at a time for the last answer."""
_OF_THE_WEB = "On the web every line is part of the session in which it is said."


class Command(BaseModel):
    """A slash command."""

    name: str
    takes: str
    """What may stand behind it; empty where nothing does."""
    about: str
    choices: list[str] = []
    """Words that may stand behind it."""


class Commands(BaseModel):
    """All of them."""

    items: list[Command]


class Ordered(BaseModel):
    """A command as somebody typed it."""

    model_config = ConfigDict(extra="forbid")
    line: Annotated[str, Field(min_length=1, max_length=4_000, examples=["/why memory"])]


class Obeyed(BaseModel):
    """What came of it."""

    text: str
    """Words for whoever asked alone; nothing is kept of them."""
    session: SessionShown | None = None
    """The session to go on with, where that is another one now."""
    export: Form | None = None
    """The form in which the session is to be taken along: `POST …/export`."""


@dataclass(frozen=True, slots=True)
class _Asked:
    desk: Desk
    caller: Caller
    talking: Talking
    session: Session
    said: str
    """What stands behind the command."""


@router.get("/commands")
async def commands(desk: At, _caller: Reader) -> Commands:
    """The slash commands that there are."""
    told = [each.model_copy() for each in _COMMANDS]
    for each in told:
        if each.name == "persona":
            each.choices = ["default", *(persona.name for persona in desk.settings.personas)]
    return Commands(items=told)


@router.post("/sessions/{id}/command")
async def command(
    id: Id,
    ordered: Ordered,
    desk: At,
    caller: Chatter,
    request: Request,
) -> Obeyed:
    """Does what a slash command says, in a session."""
    name, _, said = ordered.line.strip().removeprefix("/").strip().partition(" ")
    act = _ACTS.get(name.casefold())
    if act is None:
        raise TroupeError(f"There is no command '{name[:40]}'; /help lists them.")
    session = await caller.session(desk, id)
    return await act(_Asked(desk, caller, talking(request), session, said.strip()))


async def _help(_asked: _Asked) -> Obeyed:
    return Obeyed(text="\n".join(f"/{each.name} {each.takes}".rstrip() + f": {each.about}" for each in _COMMANDS))


async def _new(asked: _Asked) -> Obeyed:
    bot, channel = asked.desk.bot, asked.caller.channel
    if not asked.said:
        begun = await bot.begin(channel, asked.caller.person.id)
        shown = await shown_now(asked.desk, begun, asked.caller)
        return Obeyed(text="A new session. What was said before is kept.", session=shown)
    kept = bot.conversations.templates
    meant = await kept.named(bot.settings, channel, asked.said)
    async with bot.doors.of(channel.key):
        begun = await kept.begin(bot.settings, await bot.places.know(channel), meant, asked.caller.person.id)
    shown = await shown_now(asked.desk, begun, asked.caller)
    return Obeyed(text=f"A new session that begins with the template {meant.name}.", session=shown)


async def _clear(asked: _Asked) -> Obeyed:
    session = await asked.talking.own(asked.caller, asked.session.id)
    bot = asked.desk.bot
    async with bot.doors.of(session.channel.key):
        await bot.conversations.clear(session.channel, asked.caller.person.id, session=session)
        begun = await bot.sessions.current(session.channel, asked.caller.person.id)
    told = "I no longer see what was said there. Until it is removed for good, the session can be restored."
    return Obeyed(text=told, session=await shown_now(asked.desk, begun, asked.caller) if begun else None)


async def _branch(asked: _Asked) -> Obeyed:
    if asked.said.casefold() not in ("", "here", "into here", "into:here"):
        raise TroupeError("On the web a branch is a session beside this one: say /branch alone.")
    bot, session = asked.desk.bot, asked.session
    async with bot.doors.of(session.channel.key):
        made = await bot.conversations.branch(session.id, None, session.channel)
    told = "A branch: what you say here leaves the other session as it is."
    return Obeyed(text=told, session=await shown_now(asked.desk, made, asked.caller))


async def _persona(asked: _Asked) -> Obeyed:
    bot, channel = asked.desk.bot, asked.caller.channel
    if not asked.said:
        chosen = bot.conversations.personas.of(channel)
        persona = bot.settings.persona(chosen) if chosen else None
        speaks = f"{persona.display} speaks here." if persona else "Whoever fits speaks here."
        known = [f"{each.display}: {each.description}".rstrip(": ") for each in bot.settings.personas]
        return Obeyed(text="\n".join([speaks, *known]))
    default = asked.said.casefold() == "default"
    persona = None if default else persona_named(asked.desk, asked.caller, asked.said)
    async with bot.doors.of(channel.key):
        await bot.conversations.speak_as(channel, persona.name if persona else None, asked.caller.person)
    if persona is None:
        return Obeyed(text="From now on whoever fits speaks here.")
    told = f"From now on {persona.display} speaks in your sessions here. `/persona default` takes that back."
    return Obeyed(text=told)


async def _why(asked: _Asked) -> Obeyed:
    if asked.said.casefold() == "session":
        return Obeyed(text=_OF_THE_WEB)
    bot, session = asked.desk.bot, asked.session
    answer = None
    async for lines in pages(lambda cursor: asked.desk.store.read(session.id, cursor=cursor, limit=_FEW)):
        answer = next((each for each in reversed(lines) if each.role == "assistant"), None)
        if answer is not None:
            break
    if answer is None:
        return Obeyed(text="Nobody has answered in this session yet.")
    if asked.said.casefold() == "memory":
        person = asked.caller.person.id
        return Obeyed(text=await bot.explaining.recalled(session.channel, person, past=True, answer=answer))
    return Obeyed(text="\n".join(await bot.explaining.of(answer, bot.settings)))


async def _context(asked: _Asked) -> Obeyed:
    outlook = await asked.desk.bot.conversations.context(asked.session.channel, session=asked.session)
    return Obeyed(text=outlook.told())


async def _summary(asked: _Asked) -> Obeyed:
    told = await asked.desk.bot.conversations.summary(asked.session.id)
    return Obeyed(text=told or "Nothing has been said here yet.")


async def _title(asked: _Asked) -> Obeyed:
    named = await asked.desk.bot.conversations.rename(asked.session.id, asked.said)
    shown = await shown_now(asked.desk, named, asked.caller)
    return Obeyed(text=f"This session is called {named.title} now.", session=shown)


async def _memory(asked: _Asked) -> Obeyed:
    word, _, rest = asked.said.partition(" ")
    kept, person, channel = asked.desk.bot.memory.memories, asked.caller.person, asked.caller.channel
    match word.casefold():
        case "" | "list":
            return Obeyed(text=await _remembered(asked))
        case "remember" if rest.strip():
            memory = await kept.remember(rest.strip(), person, channel, "me")
            return Obeyed(text=f"I remember it, and may tell it wherever I answer you: {memory.text}")
        case "forget" if rest.strip():
            found = meant(await kept.list(person.id, channel), rest.strip(), "No memory of yours reads like that")
            gone = await kept.forget(found.id, person, channel)
            return Obeyed(text=f"I have forgotten it for good: {gone.text}")
        case "pause":
            await kept.pause(person.id, person)
            return Obeyed(text="From now on I learn nothing about you. What I know stays: /memory list.")
        case "resume":
            await kept.resume(person.id, person)
            return Obeyed(text="I may learn about you again. What you said meanwhile I neither learn from nor recall.")
    raise TroupeError("Say /memory list, /memory remember and what, /memory forget and what, pause, or resume.")


async def _remembered(asked: _Asked) -> str:
    settings, person = asked.desk.settings, asked.caller.person
    found = await asked.desk.bot.memory.memories.list(person.id, asked.caller.channel)
    lines = [f"{each.at:%Y-%m-%d}  {' '.join(each.text.split())}" for each in found[:_LISTED]]
    lines = lines or ["I remember nothing of you."]
    if len(found) > _LISTED:
        lines.append(f"… and {len(found) - _LISTED:,} more.")
    if await asked.desk.bot.memory.memories.paused(person.id):
        lines.append("Learning about you is paused: /memory resume.")
    return "\n".join(lines if settings.memory.enabled else [*lines, f"Memory is {OFF}."])


async def _export(asked: _Asked) -> Obeyed:
    forms: tuple[Form, ...] = get_args(Form)
    form = next((each for each in forms if each == (asked.said.casefold() or "md")), None)
    if form is None:
        raise TroupeError(f"There is no form '{short(asked.said, 40)}'; there are: {', '.join(forms)}.")
    return Obeyed(text=f"Here is this session as {form}.", export=form)


async def _stop(asked: _Asked) -> Obeyed:
    stopped = await asked.talking.stop(asked.session.id)
    return Obeyed(text="Stopped." if stopped else "I am not saying anything here.")


_COMMANDS = (
    Command(name="new", takes="[template]", about="Begin a new session; what was said is kept"),
    Command(name="branch", takes="", about="Go on from here in a session beside this one"),
    Command(name="clear", takes="", about="Take this session out of my view, and begin a new one"),
    Command(name="stop", takes="", about="End the answer under way"),
    Command(name="persona", takes="[name]", about="See who speaks here, or choose who does"),
    Command(
        name="why",
        takes="[memory | session]",
        about="Learn why the last answer came from whom it did",
        choices=["memory", "session"],
    ),
    Command(name="context", takes="", about="See what I have in view here when I answer"),
    Command(name="summary", takes="", about="Read in a few lines what this session is about"),
    Command(name="title", takes="words", about="Give this session a title"),
    Command(
        name="memory",
        takes="[list | remember … | forget … | pause | resume]",
        about="See what I remember of you, add to it, or take from it",
        choices=["list", "remember", "forget", "pause", "resume"],
    ),
    Command(name="export", takes="[form]", about="Take this session along", choices=list(get_args(Form))),
    Command(name="help", takes="", about="See what can be said with a slash"),
)
_ACTS: dict[str, Callable[[_Asked], Awaitable[Obeyed]]] = {
    "new": _new,
    "branch": _branch,
    "clear": _clear,
    "stop": _stop,
    "persona": _persona,
    "why": _why,
    "context": _context,
    "summary": _summary,
    "title": _title,
    "memory": _memory,
    "export": _export,
    "help": _help,
}
