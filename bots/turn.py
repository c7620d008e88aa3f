"""One turn: recall, ask, answer, keep."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from storage.errors import StorageError
from storage.model import Message, Note, Outcome, Part, Sender, Session, Usage, storable

from .afterwards import REPLACES, answering
from .casting import Cast, Casting
from .errors import ProviderError
from .fetching import Fetching, with_files
from .joined_answers import Passage, alone, heading, summed, together
from .lanes import Turn
from .long_memory import LongMemory
from .pieces import Delta, Done, Left, Opened, Reset
from .prompt import Prompts
from .providers import Prompt, Provider, begun
from .recall import Recent
from .recollected import NOTHING, Recollected
from .retelling import taken_back
from .router import Decision
from .sessions import Sessions
from .settings import BotSettings, PersonaSettings

log = structlog.get_logger()

FULL = {"ended": "length"}
"""The metadata of an answer that is as long as the model's could become."""
_LOOKED_BACK = 20
"""How many lines back a picture is still shown."""
_HEAD_START = 0.1
"""Seconds by which the final words may be ahead of their keeping: nobody waits for a disk to see them."""
_BROKEN = "Something went wrong on my side; the log has it under turn {}."


@dataclass
class _Answer:
    """What has been said so far in one asking."""

    cast: Cast
    persona: PersonaSettings
    """Whose it is; of a reply of several, the first."""
    voice: PersonaSettings
    """Who is asked just now."""
    heading: str
    """What stands above the words,"""
    words: list[str] = field(default_factory=list)
    """Of the voice."""
    remark: str = ""
    """and what the program says between the two."""
    before: list[Passage] = field(default_factory=list)
    """What other voices have said before."""
    usage: Usage | None = None
    so_far: Callable[[str], Usage] | None = None
    estimated: bool = False
    """Whether what the words took is guessed, as they ended before the server told."""
    spent: Usage | None = None
    """What was asked before took."""
    full: bool = False
    """Whether the words end because an answer may not become longer."""
    failure: str = ""
    declined: str = ""
    """Why nobody was asked."""
    notice: str = ""
    """What stands below the words."""
    message: Message | None = None
    recalled: Recollected = NOTHING
    half: str = ""
    """The first half of a character that a server cut in two."""

    @property
    def decision(self) -> Decision:
        return self.cast.decision

    @property
    def said(self) -> list[Passage]:
        """All passages with words in them."""
        words = "".join(self.words)
        return [*self.before, Passage(self.heading, self.remark, words)] if words.strip() else self.before

    def hand_over(self, voice: PersonaSettings) -> None:
        """Lets another voice go on."""
        self.end()
        self.spent, self.usage = summed(self.spent, self.usage), None
        self.before, self.words, self.remark = self.said, [], ""
        self.voice, self.heading = voice, heading(voice, self.before)

    def end(self) -> None:
        """No more words of the voice come."""
        if self.so_far is not None:
            self.usage, self.so_far, self.estimated = self.so_far("".join(self.words)), None, True

    def taken(self, text: str) -> str:
        """The words of a piece, fit to be shown and kept."""
        text, self.half = self.half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self.half = text[:-1], text[-1]
        return storable(text)


