"""Shall I speak? Whether a line wants an answer, a reaction, a listener or nothing, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Act = Literal["speak", "react", "listen", "ignore"]
Mode = Literal["always", "mention", "listen"]

THANKED = "❤️"

_GAP = r"[\s,.!~:;)(-]*"
_THANKS = (
    r"thank(?:s| you)(?: so much| a lot| very much| again)?|thx|ty|tysm|cheers|danke|merci|gracias|grazie|obrigad[oa]"
    r"|спасибо|ありがとう(?:ございます)?|谢谢|謝謝|감사합니다"
)
_BESIDE = r"ok(?:ay)?|got it|makes sense|perfect|great|nice|cool|awesome|lovely|👍|🙏|❤️|🎉"
_THANKED = re.compile(rf"{_GAP}(?:(?:{_BESIDE}){_GAP}){{0,2}}(?:{_THANKS})(?:{_GAP}(?:{_BESIDE})){{0,2}}{_GAP}", re.I)
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Heard:
    """What manners need to know of a line."""

    text: str
    """Without the bot's own name or mention."""
    direct: bool
    """Whether it is meant for this bot: a DM, a mention, a reply to it, a call by name."""
    mode: Mode
    """How the bot takes part in the channel."""
    by_bot: bool = False
    bot_lines_left: int = 0
    """How many more lines of other bots may be answered here before a person has to speak."""
    for_sibling: bool = False
    """Whether it calls another bot of the fleet by name."""
    sibling_speaks: bool = False
    """Whether another bot of the fleet answers every line of the channel."""
    for_others: bool = False
    """Whether it mentions or replies to somebody else."""
    stops: bool = False
    """Whether it asks for an end of the answer under way to its author."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do with a line, and why."""

    act: Act
    why: str


def choose(line: Heard, *, reactions: bool = True) -> Choice:
    """The manners of a guest: speak when spoken to, or where one is at home; nod where a word is too much."""
    if line.stops:
        return Choice("speak", "it stops the answer under way")
    if line.by_bot:
        return _among_bots(line)
    if reactions and (line.direct or line.mode == "always") and only_thanks(line.text):
        return Choice("react", "a word is not needed")
    if line.direct:
        return Choice("speak", "it is meant for this bot")
    if line.mode == "mention":
        return Choice("ignore", "it is not meant for this bot, which speaks here only when it is addressed")
    if line.for_sibling:
        return Choice("ignore", "it calls another bot")
    if line.mode == "listen":
        return Choice("listen", "the bot only listens here unless it is addressed")
    if line.for_others:
        return Choice("listen", "it is meant for somebody else")
    if line.sibling_speaks:
        return Choice("listen", "another bot of the fleet answers here, and one speaker a line is enough")
    return Choice("speak", "every line is answered here")


def only_thanks(text: str) -> bool:
    """Whether a line is thanks and nothing else. Assent is not: it may answer what the bot has asked."""
    return len(text) <= _LONGEST and _THANKED.fullmatch(text) is not None


def _among_bots(line: Heard) -> Choice:
    if line.direct and line.bot_lines_left > 0:
        return Choice("speak", "another bot speaks to this one, and a person has spoken not long ago")
    if line.mode == "mention":
        return Choice("ignore", "it comes from another bot")
    return Choice("listen", "it comes from another bot")
