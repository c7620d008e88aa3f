"""What programs that speak OpenAI's API say to a persona, and the session in which it is said.

Such a client is often stateless: it sends all that was said with each request. It goes on in the session whose lines it
repeats, which is known by their fingerprint; what no session knows begins a new one that holds these lines.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

from storage.blobs import TooBig
from storage.model import Attachment, Message, Sender, Session, Text, message_id, storable
from storage.sniff import HEAD, media_type

from ..settings import PersonaSettings
from .answering import Answering
from .callers import Caller
from .desk import Desk
from .openai_wire import Refusal
from .problems import NotThere, TooLarge
from .talking import Talking

WHOEVER_FITS = "auto"
"""The model that stands for whoever of the personas fits."""
_TOLD = "told"
"""In a session's metadata: the fingerprint of all that was said in it, as its client tells it."""
_LOOKED_AT = 200
"""Sessions that are looked through for one that a client goes on with, the latest."""
_RULES = 4_000
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


@dataclass(frozen=True, slots=True)
class Exchange:
    """A line that was said, and the answer on its way."""

    desk: Desk
    answering: Answering
    session_id: str
    lines: tuple[Line, ...]

    async def told(self, text: str) -> None:
        """Notes what the client has heard, so that it can go on with it."""
        mark = _fingerprint((*self.lines, Line("assistant", text)))

        def marked(now: Session) -> Session:
            return now.model_copy(update={"metadata": {**now.metadata, _TOLD: mark}})

        await self.desk.bot.sessions.change(self.session_id, marked)


async def exchange(desk: Desk, talking: Talking, caller: Caller, asked: Asked) -> Exchange:
    """Says the last of a client's lines. Raises `TroupeError` or `StorageError`."""
    persona = persona_of(desk, caller, asked.model)
    lines = _joined(asked.lines)
    if not lines or lines[-1].role != "user":
        raise Refusal("The last message has to be the user's: it is what is answered.", "messages")
    *before, line = lines
    if not line.text.strip() and not line.pictures:
        raise Refusal("The last message says nothing.", "messages")
    files = [await _picture(desk, each) for each in line.pictures]
    session_id = asked.session or await _known(desk, caller, before)
    if session_id is None:
        session_id = (await _opened(desk, caller, before, asked.rules, persona)).id
    name = persona.name if persona else None
    answering = await talking.say(caller, session_id, line.text, files, persona=name)
    return Exchange(desk, answering, session_id, lines)


def personas(desk: Desk, caller: Caller) -> list[PersonaSettings]:
    """Those whom the caller may ask."""
    allowed = desk.bot.admission.access.grant(caller.channel, caller.person, ()).personas
    return [each for each in desk.settings.personas if allowed is None or each.name in allowed]


def persona_of(desk: Desk, caller: Caller, model: str) -> PersonaSettings | None:
    """Who is meant by a model; None is whoever fits. Raises `Refusal`."""
    wanted, there = model.strip().casefold(), personas(desk, caller)
    for each in there:
        if wanted in (each.name, each.display.casefold(), *(alias.casefold() for alias in each.aliases)):
            return each
    if wanted == WHOEVER_FITS:
        return None
    names = ", ".join((*(each.name for each in there), WHOEVER_FITS))
    raise Refusal(f"There is no model '{model[:80]}' here. There are: {names}.", "model", "model_not_found", 404)


async def answer_of(desk: Desk, caller: Caller, message_id: str) -> Message:
    """An answer that the caller may see. Raises `Refusal`."""
    message = await desk.store.message(message_id)
    try:
        if message is None or message.role != "assistant" or message.deleted_at is not None:
            raise NotThere
        await caller.session(desk, message.session_id)
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
    """Tells talk by its words; clients differ in the white space they keep."""
    said = [[line.role, " ".join(line.text.split())] for line in lines]
    return sha256(json.dumps(said).encode()).hexdigest()


async def _known(desk: Desk, caller: Caller, lines: Sequence[Line]) -> str | None:
    """The latest session of the caller that holds just these lines."""
    if not lines:
        return None
    mark = _fingerprint(lines)
    page = await desk.store.browse(caller.channel.key, limit=_LOOKED_AT)
    return next((each.id for each in page.items if each.metadata.get(_TOLD) == mark), None)


async def _opened(
    desk: Desk, caller: Caller, lines: Sequence[Line], rules: str, persona: PersonaSettings | None
) -> Session:
    """A session of its own, which knows nothing of those before it, with what was said elsewhere so far."""
    bot, at = desk.bot, desk.now()
    async with bot.doors.of(caller.channel.key):
        place = await bot.places.know(caller.channel)
        session = await bot.sessions.begin(place, at, carry_over=False, person_id=caller.person.id)
    if rules.strip():
        context = session.context.model_copy(update={"constraints": (storable(rules.strip())[:_RULES],)})
        changed = await bot.sessions.change(session.id, lambda now: now.model_copy(update={"context": context}))
        session = changed or session
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
