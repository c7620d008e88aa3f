"""What people may write about a community: who may do what, how much, with which files, and how a bot behaves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .values import ChannelId, Id, Name, Section, Size, Span, UserId, Words


class AccessRule(Section):
    """Who may do what where. A rule speaks of everybody in every place it does not narrow down; of several rules
    that match, the last one that says something about a thing decides it."""

    guild: Id | None = None
    """A guild's id or name. An id is safer: the owner of another guild may choose the same name."""
    channel: ChannelId | None = None
    """A channel's id or a pattern for its name; its threads count too, whatever they are called. An id is safer: a
    pattern means every such channel, in other guilds as well unless `guild` says which."""
    role: Id | None = None
    """A role's id or name. An id is safer: another guild may have a role of the same name."""
    user: UserId | None = None
    """A user's id."""
    allow: bool | None = None
    """Whether the bot answers at all."""
    personas: tuple[Name, ...] | None = None
    """The personas that may answer."""
    models: Words | None = None
    """The models that may be asked, by the names in `models`; `offline` is for the answers without one."""

    @model_validator(mode="after")
    def _saying_something(self) -> AccessRule:
        if self.allow is None and self.personas is None and self.models is None:
            raise ValueError("a rule says at least one of allow, personas and models")
        return self


class Budget(Section):
    """How much may be used in a span of time; at 50 % and 80 % people are told, at 100 % the bot declines."""

    per: Literal["user", "channel", "guild", "bot"]
    """Whether each user, each channel, each guild has this much, or the whole bot."""
    window: Literal["minute", "hour", "day", "month"] = "day"
    """The span, by the clock in UTC; a minute is for limits on a rush, and is not announced beforehand."""
    messages: Annotated[int, Field(ge=1)] | None = None
    """Answers."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens read and written by models."""
    usd: Annotated[float, Field(gt=0)] | None = None
    """US dollars."""
    guild: Id | None = None
    """Only in this guild, by id or name; an id is safer, as in `access`."""
    channel: Id | None = None
    """Only in this channel, by id or by a pattern for its name, its threads included."""
    role: Id | None = None
    """Only for people with this role, by id or name, each of whom has this much."""
    user: Id | None = None
    """Only for this user, by id."""
    cheaper: str | None = None
    """From 80 % on, only this one of the bot's `models` is asked, or `offline`."""

    @model_validator(mode="after")
    def _limiting_something(self) -> Budget:
        if self.messages is None and self.tokens is None and self.usd is None:
            raise ValueError("a budget limits at least one of messages, tokens and usd")
        return self

    @model_validator(mode="after")
    def _each_of_a_role(self) -> Budget:
        if self.role is not None and self.per != "user":
            raise ValueError(
                f"found role with per '{self.per}'; allowed: role with per 'user', since who held which role at what "
                "time is not kept, and so not what its people used together"
            )
        return self


class MediaSettings(Section):
    """What becomes of files beside messages."""

    limit: Size = 26_214_400
    """The largest file that is fetched and kept."""
    count: Annotated[int, Field(ge=0, le=10)] = 10
    """How many files of one message are fetched."""
    refuse: Words = (
        "application/x-executable",
        "application/x-mach-binary",
        "application/vnd.microsoft.portable-executable",
    )
    """Kinds of files that are not kept, by what their bytes are; `image/*` stands for all images."""
    text_tokens: Annotated[int, Field(ge=0)] = 8_000
    """How much of the text files of one message a model is shown, in tokens."""
    images: Annotated[int, Field(ge=0, le=20)] = 4
    """How many images a model is shown with one question."""


class CatchupSettings(Section):
    """What happens to lines that were written while the bot was away."""

    age: Span = 86_400
    """How far back a gap is filled."""
    messages: Annotated[int, Field(ge=1, le=10_000)] = 500
    """The most lines that are fetched of one channel."""
    answer: Span = 900
    """Lines older than this are kept, and marked missed instead of answered."""


class PrivacySettings(Section):
    """What people are told and can ask for."""

    policy: Annotated[str, Field(max_length=4_000)] = (
        "I keep what is said to me, and what is said in channels I take part in, to be able to go on with a "
        "conversation. Questions go to the model providers that this bot is configured with. You can see what I "
        "keep about you, take all of it along, and have it removed for good: with /privacy on Discord, in the browser "
        "under Operate, Your data."
    )
    """What `/privacy show` says first."""
