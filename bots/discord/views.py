"""The buttons below an answer: stop while it is written; then regenerate, continue and thumbs.

A button's custom id says all it needs (`t:<act>:<message id>`), so that it still works after a restart."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import discord
import structlog

from storage.errors import StorageError
from storage.model import Annotation, Message

from ..bot import Bot
from ..errors import TroupeError
from ..incoming import GO_ON, Incoming
from ..turn import FULL
from .faces import NOBODY
from .interactions import UNREACHABLE, refused, where
from .reading import reads_past
from .translate import origin, roles, who

if TYPE_CHECKING:
    from .client import Front

log = structlog.get_logger()

Act = Literal["stop", "again", "go", "up", "down"]

_GREY, _BLUE = discord.ButtonStyle.secondary, discord.ButtonStyle.primary


class _Look(NamedTuple):
    label: str | None
    emoji: str | None
    style: discord.ButtonStyle = _GREY


_LOOKS: dict[Act, _Look] = {
    "stop": _Look("Stop", "⏹️"),
    "again": _Look("Regenerate", "🔄"),
    "go": _Look("Continue", "▶️"),
    "up": _Look(None, "👍"),
    "down": _Look(None, "👎"),
}
_EDITED = _Look("Answer the edit", "🔄", _BLUE)


class AnswerButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=r"t:(?P<act>stop|again|go|up|down):(?P<id>[0-9a-z]{1,40})(?::(?P<asker>\d{1,20}))?",
):
    """One button below an answer. `asker` goes with a stop button only: what is still written is not stored yet."""

    def __init__(self, act: Act, message_id: str, asker: int | None = None, look: _Look | None = None) -> None:
        label, emoji, style = look or _LOOKS[act]
        custom_id = f"t:{act}:{message_id}" + (f":{asker}" if asker is not None else "")
        super().__init__(discord.ui.Button(label=label, emoji=emoji, style=style, custom_id=custom_id))
        self.act = act
        self.message_id = message_id
        self.asker = asker

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction[Any], _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> AnswerButton:
        return cls(match["act"], match["id"], int(match["asker"]) if match["asker"] else None)  # type: ignore[arg-type]

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Acknowledges the click at once, then does what the button says; trouble is told to the clicker alone."""
        try:
            await interaction.response.defer()
            told = refused(interaction) or await _DOES[self.act](self, interaction, interaction.client)
        except TroupeError as error:
            told = str(error)
        except StorageError as error:
            log.error("interaction.storage_failed", interaction=interaction.id, error=str(error))
            told = UNREACHABLE
        except Exception as error:
            log.error("interaction.failed", interaction=interaction.id, exc_info=error)
            told = f"Something went wrong on my side; my log has it under {interaction.id}."
        if told:
            await interaction.followup.send(told, ephemeral=True, allowed_mentions=NOBODY)


BUTTONS = (AnswerButton,)
"""For `discord.Client.add_dynamic_items`, at every start."""


class Rows:
    """The rows of buttons that a bot's answers carry."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    def writing(self, message_id: str, asker: int | None) -> discord.ui.View:
        """While the answer is being written."""
        return _row(AnswerButton("stop", message_id, asker))

    def answered(self, answer: Message, *, edited: bool = False) -> discord.ui.View:
        """Below a whole answer. `edited`: its question has changed since, so that a new answer is offered first."""
        again = AnswerButton("again", answer.id, look=_EDITED if edited else None)
        goes_on = [AnswerButton("go", answer.id)] if self._unfinished(answer) else []
        return _row(again, *goes_on, AnswerButton("up", answer.id), AnswerButton("down", answer.id))

    def edited(self, answer: Message) -> discord.ui.View:
        """Below an answer whose question was edited since."""
        return self.answered(answer, edited=True)

    def _unfinished(self, answer: Message) -> bool:
        """Whether there may be more to say: it was stopped or cut, or is as long as an answer may become."""
        return bool(answer.words.strip()) and (answer.outcome != "whole" or answer.metadata.items() >= FULL.items())


def _row(*buttons: AnswerButton) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for button in buttons:
        view.add_item(button)
    return view


async def _stop(button: AnswerButton, interaction: discord.Interaction[Any], front: Front) -> str:
    if interaction.user.id != button.asker and not interaction.permissions.manage_messages:
        raise TroupeError(_NOT_YOURS)
    return "" if await front.bot.stop_turn(button.message_id) else "There is nothing left to stop: the answer is over."


async def _again(button: AnswerButton, interaction: discord.Interaction[Any], front: Front) -> str:
    """A new answer to the same lines; the old one's pages go once it is there."""
    answer, question = await _both(button, interaction, front)
    faces = front.faces.can(interaction.channel)
    pieces = front.bot.redo(answer.id, who(interaction.user), roles(interaction.user), faces=faces)
    new = await front.deliver(pieces, _below(interaction, question), interaction.user.id)
    if new is not None and new.words:
        pages = [int(receipt.origin.rpartition(":")[2]) for receipt in answer.receipts]
        shown = interaction.message
        masked = shown is not None and front.faces.own(shown)
        await front.faces.take_away(interaction.channel, pages, masked=masked)
    return ""