class Turns:
    """Runs turns for one bot: every collaborator is given, none is looked up."""

    def __init__(
        self,
        settings: BotSettings,
        sessions: Sessions,
        casting: Casting,
        prompts: Prompts,
        provider: Provider,
        recent: Recent,
        files: Fetching,
        memory: LongMemory,
        *,
        known: Callable[[str], Awaitable[str]],
        keep: Callable[[Session, Message], Awaitable[bool]],
        after: Callable[[Turn, Message | None], Awaitable[None]],
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._casting = casting
        self._prompts = prompts
        self._provider = provider
        self._recent = recent
        self._files = files
        self._memory = memory
        self._known = known
        self._keep = keep
        self._after = after
        self._now = now

    async def run(self, turn: Turn) -> None:
        """Answers the turn's lines into `turn.pieces`, keeps the answer, and ends the pieces with None.

        The final words go out first and are kept as soon as they are shown or a moment has passed; `run` returns
        once they are kept."""
        message: Message | None = None
        try:
            answer = await self._answered(turn)
            if answer is not None and answer.message is not None:
                message = answer.message
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_HEAD_START):
                        await turn.shown.wait()
                turn.keeping = True
                if not await self._memory.stands(answer.recalled):
                    message = taken_back(message)
                message = message.model_copy(update={"receipts": turn.receipts})
                await self._keep(self._sessions.latest(turn.session), message)
        except StorageError as error:
            log.error("turn.unkept", error=str(error))
            if not turn.settled:
                turn.refused = error
        except Exception:
            log.exception("turn.failed")
        finally:
            await self._after(turn, message)
            if turn.wish == "leave" and message is None and turn.refused is None:
                turn.say(Left(tuple(turn.lines)))
            turn.settled = True
            turn.over.set()
            turn.say(None)

    async def _answered(self, turn: Turn) -> _Answer | None:
        """Asks until an asking was not overtaken by another line of the same person. None: nothing was said."""
        while True:
            if turn.overtaken:
                turn.wish = "go"
            answer = self._begun(turn)
            answer.declined = turn.terms.declined
            if answer.declined or not turn.undisturbed:
                if not await self._line_is_kept(turn):
                    return None
                self._settled(turn, answer)
                return answer
            asking = turn.asking = asyncio.ensure_future(self._ask(turn, answer))
            await asyncio.wait((asking,))
            turn.asking = None
            if not asking.cancelled():
                asking.result()
            if not await self._line_is_kept(turn):
                return None
            if not turn.overtaken:
                if answer.message is None:
                    self._settled(turn, answer)
                return answer
            turn.say(Reset())

    async def _line_is_kept(self, turn: Turn) -> bool:
        try:
            if turn.kept.done():
                return turn.kept.result()
            return await asyncio.shield(turn.kept)  # who gives up the answer keeps the line all the same
        except StorageError as error:
            turn.refused = error
            return False

    def _begun(self, turn: Turn) -> _Answer:
        """An answer without a word yet, by the persona that the router picks."""
        cast = self._casting.cast(turn, self._sessions.latest(turn.session))
        persona, above = self._voice(turn, cast)
        return _Answer(cast, persona, persona, above, notice=turn.terms.notice)

    def _voice(self, turn: Turn, cast: Cast) -> tuple[PersonaSettings, str]:
        """Whose the answer is, and what stands above it."""
        default = self._settings.personas[0]
        persona = self._settings.persona(cast.decision.persona) or default
        named = (persona is default or turn.terms.faces) and not cast.decision.shares
        return persona, "" if named else heading(persona)

    async def _ask(self, turn: Turn, answer: _Answer) -> None:
        """One asking, from its prompt to its last word. Raises `StorageError`."""
        if self._casting.open(answer.cast):
            if not await self._line_is_kept(turn):
                return
            answer.cast = cast = await self._casting.considered(answer.cast)
            answer.persona, answer.heading = self._voice(turn, cast)
            answer.voice, answer.spent = answer.persona, cast.usage
        opened = Opened(turn.id, answer.persona.display, answer.decision, answer.persona.name)
        files = any(line.attachments for line in turn.lines) or any(each.files for each in turn.replied)
        if files:
            if not await self._line_is_kept(turn):
                return
            turn.say(opened)  # files may take a while
        prompt = await self._prompted(turn, answer)
        if prompt is None or not await self._line_is_kept(turn):
            return
        if not files:
            # It is read once the request has left, before a front gets ready to show anything.
            turn.say(opened)
        if shares := answer.decision.shares:
            await self._spoken(turn, alone(prompt, shares[0].text), answer, last=False)
        else:
            await self._spoken(turn, prompt, answer)
        for share in shares[1:]:
            answer.hand_over(self._settings.persona(share.persona) or answer.persona)
            prompt = None if answer.failure else await self._prompted(turn, answer)
            if prompt is None:
                return
            await self._spoken(turn, alone(prompt, share.text), answer, last=share is shares[-1])

    async def _prompted(self, turn: Turn, answer: _Answer) -> Prompt | None:
        """The prompt; None when it cannot be put together for a reason that only the log understands."""
        try:
            return await self._prompt(turn, answer)
        except StorageError:
            raise
        except Exception:
            log.exception("prompt.failed")
            answer.failure = _BROKEN.format(turn.id)
            return None

    async def _prompt(self, turn: Turn, answer: _Answer) -> Prompt:
        files = self._files
        session = turn.session
        fresh = {line.id: line for line in await files.ready(turn.lines)}
        turn.lines[:] = [fresh.get(line.id, line) for line in turn.lines]  # others may have joined meanwhile
        history = await self._recent.messages(session.id)
        asked = {message.id for message in turn.lines}
        first = next((i for i, message in enumerate(history) if message.id in asked), len(history))
        # Other people's lines kept meanwhile get turns of their own; answers given meanwhile belong to the talk.
        later = [] if turn.replaces else [m for m in history[first:] if m.role == "assistant"]
        replaced = turn.replaces.id if turn.replaces else None
        before = [m for m in history[:first] if m.id != replaced] + later
        known = await self._known(session.channel.key)
        carry_over = await self._sessions.carry_over(session) if session.follows else ""
        glimpses = [await files.glimpse(each) for each in turn.replied if each.files]
        replied = [each.message for each in turn.replied if each.message]
        if replied:  # their files may have come since the history was read
            renewed = {message.id: message for message in replied}
            before = [renewed.get(message.id, message) for message in before]
        asked_now = with_files(turn.lines, before, turn.replied, glimpses)
        # The nearest first: there is room for a few.
        beside = [
            f for message in (*asked_now, *replied, *before[: -_LOOKED_BACK - 1 : -1]) for f in message.attachments
        ]
        seen = {blob: image for each in glimpses for blob, image in each.images.items()}
        answer.recalled = await self._memory.for_turn(turn, before, answer.voice.name, answer.recalled)
        prompt = self._prompts.assemble(
            answer.voice,
            session.channel,
            before,
            asked_now,
            carry_over="\n".join(filter(None, (known, carry_over))),
            now=self._now(),
            context=session.context,
            recalled=answer.recalled.told,
            images=await files.images(beside, seen),
            texts={
                **await files.texts([*before, *turn.lines, *replied]),
                **{blob: text for each in glimpses for blob, text in each.texts.items()},
            },
        )
        return replace(prompt, models=turn.terms.models, earlier=answer.recalled.quotable(turn.lines[-1].sender.id))

    async def _spoken(self, turn: Turn, prompt: Prompt, answer: _Answer, *, last: bool = True) -> None:
        """The words of one asking go out as they come; `last` is whether they are the answer's last. Never raises but
        when cancelled."""
        try:
            async for chunk in self._provider.stream(prompt):
                if chunk.notice:
                    answer.remark += f"-# {chunk.notice}\n"
                words = answer.taken(chunk.text)
                if words:
                    if not answer.words and (above := answer.heading + answer.remark):
                        turn.say(Delta(above))
                    answer.words.append(words)
                    turn.say(Delta(words))
                answer.full |= chunk.full
                answer.recalled = answer.recalled.drawn_on(chunk.drew_on)
                if chunk.usage is not None:
                    answer.usage, answer.so_far = chunk.usage, chunk.so_far
        except ProviderError as error:
            log.warning("provider.failed", kind=error.kind, detail=error.detail, said=len(answer.words))
            answer.failure = str(error)
        except Exception:
            log.exception("provider.broke")
            answer.failure = _BROKEN.format(turn.id)
        if turn.undisturbed and last:
            # Here rather than by whoever waits for this task: the fewer steps of the loop, the sooner it is shown.
            self._settled(turn, answer)

    def _settled(self, turn: Turn, answer: _Answer) -> None:
        """Makes of an answer the message that is to be kept, on its way to the front, unless nothing was said or
        somebody else will answer. From now on nothing joins or stops it."""
        if turn.wish == "leave":
            return
        turn.settled = True
        answer.end()
        parts = _parts(answer, turn.wish)
        if not parts:
            return
        if answer.said:
            self._memory.used(answer.recalled)
            turn.session = self._sessions.speak_as(turn.session, answer.persona.name)
        answer.message = Message(
            id=turn.id,
            session_id=turn.session.id,
            role="assistant",
            sender=Sender(type="persona", id=self._settings.name, name=answer.persona.display),
            persona=answer.persona.name,
            parts=parts,
            at=self._now(),
            reply_to=turn.lines[-1].id,
            outcome=_outcome(answer, turn.wish),
            # Words that were cut off were paid for as well, and count.
            usage=summed(answer.spent, answer.usage or (begun(self._provider) if answer.words else None)),
            metadata=_metadata(turn, answer),
        )
        turn.say(Done(answer.message))


