"""What people may write in `config/`: the shape, defaults and limits of every setting."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from .community_settings import AccessRule, Budget, CatchupSettings, MediaSettings, PrivacySettings
from .memory_settings import EmbedderSettings, MemorySettings, RoutingSettings
from .storage_settings import StorageSettings
from .values import Address, Gap, Id, Name, OneOrMore, Patterns, Secret, Section, Url, Words
from .web_settings import Neighbour, WebSettings


class SessionSettings(Section):
    """How talk is cut into sessions, where it differs by the kind of place."""

    mode: Literal["structural", "gap"] = "structural"
    """In the channels of a guild: `structural` keeps conversations that run across each other apart, by replies, names,
    who was spoken to and the channel's pace; `gap` cuts by silence alone, as in every other place."""
    dm_gap: Gap = 3600
    """Seconds of silence that start a new session in a private conversation."""
    thread_gap: Gap = None
    """A thread is one session unless a gap is set."""
    web_gap: Gap = 3600
    """Seconds of silence after which a line that names no session begins a new one in the browser."""
    terminal_gap: Gap = 3600
    """Seconds of silence that start a new session in a terminal."""
    burst: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Seconds within which one person's lines are answered together."""


class Retries(Section):
    """How patient a bot is with one provider before the next in line is asked."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """How often it is asked before the next one is."""
    first_word: Annotated[float, Field(gt=0)] = 30.0
    """Seconds to wait for the first piece of an answer."""
    between_words: Annotated[float, Field(gt=0)] = 30.0
    """Seconds of silence in the middle of an answer that count as a failure."""
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    """Failures in a row after which a provider is left alone for a while."""
    breaker_rest: Annotated[float, Field(gt=0)] = 30.0
    """Seconds it is left alone."""


class Price(Section):
    """US dollars for a million tokens."""

    input: Annotated[float, Field(ge=0)]
    """For what it reads."""
    output: Annotated[float, Field(ge=0)]
    """For what it writes."""
    cache_read: Annotated[float, Field(ge=0)] | None = None
    """For what it reads from its cache."""
    cache_write: Annotated[float, Field(ge=0)] | None = None
    """For what it puts into its cache."""


class ModelSettings(Section):
    """One model a bot may ask; the list in a bot's `models` is asked in order."""

    provider: Literal["openai", "anthropic", "offline"]
    """Whose protocol it speaks; `offline` answers from the bot's knowledge, without key or network."""
    model: str = ""
    """Its name at the provider."""
    api_key: Secret | None = None
    """Left empty, the model is off and the bot says so, unless `base_url` names a server, which may want no key."""
    base_url: Url = None
    """Any server that speaks OpenAI's or Anthropic's protocol."""
    max_tokens: Annotated[int, Field(ge=16, le=200_000)] = 1024
    """The longest answer."""
    context_tokens: Annotated[int, Field(ge=512)] = 32_000
    """The longest prompt, persona and history included."""
    vision: bool = True
    """Whether it can look at images."""
    price: Price | None = None
    """Overrides the built-in price table."""
    retries: Retries = Retries()
    """How patient the bot is with it."""

    @model_validator(mode="after")
    def _named(self) -> ModelSettings:
        if self.provider != "offline" and not self.model:
            raise ValueError(f"a model with provider '{self.provider}' needs the name of the model")
        return self

    @model_validator(mode="after")
    def _with_room_to_ask(self) -> ModelSettings:
        if self.max_tokens >= self.context_tokens:
            raise ValueError(
                f"found max_tokens {self.max_tokens} with context_tokens {self.context_tokens}, which leaves no room "
                "for a question; allowed: max_tokens well below context_tokens"
            )
        return self

    @property
    def ready(self) -> bool:
        """Whether it can be asked: offline always; a server of one's own (base_url) needs no key."""
        return self.provider == "offline" or bool(self.base_url) or bool(self.api_key)


class DmSettings(Section):
    """Who may talk to the bot privately."""

    policy: Literal["everyone", "allowlist", "off"] = "everyone"
    """Everyone, nobody (`off`), or only those in `allow` (`allowlist`)."""
    allow: Annotated[tuple[Id, ...], Field(examples=[["123456789012345678"]])] = ()
    """Discord user ids, for `allowlist`."""

    def lets_in(self, user_id: str) -> bool:
        return self.policy == "everyone" or (self.policy == "allowlist" and user_id in self.allow)

    @model_validator(mode="after")
    def _somebody(self) -> DmSettings:
        if self.policy == "allowlist" and not self.allow:
            raise ValueError(
                "found policy 'allowlist' with nobody in allow, so no one could write; "
                "allowed: at least one Discord user id in allow, or policy 'off' or 'everyone'"
            )
        return self


class ChannelPatterns(Section):
    """Which guild channels a bot takes part in, by name (`*` and `?` stand for any letters). The first list
    that matches counts; elsewhere the bot answers when mentioned."""

    always: Patterns = ()
    """Every line is answered."""
    mention: Patterns = ()
    """Only lines that address the bot are kept and answered."""
    listen: Patterns = ()
    """Every line is kept; those that address the bot are answered."""


