"""One button that has to be pressed before something is done that cannot simply be taken back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import discord

from .interactions import told_wrong
from .text import pages

Act = Callable[[discord.Interaction[Any]], Awaitable[str]]
"""Does it, and returns what was done, for the asker."""
_PATIENCE = 300.0
"""Seconds for which it waits; an interaction lasts 15 minutes."""
_UNCHANGED = "Nothing was changed."


class Confirm(discord.ui.View):
    """Asks the one who asked for something once more, and tells what came of it when it is done."""

    def __init__(self, asked: discord.Interaction[Any], label: str, act: Act) -> None:
        super().__init__(timeout=_PATIENCE)
        self._asked = asked
        self._act = act
        for text, style, pressed in (
            (label, discord.ButtonStyle.danger, self._confirmed),
            ("Leave it as it is", discord.ButtonStyle.secondary, self._left),
        ):
            button: discord.ui.Button[Confirm] = discord.ui.Button(label=text, style=style)
            button.callback = pressed  # type: ignore[method-assign]
            self.add_item(button)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        return interaction.user.id == self._asked.user.id

    async def on_timeout(self) -> None:
        with suppress(discord.HTTPException):  # the asker may have dismissed it
            await self._asked.edit_original_response(content=_UNCHANGED, view=None)

    async def on_error(
        self, interaction: discord.Interaction[Any], error: Exception, _item: discord.ui.Item[Any], /
    ) -> None:
        with suppress(discord.HTTPException):
            await interaction.edit_original_response(content="It was not done, or not all of it.")
        await told_wrong(interaction, error)

    async def _confirmed(self, interaction: discord.Interaction[Any]) -> None:
        self.stop()
        await interaction.response.edit_message(content="One moment …", view=None)
        done = await self._act(interaction)
        with suppress(discord.HTTPException):  # what takes long may outlive the interaction
            await interaction.edit_original_response(content=pages(done)[0].shown)

    async def _left(self, interaction: discord.Interaction[Any]) -> None:
        self.stop()
        await interaction.response.edit_message(content=_UNCHANGED, view=None)