def _metadata(turn: Turn, answer: _Answer) -> dict[str, str]:
    return {
        "rule": answer.decision.rule,
        "why": str(answer.decision),
        "decision": answer.decision.as_json,
        **answering(turn.lines),
        **({REPLACES: turn.replaces.id} if turn.replaces else {}),
        **(FULL if answer.full else {}),
        **({"usage": "estimated"} if answer.estimated else {}),
        **(answer.recalled.metadata if answer.said else {}),
    }


def _outcome(answer: _Answer, wish: str) -> Outcome:
    if wish == "stop":
        return "stopped"
    return "cut" if answer.failure or wish == "cut" else "whole"


def _parts(answer: _Answer, wish: str) -> tuple[Part, ...]:
    """An answer's parts in the order in which people see them; nothing at all when nothing was said or is to be."""
    if answer.declined:
        return (Note(text=f"-# {answer.declined}"),)
    parts = together(answer.said)
    words = "".join(passage.words for passage in answer.said)
    end = ""
    if answer.failure:
        end = f"-# {'The answer broke off. ' if words else ''}{answer.failure}"
    elif wish == "cut":
        end = "-# I am being restarted. Ask again in a moment."
    elif wish == "stop" and words.strip():
        end = "-# Stopped."
    elif wish == "go" and not words.strip():
        end = "-# The model gave an empty answer."
    if answer.notice and words.strip():
        end = f"{end}\n-# {answer.notice}" if end else f"-# {answer.notice}"
    if end:
        parts.append(Note(text=f"\n\n{end}" if words.strip() else end))
    return (*parts, *(answer.recalled.parts if words.strip() else ()))
