"""Some lives of a bot that people talk to at its console; `make soak` lives through many more."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from .soak.web import WebDay
from .stage import stage

pytestmark = pytest.mark.timeout(120)


async def test_what_people_at_the_console_were_told_is_what_is_kept_though_the_bot_was_killed(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        day = WebDay(here, 1, 7)
        figures = await day.run()
        assert not figures.findings, "\n".join(figures.findings)
        assert figures.lines > 5
        with closing(sqlite3.connect(tmp_path / "data" / "sage" / "conversations.db")) as database, database:
            database.execute("UPDATE messages SET content = 'never said', parts = NULL WHERE event = 'k1'")
            database.execute("DELETE FROM messages WHERE role = 'assistant'")
        found = "\n".join(await day.looked())
        assert "is kept as 'never said'" in found
        assert "was never answered" in found
        assert "was told to its end, and is not kept" in found
