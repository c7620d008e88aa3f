"""What a session was: who spoke when of what, what was decided and asked; while it goes on, what is on the table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from storage.model import Message, Session
from storage.records import Memory

from .audiences import audience
from .facts import drawn, fact, inert
from .memory_rules import is_secret, plain
from .speakers import Speakers
from .understanding import understood

_FEW = 4
"""Lines of people below which a session is nothing to remember as such."""
_TOPICS, _QUOTED, _OPEN = 5, 140, 3
_DECIDED = re.compile(
    r"^(?:ok(?:ay)?,? |so,? |right,? |then |great,? |alright,? )*(?:(?:we|We)(?:'ve| have)? (?:decided|agreed"
    r"|settled on|chose|voted)\b"
    r"|(?:we|We)(?:'ll| will|'re| are) (?:go|going) with\b|(?:let's|Let's|lets) (?:go with|do it on|use|take"
    r"|settle on)\b"
    r"|(?:[Dd]ecision|DECISION|[Ee]ntscheidung)\s*:|[Ww]ir (?:haben (?:uns )?)?(?:beschlossen|entschieden)\b"
    r"|[Dd]ecidimos\b)"
)
_GOAL = re.compile(
    r"^(?:I'm|I am|we're|we are|We're|We are) trying to\b|^(?:I|we|We) (?:need|want|have) to\b|^(?:my|our|My"
    r"|Our|the|The) goal is\b"
)


def session_notes(session: Session, lines: Sequence[Message], names: Speakers, closed: bool) -> list[Memory]:
    """What is to be remembered of a session as such, from its messages in order; `closed` says whether it is over. Then
    it is one note and what was decided; until then the goals and open questions of the people in it."""
    spoken = [line for line in lines if line.role == "user" and line.sender.type == "user" and line.words.strip()]
    spoken = [line for line in spoken if not is_secret(line.words)]
    told = audience(session.channel)
    found = [_decided(line, names.name(line.sender), told) for line in spoken if _DECIDED.match(plain(line.words))]
    open_ = [line for line in _unanswered(lines) if line in spoken]
    if not closed:
        return [*found, *_on_the_table(session, spoken, open_, names, told)]
    note = _note(session, spoken, open_, found, names, told)
    return [*found, note] if note is not None else found


def _decided(line: Message, name: str, told: str) -> Memory:
    words = inert(plain(line.words), 220)
    topic = next(iter(understood(words).topics), "decisions")
    text = f"Decided on {line.at:%Y-%m-%d}, as {name} put it: {words}"
    return fact(line, told, text, subject=f"topic:{topic}", type="episodic", importance=0.7)


def _on_the_table(
    session: Session, spoken: Sequence[Message], open_: Sequence[Message], names: Speakers, told: str
) -> list[Memory]:
    subject = f"session:{session.id}"
    found = []
    for line in spoken:
        name, words = names.name(line.sender), inert(plain(line.words), 200)
        if line in open_:
            found.append(fact(line, told, f"{name} asked: {words}", subject=subject, type="working", importance=0.4))
        elif _GOAL.match(words) and len(words) >= 20:
            found.append(fact(line, told, f"{name} said: {words}", subject=subject, type="working", importance=0.4))
    return found[-2 * _OPEN :]


def _note(
    session: Session,
    spoken: Sequence[Message],
    open_: Sequence[Message],
    decided: Sequence[Memory],
    names: Speakers,
    told: str,
) -> Memory | None:
    weights: dict[str, int] = {}
    for line in spoken:
        for topic in understood(plain(line.words)).topics:
            weights[topic] = weights.get(topic, 0) + 1
    topics = sorted(weights, key=lambda topic: -weights[topic])[:_TOPICS]
    if len(spoken) < _FEW or not topics:
        return None
    people = list(dict.fromkeys(names.name(line.sender) for line in spoken))
    shown = ", ".join(people[:6]) + (f" and {len(people) - 6} more" if len(people) > 6 else "")
    parts = [f"On {spoken[0].at:%Y-%m-%d} {shown} talked about {', '.join(topics)}."]
    first = spoken[0]
    opened = understood(first.words).intent in ("question", "request")
    if opened:
        parts.append(f"It began with {names.name(first.sender)}: {inert(plain(first.words), _QUOTED)}")
    parts += [each.text for each in decided[:_OPEN]]
    left = [line for line in open_[-1:] if line is not first]
    parts += [f"Left open: {inert(plain(line.words), _QUOTED)}" for line in left]
    return Memory(
        id=f"session {session.id}",
        at=spoken[-1].at,
        type="episodic",
        audience=told,
        subject=f"session:{session.id}",
        text=inert(" ".join(parts), 800),
        importance=min(0.7, 0.3 + 0.02 * len(spoken) + 0.1 * len(decided)),
        source=session.id,
        people=tuple(dict.fromkeys(line.sender.id for line in spoken)),
        metadata={"by": "rules", **drawn(decided[:_OPEN], [first, *left] if opened else left)},
    )


def _unanswered(lines: Sequence[Message]) -> list[Message]:
    """Questions of people that nobody, and no voice of the bot, said anything after."""
    found: list[Message] = []
    for line in lines:
        if line.role == "user" and line.sender.type == "user" and understood(line.words).intent == "question":
            found.append(line)
        else:
            found = [each for each in found if each.sender.id == line.sender.id]
    return found[-_OPEN:]
