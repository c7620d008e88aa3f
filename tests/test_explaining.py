"""`/why` tells what a question was about, as it reads now, and nothing of what its sender has taken back."""

from __future__ import annotations

from .test_turn import asked
from .world import ANA, persona, settings

TWO = settings(
    personas=[
        persona("sage", keywords=["virtue"], domains=["philosophy"]),
        persona("ada", keywords=["python", "code"], domains=["programming"]),
    ]
)


async def test_what_a_question_is_about_is_told_as_long_as_it_is_there() -> None:
    async with asked(TWO) as (w, _):
        room = w.room()
        origin = f"{room.channel.key}:1"
        answer = (await room.say(ANA, "how does python code call Lisbon?", origin=origin)).answer
        assert answer is not None
        known = (await w.bot.explaining.facts(answer))["understood"]
        assert (known["intent"], known["topics"][0]) == ("question", "lisbon")
        assert "lisbon" not in str(answer.metadata).lower(), "what people said stands in their lines alone"
        told = await w.bot.explaining.told(room.channel, w.bot.settings, inert=lambda word: word.upper())
        assert "\nI took it for a question about LISBON" in told
        assert "It names names: LISBON." in told
        await w.bot.afterwards.deleted(origin, w.clock.now())
        answer = await w.store.message(answer.id) or answer
        assert (await w.bot.explaining.facts(answer))["understood"] is None
