"""`troupe chat`: what people see of memory and sessions there, and that orders for another terminal are not given."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from .test_terminal import at_the_door, chat, offline_fleet
from .world import settings, world


async def test_what_is_remembered_and_why_a_line_is_in_its_session_is_told_at_the_terminal(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w, at_the_door(w) as ana:
        nothing = (await ana.ask(do="memory list"))[0]["text"]
        assert nothing.startswith("I remember nothing yet that I may tell here.")
        assert nothing.endswith("in another terminal: troupe memory list sage")
        assert (await ana.ask(do="why session"))[0]["text"] == "You have not said anything to me here yet."
        await ana.ask(say="what is 6 * 7?")
        (session,) = await w.store.sessions()
        sender = (await w.store.messages(session.id))[0].sender
        await w.bot.memory.memories.remember("The museum is closed on Mondays", sender, session.channel, "here")
        told = (await ana.ask(do="memory list"))[0]["text"]
        assert told.startswith(f"{w.clock.now():%Y-%m-%d}  The museum is closed on Mondays\n")
        why = (await ana.ask(do="why session"))[0]["text"]
        assert why.startswith('Your last line is part of the session "')
        assert session.id in why


async def test_a_person_at_the_terminal_has_it_remember_and_forget(tmp_path: Path) -> None:
    async with offline_fleet(tmp_path) as here:
        lines = "what is 6 * 7?\n/why memory\n/memory remember I like  Tea\n/memory\n/memory forget like tea\n/memory\n"
        said = await asyncio.to_thread(chat, here, given=lines)
        assert "Nothing was recalled for the last answer here." in said
        assert "I remember it, and may tell it wherever I answer you: I like Tea" in said
        assert said.count("I like Tea") == 3
        assert "I have forgotten it for good: I like Tea\nI remember nothing yet" in said
        none = await asyncio.to_thread(chat, here, given="/memory forget tea\n/memory forget\n")
        assert "No memory that I may tell here reads like that" in none
        assert "Say /memory list, /memory remember and what" in none


async def test_a_pipe_gets_no_marks_of_discord(tmp_path: Path) -> None:
    async with offline_fleet(tmp_path) as here:
        said = await asyncio.to_thread(chat, here, given="/help\nwho was the first on the moon?\n")
        assert "(Offline: " in said
        assert not any(mark in said for mark in ("-# ", "**", "`/new`"))


async def test_a_bot_without_a_memory_says_so_at_the_terminal(tmp_path: Path) -> None:
    config = settings(tmp_path, memory={"enabled": False})
    async with world(config, root=tmp_path) as w, at_the_door(w) as ana:
        assert "Memory is off, for `memory.enabled` is false" in (await ana.ask(do="memory list"))[0]["text"]


async def test_orders_that_are_for_another_terminal_are_not_given_by_chance(tmp_path: Path) -> None:
    async with offline_fleet(tmp_path) as here:
        lines = "hello\n/backup\n/cleanup now\n/export\n/route\n/memory report\n/end\n/memory\n/memory  list\n"
        said = await asyncio.to_thread(chat, here, given=lines)
        for told in ("backup sage", "cleanup sage --dry-run", "export sage", 'route "your line" --bot sage'):
            assert f"In another terminal: troupe {told}\n" in said
        assert "In another terminal: troupe memory list sage\n" in said
        assert "There is no command 'end'; /help lists them." in said
        assert said.count("I remember nothing yet that I may tell here.") == 2
        assert not list((tmp_path / "data" / "sage").glob("backups/*"))


@pytest.mark.parametrize("line", ["/stop everything", "/history all of it"])
async def test_a_command_with_words_too_many_is_not_done(tmp_path: Path, line: str) -> None:
    async with offline_fleet(tmp_path) as here:
        assert f"There is no command '{line[1:]}'" in await asyncio.to_thread(chat, here, given=f"{line}\n")
