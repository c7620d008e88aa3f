"""A busy server for a day: its places and people, what they may do, and what they say, all drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from tests.wire.discord_accounts import Account, BotAccount, Person
from tests.wire.discord_model import Channel, Guild, Message
from tests.wire.discord_server import DiscordServer

Sure = Literal["must", "may", "never"]

VOICES = ("sage", "muse", "coder")
"""The bot's personas, the first of which speaks as the account itself."""
SIBLING = "spark"
"""Another bot of the fleet, which never runs."""
STOP = "stop"
THANKS = ("thanks!", "Thank you so much", "ok, thx", "danke")
MISSED_AFTER = "4s"
"""How long after which a line that the bot was not there to hear is missed instead of answered."""
SESSION_GAP = 5.0
_WORDS = (
    "river stone lamp winter poem garden bridge letter harbour violin copper meadow rhyme python compiler bug "
    "question answer morning evening window ladder thunder island painter candle market orchard saddle velvet"
).split()
_KINDS = {"chat": 11, "lounge": 7, "room": 14, "hall": 4, "forum": 2, "board": 2}
"""How many of 40 channels there are of each kind."""
_FORUMS = {"forum", "board"}
_ALWAYS, _LISTEN = {"chat", "forum"}, {"lounge"}
_RATIONED = "chat-0"


@dataclass(frozen=True, slots=True)
class Size:
    """How much happens."""

    channels: int
    people: int
    lines: int
    reconnects: int
    crashes: int
    edits: int
    deletes: int
    commands: int
    reactions: int
    clicks: int
    storms: int

    @classmethod
    def of(cls, hours: float) -> Size:
        """A day's share. There are as many places and people at any hour."""
        whole = cls(40, 200, 10_000, 5, 3, 50, 50, 200, 200, 60, 10)
        part = {name: max(1, round(getattr(whole, name) * hours / 24)) for name in cls.__slots__[2:]}
        return cls(whole.channels, whole.people, **part)


@dataclass(eq=False)
class Said:
    """A line that somebody other than the bot has said, and what the bot owes it."""

    message: Message
    keep: Sure
    answer: Sure
    heard: bool = True
    """Whether the bot was connected when it was said."""


@dataclass(eq=False)
class Town:
    """Where everything happens."""

    server: DiscordServer
    size: Size
    bot: BotAccount = field(init=False)
    other: BotAccount = field(init=False)
    people: list[Person] = field(init=False)
    barred: Person = field(init=False)
    """Whom the bot may not answer."""
    places: list[Channel] = field(init=False)
    """Where one can speak: channels without forums, and threads as they are opened."""
    forums: list[Channel] = field(init=False)
    said: list[Said] = field(default_factory=list)
    latest: dict[int, Message] = field(default_factory=dict)
    """The bot's latest page in each place."""

    def __post_init__(self) -> None:
        server = self.server
        guilds = [server.add_guild(name) for name in ("Harbour", "Hill")]
        self.bot, self.other = server.add_bot("token-sage", "sage"), server.add_bot("token-ticker", "ticker")
        self.people = [server.add_person(f"person-{n}") for n in range(self.size.people)]
        self.barred = self.people[-1]
        channels = [channel for kind, count in _KINDS.items() for channel in _opened(guilds, kind, count)]
        self.forums = [channel for channel in channels if _kind(channel) in _FORUMS]
        self.places = [channel for channel in channels if channel not in self.forums]

    def settings(self) -> dict[str, Any]:
        """What the bot's own file says."""
        return {
            "personas": list(VOICES),
            "storage": {"session_gap": SESSION_GAP, "backup": {"enabled": False}},
            "sessions": {"burst": 0.3},
            "access": [{"user": str(self.barred.id), "allow": False}],
            "budgets": [{"per": "user", "messages": 6, "channel": _RATIONED}],
            "discord": {
                "channels": {"always": ["chat-*", "forum-*"], "listen": ["lounge-*"], "mention": ["room-*"]},
                "catchup": {"answer": MISSED_AFTER},
            },
        }

    def rationed(self, channel: Channel) -> bool:
        """Whether there is a budget there, so that a line may go unanswered."""
        return _home(channel).name == _RATIONED

    def expected(self, message: Message) -> tuple[Sure, Sure]:
        """Whether the bot keeps a line, and whether it answers: its rules, written down once more."""
        author, text = message.author, self.words(message)
        kind = _kind(message.channel)
        replied = message.reference
        to_bot = message.channel.is_dm or self.bot in message.mentions
        to_bot = to_bot or (replied is not None and self.bot in (replied.author, replied.application))
        if author.bot:
            always: Sure = "must" if kind in _ALWAYS | _LISTEN else "may" if to_bot else "never"
            return always, "may" if to_bot else "never"
        to_bot = to_bot or text.lower().startswith(tuple(f"{name}," for name in VOICES))
        if to_bot:
            keep, answer = True, True
        elif kind not in _ALWAYS | _LISTEN or text.lower().startswith(f"{SIBLING},"):
            return "never", "never"
        else:
            keep, answer = True, kind in _ALWAYS and not message.mentions and replied is None
        if text in (*THANKS, STOP) or author is self.barred:
            answer = False
        return "must" if keep else "never", "must" if answer else "never"

    def words(self, message: Message) -> str:
        """A line as the store has to have it."""
        text = message.content
        for account in (self.bot, *message.mentions):
            name = "" if account is self.bot else f"@{shown_name(account)}"
            text = text.replace(account.mention, name)
        return text.strip()

    def note(self, message: Message, heard: bool) -> Said:
        """Writes down what the bot owes a line."""
        keep, answer = self.expected(message)
        if message.author.bot and not heard:  # which is nobody's business later, unless the bot listens there anyway
            keep, answer = ("must" if keep == "must" else "never"), "never"
        said = Said(message, keep, answer, heard)
        self.said.append(said)
        return said


def phrase(rng: Random, number: int) -> str:
    """A line that stands nowhere else."""
    return f"q{number} " + " ".join(rng.choices(_WORDS, k=rng.randint(2, 12)))


def answer_to(question: str) -> str:
    """What the model says, which follows from what it is asked: most often little, sometimes pages."""
    rng = Random(question)
    length = rng.choices((12, 120, 700), (80, 16, 4))[0]
    said = [" ".join(rng.choices(_WORDS, k=8)) + "." for _ in range(max(1, length // 8))]
    return f"a{rng.randrange(10**9)} " + " ".join(said)


def _opened(guilds: list[Guild], kind: str, count: int) -> list[Channel]:
    type_ = "forum" if kind in _FORUMS else "text"
    return [guilds[n % len(guilds)].add_channel(f"{kind}-{n}", type_) for n in range(count)]


def _home(channel: Channel) -> Channel:
    return channel.parent or channel


def _kind(channel: Channel) -> str:
    return _home(channel).name.partition("-")[0]


def shown_name(account: Account) -> str:
    """What somebody is called in the store."""
    return account.name if account.bot else account.name.title()
