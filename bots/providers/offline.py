"""Answers without a model: quotes from the bot's notes and from the session, sums, dates and small talk."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ..errors import ProviderError
from ..knowledge import Found, Knowledge
from ..offline.arithmetic import work_out
from ..offline.attached import from_files, names
from ..offline.dates import look_up
from ..offline.phrases import plain
from ..offline.quoting import closed, excerpt, quoted
from ..offline.smalltalk import about_memory, reply
from ..offline.transcript import Transcript, fitting
from ..terms import telling
from . import Chunk, Earlier, Line, Prompt, begun

CLOSING = "-# Offline: without a model I can quote my notes, recall this chat, and do sums and dates."
"""Why an answer looks as it does, where nothing ahead of it has said so."""
_LONGEST_PASSAGE = 900
"""Letters of one quoted passage; an ordinary answer with its source and closing stays below 1,500."""
_SECOND_PASSAGE = 0.7
"""Of the best passage's score, from which on a second one is worth reading too."""
_LONGEST = 1_500
_ROOM = 1_300
_ROOM_FOR_EVERYTHING = 7_600
_TOPICS_NAMED = 8
_LONGEST_RECALLED = 450
"""Letters of one thing of earlier talk."""


class Notes(Protocol):
    """What personas may quote from."""

    def of(self, persona: str) -> Knowledge:
        """What one of them may quote from, by its name."""


