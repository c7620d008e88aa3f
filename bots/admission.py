"""On what terms somebody is answered: whether at all, by whom, by which models, and within which budget."""

from __future__ import annotations

from collections.abc import Collection

from storage.model import Channel, Message, Sender

from .access import Access
from .guilds import Guilds
from .lanes import Terms
from .quieting import Quiet
from .quotas import Quotas


class Admission:
    """Access rules, budgets and what a guild has set, asked together."""

    def __init__(self, access: Access, quotas: Quotas, guilds: Guilds, quiet: Quiet) -> None:
        self.access = access
        self._quotas = quotas
        self._guilds = guilds
        self._quiet = quiet

    def welcome(self, channel: Channel, sender: Sender | None, roles: Collection[str]) -> bool:
        """Whether the bot answers somebody in a place at all; without a person, whether a rule shuts everybody out."""
        grant = self.access.grant(channel, sender, roles)
        return grant.allowed and grant.personas != frozenset()

    def used_up(self, channel: Channel, sender: Sender, roles: Collection[str]) -> str:
        """Why nobody is answered there, or no budget allows somebody an answer, right now, as a sentence; empty where
        one would be given. Counts nothing, and does not take it for said."""
        if (until := self._quiet.until(channel)) is not None:
            return f"I only listen here until {until:%Y-%m-%d %H:%M} UTC: somebody who runs me speaks in my place."
        return self._quotas.used_up(channel, sender, roles)

    def terms(
        self,
        channel: Channel,
        sender: Sender,
        roles: Collection[str],
        *,
        faces: bool = False,
        persona: str | None = None,
    ) -> Terms | None:
        """The terms of one answer, which is counted from now on: `settle` must follow. None where somebody is not
        answered, or was told a moment ago why not."""
        if not self.welcome(channel, sender, roles) or self._quiet.until(channel) is not None:
            return None
        grant = self.access.grant(channel, sender, roles)
        verdict = self._quotas.ask(channel, sender, roles)
        if verdict.quiet:
            return None
        models = verdict.models or grant.models
        if grant.models is not None and verdict.models is not None:
            models = grant.models & verdict.models or grant.models
        return Terms(
            asker=None if verdict.declined else sender,
            persona=persona,
            default=self._guilds.of(channel.guild_id).persona,
            personas=grant.personas,
            models=models,
            roles=tuple(roles),
            faces=faces,
            declined=verdict.declined,
            notice=verdict.notice,
        )

    def settle(self, channel: Channel, terms: Terms, answer: Message | None) -> None:
        """What became of an answer that was counted."""
        if terms.asker is None:
            return
        if answer is None or not answer.words:
            self._quotas.undone(channel, terms.asker)
        else:
            self._quotas.spent(channel, terms.asker, answer.usage)