class DiscordSettings(Section):
    """A bot's Discord account. Without a token the bot runs without Discord."""

    token: Secret | None = None
    """The account's token from Discord's developer portal. Left empty, the bot runs without Discord."""
    channels: ChannelPatterns = ChannelPatterns()
    """Which guild channels it takes part in, and how."""
    dms: DmSettings = DmSettings()
    """Who may talk to it privately."""
    message_content: bool = True
    """Whether the account has the Message Content intent. Without it the bot hears only what addresses it."""
    edit_interval: Annotated[float, Field(ge=0.5, le=30)] = 1.2
    """Seconds between edits of an answer that is still being written."""
    bot_turns: Annotated[int, Field(ge=0, le=50)] = 3
    """How many lines in a row other bots may get answered in a channel before a person has to speak."""
    faces: bool = True
    """Whether personas other than the first speak with a name and face of their own, where the bot may manage
    webhooks; otherwise their name stands in bold before the answer."""
    buttons: bool = True
    """Whether answers carry buttons: regenerate, continue, thumbs."""
    reactions: bool = True
    """Whether a word of thanks gets a reaction instead of an answer."""
    catchup: CatchupSettings = CatchupSettings()
    """What happens to lines that were written while the bot was away."""
    api_url: Address = None
    """Where Discord's REST API is, for tests and proxies."""
    gateway_url: Address = None
    """Where Discord's gateway is, for tests and proxies."""


class BindingSettings(Section):
    """Which persona speaks where, or to whom; exactly one of thread, channel, category, role and guild is named."""

    persona: Name
    """One of the bot's personas."""
    thread: Id | None = None
    """A thread's id or name."""
    channel: Id | None = None
    """A channel's id, or a pattern for its name."""
    category: Id | None = None
    """The id of a category of channels, or a pattern for its name."""
    role: Id | None = None
    """A role's id or name: whoever has it is answered by this persona."""
    guild: Id | None = None
    """A guild's id or name."""

    @model_validator(mode="after")
    def _one_place(self) -> BindingSettings:
        places = (self.thread, self.channel, self.category, self.role, self.guild)
        if sum(place is not None for place in places) != 1:
            raise ValueError("a binding names exactly one of thread, channel, category, role and guild")
        return self


def _accepted_by_discord(display: str) -> str:
    for word in ("discord", "clyde"):
        if word in display.lower():
            raise ValueError(f"found '{word}' in the name, which Discord refuses for a webhook; choose another name")
    return display


class PersonaSettings(Section):
    """A voice a bot can take: `config/personas/<name>.yaml`."""

    name: Name = ""  # the file's name unless written
    display: Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_accepted_by_discord)]
    """How people see and address it."""
    description: Annotated[str, Field(min_length=1, max_length=500)]
    """What it is for, in a sentence or two, for people who choose."""
    prompt: Annotated[str, Field(min_length=1, max_length=20_000)]
    """Who it is and how it speaks: the system prompt."""
    avatar: Annotated[str, Field(pattern=r"^https://\S+$", max_length=2048)] | None = None
    """The https address of its picture, at least 128 pixels wide."""
    aliases: Annotated[Words, Field(examples=[["poet", "bard"]])] = ()
    """Other words people may address it by."""
    domains: Annotated[Words, Field(examples=[["poetry", "novels"]])] = ()
    """Fields it knows, for finding out whom a message is for."""
    keywords: Annotated[Words, Field(examples=[["poem", "rhyme"]])] = ()
    """Words that point to it."""
    examples: Annotated[Words, Field(max_length=2_000, examples=[["write me a limerick about rain"]])] = ()
    """Lines that people might say to it: the more and the more varied, the better it is found."""
    knowledge: Annotated[OneOrMore, Field(max_length=20, examples=[["./config/knowledge/sage"]])] = ()
    """Files and folders that it alone may quote from, beside the bot's; one of them may stand there as plain text."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """How adventurous its words are; not every model takes one, and left out the model's own stands."""


class OpeningSettings(Section):
    """A line that a session made from a template begins with."""

    role: Literal["user", "assistant"]
    """Who says it: a person, or the bot."""
    text: Annotated[str, Field(min_length=1, max_length=4_000)]
    """What is said."""


class TemplateSettings(Section):
    """What a new session can begin with: `/new template:<name>`."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    """What people choose it by."""
    title: Annotated[str, Field(max_length=100)] = ""
    """The session's title; the template's name unless written."""
    persona: Name | None = None
    """Which of the bot's personas speaks; left out, whoever fits."""
    tags: Annotated[Words, Field(max_length=20, examples=[["interview"]])] = ()
    """The session's tags."""
    goals: Annotated[Words, Field(examples=[["a plan for the week"]])] = ()
    """What the talk is for."""
    constraints: Annotated[Words, Field(examples=[["one question at a time"]])] = ()
    """What the bot is to keep to."""
    knowledge: Annotated[Words, Field(examples=[["the week begins on Monday"]])] = ()
    """What everybody in the talk knows."""
    opening: Annotated[tuple[OpeningSettings, ...], Field(max_length=20)] = ()
    """Lines that stand at the beginning as if they had been said."""