class Offline:
    """The provider that is always there. It says nothing that is not in the bot's notes, in the session, in the
    calendar or in arithmetic, and answers the same question with the same words."""

    name = "offline"
    model = "offline"

    def __init__(
        self,
        notes: Notes | None,
        *,
        now: Callable[[], datetime],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`chance` gives numbers from 0 up to 1, for dice and coins."""
        self._notes = notes
        self._now = now
        self._chance = chance

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        try:
            # Reading the notes at the first question and searching a long session both take a while.
            knowledge = self._notes.of(prompt.persona) if self._notes else None
            answering = _Answering(knowledge, self._now, self._chance, prompt.earlier)
            answer = await asyncio.to_thread(answering.answer, prompt)
            if prompt.announced:
                answer = answer.removesuffix(CLOSING).rstrip()
        except Exception as error:  # the contract: a provider fails with ProviderError or not at all
            raise ProviderError("rejected", f"{type(error).__name__}: {error}") from error
        for piece in _pieces(answer):
            yield Chunk(text=piece)
            await asyncio.sleep(0)  # whoever wants to stop the answer gets a turn
        yield Chunk(usage=begun(self), drew_on=frozenset(answering.drew_on))

    async def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True, slots=True)
class _Answering:
    """One answer, by what its persona may quote from."""

    _knowledge: Knowledge | None
    _now: Callable[[], datetime]
    _chance: Callable[[], float]
    _earlier: tuple[Earlier, ...] = ()
    drew_on: set[str] = field(default_factory=set)
    """What of it the answer tells."""

    def answer(self, prompt: Prompt) -> str:
        question = prompt.question.strip()
        name = _persona(prompt.system)
        asked = _unaddressed(question, name)
        transcript = Transcript(prompt.lines, question, name)
        before = next((line.text for line in reversed(prompt.lines) if line.role == "assistant"), "")
        said_so = any(line.role == "assistant" and _QUOTES.search(line.text) for line in prompt.lines)
        if not question and (beside := _beside(prompt)):
            return f"{beside}\n{CLOSING}"
        if told := about_memory(asked):
            return told
        if everything := self._everything(asked, transcript):
            return _ended(everything, said_so)
        answer = (
            self._thrown(asked)
            or work_out(asked, before)
            or look_up(asked, self._now())
            or self._told_of(transcript, asked)
            or reply(asked, name, self._topics())
            or self._quotes(asked, transcript, prompt.lines)
            or self._nothing(asked)
        )
        return closed(excerpt(_ended(answer, said_so), _LONGEST - 10))

    def _thrown(self, asked: str) -> str | None:
        """A coin or dice, where that was asked for."""
        text = plain(asked)
        if _COIN.fullmatch(text):
            return "Heads." if self._chance() < 0.5 else "Tails."
        match = _DICE.fullmatch(text)
        if not match:
            return None
        count = int(match["count"] or 1) if match["sides"] else {"two": 2, "three": 3}.get(match["word"] or "", 1)
        sides = int(match["sides"] or 6)
        if not (1 <= count <= 20 and 2 <= sides <= 1000):
            return "I throw 1 to 20 dice with 2 to 1000 sides."
        thrown = [int(self._chance() * sides) + 1 for _ in range(count)]
        return f"{' + '.join(map(str, thrown))} = {sum(thrown)}" if count > 1 else f"{thrown[0]}"

    def _topics(self) -> list[str]:
        return self._knowledge.topics if self._knowledge else []

    def _everything(self, asked: str, transcript: Transcript) -> str | None:
        """All that notes and session hold on a topic, where that was asked for."""
        match = _EVERYTHING.fullmatch(plain(asked))
        if not match:
            return None
        topic = match["topic"]
        said = transcript.everything(topic)
        blocks = [_from_notes(found) for found in self._found(topic, 50)]
        chat = [transcript.shown([line], 1_000, topic) for line in said]
        blocks += [f"From this chat:\n{chat[0]}", *chat[1:]] if chat else []
        blocks += filter(None, [self._recalled(topic)])
        return _within(blocks, _ROOM_FOR_EVERYTHING)

    def _told_of(self, transcript: Transcript, asked: str) -> str | None:
        """The answer to a question about what was said: in this session, and where nothing was, earlier."""
        answer = transcript.recall(asked)
        if not transcript.silent and not any(each.asked_for for each in self._earlier):
            return answer
        here = None if transcript.silent else answer
        return "\n\n".join(filter(None, (here, self._recalled(asked)))) or answer

    def _quotes(self, asked: str, transcript: Transcript, lines: tuple[Line, ...]) -> str | None:
        """What files, notes or session hold on the question: a file beside it first, then notes, unless it is about
        the person who asks."""
        if beside := from_files(lines[-1:], asked):
            return _within([beside], _ROOM)
        if _ABOUT_THE_ASKER.match(plain(asked)):
            if said := transcript.about(asked):
                return _within([f"From this chat:\n{said}"], _ROOM)
            if recalled := self._recalled(asked):
                return recalled
        if _MORE.fullmatch(plain(asked)):
            return self._more(transcript)
        found = self._found(asked, 2)
        if not found and _FOLLOWS.match(asked) and (earlier := transcript.question_before()):
            found = self._found(f"{earlier} {asked}", 2)
        if found:
            return _within(
                [_from_notes(one, asked) for one in found if one.score >= found[0].score * _SECOND_PASSAGE], _ROOM
            )
        if earlier_file := from_files(lines[:-1], asked):
            return _within([earlier_file], _ROOM)
        said = None if transcript.missing else transcript.about(asked)
        if said:
            return _within([f"From this chat:\n{said}"], _ROOM)
        return self._recalled(asked) or transcript.missing or None

    def _recalled(self, asked: str) -> str | None:
        """What earlier talk holds on the question, in the words of those who said it."""
        if _tells(asked):
            return None
        said = [each for each in self._earlier if not each.asked_for]
        fits = fitting([f"{each.heading}: {each.words}" for each in said], asked)[:2]
        chosen = [said[number] for number in fits] or [each for each in self._earlier if each.asked_for]
        if not chosen:
            return None
        self.drew_on.update(each.id for each in chosen)
        blocks = [f"{each.heading}:\n{quoted(excerpt(each.words, _LONGEST_RECALLED, asked))}" for each in chosen]
        return "From earlier talk:\n" + "\n\n".join(blocks)

    def _more(self, transcript: Transcript) -> str | None:
        """What the notes hold beyond the passages already quoted, on the question before."""
        earlier = transcript.question_before(skip=_MORE)
        if not earlier:
            return None
        fresh = [one for one in self._found(earlier, 12) if not transcript.quotes(one.passage)]
        if not fresh:
            return "That is all my notes hold on that."
        return _within([_from_notes(one, earlier) for one in fresh[:2]], _ROOM)

    def _found(self, question: str, limit: int) -> list[Found]:
        return self._knowledge.search(question, limit) if self._knowledge else []

    def _nothing(self, asked: str) -> str:
        topics = self._topics()
        if not telling(asked):
            return f"I need a few more words to look that up.{_covered(topics)}\n{CLOSING}"
        if _SAD.search(plain(asked)):
            return "I'm sorry to hear that. I'm poor company without a model; I hope a friend is near."
        if _tells(asked):
            return "Noted: I can quote it later in this chat if you ask what you said about it."
        if not topics:
            return f"I found nothing about that in this chat, and I have no notes to look it up in.\n{CLOSING}"
        return f"I found nothing about that in my notes or in this chat.{_covered(topics)}\n{CLOSING}"


def _tells(asked: str) -> bool:
    """Whether somebody says how things are, and asks nothing."""
    return _TELLS.match(plain(asked)) is not None and not asked.rstrip().endswith("?")


def _covered(topics: list[str]) -> str:
    shown = ", ".join(topics[:_TOPICS_NAMED])
    more = f" and {len(topics) - _TOPICS_NAMED} more" if len(topics) > _TOPICS_NAMED else ""
    return f" My notes cover: {shown}{more}." if topics else ""


def _from_notes(found: Found, topic: str = "") -> str:
    text = quoted(excerpt(found.passage, _LONGEST_PASSAGE, topic))
    if len(text) > _LONGEST_PASSAGE + 100:  # many short lines, each with its mark
        text = quoted(excerpt(found.passage, _LONGEST_PASSAGE // 2, topic))
    return f"From my notes, {found.source}:\n{text}"


def _within(blocks: list[str], room: int) -> str | None:
    """The blocks that fit into `room` letters, the first in any case, as they stand."""
    if not blocks:
        return None
    shown = [closed(excerpt(blocks[0], room))]
    for block in blocks[1:]:
        if sum(map(len, shown)) + len(block) <= room:
            shown.append(block)
    left = len(blocks) - len(shown)
    note = f"\n\n{left} more would not fit." if left and room == _ROOM_FOR_EVERYTHING else ""
    return "\n\n".join(shown) + note


def _ended(answer: str, said_so: bool) -> str:
    """The first answer of a session that is a quote says why it is one."""
    return f"{answer}\n\n{CLOSING}" if not said_so and _QUOTES.match(answer) else answer


def _beside(prompt: Prompt) -> str:
    """What to say to somebody who sent files without a word; nothing where there are none."""
    last = prompt.lines[-1] if prompt.lines else Line("user", "")
    if last.images or "[image: " in last.text:
        return "I cannot look at pictures without a model."
    if named := names(last):
        return f"I can quote from {', '.join(named[:3])}: ask me about something that stands there."
    return "I cannot read files without a model." if _FILE.search(last.text) else ""


def _persona(system: str) -> str:
    """The name a persona's prompt gives it; empty where it gives none."""
    match = _NAME_GIVEN.search(system[:600])
    return match[1].strip() if match and not match[1][0].islower() and match[1] not in ("A", "An", "The") else ""


def _unaddressed(question: str, name: str) -> str:
    """The question without the name it was addressed to: `Sage, what is …` or `hey Sage what is …`."""
    if not name:
        return question
    called = re.escape(name)
    text = re.sub(rf"^((?:hey|hi|hello|ok|okay|yo)[\s,]+)@?{called}\b[\s,:;!.-]*", r"\1", question, flags=re.I)
    text = re.sub(rf"^@?{called}\s*[,:;!.-]+\s*(?=\S)", "", text, flags=re.I)
    return re.sub(rf",\s*@?{called}(?=[\s?!.]*$)", "", text, flags=re.I).strip()


def _pieces(answer: str) -> Iterator[str]:
    """The answer word by word; words without spaces between them in bites."""
    return (match[0] for match in re.finditer(r"\S{1,24}\s*|\s+", answer))


_FILE = re.compile(r"\[(?:file|audio|video): ")
_QUOTES = re.compile(r"^From (?:my notes, |the file |this chat:|earlier talk:)", re.MULTILINE)
_COIN = re.compile(r"(?:flip|toss|throw)(?: me)? a coin|(?:a )?coin ?(?:flip|toss)|heads or tails")
_DICE = re.compile(
    r"(?:(?:roll|throw)(?: me)? )?(?P<count>\d{1,3})?d(?P<sides>\d{1,4})"
    r"|(?:roll|throw)(?: me)? (?:the )?(?P<word>a|one|two|three)? ?(?:die|dice)"
)
_NAME_GIVEN = re.compile(
    r"\b(?:You are|You['’]re|Your name is|I am|Du bist|Tu es|Eres)\s+(?:called\s+|named\s+)?"
    r"((?:(?:Dr|Mr|Mrs|Ms|Prof|St)\.\s+)?[^\W\d_][\w'’-]*(?:[ ]+[A-Z][\w'’-]*){0,2})"
)
_EVERYTHING = re.compile(
    r"(?:(?:quote|show|give|tell|list|find|read)(?: me| us)? )?(?:everything|all)(?: of it)?"
    r"(?: (?:you (?:know|have|can find|can quote|said)|there is|in (?:your|the) notes|from (?:your|the) notes"
    r"|the notes say|that))*"
    r" (?:about|on|regarding|concerning) (?P<topic>.+)"
)
_ABOUT_THE_ASKER = re.compile(
    r"(?:what|where|when|which|who|how (?:old|many|much|tall|long|far)|whats)\b.*?\b(?:my|do i|am i|did i|was i)\b"
    r"|(?:do|did|can) you (?:remember|know) my\b"
)
_MORE = re.compile(
    r"(?:(?:tell|show|give|quote)(?: me)? )?(?:some )?more(?: about (?:it|that|this))?|go on|continue|what else"
    r"|anything else|and\??|elaborate|say more|more details?"
)
_TELLS = re.compile(
    r"(?:my|our) .+ (?:is|are|was|were) |(?:i|we)(?: am|'m|'re| are| was| were| like| love| hate| live| have| had"
    r"| prefer| work| think) ?|(?:please )?call me |remember "
)
_SAD = re.compile(
    r"\bi(?: am|'m| feel)\b.*\b(?:sad|lonely|depressed|miserable|heartbroken|desperate|grieving|hopeless)\b"
    r"|\bmy .+ (?:died|passed away|left me)\b"
)
_FOLLOWS = re.compile(r"\s*(?:and|what about|how about|but|or|also|y|und|et)\b", re.IGNORECASE)
