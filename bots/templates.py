"""What new sessions begin with: templates out of the configuration, and those that people saved from a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from storage.backend import Store
from storage.forgetting import is_theirs, pages
from storage.model import Channel, Message, Sender, Session, Text, message_id, storable
from storage.records import Opening, Template

from .afterwards import asked_by
from .carrying import Carrying, carrying, lines_of
from .errors import TroupeError
from .sessions import Sessions, short
from .settings import BotSettings, TemplateSettings

EVERYWHERE = "bot"
OPENING = 20
"""The most lines that a template holds."""
_MOST = 50
"""Templates of one place."""
_NAME = 60
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
            names = ", ".join(f"'{each.name}'" for each in offered[:20])
            there = f"There are: {names}." if names else "There are no templates yet."
            raise TroupeError(f"There is no template '{short(name, 40)}' here. {there}")
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
        is the program; of none the words. One of that name by somebody else is not replaced."""
        wanted = _plain(name)
        if not wanted or len(wanted) > _NAME:
            raise TroupeError(f"A template's name has between 1 and {_NAME} letters; this one has {len(wanted)}.")
        if not 0 <= lines <= OPENING:
            raise TroupeError(f"A template begins with 0 to {OPENING} lines; {lines} were asked for.")
        audience = EVERYWHERE if everywhere else session.channel.key
        id = f"{audience} {wanted.casefold()}"
        there = [each for each in await self.offered(settings, None) if each.audience in (audience, EVERYWHERE)]
        for each in there:
            if each.name.casefold() == wanted.casefold() and not self.may_change(each, by):
                raise TroupeError(f"There is a template '{each.name}' already, by somebody else: choose another name.")
        if len(there) >= _MOST and all(each.id != id for each in there):
            raise TroupeError(f"There are {len(there)} templates here already: remove one first.")
        opening = await self._opening(session, by, lines)
        template = Template(
            id=id,
            at=self._now(),
            name=wanted,
            audience=audience,
            by=by,
            people=await self._quoted(session, opening),
            title=session.title,
            persona=session.persona,
            tags=session.tags,
            goals=session.context.goals,
            constraints=session.context.constraints,
            shared_knowledge=session.context.shared_knowledge,
            opening=tuple(Opening(role=_role(line), line=line.id) for line in opening),
        )
        await self._store.keep(template)
        return template

    def may_change(self, template: Template, by: Sender) -> bool:
        """Whether somebody may replace or remove a template: the program may, and whoever made it."""
        return not self.is_written(template) and (by.type == "system" or is_theirs(template.by, by.id))

    def is_written(self, template: Template) -> bool:
        """Whether it stands in the configuration, which nobody changes from here."""
        return template.by == _WRITTEN

    async def remove(self, template: Template) -> None:
        """Removes a template for good."""
        if self.is_written(template):
            told = "stands in the configuration: whoever runs this bot can take it out there"
            raise TroupeError(f"The template '{template.name}' {told}.")
        await self._store.remove_records(Template, [template.id])

    async def begin(
        self, settings: BotSettings, channel: Channel, template: Template, person_id: str | None = None
    ) -> Session:
        """A new session in a channel that begins with a template, and knows nothing of the one before; for that person,
        if any is named, as `Sessions.begin` has it. What somebody said in its opening is carried there as it is now;
        what was deleted meanwhile is left out."""
        known = settings.persona(template.persona or "")
        session = await self._sessions.begin(channel, self._now(), carry_over=False, person_id=person_id)

        def dressed(now: Session) -> Session:
            told = {"goals": template.goals, "constraints": template.constraints}
            context = now.context.model_copy(update={**told, "shared_knowledge": template.shared_knowledge})
            changes = {"title": template.title or template.name, "tags": template.tags, "context": context}
            return now.model_copy(update={**changes, "persona": known.name if known else None})

        session = await self._sessions.change(session.id, dressed) or session
        carried = Carrying(self._store, session, self._sessions.latest)
        for each in template.opening:
            if not each.line:
                await self._store.append(self._sessions.latest(session), self._line(settings, session, each))
            elif (line := await self._said(each.line)) is not None:
                await self._sessions.change(line.session_id, lambda now: carrying(now, session.id))
                # Without what keeps a session from retention: a template begins any number of them.
                await carried.take(line.model_copy(update={"pinned": False, "annotations": ()}))
                await carried.finish()
        await self._sessions.change(session.id, lambda now: now.model_copy(update={"participants": carried.speakers}))
        return await self._store.session(session.id) or session

    def _line(self, settings: BotSettings, session: Session, opening: Opening) -> Message:
        """A line that the configuration has written."""
        at, sender, persona = self._now(), _TEMPLATE, None
        if opening.role == "assistant":
            voice = settings.persona(session.persona or "") or settings.personas[0]
            sender, persona = Sender(type="persona", id=settings.name, name=voice.display), voice.name
        return Message(
            id=message_id(at, self._chance()),
            session_id=session.id,
            role=opening.role,
            sender=sender,
            persona=persona,
            parts=(Text(text=opening.text),),
            at=at,
        )

    async def _said(self, line_id: str) -> Message | None:
        """A line that is still in sight."""
        line = await self._store.message(line_id)
        if line is None or line.deleted_at is not None:
            return None
        session = await self._store.session(line.session_id)
        return line if session is not None and session.deleted_at is None else None

    async def _opening(self, session: Session, by: Sender, most: int) -> list[Message]:
        found: list[Message] = []
        theirs: set[str] = set()
        async for line in lines_of(self._store, session.id):
            if len(found) >= most:
                break
            own = by.type == "system" or is_theirs(line.sender, by.id) or line.reply_to in theirs
            if own and line.role in ("user", "assistant") and line.words.strip():
                theirs.add(line.id)
                found.append(line)
        return found

    async def _quoted(self, session: Session, opening: Sequence[Message]) -> tuple[str, ...]:
        """The ids of those whose words may stand in a template: answers quote what they answer."""
        answered = [await self._store.message(id) for line in opening for id in asked_by(line)]
        spoke = (line.sender for line in (*opening, *answered) if line is not None)
        return tuple(dict.fromkeys(each.id for each in (*session.participants, *spoke) if each.type in ("user", "bot")))


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


def _role(line: Message) -> Literal["user", "assistant"]:
    return "user" if line.role == "user" else "assistant"


def _plain(name: str) -> str:
    return " ".join("".join(c if c.isprintable() and c != "\ufffd" else " " for c in storable(name)).split())
