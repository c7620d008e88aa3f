"""Half an hour of a day in a busy server; `make soak` lives through a whole one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import storage
from storage.amendments import Edited
from storage.backend import OLDEST
from storage.model import Text

from .soak.day import Day
from .soak.day_check import checked
from .stage import stage
from .wire.discord_model import Message as Shown


async def test_after_half_a_busy_hour_the_store_is_what_discord_shows_and_what_is_wrong_there_is_seen(
    tmp_path: Path,
) -> None:
    root = tmp_path / "data" / "sage"
    async with stage(tmp_path) as here:
        day = Day(here, 0.5, 7)
        figures = await day.run()
        assert not figures.findings, "\n".join(figures.findings)
        assert figures.events > 200
        store = await storage.connect("sage", root)
        kept = (await store.read(cursor=OLDEST, limit=500)).items
        questions = {one.reply_to: one for one in kept if one.role == "assistant" and one.words}
        sure = {
            str(one.message.id)
            for one in day.town.said
            if one.keep == one.answer == "must" and _looked_for(one.message)
        }
        lost, reworded, twice = [one for one in kept if one.id in questions and _number(one.origin) in sure][:3]
        await store.remove_messages([lost.id])
        await store.amend(reworded.id, Edited(parts=(Text(text="never said"),), at=datetime.now(UTC)))
        session = await store.session(twice.session_id)
        assert session is not None
        await store.append(session, questions[twice.id].model_copy(update={"id": "again", "receipts": ()}))
        await store.close()
        found = "\n".join(await checked(day.ledger, root, 7))
    assert f"{_number(lost.origin)} is not kept" in found
    assert "and kept as 'never said'" in found
    assert f"{_number(twice.origin)} was answered 2 times" in found
    assert "the answer again stands nowhere" in found


def _looked_for(message: Shown) -> bool:
    """Whether the check sees that it is not kept: private conversations that broke off at once may stay unknown."""
    return not message.deleted and not message.channel.is_dm


def _number(origin: str | None) -> str:
    return str(origin).rpartition(":")[2]
