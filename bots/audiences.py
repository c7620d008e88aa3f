"""Who may be told what a bot remembers: the audience of what is said in a place, and those a place may hear."""

from __future__ import annotations

from storage.model import Channel

BOT = "bot"
"""The audience of what everybody may be told."""


def audience(channel: Channel) -> str:
    """Who may be told later what is said in a place: only those who are there. What was said in private is for that
    person, wherever they are alone with the bot; what was said in a channel or a thread stays there."""
    if channel.kind in ("dm", "web") and channel.parent_id:
        return private(channel.parent_id)
    return channel.key


def heard_in(channel: Channel, asker_id: str) -> frozenset[str]:
    """The audiences whose memories may be told in a place to the one who is answered there.

    In public nothing that was said in private, nor in another channel or another guild; who reads a thread reads the
    channel it hangs on. What a person wants known wherever they are answered comes only to their own answers."""
    if channel.kind in ("dm", "web") and channel.parent_id:
        return frozenset((private(channel.parent_id), channel.key, asker(channel.parent_id), BOT))
    here = {channel.key, asker(asker_id), BOT}
    if channel.kind == "thread" and channel.parent_id:
        here.add(f"{channel.front}:{channel.parent_id}")
    if channel.guild_id is not None:
        here.add(guild(channel.guild_id))
    return frozenset(here)


def places(channel: Channel) -> frozenset[str]:
    """The place itself, and the channel that a thread hangs on."""
    parent = [f"{channel.front}:{channel.parent_id}"] if channel.kind == "thread" and channel.parent_id else []
    return frozenset((channel.key, *parent))


def private(user_id: str) -> str:
    """The audience of one person, alone with the bot."""
    return f"user:{user_id}"


def asker(user_id: str) -> str:
    """The audience of one person wherever they are the one who is answered: only what they asked to be known there."""
    return f"asker:{user_id}"


def guild(guild_id: str) -> str:
    """The audience of everybody in a guild."""
    return f"guild:{guild_id}"
