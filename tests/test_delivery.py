"""Answers on their way into a channel: pages, files, nonces, and the buttons that stand where they belong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bots.discord.limits import Pace
from bots.pieces import Delta, Done, Opened, Reset
from bots.router import Decision
from storage.model import Message, Note, Outcome, Sender, Text

from .speaking import Place, Says, speaking, two_faces
from .wire.discord_interactions import components
from .wire.discord_model import Message as Shown

_ID = "01kjpwd6m00000000003"
_LONG = "\n\n".join(f"Paragraph {number}: " + "words " * 250 for number in range(8))
"""An answer of eight pages."""


def kept(text: str, persona: str = "sage", outcome: Outcome = "whole", *, before: str = "") -> Message:
    """An answer as it is kept, with a note `before` it."""
    return Message(
        id=_ID,
        session_id="s",
        role="assistant",
        sender=Sender(type="persona", id="sage", name=persona.capitalize()),
        persona=persona,
        parts=(*((Note(text=before),) if before else ()), Text(text=text)),
        at=datetime(2026, 3, 2, tzinfo=UTC),
        outcome=outcome,
    )


def opened(persona: str = "sage") -> Opened:
    return Opened(_ID, persona.capitalize(), _DECISION, persona)


_DECISION = Decision("sage", "default", "it is the first")


def buttons(message: Shown) -> list[str]:
    """The acts of a message's buttons, in order."""
    return [one["custom_id"].split(":")[1] for one in components(message.components) if "custom_id" in one]


def bodies(place: Place, method: str) -> list[dict[str, Any]]:
    """What was sent by a method to any place for messages."""
    return [r.body for r in place.server.requests if r.method == method and "content" in (r.body or {})]


def channel_of(place: Place) -> Any:
    return place.speaker.get_channel(place.channel.id)


async def test_an_answer_that_is_there_at_once_goes_out_with_its_buttons_in_one_request(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("Here I am.")) as place:
        (answer,) = await place.answers(place.channel, "are you there?")
        assert buttons(answer) == ["again", "up", "down"]
        assert (len(bodies(place, "POST")), len(bodies(place, "PATCH"))) == (1, 0)


@pytest.mark.parametrize("name", ["Sage", "Marcus"])
async def test_only_the_last_page_has_buttons_and_every_page_pings_nobody(tmp_path: Path, name: str) -> None:
    async with speaking(tmp_path, Says("words " * 900)) as place:
        pages = await place.answers(place.channel, f"{name}, are you there?")
        assert [buttons(page) for page in pages] == [[], [], ["again", "up", "down"]]
        sent = bodies(place, "POST") + bodies(place, "PATCH")
        assert all(body["allowed_mentions"] == {"parse": []} for body in sent)
        assert len(place.speaker.receipts[0]) == 3


async def test_buttons_can_be_turned_off(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("Here I am."), two_faces(buttons=False)) as place:
        (answer,) = await place.answers(place.channel, "are you there?")
        assert buttons(answer) == []


@pytest.mark.parametrize("name", ["Sage", "Marcus"])
async def test_an_answer_of_many_pages_is_shown_as_two_and_a_file_with_all_of_it(tmp_path: Path, name: str) -> None:
    async with speaking(tmp_path, Says(_LONG)) as place:
        first, second, last = await place.answers(place.channel, f"{name}, tell me everything")
        assert first.content.startswith("Paragraph 0")
        assert second.content.startswith("Paragraph 1")
        assert last.content == "-# The whole answer is in the file."
        assert buttons(last) == ["again", "up", "down"]
        assert [(file["filename"], file["size"]) for file in last.attachments] == [("answer.md", len(_LONG))]
        assert len(place.speaker.receipts[0]) == 3


async def test_pages_shown_while_it_was_written_give_way_to_the_file(tmp_path: Path) -> None:
    model = Says()
    async with speaking(tmp_path, model) as place:
        await place.server.say(place.ana, place.channel, "tell me everything")
        model.words.put_nowait(_LONG)
        await place.server.until(lambda: len(place.pages()) == 6)
        model.words.put_nowait(None)
        await place.server.until(lambda: place.speaker.receipts)
        assert len(place.pages()) == 3
        assert place.pages()[-1].attachments