class BotSettings(Section):
    """One bot: `config/bots/<name>.yaml` over the defaults of `config/troupe.yaml`."""

    name: Name = ""  # the file's name unless written
    display: Annotated[str, Field(min_length=1, max_length=80)] = ""
    """How people see it: the capitalised name unless written."""
    description: Annotated[str, Field(max_length=500)] = ""
    """What it is for, in a sentence or two."""
    personas: Annotated[tuple[PersonaSettings, ...], Field(min_length=1, examples=[["sage", "compass"]])]
    """Names of persona files; the first is the default."""
    bindings: tuple[BindingSettings, ...] = ()
    """Places where one persona always speaks."""
    templates: tuple[TemplateSettings, ...] = ()
    """What new sessions can begin with."""
    storage: StorageSettings = StorageSettings()
    """Where and how it keeps what is said."""
    sessions: SessionSettings = SessionSettings()
    """How talk is cut into sessions, where it differs by the kind of place."""
    models: tuple[ModelSettings, ...] = (ModelSettings(provider="offline"),)
    """Asked in order; `offline` stands behind the last of them in any case."""
    discord: DiscordSettings = DiscordSettings()
    """Its Discord account, and where it takes part."""
    access: tuple[AccessRule, ...] = ()
    """Who may do what where; the last rule that matches decides."""
    budgets: tuple[Budget, ...] = ()
    """How much may be used."""
    media: MediaSettings = MediaSettings()
    """What becomes of files beside messages."""
    privacy: PrivacySettings = PrivacySettings()
    """What people are told and can ask for."""
    knowledge: Address = None
    """A folder of Markdown or text files the bot may quote from."""
    memory: MemorySettings = MemorySettings()
    """What it remembers beyond a session."""
    embedder: EmbedderSettings = EmbedderSettings()
    """What turns texts into vectors."""
    routing: RoutingSettings = RoutingSettings()
    """How the persona is found where no rule names one."""
    web: WebSettings = WebSettings()
    """Its console and API in the browser."""
    neighbours: tuple[Neighbour, ...] = ()  # filled in by the loader
    """The consoles of the other bots of the fleet."""
    siblings: Words = ()  # filled in by the loader
    """What the other bots of the fleet are called: a line that calls one of them is none of this bot's business."""

    ahead: Words = ()  # filled in by the loader
    """Patterns of the channels in which a bot before this one in the fleet answers every line."""

    @model_validator(mode="before")
    @classmethod
    def _shown(cls, written: Any) -> Any:
        if isinstance(written, dict) and isinstance(written.get("name"), str):
            return {"display": written["name"].capitalize(), **written}
        return written

    @model_validator(mode="after")
    def _templates_that_can_be_told_apart(self) -> BotSettings:
        personas, names = [each.name for each in self.personas], set[str]()
        for template in self.templates:
            if template.persona is not None and template.persona not in personas:
                raise ValueError(
                    f"found persona '{template.persona}' in the template '{template.name}'; "
                    f"allowed: one of the bot's personas, which are {', '.join(personas)}"
                )
            if template.name.casefold() in names:
                raise ValueError(f"found two templates called '{template.name}'; allowed: a name for each")
            names.add(template.name.casefold())
        return self

    @property
    def root(self) -> Path:
        """The bot's storage root, relative paths counted from the project's folder."""
        return Path(self.storage.path.replace("{bot_name}", self.name))

    @property
    def names(self) -> tuple[str, ...]:
        """What the bot and its personas are called, by themselves and by others."""
        personas = (word for each in self.personas for word in (each.display, each.name, *each.aliases))
        return (self.display, self.name, *personas)

    def persona(self, name: str) -> PersonaSettings | None:
        return next((persona for persona in self.personas if persona.name == name), None)


class FleetSettings(Section):
    """How the bots run together: the `fleet` block of `config/troupe.yaml`."""

    bots: Annotated[tuple[Name, ...], Field(min_length=1, examples=[["sage", "spark"]])] = ()
    """Which bots run, in this order; left out: every file in bots/, by name."""
    stagger: Annotated[float, Field(ge=0, le=60)] = 0.5
    """Seconds between the starts of two bots that connect to Discord."""
    memory_limit: Annotated[int, Field(ge=64)] = 512
    """MiB a bot may use before it is restarted."""
    web_port: Annotated[int, Field(ge=1, le=65_000)] = 8700
    """The port of the first bot's console; each bot after it has the next one."""
    heartbeat: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Seconds between a bot's signs of life; one that misses ten is stuck and restarted."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Troupe(Section):
    """Everything in `config/`, read and found good."""

    fleet: FleetSettings = FleetSettings()
    bots: Annotated[tuple[BotSettings, ...], Field(min_length=1)]

    def bot(self, name: str) -> BotSettings | None:
        return next((bot for bot in self.bots if bot.name == name), None)
