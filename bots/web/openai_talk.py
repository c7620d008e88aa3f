"""What programs that speak OpenAI's API say to a persona, and the session in which it is said.

Such a client is often stateless: it sends all that was said with each request. It goes on in the session whose lines it
repeats, which is known by their fingerprint, as long as nothing else was said or changed there; what no session knows
begins a new one that holds these lines.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

from storage.blobs import TooBig
from storage.errors import StorageError
from storage.model import Attachment, Message, Sender, Session, Text, message_id, storable
from storage.sniff import HEAD, media_type

from ..carrying import lines_of
from ..errors import TroupeError
from ..settings import PersonaSettings
from .answering import Answering
from .callers import Caller
from .desk import Desk
from .given import persona_named, personas
from .openai_wire import Refusal
from .problems import NotThere, TooLarge
from .talking import Talking

WHOEVER_FITS = "auto"
"""The model that stands for whoever of the personas fits."""
_TOLD = "told"
"""In a session's metadata: the fingerprint of all that was said in it as its client tells it, and that of its lines."""
_RULED = "ruled"
"""In a session's metadata: the fingerprint of its client's own instructions."""
_LOOKED_AT = 200
"""Sessions that are looked through for one that a client goes on with, the latest."""
_RULES = 20_000
"""Characters of a client's own instructions."""
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing said, as a client tells it."""

    role: Literal["user", "assistant"]
    text: str
    pictures: tuple[str, ...] = ()
    """As `data:` addresses."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants."""

    model: str
    lines: tuple[Line, ...]
    """All it tells, oldest first."""
    rules: str = ""
    """Its instructions."""
    session: str | None = None
    """The session it names."""
    after: str | None = None
    """The id of the answer it goes on with, where it names no session."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A line that was said, and the answer on its way."""

    desk: Desk
    answering: Answering
    session_id: str
    lines: tuple[Line, ...]

    async def told(self, text: str) -> None:
        """Notes what the client has heard, so that it can go on with it."""
        told = _fingerprint((*self.lines, Line("assistant", text)))
        with suppress(StorageError):  # the answer was given: what follows it begins another session then
            mark = {_TOLD: f"{told} {await _held(self.desk, self.session_id, self.answering.id)}"}
            await self.desk.bot.sessions.change(
                self.session_id, lambda now: now.model_copy(update={"metadata": {**now.metadata, **mark}})
            )


async def exchange(desk: Desk, talking: Talking, caller: Caller, asked: Asked) -> Exchange:
    """Says the last of a client's lines. Raises `TroupeError` or `StorageError`."""
    persona = persona_of(desk, caller, asked.model)
    lines = _joined(asked.lines)
    if not lines or lines[-1].role != "user":
        raise Refusal("The last message has to be the user's: it is what is answered.", "messages")
    *before, line = lines
    if not line.text.strip() and not line.pictures:
        raise Refusal("The last message says nothing.", "messages")
    rules = storable(asked.rules.strip())
    if len(rules) > _RULES:
        raise Refusal(f"The instructions have {len(rules)} characters; {_RULES} is the most.", "instructions")
    files = [await _picture(desk, each) for each in line.pictures]
    # Of two who tell the same at once only the first finds it so: until its line is kept the other has to wait.
    async with desk.bot.doors.of(f"{caller.channel.key} by its words"):
        session = await _meant(desk, talking, caller, asked, before)
        if session is None:
            session = await _opened(desk, caller, before, persona)
        await desk.bot.sessions.change(session.id, lambda now: _ruled(now, rules))
        name = persona.name if persona else None
        answering = await talking.say(caller, session.id, line.text, files, persona=name)
    return Exchange(desk, answering, session.id, lines)


def persona_of(desk: Desk, caller: Caller, model: str) -> PersonaSettings | None:
    """Who is meant by a model; None is whoever fits. Raises `Refusal`."""
    try:
        return persona_named(desk, caller, model)
    except TroupeError:
        if model.strip().casefold() == WHOEVER_FITS:
            return None
    names = ", ".join((*(each.name for each in personas(desk, caller)), WHOEVER_FITS))
    raise Refusal(f"There is no model '{model[:80]}' here. There are: {names}.", "model", "model_not_found", 404)


async def answer_of(desk: Desk, caller: Caller, message_id: str) -> Message:
    """An answer that the caller may see. Raises `Refusal`."""
    try:
        message, _ = await caller.message(desk, message_id)
        if message.role != "assistant":
            raise NotThere
    except NotThere:
        raise Refusal(f"There is no response 'resp_{message_id[:40]}' that you may see.", status=404) from None
    return message


def _joined(lines: Iterable[Line]) -> tuple[Line, ...]:
    """The lines, those of one side that follow each other made one: who says several things is answered once."""
    told: list[Line] = []
    for each in lines:
        each = replace(each, text=storable(each.text))
        if told and told[-1].role == each.role:
            words = "\n\n".join(filter(None, (told[-1].text, each.text)))
            told[-1] = Line(each.role, words, (*told[-1].pictures, *each.pictures))
        else:
            told.append(each)
    return tuple(told)