async def test_without_the_right_to_attach_files_all_pages_are_shown(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says(_LONG)) as place:
        await place.server.deny(place.account, place.channel, "attach_files")
        assert len(await place.answers(place.channel, "tell me everything")) == 8


async def test_the_page_being_written_carries_a_stop_button_after_two_seconds(tmp_path: Path) -> None:
    model = Says()
    async with speaking(tmp_path, model) as place:
        await place.server.say(place.ana, place.channel, "well?")
        model.words.put_nowait("words " * 300)
        await place.server.until(place.pages)
        assert buttons(place.pages()[0]) == []
        await place.server.until(lambda: buttons(place.pages()[0]) == ["stop"])
        model.words.put_nowait("words " * 300)
        await place.server.until(lambda: [buttons(page) for page in place.pages()] == [[], ["stop"]])
        model.words.put_nowait(None)
        await place.server.until(lambda: place.speaker.receipts)
        assert [buttons(page) for page in place.pages()] == [[], ["again", "up", "down"]]


@pytest.mark.parametrize("outcome", ["stopped", "cut"])
async def test_an_answer_that_is_not_whole_can_be_continued(tmp_path: Path, outcome: Outcome) -> None:
    async with speaking(tmp_path, Says()) as place:
        await place.speaker.delivery(channel_of(place)).show(kept("half an", outcome=outcome))
        assert buttons(place.pages()[0]) == ["again", "go", "up", "down"]


async def test_a_kept_answer_is_shown_as_it_was_kept_and_not_twice(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says()) as place:
        receipts = await place.speaker.delivery(channel_of(place)).show(kept("what was said"))
        again = await place.speaker.delivery(channel_of(place)).show(kept("what was said"))
        (answer,) = place.pages()
        assert answer.content == "what was said"
        assert [receipt.origin for receipt in receipts] == [f"discord:{place.channel.id}:{answer.id}"]
        assert again == receipts, "the same nonce is the same message"
        assert all(body["enforce_nonce"] for body in bodies(place, "POST"))


async def test_a_kept_answer_that_names_its_persona_does_not_name_it_twice(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says(), two_faces(faces=False)) as place:
        shown = kept("what was said", "marcus", before="**Marcus**\n")
        await place.speaker.delivery(channel_of(place)).show(shown)
        assert place.pages()[0].content == "**Marcus**\nwhat was said"


async def test_an_answer_taken_over_by_another_persona_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says()) as place:
        turns: list[tuple[str, str]] = [("sage", "marcus"), ("marcus", "sage")]
        for speakers in turns:
            delivery = place.speaker.delivery(channel_of(place))
            delivery.hear(opened(speakers[0]))
            delivery.hear(Delta("begun by one"))
            await place.server.until(place.pages)
            for piece in (Reset(), opened(speakers[1]), Delta("ended by another")):
                delivery.hear(piece)
            delivery.hear(Done(kept("ended by another", speakers[1])))
            await delivery.finish()
            (page,) = place.pages()
            assert page.content == "ended by another"
            assert (page.author is place.account) == (speakers[1] == "sage")
            place.server.erase(page)


async def test_an_answer_that_never_came_leaves_nothing(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says()) as place:
        delivery = place.speaker.delivery(channel_of(place))
        delivery.hear(opened())
        delivery.hear(Delta("begun"))
        await place.server.until(place.pages)
        assert await delivery.finish() == ()
        assert place.pages() == []


def test_a_webhooks_limits_are_heeded_apart_from_its_channels() -> None:
    pace = Pace(lambda: 100.0)
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "3"}
    pace.note("PATCH", "/api/v10/webhooks/77/a-token_x/messages/5", headers)
    pace.note("POST", "/api/v10/webhooks/78/a-token_x", headers)
    pace.note("GET", "/api/v10/webhooks/79/a-token_x", headers)
    pace.note("PATCH", "/api/v10/channels/80/messages/5", headers)
    assert [pace.wait(place) for place in (77, 78, 79, 80)] == [3.0, 3.0, 0.0, 3.0]
