"""The records of a migration: two of one id, which may be two old accounts of one person."""

from __future__ import annotations

from .records import Profile, Record


def joined(first: Record, more: Record) -> Record:
    """Of two records with one id the first; a profile gains what only the other says."""
    if not (isinstance(first, Profile) and isinstance(more, Profile)):
        return first
    called = (*first.past_names, *more.past_names, more.name) if first.name else more.past_names
    whole = Profile(
        id=first.id,
        at=first.at,
        name=first.name or more.name,
        past_names=tuple(dict.fromkeys(name for name in called if name not in ("", first.name))),
        preferences={**more.preferences, **first.preferences},
    )
    return first if whole == first else whole


def at_odds(first: Record, more: Record) -> list[str]:
    """What two profiles of one person say differently, by name."""
    if not (isinstance(first, Profile) and isinstance(more, Profile)):
        return []
    return [key for key, value in more.preferences.items() if first.preferences.get(key, value) != value]
