"""What people do with sessions, behind any front: find, take up again, name, branch, merge, clear."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from functools import partial
from typing import Literal

from storage.backend import Page, Store
from storage.blobs import Blobs
from storage.exports import Form, Noted, Options, ignored
from storage.model import Channel, Found, Sender, Session, message_id, storable
from storage.records import AuditEntry, Setting
from storage.sought import EVERYTHING, Sought

from .comparing import Comparison, compared
from .errors import TroupeError
from .outlook import Outlook
from .place_personas import PlacePersonas
from .prompt import tokens
from .providers import Prompt
from .remembering import Remembering
from .retelling import retells
from .session_marks import CLEARED, KEPT, without
from .sessions import UNSET, Sessions, Unset, short, summary
from .spans import LONGEST, SHORTEST
from .summing import LINES, by_model
from .surgery import TAGS, Merged, Surgery, archived
from .taking_along import Taken, TakingAlong
from .templates import Templates
from .titles import JOINERS, all_titled, on_one_line, titled

_PAGE = 25
_PAGES = 4
"""Pages of a listing read at once while few sessions hold the text sought."""
_TITLE = 100
_AS_USUAL = Options()
_BY_MODEL = "summarised"
"""In a session's metadata: a model wrote its summary."""
_TAG = 40
_NOTHING_YET = "Nothing has been said to me here yet."


def _idle(message_id: str) -> bool:
    return False


