"""The router: the most specific rule wins, and says so."""

from __future__ import annotations

import pytest

from bots.router import ContextRouter, called
from storage.model import Channel

from .world import persona, settings

CONFIG = settings(
    personas=[
        persona("sage", keywords=["meaning", "virtue"], domains=["philosophy"]),
        persona("marcus", aliases=["emperor"], keywords=["stoic", "duty"], domains=["stoicism"]),
        persona("ada", keywords=["python", "bug", "code"], domains=["programming"]),
    ],
    bindings=[
        {"persona": "marcus", "channel": "advice-*"},
        {"persona": "ada", "thread": "id-t"},
        {"persona": "sage", "guild": "g2"},
    ],
)


def channel(name: str = "general", kind: str = "channel", guild: str = "g1", parent: str | None = None) -> Channel:
    fields = {"front": "discord", "id": f"id-{name}", "kind": kind, "name": name, "guild_id": guild}
    return Channel.model_validate({**fields, "parent_id": parent})


def home_name(place: Channel) -> str:
    return "advice-love" if place.parent_id == "id-advice-love" else place.name


def decide(text: str, where: Channel | None = None, session: str | None = None, replied: str | None = None) -> str:
    decision = ContextRouter(CONFIG, home_name).decide(
        text, where or channel(), session_persona=session, replied_persona=replied
    )
    return f"{decision.persona} by {decision.rule}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Marcus, what is duty?", "marcus by address"),
        ("hey ada can you look at this", "ada by address"),
        ("@Emperor how do I bear this?", "marcus by address"),
        ("what would you do, Ada?", "ada by address"),
        ("MARCUS! help", "marcus by address"),
        ("I read about Marcus yesterday", "sage by default"),
        ("canada, what a country", "sage by default"),
    ],
)
def test_a_call_by_name_is_heard_and_a_mere_mention_is_not(text: str, expected: str) -> None:
    assert decide(text) == expected


def test_a_channels_persona_speaks_in_its_threads_whatever_they_are_called() -> None:
    assert decide("good morning", channel("tea", "thread", parent="id-advice-love")) == "marcus by channel"


def test_each_rule_gives_way_to_the_more_specific_one() -> None:
    advice, thread = channel("advice-love"), channel("t", "thread")
    assert decide("a python bug in my code", advice, "sage", "ada") == "ada by reply"
    assert decide("a python bug in my code", thread, "sage") == "ada by thread"
    assert decide("a python bug in my code", advice, "sage") == "marcus by channel"
    assert decide("a python bug in my code", channel(guild="g2"), "marcus") == "sage by guild"
    assert decide("a python bug in my code", None, "marcus") == "marcus by session"
    assert decide("a python bug in my code") == "ada by keywords"
    assert decide("good morning") == "sage by default"


def test_words_weigh_as_in_the_seed_and_only_whole_words_count() -> None:
    scores = {
        p.name: score
        for score, p in ContextRouter(CONFIG, home_name).scores("a stoic view of duty, in stoicism and code")
    }
    assert scores["marcus"] == pytest.approx(1.0)
    assert scores["ada"] == pytest.approx(0.3)
    assert ContextRouter(CONFIG, home_name).scores("encoded dutyfree debugging")[0][0] == 0


def test_a_decision_explains_itself_with_the_runner_up() -> None:
    decision = ContextRouter(CONFIG, home_name).decide(
        "python code, and duty", channel(), session_persona=None, replied_persona=None
    )
    assert str(decision) == "ada, because its words fit the message best (score 0.6; next is marcus with 0.3)"


def test_names_with_pattern_letters_are_taken_literally() -> None:
    assert called(("a.b*",)).search("a.b*, hello")
    assert not called(("a.b*",)).search("axbb, hello")
    assert not called(()).search("anything")