def _fingerprint(lines: Iterable[Line]) -> str:
    """Tells talk by its words and pictures; clients differ in the white space they keep."""
    said = [[line.role, " ".join(line.text.split()), *line.pictures] for line in lines]
    return sha256(json.dumps(said).encode()).hexdigest()


async def _held(desk: Desk, session_id: str, until: str | None = None) -> str:
    """Tells the lines of a session, up to the message `until`, from those that anybody has added, changed or taken."""
    held = sha256()
    async for each in lines_of(desk.store, session_id, until):
        held.update(json.dumps([each.id, each.text]).encode())
    return held.hexdigest()


async def _meant(desk: Desk, talking: Talking, caller: Caller, asked: Asked, before: Sequence[Line]) -> Session | None:
    """The session in which a client goes on; None where it needs a new one. Raises `TroupeError`."""
    if asked.session is not None:
        return await talking.own(caller, asked.session)
    if asked.after is not None:
        return await _behind(desk, talking, caller, asked.after)
    return await _known(desk, talking, caller, before) if before else None


async def _behind(desk: Desk, talking: Talking, caller: Caller, answer_id: str) -> Session:
    """The session of an answer; where that is not the last there, a branch that ends with it."""
    earlier = await answer_of(desk, caller, answer_id)
    session = await caller.session(desk, earlier.session_id)
    newest = await desk.store.messages(session.id, limit=1)
    if newest and newest[-1].id == earlier.id and talking.under_way(session.id) is None:
        return await talking.own(caller, session.id)
    async with desk.bot.doors.of(caller.channel.key):
        branch = await desk.bot.conversations.branch(session.id, earlier.id, caller.channel)
    mark = {_RULED: session.metadata.get(_RULED, "")}
    marked = await desk.bot.sessions.change(
        branch.id, lambda now: now.model_copy(update={"metadata": {**now.metadata, **mark}})
    )
    return marked or branch


async def _known(desk: Desk, talking: Talking, caller: Caller, lines: Sequence[Line]) -> Session | None:
    """The latest session of the caller that holds just these lines."""
    mark = _fingerprint(lines)
    page = await desk.store.browse(caller.channel.key, limit=_LOOKED_AT)
    for each in page.items:
        told, _, held = each.metadata.get(_TOLD, "").partition(" ")
        if told == mark and talking.under_way(each.id) is None and held == await _held(desk, each.id):
            return each
    return None


def _ruled(now: Session, rules: str) -> Session:
    """The session going by its client's instructions, in place of those that it gave before."""
    before, mark = now.metadata.get(_RULED), sha256(rules.encode()).hexdigest() if rules else ""
    others = [each for each in now.context.constraints if sha256(each.encode()).hexdigest() != before]
    context = now.context.model_copy(update={"constraints": (*others, rules) if rules else tuple(others)})
    marks = {name: value for name, value in now.metadata.items() if name != _RULED}
    return now.model_copy(update={"context": context, "metadata": {**marks, _RULED: mark} if mark else marks})


async def _opened(desk: Desk, caller: Caller, lines: Sequence[Line], persona: PersonaSettings | None) -> Session:
    """A session of its own, which knows nothing of those before it, with what was said elsewhere so far."""
    bot, at = desk.bot, desk.now()
    async with bot.doors.of(caller.channel.key):
        place = await bot.places.know(caller.channel)
        session = await bot.sessions.begin(place, at, carry_over=False, person_id=caller.person.id)
    voice = persona or desk.settings.personas[0]
    speaker = Sender(type="persona", id=desk.settings.name, name=voice.display)
    for line in lines:
        mine = line.role == "user"
        message = Message(
            id=message_id(at, desk.chance()),
            session_id=session.id,
            role=line.role,
            sender=caller.person if mine else speaker,
            persona=None if mine else voice.name,
            parts=(Text(text=line.text),) if line.text else (),
            at=at,
        )
        await desk.store.append(bot.sessions.latest(session), message)
    return session


async def _picture(desk: Desk, address: str) -> Attachment:
    """A picture that stands in the request itself, kept."""
    head, comma, data = address.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64") or not comma:
        raise Refusal("A picture has to come with the request, as 'data:image/png;base64,…'.", "image_url")
    try:
        read = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("A picture is not written in base64.", "image_url", "invalid_base64_image") from None
    kind = media_type(read[:HEAD])
    if kind not in _PICTURES:
        raise Refusal(f"A picture has to be PNG, JPEG, GIF or WebP; this is {kind}.", "image_url", "invalid_image")

    async def once() -> AsyncGenerator[bytes, None]:
        yield read

    name = f"picture.{kind.partition('/')[2]}"
    try:
        blob = await desk.blobs.keep(once(), limit=desk.settings.web.upload_limit, name=name)
    except TooBig as error:
        raise TooLarge(str(error)) from None
    url = f"/api/chat/attachments/{blob.hash}"
    return Attachment(type="image", name=name, url=url, media_type=kind, size=blob.size, blob=blob.hash)