class Conversations:
    """What people do with one bot's sessions. Every mistake is a `TroupeError` with a sentence.

    Who may see a session is the front's to know: an id that somebody typed goes through `show` with the keys of the
    channels that person may read; the other methods take ids that went through it. `changed` is told the id of a
    session whose messages are not what they were; `ask` answers a prompt with a model; `adopt` hear places' settings.

    `resume`, `keep`, `speak_as`, `clear`, `merge`, `archive`, `duplicate`, `templates.begin`, and `branch` (of the
    channel it is made in), must not overlap with one another or with `Sessions.place` in the same channel; the
    others may at any time."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        *,
        now: Callable[[], datetime],
        chance: Callable[[], int],
        changed: Callable[[str], None],
        remembering: Remembering,
        ask: Callable[[Prompt], Awaitable[str]] | None = None,
        blobs: Blobs | None = None,
        adopt: Collection[Callable[[str, Setting], None]] = (),
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._now = now
        self._chance = chance
        self._tell_changed = changed
        self._ask = ask
        self._taking_along = TakingAlong(store, blobs, now)
        self._remembering = remembering
        self._adopt = adopt
        self._surgery = Surgery(store, sessions, now=now, chance=chance)
        self.templates = Templates(store, sessions, now=now, chance=chance)
        self.personas = PlacePersonas(store, remembering.settings, now=now, chance=chance)

    async def start(self) -> None:
        """Brings what people have decided for single places back into force."""
        cursor: str | None = None
        while True:
            page = await self._store.records(Setting, cursor=cursor)
            for setting in page.items:
                place, _, key = setting.id.partition(":")
                if place == "channel":
                    self._sessions.rule(key, _gap(setting))
                    for adopt in (self._remembering.adopt, self.personas.adopt, *self._adopt):
                        adopt(key, setting)
            cursor = page.older
            if cursor is None:
                return

    async def listing(
        self,
        channel_key: str | None,
        *,
        text: str = "",
        archived: bool = False,
        cleared: bool = False,
        sought: Sought = EVERYTHING,
        cursor: str | None = None,
        limit: int = _PAGE,
    ) -> Page[Session]:
        """At most `limit` sessions of a channel, or of all, the one a person spoke in last first, each with a title:
        its own or the first words said. With `text` those whose title or id holds it; with `archived` also those
        that were archived or cleared, all of which can be resumed; with `cleared` only those that were; only those
        `sought`, as `Store.browse` has it."""

        def meant(session: Session) -> bool:
            if cleared:
                return session.deleted_at is not None and CLEARED in session.metadata
            return _in_sight(session) if archived else bool(sought.archived) or not session.archived

        browse = partial(self._store.browse, channel_key, deleted=archived or cleared, sought=sought)
        wanted, found = text.strip().casefold(), list[Session]()
        for _ in range(_PAGES):
            page = await browse(cursor=cursor, limit=_PAGE)
            there = [each for each in page.items if meant(each)]
            titles = await all_titled(self._store, there if wanted else there[: limit - len(found)])
            found += [each for each in titles if wanted in each.title.casefold() or wanted in each.id]
            if len(found) >= limit:
                del found[limit:]
                read = [each.id for each in page.items].index(found[-1].id) + 1
                if read < len(page.items):
                    page = await browse(cursor=cursor, limit=read)  # for where to go on
            cursor = page.older
            if cursor is None or len(found) == limit:
                break
        return Page(tuple(found), cursor, None)

    async def show(self, session_id: str, keys: Collection[str] | None) -> Session:
        """The session with a title, if it belongs to one of these channels, or to any; a cleared one as well."""
        session = await self._store.session(session_id.strip())
        if session is None or (keys is not None and session.channel.key not in keys) or not _in_sight(session):
            raise _absent(session_id)
        return await titled(self._store, session)

    async def search(
        self, query: str, keys: Collection[str] | None, *, limit: int = 20, sought: Sought = EVERYTHING
    ) -> list[Found]:
        """Messages of these channels, or of all, that hold the words, the best first; without words the newest of
        those that are sought."""
        if not query.strip() and sought == EVERYTHING:
            raise TroupeError("Say which words to look for, or whose, when, or with which tag.")
        if keys is not None and not keys:
            return []
        return await self._store.search(query, channel_keys=keys, limit=limit, sought=sought)

    async def context(
        self, channel: Channel, person_id: str | None = None, *, session: Session | None = None
    ) -> Outlook:
        """What a model would be shown with the next line in a channel, with that person's, or with one meant for a
        `session`, in numbers and names."""
        meant, session = session is not None, session or await self._current(channel, person_id)
        gap, decided = self._sessions.gap(channel)
        over = not meant and self._sessions.over(session, self._now(), person_id)
        lines = [] if over else await self._store.messages(session.id, limit=self._sessions.max_history)
        words = [line.words for line in lines if line.words.strip()]
        before = "" if over else await self._sessions.carry_over(session)
        weight = sum(map(tokens, words))
        in_mind = await self._remembering.lines(channel.key)
        return Outlook(session, over, gap, decided, len(words), weight, before, in_mind)

    async def rename(self, session_id: str, title: str) -> Session:
        """Gives a session a title of at most 100 letters."""
        wanted = on_one_line(storable(title))
        if not wanted.strip(JOINERS) or len(wanted) > _TITLE:
            raise TroupeError(f"A title has between 1 and {_TITLE} letters; this one has {len(wanted)}.")
        return await self._change(session_id, lambda now: now.model_copy(update={"title": wanted}))

    async def star(self, session_id: str, on: bool) -> Session:
        """Keeps a session whatever retention says, or no longer."""
        return await self._change(session_id, lambda now: now.model_copy(update={"starred": on}))

    async def archive(self, session_id: str, on: bool) -> Session:
        """Puts a session out of people's way, or back. The next line in its channel begins a new one."""
        at = self._now()
        return await self._change(session_id, lambda now: archived(now, on, at))

    async def resume(self, channel: Channel, session_id: str, person_id: str | None = None) -> Session:
        """Makes an older session of the channel the current one, or that person's, also one that was archived or
        cleared: the next line continues it, whenever it comes."""
        session = await self.show(session_id, {channel.key})
        resumed = await self._sessions.resume(channel, session.id, self._now(), person_id=person_id)
        if resumed is None:
            raise _absent(session_id)
        self._tell_changed(resumed.id)
        return resumed

    async def keep(self, channel: Channel, person_id: str | None = None) -> Session:
        """Lets the next line in a channel continue its session, or the one that person is in, however long the silence;
        once."""
        session = await self._current(channel, person_id)
        return await self._change(session.id, _kept)

    async def policy(self, channel: Channel, gap: float | Literal["off"] | None, by: Sender) -> None:
        """Sets how many seconds of silence begin a new session in a channel: `off` for never, None for what the guild
        or the configuration says."""
        if isinstance(gap, float | int) and not SHORTEST <= gap <= LONGEST:
            told = "between 10 seconds and 10 years can"
            raise TroupeError(f"A silence of {gap:g} seconds cannot begin a session: {told}.")
        name, at = f"channel:{channel.key}", self._now()
        async with self._remembering.settings:
            known = await self._store.record(Setting, name)
            before = known.values if known else {}
            values = {key: value for key, value in before.items() if key != "session_gap"}
            if gap is not None:
                values["session_gap"] = gap
            setting = Setting(id=name, at=at, values=values, before=before, by=by)
            entry = AuditEntry(
                id=message_id(at, self._chance()),
                at=at,
                actor=by,
                action="session policy",
                target=name,
                details={"session_gap": gap, "before": before.get("session_gap")},
            )
            await self._store.keep(setting, entry)
        self._sessions.rule(channel.key, _gap(setting))

    async def speak_as(self, channel: Channel, persona: str | None, by: Sender) -> None:
        """Lets a persona speak in a place from now on, in the session under way and those after it; None leaves it to
        whoever fits."""
        await self.personas.choose(channel, persona, by)
        if session := await self._sessions.current(channel, by.id):
            await self._change(session.id, lambda now: now.model_copy(update={"persona": persona}))

    async def tag(self, session_id: str, add: Collection[str] = (), remove: Collection[str] = ()) -> Session:
        """Gives a session tags, and takes others away: at most 20, each of at most 40 letters and without a comma."""
        wanted = [on_one_line(storable(tag)) for tag in add]
        for tag in wanted:
            if not tag.strip(JOINERS) or len(tag) > _TAG or "," in tag:
                raise TroupeError(
                    f"A tag has between 1 and {_TAG} letters and no comma; this one is '{short(tag, 60)}'."
                )
        gone = {on_one_line(storable(tag)).casefold() for tag in remove}

        def tagged(now: Session) -> Session:
            known = {tag.casefold(): tag for tag in now.tags if tag.casefold() not in gone}
            tags = {**{tag.casefold(): tag for tag in wanted}, **known}
            return now.model_copy(update={"tags": tuple(tags[each] for each in {**known, **tags})})

        if len(tagged(await self._kept(session_id)).tags) > TAGS:
            raise TroupeError(f"A session has at most {TAGS} tags: take some away first.")
        return await self._change(session_id, tagged)

    async def branch(self, source_id: str, after: str | None, into: Channel) -> Session:
        """A new session that knows what was said in another one up to a message (its id; None for the last); the
        current one of the channel it is made in, which is the same or one of the same guild."""
        return await titled(self._store, await self._surgery.branch(await self._kept(source_id), after, into))

    async def duplicate(self, source_id: str) -> Session:
        """A closed session with all that was said in another one, and its tags, beside it; without its star."""
        return await titled(self._store, await self._surgery.duplicate(await self._kept(source_id)))

    async def merge(
        self, channel: Channel, other_id: str, person_id: str | None = None, *, busy: Callable[[str], bool] = _idle
    ) -> Merged:
        """Makes one session of a channel's current one, or the one that person is in, and another of its sessions, the
        lines of both in the order of time, each once; it is the current one from then on, and the two are archived.
        Refuses while an answer is under way in one of them, as `busy` tells of the id of it or of a line."""
        into = await self._current(channel, person_id)
        other = await self._kept((await self.show(other_id, {channel.key})).id)
        if other.id == into.id:
            raise TroupeError("That is the session under way here: choose another one to bring into it.")
        return await self.merge_two(into.id, other.id, busy=busy, goes_on=True)

    async def merge_two(
        self, first_id: str, second_id: str, *, busy: Callable[[str], bool] = _idle, goes_on: bool = False
    ) -> Merged:
        """The same for any two sessions of one channel; what they become is the current one if one of them was, or if
        it `goes_on`."""
        for each in (first_id, second_id):
            if any(busy(line.id) for line in await self._store.messages(each, limit=LINES)):
                raise TroupeError("I am still answering there: try again once I am done.")
        merged = await self._surgery.merge(await self._kept(first_id), await self._kept(second_id), goes_on=goes_on)
        self._tell_changed(merged.session.id)
        return merged

    async def would_merge(self, first_id: str, second_id: str) -> tuple[int, int]:
        """How many lines a merge would hold, and how many of them are only of the second session."""
        return await self._surgery.would_merge(await self._kept(first_id), await self._kept(second_id))

    async def compare(self, first_id: str, second_id: str) -> Comparison:
        """What two sessions have in common, and what is only in one of them."""
        first, second = await self._kept(first_id), await self._kept(second_id)
        return await compared(self._store, await titled(self._store, first), await titled(self._store, second))

    async def clear(self, channel: Channel, person_id: str | None = None, *, session: Session | None = None) -> Session:
        """Takes the current session, the one that person is in, or that `session`, out of sight and begins a new one
        that knows nothing of it. Returns the old one: resuming it brings it back, until retention removes it."""
        at, session = self._now(), session or await self._current(channel, person_id)
        # The new one first: should the second step fail, nothing is taken away, and nothing old is shown either.
        await self._sessions.begin(channel, at, carry_over=False, person_id=person_id)

        def cleared(now: Session) -> Session:
            return now.model_copy(update={"deleted_at": at, "metadata": {**now.metadata, CLEARED: "yes"}})

        gone = await self._change(session.id, cleared)
        self._tell_changed(session.id)
        return gone

    async def summary(self, session_id: str) -> str:
        """What a session is about, by a model where one can be asked, else from its last lines; kept with it until
        somebody speaks in it again. Words of people, not to be trusted; empty when nothing was said."""
        rewordings, session = self._sessions.rewordings, await self._kept(session_id)
        if session.context.summary and _BY_MODEL in session.metadata:
            return session.context.summary
        voices = self._sessions.voices
        lines = [each for each in await self._store.messages(session.id, limit=LINES) if not retells(each)]
        told = await by_model(self._ask, lines, voices) if self._ask else ""
        mark = {_BY_MODEL: "yes"} if told else {}
        told = told or summary(session, await self._store.messages(session.id, limit=8), voices)

        def summed_up(now: Session) -> Session:
            if now.last_at > session.last_at or rewordings != self._sessions.rewordings:
                return now
            context = now.context.model_copy(update={"summary": told})
            metadata = {**without(now, _BY_MODEL).metadata, **mark}
            return now.model_copy(update={"context": context, "metadata": metadata})

        await self._change(session.id, summed_up)
        return told

    async def export(
        self,
        session_id: str,
        form: Form,
        *,
        bot: str,
        asker: str,
        zipped: bool = False,
        options: Options = _AS_USUAL,
        noted: Noted = ignored,
    ) -> Taken:
        """The session as a file's content; with `zipped` a zip of it and the files beside its messages. `noted` hears
        what the file lacks; for one `asker` one is made at a time."""
        found, take = (await self._kept(session_id)).id, self._taking_along.file
        return await take(found, form, bot=bot, zipped=zipped, options=options, noted=noted, asker=asker)

    async def _current(self, channel: Channel, person_id: str | None) -> Session:
        session = await self._sessions.current(channel, person_id)
        if session is None:
            raise TroupeError(_NOTHING_YET)
        return session

    async def _kept(self, session_id: str) -> Session:
        session = await self._store.session(session_id)
        if session is None or session.deleted_at is not None:
            if session is not None and CLEARED in session.metadata:
                raise TroupeError("That session was cleared: take it up again first, and nothing of it is lost.")
            raise _absent(session_id)
        return session

    async def _change(self, session_id: str, alter: Callable[[Session], Session]) -> Session:
        changed = await self._sessions.change(session_id, alter)
        if changed is None:
            raise _absent(session_id)
        return changed


def _kept(session: Session) -> Session:
    return session.model_copy(update={"metadata": {**session.metadata, KEPT: "yes"}})


def _in_sight(session: Session) -> bool:
    return session.deleted_at is None or CLEARED in session.metadata


def _gap(setting: Setting) -> float | Unset | None:
    gap = setting.values.get("session_gap", UNSET)
    decided = float(gap) if isinstance(gap, int | float) else UNSET
    return None if gap == "off" else decided


def _absent(session_id: str) -> TroupeError:
    return TroupeError(f"There is no session '{short(session_id, 40)}' here: choose one from the list of sessions.")