async def _go(button: AnswerButton, interaction: discord.Interaction[Any], front: Front) -> str:
    """The asker's wish for more, as a line of theirs."""
    answer, question = await _both(button, interaction, front)
    if question is None or question.deleted_at is not None:
        raise TroupeError("The question to that answer was deleted: ask again.")
    channel, shown = interaction.channel, interaction.message
    if channel is None or shown is None:
        raise TroupeError("The answer to go on with is gone.")
    incoming = Incoming(
        origin=origin(channel.id, interaction.id),
        channel=where(interaction),
        sender=who(interaction.user),
        text=GO_ON,
        at=interaction.created_at,
        reply_to=answer.receipts[-1].origin if answer.receipts else origin(channel.id, shown.id),
        roles=roles(interaction.user),
        faces=front.faces.can(channel),
        persona=answer.persona,
        seen=False,
        reads_past=reads_past(interaction),
    )
    await front.deliver(front.bot.receive(incoming), shown, interaction.user.id)
    return ""


async def _thumb(button: AnswerButton, interaction: discord.Interaction[Any], front: Front) -> str:
    """One thumb of a person counts: the same again takes it back, the other one replaces it."""
    sender = who(interaction.user)
    note = f"thumb-{button.message_id}-{sender.id}"
    answer = await _kept(button, front)
    before = next((each.text for each in answer.annotations if each.id == note), None)
    if before == button.act:
        await front.bot.afterwards.unannotate(button.message_id, note)
        return "Taken back."
    at = interaction.created_at
    await front.bot.afterwards.annotate(
        button.message_id, Annotation(id=note, kind="thumb", text=button.act, sender=sender, at=at)
    )
    return f"Noted: {_LOOKS[button.act].emoji} Thank you."


_DOES: dict[Act, Callable[[AnswerButton, discord.Interaction[Any], Front], Awaitable[str]]] = {
    "stop": _stop,
    "again": _again,
    "go": _go,
    "up": _thumb,
    "down": _thumb,
}
"""What each button does; the sentence it returns, if any, is for the clicker alone."""

_NOT_YOURS = "Only who asked, or somebody who may manage messages here, can do that."


async def _kept(button: AnswerButton, front: Front) -> Message:
    answer = await front.bot.store.message(button.message_id)
    if answer is None or answer.deleted_at is not None:
        raise TroupeError("I no longer have this answer, so there is nothing I could do with it.")
    return answer


async def _both(
    button: AnswerButton, interaction: discord.Interaction[Any], front: Front
) -> tuple[Message, Message | None]:
    """The answer and its question, once it is clear that the clicker may have more of it."""
    answer = await _kept(button, front)
    session = await front.bot.store.session(answer.session_id)
    if session is None or session.channel.key != where(interaction).key:
        raise TroupeError("The conversation of this answer is not one of this channel: ask again here.")
    question = await front.bot.store.message(answer.reply_to) if answer.reply_to else None
    asked = question is not None and question.sender.id == str(interaction.user.id)
    if not asked and not interaction.permissions.manage_messages:
        raise TroupeError(_NOT_YOURS)
    return answer, question


def _below(interaction: discord.Interaction[Any], question: Message | None) -> discord.Message | discord.PartialMessage:
    """What the new answer replies to: the question, where it stands in this channel, else the old answer."""
    shown = interaction.message
    if shown is None:
        raise TroupeError("The answer to write anew is gone.")
    channel: Any = shown.channel
    home, _, number = (question.origin or "").rpartition(":") if question else ("", "", "")
    if home == f"discord:{channel.id}" and number.isdecimal():
        partial: discord.PartialMessage = channel.get_partial_message(int(number))
        return partial
    return shown
