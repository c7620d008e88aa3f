"""What new sessions begin with: templates out of the configuration, and those that people saved from a session."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from storage.backend import Store
from storage.forgetting import is_theirs, pages
from storage.model import Channel, Message, Sender, Session, Text, message_id, storable
from storage.records import Opening, Template

from .carrying import lines_of
from .errors import TroupeError
from .sessions import Sessions, short
from .settings import BotSettings, TemplateSettings

EVERYWHERE = "bot"
OPENING = 20
"""The most lines that a template holds."""
_MOST = 50
"""Templates of one place."""
_NAME = 60
_LINE = 4_000
_WRITTEN = Sender(type="system", id="settings", name="the configuration")
_TEMPLATE = Sender(type="system", id="template", name="Template")


class Templates:
    """The templates of one bot. `begin` must not overlap with what else begins sessions in the channel."""

    def __init__(
        self, store: Store, sessions: Sessions, *, now: Callable[[], datetime], chance: Callable[[], int]
    ) -> None:
        self._store, self._sessions, self._now, self._chance = store, sessions, now, chance

    async def offered(self, settings: BotSettings, channel: Channel | None) -> list[Template]:
        """The templates for a channel, or all of them: the configuration's first, then the newest."""
        found = [_preset(each, self._now()) for each in settings.templates]
        async for saved in pages(lambda cursor: self._store.records(Template, cursor=cursor)):
            found += [each for each in saved if channel is None or each.audience in (channel.key, EVERYWHERE)]
        return found

    async def named(self, settings: BotSettings, channel: Channel | None, name: str) -> Template:
        """The template of that name for a channel. Raises `TroupeError` with the names that there are."""
        offered, wanted = await self.offered(settings, channel), _plain(name).casefold()
        found = next((each for each in offered if each.name.casefold() == wanted), None)
        if found is None:
            names = ", ".join(f"'{each.name}'" for each in offered[:20]) or "none yet"
            raise TroupeError(f"There is no template '{short(name, 40)}' here. There are: {names}.")
        return found

    async def save(
        self,
        settings: BotSettings,
        session: Session,
        name: str,
        by: Sender,
        *,
        lines: int = 0,
        everywhere: bool = False,
    ) -> Template:
        """Keeps what a session is: title, persona, tags, goals, and the first lines of it, as a template for its
        channel, or for everywhere. Of people's lines only those are taken that whoever saves it said; all, where that
        is the program. One of that name by somebody else is not replaced."""
        wanted = _plain(name)
        if not wanted or len(wanted) > _NAME:
            raise TroupeError(f"A template's name has between 1 and {_NAME} letters; this one has {len(wanted)}.")
        if not 0 <= lines <= OPENING:
            raise TroupeError(f"A template begins with 0 to {OPENING} lines; {lines} were asked for.")
        audience = EVERYWHERE if everywhere else session.channel.key
        there = [each for each in await self.offered(settings, None) if each.audience in (audience, EVERYWHERE)]
        for each in there:
            if each.name.casefold() == wanted.casefold() and not self.may_change(each, by):
                raise TroupeError(f"There is a template '{each.name}' already, by somebody else: choose another name.")
        if len(there) >= _MOST:
            raise TroupeError(f"There are {len(there)} templates here already: remove one first.")
        template = Template(
            id=f"{audience} {wanted.casefold()}",
            at=self._now(),
            name=wanted,
            audience=audience,
            by=by,
            people=tuple(each.id for each in session.participants if each.type == "user"),
            title=session.title,
            persona=session.persona,
            tags=session.tags,
            goals=session.context.goals,
            constraints=session.context.constraints,
            shared_knowledge=session.context.shared_knowledge,
            opening=await self._opening(session, by, lines),
        )
        await self._store.keep(template)
        return template

    def may_change(self, template: Template, by: Sender) -> bool:
        """Whether somebody may replace or remove a template: the program may, and whoever made it."""
        written = template.by == _WRITTEN
        return not written and (by.type == "system" or is_theirs(template.by, by.id))

    async def remove(self, template: Template) -> None:
        """Removes a template for good."""
        if template.by == _WRITTEN:
            raise TroupeError(f"The template '{template.name}' stands in the configuration: take it out there.")
        await self._store.remove_records(Template, [template.id])

    async def begin(self, settings: BotSettings, channel: Channel, template: Template) -> Session:
        """A new session in a channel that begins with a template, and knows nothing of the one before."""
        known = settings.persona(template.persona or "")
        session = await self._sessions.begin(channel, self._now(), carry_over=False)

        def dressed(now: Session) -> Session:
            told = {"goals": template.goals, "constraints": template.constraints}
            context = now.context.model_copy(update={**told, "shared_knowledge": template.shared_knowledge})
            changes = {"title": template.title or template.name, "tags": template.tags, "context": context}
            return now.model_copy(update={**changes, "persona": known.name if known else None})

        session = await self._sessions.change(session.id, dressed) or session
        for line in self._lines(settings, session, template):
            await self._store.append(self._sessions.latest(session), line)
        return await self._store.session(session.id) or session

    def _lines(self, settings: BotSettings, session: Session, template: Template) -> list[Message]:
        voice = settings.persona(session.persona or "") or settings.personas[0]
        speaker = Sender(type="persona", id=voice.name, name=voice.display)
        told = (("Goal", template.goals), ("Keep to", template.constraints), ("Known", template.shared_knowledge))
        brief = "\n".join(f"{word}: {each}" for word, those in told for each in those)
        lines = [self._line(session, brief, "system", _TEMPLATE)] if brief else []
        for each in template.opening:
            sender = speaker if each.role == "assistant" else _TEMPLATE
            lines.append(self._line(session, each.text, each.role, sender))
        return lines

    def _line(self, session: Session, text: str, role: Literal["user", "assistant", "system"], by: Sender) -> Message:
        at = self._now()
        persona = by.id if by.type == "persona" else None
        return Message(
            id=message_id(at, self._chance()),
            session_id=session.id,
            role=role,
            sender=by,
            persona=persona,
            parts=(Text(text=text),),
            at=at,
        )

    async def _opening(self, session: Session, by: Sender, most: int) -> tuple[Opening, ...]:
        found: list[Opening] = []
        theirs: set[str] = set()
        async for line in lines_of(self._store, session.id):
            if len(found) >= most:
                break
            own = by.type == "system" or is_theirs(line.sender, by.id) or line.reply_to in theirs
            if own and line.role in ("user", "assistant") and line.words.strip():
                theirs.add(line.id)
                role: Literal["user", "assistant"] = "user" if line.role == "user" else "assistant"
                found.append(Opening(role=role, text=line.words[:_LINE]))
        return tuple(found)


def _preset(written: TemplateSettings, at: datetime) -> Template:
    return Template(
        id=f"{EVERYWHERE} {written.name.casefold()}",
        at=at,
        name=written.name,
        audience=EVERYWHERE,
        by=_WRITTEN,
        title=written.title,
        persona=written.persona,
        tags=written.tags,
        goals=written.goals,
        constraints=written.constraints,
        shared_knowledge=written.knowledge,
        opening=tuple(Opening(role=each.role, text=each.text) for each in written.opening),
    )


def _plain(name: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in storable(name)).split())
