"""A few people who talk unhurriedly, with the bot among them: one conversation, in the default way of telling them."""

from __future__ import annotations

import pytest

from .test_disentangling import Room
from .test_sessions_structural import Listens
from .world import ANA, BEN, CAI, Person, world

Talk = tuple[tuple[Person, float, str], ...]
DEE = Person("Dee")
PLUMS: Talk = (
    (ANA, 0, "how do plums grow?"),
    (BEN, 1, "and pears?"),
    (CAI, 240, "my plum tree has brown leaves since Monday, is it too dry for it?"),
    (ANA, 120, "mine has them, too"),
    (BEN, 180, "why?"),
    (DEE, 300, "hi"),
    (DEE, 10, "can I plant one on a balcony that gets the sun in the morning only?"),
    (CAI, 150, "what about figs?"),
)
GERMAN: Talk = (
    (ANA, 0, "Wie wachsen eigentlich Pflaumen?"),
    (BEN, 2, "und Birnen?"),
    (CAI, 200, "Bei uns im Garten stehen drei Bäume"),
    (BEN, 60, "wann blühen die denn?"),
    (ANA, 240, "schön, danke"),
)
JAPANESE: Talk = (
    (ANA, 0, "梅はどうやって育ちますか？"),
    (BEN, 2, "梨は？"),
    (CAI, 150, "うちにもあります"),
    (ANA, 200, "いつ食べられますか"),
)
TRIP: Talk = (
    (ANA, 0, "Sage, we want to go somewhere for a long weekend in May, any ideas?"),
    (BEN, 45, "somewhere warm please"),
    (CAI, 150, "I can't do the first weekend"),
    (ANA, 240, "maybe Lisbon?"),
    (CAI, 300, "how expensive are flights then?"),
    (DEE, 120, "hey all, what are we planning?"),
    (ANA, 130, "the May trip, Lisbon perhaps"),
    (DEE, 200, "oh nice, count me in"),
    (BEN, 360, "so which weekend works for everybody?"),
    (DEE, 140, "same"),
)
GAMES: Talk = (
    (ANA, 0, "Sage, plan a board game night for us"),
    (BEN, 20, "maybe Saturday?"),
    (CAI, 30, "can we do it at mine?"),
    (ANA, 20, "Saturday at Cai's then"),
    (BEN, 30, "who brings snacks?"),
)


@pytest.mark.parametrize("said", [PLUMS, GERMAN, JAPANESE, TRIP, GAMES])
async def test_a_small_group_that_talks_with_the_bot_is_one_conversation_and_every_prompt_holds_all_of_it(
    said: Talk,
) -> None:
    model = Listens()
    async with world(provider=model) as w:
        room = w.room()
        for who, after, text in said:
            w.clock.advance(after)
            await room.say(who, text)
        assert len(await room.sessions()) == 1
        told = str([line.text for line in model.asked[-1].lines])
        assert [text for _, _, text in said if text not in told] == []


def test_somebody_whose_greeting_began_a_session_goes_on_with_the_others_when_that_is_what_they_answer() -> None:
    room = Room()
    first = room.say("ana", "Sage, plan a board game night for us")
    room.join(room.line("bot", "Saturday would be fine.", room.now, voice=True, answers="ana"), first)
    for author, text in (("ben", "at eight?"), ("cai", "can we do it at mine?"), ("ana", "at Cai's then")):
        assert room.say(author, text, 25) == first
    assert room.say("dee", "hi", 30) != first
    room.say("dee", "is there still a place for me?", 15)
    assert room.say("ana", "sure", 20) == first
    assert room.say("dee", "great, which games do you have?", 20) == first


async def test_a_session_that_opens_beside_the_talk_of_a_few_follows_it() -> None:
    async with world(provider=Listens()) as w:
        room = w.room()
        for who, after, text in TRIP[:5]:
            w.clock.advance(after)
            await room.say(who, text)
        w.clock.advance(120)
        await room.say(
            DEE, "hi, my printer prints every page of a document twice, does anybody know which driver it needs?"
        )
        beside, trip = await room.sessions()
        assert beside.follows == trip.id


def test_two_who_each_ask_the_bot_something_else_at_once_are_still_told_apart() -> None:
    room = Room()

    def ask(author: str, text: str, after: float) -> str:
        session = room.say(author, text, after)
        room.join(room.line("bot", "This is what I know of it.", room.now, voice=True, answers=author), session)
        return session

    letter = ask("ana", "I want to write a cover letter for a job at a library, where should I start?", 0)
    ask("ana", "I have worked in a book shop for three years", 30)
    chain = ask("cai", "my bicycle chain falls off when I change gears, how do I adjust the derailleur?", 20)
    assert chain != letter
    assert ask("ana", "should it mention my studies?", 25) == letter
    assert ask("cai", "it is the rear one", 20) == chain
