"""Whom a message is for: by the words of cards, by examples, by likeness, and for nobody where it is just talk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from bots.calibrating import GRABS, Example, Score, Weighed, confusion, found, read, scored
from bots.classifier import THRESHOLD, Classifier
from bots.errors import TroupeError
from bots.providers.hashed import Hashed
from bots.segments import segments
from bots.settings import PersonaSettings

from .world import persona

COOK = persona(
    "cook",
    description="Cooks with you, from soup to cake.",
    keywords=["recipe", "oven", "simmer", "soup"],
    domains=["cooking", "baking"],
)
COACH = persona(
    "coach",
    description="Trains you for races and stretches sore legs.",
    keywords=["marathon", "stretching", "sprint", "running shoes"],
    domains=["running", "fitness"],
)
BARD = persona(
    "bard",
    description="Writes verse with you: sonnets, limericks and songs.",
    keywords=["poem", "rhyme", "sonnet", "limerick"],
    domains=["poetry"],
)
TROUPE = (COOK, COACH, BARD)
SAID_TO_COOK = (
    "how long do I boil an egg",
    "can I freeze leftover lasagne",
    "my dough does not rise",
    "what goes well with lamb",
    "is this fish still good to eat",
    "how do I thicken gravy",
)
SAID_TO_COACH = (
    "my knees hurt after ten kilometres",
    "how slow should my long run be",
    "do I need a rest day",
    "how do I breathe on a hill",
    "what pace is right for a beginner",
    "should I lift weights as well",
)
TALK = (
    "lol that was close",
    "he said the train is late again",
    "did anybody feed the cat?",
    "brb",
    "ok, see you there at nine",
    "which of you broke the printer",
    "that update crashed my phone twice",
    "no way, they lost 4 to 1",
)


def cards(*given: dict[str, Any]) -> list[PersonaSettings]:
    return [PersonaSettings.model_validate(each) for each in given or TROUPE]


def trained() -> list[PersonaSettings]:
    return cards({**COOK, "examples": SAID_TO_COOK}, {**COACH, "examples": SAID_TO_COACH}, BARD)


class Counting(Hashed):
    """Remembers how many texts it was given."""

    def __init__(self) -> None:
        self.texts = 0

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        self.texts += len(texts)
        return await super().embed(texts)


class Longer(Counting):
    """The same under the same id, with vectors of another length."""

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return [(*vector, 0.0) for vector in await super().embed(texts)]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a recipe for onion soup, please", "cook"),
        ("how long does it stay in the oven", "cook"),
        ("which running shoes for my first marathon?", "coach"),
        ("I sprinted and now my legs are sore", "coach"),
        ("write me a limerick about rain", "bard"),
        ("SONNETS about the sea", "bard"),
    ],
)
def test_a_line_finds_the_persona_whose_words_it_uses(text: str, meant: str) -> None:
    verdict = Classifier(cards()).scores(text)
    assert (verdict.ranked[0][0], verdict.sure) == (meant, True)
    assert verdict.ranked[0][1] > THRESHOLD > verdict.ranked[1][1]


def test_ordinary_talk_is_for_nobody() -> None:
    for personas in (cards(), trained()):
        classifier = Classifier(personas)
        assert not [text for text in TALK if classifier.scores(text).sure]


def test_examples_find_lines_that_share_no_word_with_a_card() -> None:
    text = "my bread dough did not rise at all"
    assert not Classifier(cards()).scores(text).sure
    verdict = Classifier(trained()).scores(text)
    assert verdict.ranked[0][0] == "cook"
    assert verdict.sure


def test_a_persona_without_examples_is_still_found_beside_others_with_many() -> None:
    assert Classifier(trained()).scores("a sonnet that does not rhyme").ranked[0][0] == "bard"
    assert Classifier(trained()).scores("a sonnet that does not rhyme").sure


def test_each_signal_can_be_told() -> None:
    verdict = Classifier(cards()).scores("cooking: a recipe for soup")
    assert verdict.signals["cook"]["keywords"] == 1.0
    assert verdict.signals["coach"]["keywords"] == 0.0
    assert verdict.signals["cook"]["words"] > verdict.signals["coach"]["words"]
    assert set(verdict.signals["cook"]) == {"keywords", "words", "letters"}
    assert Classifier(cards()).scores("recipes").signals["cook"]["keywords"] == 0.0
    assert Classifier(cards()).scores("recipe and oven").signals["cook"]["keywords"] == pytest.approx(0.6)


def test_words_with_pattern_letters_are_taken_literally() -> None:
    coder = persona("coder", keywords=["c++", "a.b"], domains=["…"])
    seed = [Classifier(cards(coder, BARD)).scores(text).signals["coder"]["keywords"] for text in ("C++?", "axb", "…")]
    assert seed == [0.3, 0.0, 0.5]


@pytest.mark.parametrize(
    ("keywords", "example", "text"),
    [
        (["料理", "味噌汁"], "味噌汁の作り方を教えて", "味噌汁を作りたい"),
        (["рецепт", "борщ"], "как сварить борщ", "подскажи рецепт борща"),
        (["Rezept", "Suppe"], "wie lange muss die Suppe kochen", "ein Rezept für Kürbissuppe"),
        (["وصفة", "حساء"], "كيف أطبخ الحساء", "أريد وصفة حساء"),
    ],
)
def test_other_scripts_and_languages_are_told_apart(keywords: list[str], example: str, text: str) -> None:
    for given in ({"keywords": keywords}, {"keywords": keywords, "examples": [example]}):
        verdict = Classifier(cards(persona("native", **given), COACH, BARD)).scores(text)
        assert verdict.ranked[0][0] == "native"
        assert verdict.sure


def test_the_order_of_personas_and_asking_again_change_nothing() -> None:
    there, back = Classifier(trained()), Classifier(trained()[::-1])
    for text in (*SAID_TO_COOK, *TALK, "", "   ", "🎉"):
        assert there.scores(text) == there.scores(text)
        for name, likely in back.scores(text).ranked:
            assert dict(there.scores(text).ranked)[name] == pytest.approx(likely)


def test_a_given_threshold_is_what_counts() -> None:
    text = "how long does it stay in the oven"
    likely = Classifier(cards()).scores(text).ranked[0][1]
    assert not Classifier(cards(), threshold=min(1.0, likely + 0.001)).scores(text).sure
    assert Classifier(cards(), threshold=0.0).scores("lol").sure


def test_one_persona_alone_is_told_from_ordinary_talk() -> None:
    classifier = Classifier(cards({**COOK, "examples": SAID_TO_COOK}))
    assert classifier.scores("a recipe for soup").sure
    assert not [text for text in TALK if classifier.scores(text).sure]


def test_own_examples_are_tried_as_if_they_were_new() -> None:
    odd = "zyzzyva quokka"
    classifier = Classifier(cards({**COOK, "examples": (*SAID_TO_COOK, odd)}, COACH))
    tried = {text: verdict for text, _, verdict in classifier.own()}
    assert set(tried) == {*SAID_TO_COOK, odd}
    assert classifier.scores(odd).sure
    assert not tried[odd].sure, "without itself nothing speaks for it"


def test_many_examples_are_learned_at_once() -> None:
    import time

    many = [
        tuple(f"{verb} the {noun} {number}" for number in range(300))
        for verb, noun in (("stir", "pot"), ("run", "hill"))
    ]
    start = time.process_time()
    Classifier(cards({**COOK, "examples": many[0]}, {**COACH, "examples": many[1]}, BARD))
    assert time.process_time() - start < 2.0


async def test_meaning_joins_the_words_once_it_is_learned() -> None:
    embedder = Counting()
    classifier = Classifier(trained(), embedder_id=embedder.id)
    text = "boiling eggs, how long?"
    (vector,) = await embedder.embed([text])
    assert "meaning" not in classifier.scores(text, vector).signals["cook"], "until then words alone count"
    await classifier.ready(embedder)
    verdict = classifier.scores(text, vector)
    assert verdict.ranked[0][0] == "cook"
    assert verdict.signals["cook"]["meaning"] > verdict.signals["bard"]["meaning"]
    assert "meaning" not in classifier.scores(text).signals["cook"], "a line without a vector goes by words"
    assert math.isfinite(sum(likely for _, likely in verdict.ranked))


async def test_changed_personas_ask_for_the_vectors_of_new_texts_alone() -> None:
    embedder = Counting()
    before = Classifier(trained())
    await before.ready(embedder)
    embedder.texts = 0
    changed = cards({**COOK, "examples": (*SAID_TO_COOK, "how hot is a hot oven")}, COACH, BARD)
    after = Classifier(changed)
    await after.ready(embedder, before)
    assert embedder.texts == 1
    text = "hot ovens"
    assert "meaning" in after.scores(text, (await embedder.embed([text]))[0]).signals["cook"]


@pytest.mark.parametrize("changed", [True, False])
async def test_vectors_of_another_length_under_the_same_id_are_all_asked_for_anew(changed: bool) -> None:
    before = Classifier(trained())
    await before.ready(Counting())
    cook = {**COOK, "examples": (*SAID_TO_COOK, "how hot is a hot oven")} if changed else COOK
    after = Classifier(cards(cook, COACH, BARD))
    longer = Longer()
    await after.ready(longer, before)
    text = "hot ovens"
    assert "meaning" in after.scores(text, (await longer.embed([text]))[0]).signals["cook"]


async def test_personas_with_nothing_but_a_description_can_be_learned() -> None:
    embedder = Hashed()
    classifier = Classifier(cards(persona("one"), persona("two", examples=["a single line"])))
    await classifier.ready(embedder)
    text = "a single line"
    assert classifier.scores(text, (await embedder.embed([text]))[0]).ranked[0][0] == "two"


def test_a_message_on_two_topics_is_cut_in_two() -> None:
    classifier = Classifier(cards())
    text = "Do you have a recipe for soup? And also write me a sonnet about Rome."
    first, second = segments(text, classifier)
    assert (first.topic, second.topic) == ("cook", "bard")
    assert text[first.start_pos : first.end_pos] + text[second.start_pos : second.end_pos] == text
    assert (first.text, second.text) == ("Do you have a recipe for soup?", "And also write me a sonnet about Rome.")
    assert "Rome" in [name for names in second.entities.values() for name in names]
    assert first.confidence > THRESHOLD


def test_a_persona_called_by_name_in_the_middle_is_meant_from_there_on() -> None:
    first, second = segments("what is the capital of Peru? and Bard, surprise me", Classifier(cards()))
    assert (first.topic, second.topic, second.confidence) == ("", "bard", 1.0)
    assert second.text == "and Bard, surprise me"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a recipe for soup",
        "a recipe for soup, and which oven do I need?",
        "hello there. how are you? a recipe for soup please. thanks!",
        "a poem about soup. with a rhyme on oven and recipe.",
        "lol. brb. what was that?",
        "first line\nsecond line",
    ],
)
def test_a_message_on_one_topic_stays_whole(text: str) -> None:
    assert segments(text, Classifier(cards())) == ()


def weighed(persona: str | None, best: str, likely: float) -> Weighed:
    return Weighed("x", persona, best, likely)


def test_calibrating_finds_the_threshold_between_the_two_kinds() -> None:
    lines = [weighed("a", "a", 0.3 + n / 100) for n in range(40)] + [weighed(None, "a", n / 200) for n in range(40)]
    threshold = found(lines, [], 0.5)
    assert 0.19 < threshold < 0.35
    assert scored(lines, [], threshold).overall > scored(lines, [], 0.5).overall


def test_calibrating_grabs_no_more_talk_than_it_must() -> None:
    lines = [weighed("a", "a", 0.2 + n / 100) for n in range(60)]
    talk = [weighed(None, "b", n / 100) for n in range(50)]
    grabbed = scored(lines, talk, found(lines, talk, 0.5)).grabbed
    assert grabbed is not None
    assert grabbed <= GRABS + 0.02


def test_few_lines_move_the_threshold_little_and_one_kind_alone_not_at_all() -> None:
    few = [weighed("a", "a", 0.9), weighed(None, "a", 0.8)]
    many = few * 50
    assert 0.5 <= found(few, [], 0.5) < found(many, [], 0.5)
    assert found([weighed("a", "a", 0.2)] * 50, [], 0.5) == 0.5
    assert found([weighed(None, "a", 0.9)] * 50, [], 0.5) == 0.5


def test_calibrating_again_with_the_same_lines_changes_nothing() -> None:
    lines = [weighed("a", "a", n / 40) for n in range(40)] + [weighed(None, "a", n / 160) for n in range(40)]
    once = found(lines, [], 0.5)
    assert once < 0.5
    assert [found(lines, [], before) for before in (once, 0.9, 0.1)] == [once] * 3
    best = max((step / 100 for step in range(1, 100)), key=lambda step: scored(lines, [], step).overall)
    assert found(lines, [], best) == best, "what is as good stays"


def test_scores_and_confusion_tell_who_answered_what() -> None:
    lines = [weighed("a", "a", 0.9), weighed("a", "b", 0.9), weighed("b", "b", 0.1), weighed(None, "a", 0.9)]
    assert scored(lines, [], 0.5) == Score(meant=1 / 3, nobody=0.0, grabbed=None)
    assert confusion(lines, 0.5) == {"a": {"a": 1, "b": 1}, "b": {None: 1}, None: {"a": 1}}


def test_examples_are_read_and_what_is_wrong_is_named_with_its_line() -> None:
    good = ['{"text": "soup", "persona": "cook"}', "", '{"text": "lol", "persona": null}']
    assert read(iter(good), "f", ["cook"]) == [Example("soup", "cook", 1), Example("lol", None, 3)]
    for bad, told in (
        ("soup", "f, line 2: this is no JSON"),
        ("[1]", "f, line 2: this is no JSON object"),
        ('{"persona": "cook"}', "f, line 2: `text` is missing"),
        ('{"text": " ", "persona": "cook"}', "f, line 2: `text` is missing or empty"),
        ('{"text": "x"}', "f, line 2: `persona` is missing: one of cook, or null for nobody"),
        ('{"text": "x", "persona": "bob"}', 'f, line 2: `persona` is "bob", and this bot has none of that name'),
    ):
        with pytest.raises(TroupeError) as refused:
            read(iter([good[0], bad]), "f", ["cook"])
        assert told in str(refused.value)
    with pytest.raises(TroupeError, match="there is no line in it"):
        read(iter(["", "\n"]), "f", ["cook"])


def test_of_a_long_paste_the_beginning_and_the_end_count() -> None:
    personas = cards(persona("cook", keywords=["recipe", "oven", "soup"]), persona("bard", keywords=["poem", "sonnet"]))
    classifier = Classifier(personas)
    paste = "nothing in particular stands here " * 2_000
    for asked, meant in (("the recipe for soup in the oven", "cook"), ("a sonnet, or another poem", "bard")):
        for text in (f"{asked}\n{paste}", f"{paste}\n{asked}"):
            assert classifier.scores(text).ranked[0][0] == meant
    other = paste.replace("particular", "sonnet poem", 900).replace("sonnet poem", "particular", 100)
    assert classifier.scores(f"soup\n{paste}") == classifier.scores(f"soup\n{paste}{other}{paste}")


def test_a_message_of_many_sentences_has_its_topics_all_the_same() -> None:
    personas = cards(persona("cook", keywords=["recipe", "oven", "soup"]), persona("bard", keywords=["poem", "sonnet"]))
    text = "A recipe for soup in the oven. " * 24 + "Write me a sonnet as a poem. " * 24
    found = segments(text, Classifier(personas))
    assert [each.topic for each in found] == ["cook", "bard"]
    assert "".join(text[each.start_pos : each.end_pos] for each in found) == text
