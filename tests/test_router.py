"""The router: the most specific rule wins, and says so; where no rule knows, the words are weighed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bots.classifier import THRESHOLD, Verdict
from bots.router import ContextRouter, Decision, called
from bots.settings import BotSettings
from storage.model import Channel

from .world import persona, settings

PERSONAS = [
    persona("sage", description="a voice for tests", keywords=["meaning", "virtue"], domains=["philosophy"]),
    persona(
        "marcus", description="a voice for tests", aliases=["emperor"], keywords=["stoic", "duty"], domains=["stoicism"]
    ),
    persona("ada", description="a voice for tests", keywords=["python", "bug", "code"], domains=["programming"]),
]
CONFIG = settings(
    personas=PERSONAS,
    bindings=[
        {"persona": "sage", "guild": "g2"},
        {"persona": "ada", "role": "Coders"},
        {"persona": "sage", "category": "quiet *"},
        {"persona": "marcus", "channel": "advice-*"},
        {"persona": "ada", "thread": "id-t"},
    ],
)


def channel(name: str = "general", kind: str = "channel", guild: str = "g1", parent: str | None = None) -> Channel:
    fields = {"front": "discord", "id": f"id-{name}", "kind": kind, "name": name, "guild_id": guild}
    return Channel.model_validate({**fields, "parent_id": parent})


def home_name(place: Channel) -> str:
    return "advice-love" if place.parent_id == "id-advice-love" else place.name


def category(place: Channel) -> tuple[str, ...]:
    return ("c1", "Quiet corner") if place.name in ("library", "advice-love") else ()


def decision(text: str, where: Channel | None = None, config: BotSettings = CONFIG, **known: Any) -> Decision:
    router = ContextRouter(config, home_name, category=category)
    known = {"session_persona": None, "replied_persona": None, **known}
    return router.decide(text, where or channel(), **known)


def decide(text: str, where: Channel | None = None, session: str | None = None, **known: Any) -> str:
    found = decision(text, where, session_persona=session, **known)
    return f"{found.persona} by {found.rule}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Marcus, what is duty?", "marcus by address"),
        ("hey ada can you look at this", "ada by address"),
        ("@Emperor how do I bear this?", "marcus by address"),
        ("what would you do, Ada?", "ada by address"),
        ("MARCUS! help", "marcus by address"),
        ("canada, what a country", "sage by default"),
    ],
)
def test_a_call_by_name_is_heard_and_a_word_that_holds_one_is_not(text: str, expected: str) -> None:
    assert decide(text) == expected


def test_whoever_is_merely_spoken_of_is_not_addressed() -> None:
    router = ContextRouter(CONFIG, home_name)
    assert not router.addressed("I read about Marcus yesterday")
    assert router.addressed("Sage, hello")


def test_a_channels_persona_speaks_in_its_threads_whatever_they_are_called() -> None:
    assert decide("good morning", channel("tea", "thread", parent="id-advice-love")) == "marcus by channel"


def test_each_rule_gives_way_to_the_more_specific_one() -> None:
    code, coders = "a python bug in my code", ("7", "coders")
    advice, thread, library = channel("advice-love"), channel("t", "thread"), channel("library")
    everything: dict[str, Any] = {"session": "marcus", "roles": coders, "chosen": "marcus", "default": "marcus"}
    assert decide("Sage, hi", thread, asked="marcus", replied_persona="ada", **everything) == "marcus by request"
    assert decide("Sage, hi", thread, replied_persona="ada", **everything) == "sage by address"
    assert decide(code, thread, replied_persona="sage", **everything) == "sage by reply"
    assert decide("hello", thread, **everything) == "ada by thread"
    assert decide(code, advice, **everything) == "marcus by channel"
    assert decide(code, library, **everything) == "sage by category"
    assert decide("hello", channel(guild="g2"), **everything) == "ada by role"
    assert decide(code, channel(guild="g2"), "ada", chosen="marcus") == "sage by guild"
    assert decide(code, None, "ada", chosen="marcus") == "marcus by place"
    assert decide("good morning", None, "marcus") == "marcus by session"
    assert decide(code) == "ada by classifier"
    assert decide("good morning", default="marcus") == "marcus by default"
    assert decide("good morning") == "sage by default"


def test_who_was_chosen_for_a_place_and_is_gone_from_the_config_chooses_nothing() -> None:
    assert decide("good morning", chosen="nero") == "sage by default"


def test_whoever_speaks_goes_on_until_the_talk_has_plainly_moved() -> None:
    assert decide("and what would you do about it?", None, "marcus") == "marcus by session"
    assert decide("is it my duty to write code?", None, "marcus") == "marcus by session"
    moved = decision("a python bug in my code, in programming", session_persona="marcus")
    assert (moved.persona, moved.rule) == ("ada", "classifier")
    assert str(moved).startswith("ada, because its words fit the message best, and the talk has moved on from Marcus")


@pytest.mark.parametrize(
    ("first", "left", "few", "expected"),
    [
        (0.98, 0.69, False, "marcus by session"),
        (0.98, 0.55, False, "ada by classifier"),
        (0.98, 0.47, True, "ada by classifier"),
        (0.64, 0.2, False, "ada by classifier"),
        (0.64, 0.2, True, "marcus by session"),
    ],
)
def test_whoever_is_surely_meant_answers_though_who_speaks_is_likely_too(
    first: float, left: float, few: bool, expected: str
) -> None:
    verdict = Verdict((("ada", first), ("marcus", left), ("sage", 0.01)), True, {})
    found = ContextRouter(CONFIG, home_name)._weighed(verdict, CONFIG.personas[1], CONFIG.personas[0], few=few)
    assert f"{found.persona} by {found.rule}" == expected


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ({"keywords": 0.0, "words": 0.23, "letters": 1.03}, "marcus by session"),
        ({"keywords": 0.3, "words": 0.23, "letters": 1.03}, "ada by classifier"),
        ({"keywords": 0.0, "words": 0.6, "letters": 1.03}, "ada by classifier"),
        ({"keywords": 0.0, "words": 0.23, "letters": 1.03, "meaning": 0.5}, "ada by classifier"),
    ],
)
def test_letters_alone_take_the_word_from_nobody(signals: dict[str, float], expected: str) -> None:
    verdict = Verdict((("ada", 0.8), ("marcus", 0.1), ("sage", 0.01)), True, {"ada": signals})
    found = ContextRouter(CONFIG, home_name)._weighed(verdict, CONFIG.personas[1], CONFIG.personas[0])
    assert f"{found.persona} by {found.rule}" == expected


@pytest.mark.parametrize(
    "text",
    [
        "ada and marcus, what do you both think?",
        "@ada @marcus what do you think?",
        "hey Ada & the Emperor what do you think?",
        "what do you think, Ada and Marcus?",
    ],
)
def test_several_who_are_called_in_one_breath_all_answer_or_the_first_of_them(text: str) -> None:
    personas = [PERSONAS[0], PERSONAS[1] | {"aliases": ["the emperor"]}, PERSONAS[2]]
    one = decision(text, session_persona="sage", config=settings(personas=personas))
    assert (one.persona, one.rule, one.shares) == ("ada", "address", ())
    assert str(one) == "ada, because the message calls Ada and Marcus by name, Ada first"
    config = settings(personas=personas, routing={"split": True})
    both = decision(text, session_persona="sage", config=config)
    assert [(each.persona, each.text) for each in both.shares] == [("ada", text), ("marcus", text)]
    barred = decision(text, among=frozenset(("sage", "marcus")), config=config)
    assert (barred.persona, barred.rule) == ("marcus", "address")
    assert "and Ada may not answer here" in str(barred)
    assert ContextRouter(config, home_name).addressed(text)


@pytest.mark.parametrize("text", ["Ada and Marcus are wrong", "Ada, Marcus is wrong", "Ada and Ada, hello"])
def test_several_who_are_spoken_of_are_not_called(text: str) -> None:
    config = settings(personas=PERSONAS, routing={"split": True})
    assert decision(text, config=config).shares == ()


def test_a_line_that_fits_nobody_is_the_defaults() -> None:
    found = decision("good morning everybody")
    assert (found.persona, found.rule, found.between) == ("sage", "default", ())
    other = Decision("sage", "default", "it is the default", 0.02, "ada", 0.45)
    assert str(other) == "sage, because it is the default (the likeliest is ada with 45%)"


def test_two_who_are_equally_likely_are_a_tie_and_neither_is_guessed() -> None:
    router = ContextRouter(CONFIG, home_name)
    verdict = Verdict((("ada", 0.44), ("marcus", 0.4), ("sage", 0.01)), False, {})
    found = router._weighed(verdict, None, CONFIG.personas[0])
    assert (found.persona, found.between) == ("sage", (("ada", 0.44), ("marcus", 0.4)))


def test_a_decision_explains_itself_with_the_runner_up_in_a_sentence_and_as_json() -> None:
    found = decision("python code, and duty")
    assert str(found).startswith("ada, because its words fit the message best (likelihood ")
    assert "; next is marcus with " in str(found)
    told = json.loads(found.as_json)
    assert (told["persona"], told["rule"], told["runner_up"]) == ("ada", "classifier", "marcus")
    assert told["score"] > told["runner_up_score"] > 0
    assert told["signals"]["ada"]["keywords"] == pytest.approx(0.6)
    assert "duty" not in found.as_json, "what people said stands in their lines alone"
    assert json.loads(decision("Ada, hello").as_json)["detail"] == "the message calls Ada by name"


def test_a_message_addressed_to_one_is_theirs_unless_another_is_called_as_well() -> None:
    config = settings(personas=PERSONAS, routing={"split": True})
    both = decision("Ada, why is my code slow? And Sage, what is virtue?", config=config)
    assert [(each.persona, each.text) for each in both.shares] == [
        ("ada", "Ada, why is my code slow?"),
        ("sage", "And Sage, what is virtue?"),
    ]
    one = decision("Ada, why is my python code slow? And what does virtue mean in philosophy?", config=config)
    assert (one.persona, one.rule, one.shares) == ("ada", "address", ())


def test_whoever_may_not_answer_is_replaced_and_named() -> None:
    found = decision("Ada, a bug", among=frozenset(("marcus",)))
    assert (found.persona, found.rule, found.runner_up) == ("marcus", "access", "ada")
    assert decide("a python bug in my code", among=frozenset(("marcus",))) == "marcus by access"
    assert decision("a python bug in my code", among=frozenset()).persona == "ada"


def test_whoever_may_not_answer_is_not_weighed_and_the_others_are() -> None:
    both = "a python bug in my code, programming; is it my duty?"
    allowed = frozenset(("marcus", "sage"))
    assert decide(both, None, "sage") == "ada by classifier"
    found = decision("what does a stoic say of duty, in stoicism?", among=allowed, default="sage")
    assert (found.persona, found.rule) == ("marcus", "classifier")
    found = decision("a python bug in my code", among=allowed, default="marcus")
    assert (found.persona, found.rule) == ("marcus", "default")
    assert "ada is likelier and may not answer here" in str(found)
    assert decide("a python bug in my code", None, "marcus", among=allowed) == "marcus by session"
    assert decide("Ada, a bug", None, "marcus", among=allowed) == "marcus by access"
    assert decide("Ada, a bug", among=allowed, default="marcus") == "marcus by access"
    assert decide("Ada, a bug", among=allowed) == "sage by access"


@pytest.mark.parametrize("text", ["thank you!", "hello", "good morning everybody", "lol ok", "merci"])
def test_thanks_and_greetings_move_no_talk_on(text: str) -> None:
    chatty = persona("buddy", keywords=["thank you", "hello", "good morning", "lol", "merci"], domains=["small talk"])
    config = settings(personas=[*PERSONAS, chatty])
    assert decide(text, None, "ada", config=config) == "ada by session"
    assert decide("Buddy, thanks", None, "ada", config=config) == "buddy by address"


def test_calibrating_counts_for_the_embedder_it_was_made_with_and_under_what_people_wrote() -> None:
    router = ContextRouter(CONFIG, home_name)
    router.calibrate({"threshold": 0.9, "embedder": "minilm-l6-v2"})
    assert router.classifier.threshold != 0.9
    router.calibrate({"threshold": 0.9, "embedder": None})
    assert router.classifier.threshold == 0.9
    router.calibrate({})
    assert router.classifier.threshold == THRESHOLD
    written = ContextRouter(settings(personas=PERSONAS, routing={"threshold": 0.6}), home_name)
    written.calibrate({"threshold": 0.9, "embedder": None})
    assert written.classifier.threshold == 0.6


def test_names_with_pattern_letters_are_taken_literally() -> None:
    assert called(("a.b*",)).search("a.b*, hello")
    assert not called(("a.b*",)).search("axbb, hello")
    assert not called(()).search("anything")
