"""Manners: what a bot speaks to, nods at, listens to and ignores, alone and among other bots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bots.manners import Act, Heard, choose, only_thanks

from .hosting import config_of, house, living
from .wire.discord_client import pointed_at
from .wire.discord_server import DiscordServer
from .wire.provider_server import ProviderServer

BOT = {"by_bot": True, "bot_lines_left": 2}

TABLE: list[tuple[dict[str, Any], dict[str, Act]]] = [
    # What is heard; what is done with it where every line is answered, where the bot waits to be called, where it
    # listens.
    ({}, {"always": "speak", "mention": "ignore", "listen": "listen"}),
    ({"direct": True}, {"always": "speak", "mention": "speak", "listen": "speak"}),
    ({"direct": True, "for_others": True}, {"always": "speak", "mention": "speak", "listen": "speak"}),
    ({"direct": True, "for_sibling": True}, {"always": "speak", "mention": "speak", "listen": "speak"}),
    ({"direct": True, "sibling_speaks": True}, {"always": "speak", "mention": "speak", "listen": "speak"}),
    ({"for_others": True}, {"always": "listen", "mention": "ignore", "listen": "listen"}),
    ({"for_sibling": True}, {"always": "ignore", "mention": "ignore", "listen": "ignore"}),
    ({"sibling_speaks": True}, {"always": "listen", "mention": "ignore", "listen": "listen"}),
    ({"text": "thanks!"}, {"always": "react", "mention": "ignore", "listen": "listen"}),
    ({"text": "thanks!", "direct": True}, {"always": "react", "mention": "react", "listen": "react"}),
    ({"text": "ok", "direct": True}, {"always": "speak", "mention": "speak", "listen": "speak"}),
    ({"text": "stop", "stops": True}, {"always": "speak", "mention": "speak", "listen": "speak"}),
    (BOT, {"always": "listen", "mention": "ignore", "listen": "listen"}),
    ({**BOT, "direct": True}, {"always": "speak", "mention": "speak", "listen": "speak"}),
    ({"by_bot": True, "direct": True}, {"always": "listen", "mention": "ignore", "listen": "listen"}),
    ({**BOT, "direct": True, "text": "thanks!"}, {"always": "speak", "mention": "speak", "listen": "speak"}),
]


@pytest.mark.parametrize(("heard", "acts"), TABLE, ids=[str(heard) for heard, _ in TABLE])
def test_what_is_done_with_a_line(heard: dict[str, Any], acts: dict[str, Act]) -> None:
    for mode, act in acts.items():
        line = Heard(**{"text": "how are you?", "direct": False, "mode": mode, **heard})
        assert choose(line).act == act, mode


def test_without_reactions_thanks_are_a_line_like_any_other() -> None:
    assert choose(Heard(text="thanks!", direct=True, mode="mention"), reactions=False).act == "speak"


@pytest.mark.parametrize(
    "text",
    [
        "thanks!",
        "Thank you so much",
        "thx :)",
        "ok, thanks!",
        "Great, thank you! 🙏",
        "ty",
        "Danke!",
        "谢谢",
        "ありがとう",
    ],
)
def test_thanks_are_only_thanks(text: str) -> None:
    assert only_thanks(text)


@pytest.mark.parametrize(
    "text",
    ["", "ok", "yes", "👍", "no thanks", "thanks, but why?", "thank you for nothing", "thanks " * 20, "thanksgiving"],
)
def test_what_may_be_an_answer_or_more_is_not_only_thanks(text: str) -> None:
    assert not only_thanks(text)


async def test_thanks_get_a_heart_and_assent_gets_an_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.asked("shall we go on?")
        thanks = await h.server.say(h.ana, h.channel, "Thanks, Sage!")
        await h.asked("ok")
        assert h.questions == 2
        assert h.reactions(thanks) == ["❤️"]
        assert "Ana: Thanks, Sage!" in "\n".join(line.text for line in h.ask.lines), "it is heard all the same"


async def test_thanks_that_cannot_be_reacted_to_are_met_with_silence(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.server.deny(h.account, h.channel, "add_reactions")
        await h.server.say(h.ana, h.channel, "thanks!")
        await h.asked("well?")
        assert h.questions == 1


async def test_the_typing_sign_is_there_only_while_the_bot_is_at_work(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.server.say(h.ana, h.channel, "thanks!")
        await h.asked("quick?")
        assert h.server.count("POST .*/typing") == 0
        gate = h.model.hold()
        question = await h.server.say(h.ana, h.channel, "slow?")
        await h.server.until(lambda: h.server.count("POST .*/typing") == 1)
        gate.open()
        await h.server.answer_to(question)
        await h.asked("quick again?")
        assert h.server.count("POST .*/typing") == 1


async def test_a_private_line_needs_no_mention(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        _, answer = await h.asked("are you there?", channel=h.server.dm(h.ana, h.account))
        assert answer.content == h.model.default(h.ask)


async def test_a_thread_in_which_the_bot_has_answered_is_joined(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        thread = h.server.add_thread(h.channel, "tea", owner=h.ben)
        await h.asked("hello", channel=thread)
        await h.asked("and again", channel=thread)
        joined = f"/channels/{thread.id}/thread-members/@me"
        await h.server.until(lambda: any(joined in request.line for request in h.server.requests))
        await h.asked("and once more", channel=thread)
        assert sum(joined in request.line for request in h.server.requests) == 1


async def test_a_thread_goes_by_its_channel(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        elsewhere = h.guild.add_channel("elsewhere")
        theirs = h.server.add_thread(elsewhere, "theirs", owner=h.ben)
        below = h.server.add_thread(h.channel, "below", owner=h.ben)
        await h.server.say(h.ana, theirs, "not for you")
        await h.asked("for you", channel=theirs, mentions=[h.account])
        await h.asked("and here?", channel=below)
        assert h.questions == 2


CALLS = [
    ("what do you think?", ["sage"]),
    ("Muse, what do you think?", ["muse"]),
    ("hey Sage, and you, Muse?", ["sage", "muse"]),
    ("Sage: goodbye, Muse", ["sage", "muse"]),
]


async def test_of_two_bots_in_one_channel_one_speaks_unless_both_are_called(tmp_path: Path) -> None:
    async with DiscordServer(rate_limits=False) as server, ProviderServer() as model:
        named = {"sage": server.add_bot("token-1", "sage"), "muse": server.add_bot("token-2", "muse")}
        channel, ana = server.add_guild("Home").add_channel("general"), server.add_person("ana")
        first = config_of(model, tmp_path / "sage", name="sage", siblings=["Muse", "muse"])
        second = config_of(model, tmp_path / "muse", name="muse", siblings=["Sage", "sage"], ahead=["general"])
        with pointed_at(server):
            async with living(server, named["sage"], first), living(server, named["muse"], second) as (w, _):
                asked = {}
                for text, bots in CALLS:
                    question = await server.say(ana, channel, text)
                    asked[question.id] = set(bots)
                    for bot in bots:
                        await server.answer_to(question, by=named[bot])
                thanks = await server.say(ana, channel, "Muse, thanks!")
                await server.until(lambda: thanks.reactions == {"❤️": [named["muse"]]})
                replies = [m for m in server.messages(channel) if m.author is not ana]
                found = {id: {m.author.name for m in replies if m.reference_id == id} for id in asked}
                assert found == asked
                assert len(replies) == 6
                lines = [m.text for m in (await w.store.read()).items if m.role == "user"]
                assert "what do you think?" in lines, "the silent one has listened"
