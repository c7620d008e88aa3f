"""Telling the talk of a channel apart: who answers whom stays together, and what runs across it stays out."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from benchmarks.quality_scores import context, exact, one_to_one, scores, variation
from bots.disentangling import Choice, Disentangler, Heard
from bots.talk_window import HORIZON

START = 1_700_000_000.0


class Room:
    """A channel in which people talk; every line joins the session that was chosen for it."""

    def __init__(self, gap: float | None = 300.0) -> None:
        self.channel = Disentangler(gap)
        self.now = START
        self.count = 0
        self.places: dict[str, str] = {}
        self.last: Choice | None = None

    def say(self, author: str, text: str, after: float = 10, **more: object) -> str:
        """The session a line goes to."""
        self.now += after
        line = self.line(author, text, self.now, **more)
        self.last = self.channel.choose(line)
        return self.join(line, self.last.session or f"s{self.count}")

    def line(self, author: str, text: str, at: float, **more: object) -> Heard:
        self.count += 1
        return Heard(f"line-{self.count}", at, author, (author,), text, **more)  # type: ignore[arg-type]

    def join(self, line: Heard, session: str) -> str:
        self.channel.joined(line, session)
        self.places[line.id] = session
        return session

    @property
    def rule(self) -> str:
        assert self.last is not None
        return self.last.rule


def two_questions() -> tuple[Room, str, str]:
    """Ana and Ben have each asked something, and each has got somebody who answers."""
    room = Room()
    printer = room.say("ana", "hello, does anybody know why my printer prints every page twice?")
    wifi = room.say("ben", "hi all, how do I connect a laptop to the wifi network of the hotel without a browser?")
    room.say("cai", "ana: which printer driver do you use?")
    room.say("dee", "ben: you can open the router's page from a terminal")
    return room, printer, wifi


def test_two_questions_at_once_stay_apart() -> None:
    room, printer, wifi = two_questions()
    assert printer != wifi
    assert room.places["line-3"] == printer
    assert room.places["line-4"] == wifi
    assert room.say("ana", "the one that came with it") == printer, "she answers the one who spoke to her"
    assert room.say("ben", "thanks, I will try that") == wifi
    assert room.say("cai", "ana: then take the one from the maker") == printer
    assert room.say("ana", "that worked!") == printer


def test_a_reply_outranks_whom_a_line_names_and_its_author_s_own_thread() -> None:
    room, printer, wifi = two_questions()
    assert room.say("ana", "cai: that is what I have, too", replied="line-4") == wifi
    assert room.rule == "reply"
    assert printer != wifi


def test_a_reply_goes_to_a_session_that_ended_long_ago() -> None:
    room, printer, _ = two_questions()
    assert room.say("eva", "did that ever work?", after=50_000, replied="line-1") == printer


def test_a_ping_counts_as_much_as_a_name() -> None:
    room, printer, _ = two_questions()
    assert room.say("eva", "same here, what did you do?", mentions=("ana",)) == printer
    assert room.rule == "mention"


@pytest.mark.parametrize("name", ["Ana María López", "田中", "Дмитрий", "_x|away", "محمد"])
def test_names_of_any_script_and_of_several_words_are_understood(name: str) -> None:
    room = Room()
    asked = room.say(name, "does anybody know how the old printer is connected to the network?")
    other = room.say("ben", "hello, when does the canteen open on holidays?")
    assert asked != other
    assert room.say("cai", f"{name}: with the yellow cable", after=5) == asked


def test_calm_talk_of_three_people_is_one_session() -> None:
    room = Room()
    first = room.say("ana", "shall we eat out tonight?")
    for author, text in [
        ("ben", "I would like that"),
        ("cai", "me too"),
        ("ana", "where to?"),
        ("cai", "the place at the corner is good"),
        ("ben", "it is closed on Mondays"),
        ("ana", "then the one by the river"),
        ("ben", "fine"),
    ]:
        assert room.say(author, text, after=90) == first, text


@pytest.mark.parametrize("pace", [8, 30, 120])
def test_greetings_are_not_torn_apart(pace: int) -> None:
    room = Room()
    first = room.say("ana", "hello")
    for author, text in [("ben", "hi"), ("ana", "how are you?"), ("ben", "fine, and you?"), ("cai", "hey")]:
        assert room.say(author, text, after=pace) == first, text


def test_a_new_voice_in_a_quiet_channel_joins_what_is_going_on() -> None:
    room = Room()
    first = room.say("ana", "the train was late again")
    room.say("ben", "mine, too", after=100)
    assert room.say("cai", "it always is", after=100) == first


def test_who_turns_to_everybody_opens_a_session_without_a_mark_and_whoever_thanks_goes_on_with_theirs() -> None:
    room, printer, wifi = two_questions()
    backup = room.say("eva", "does anyone here know a program that copies my photos to another disk at night")
    assert backup not in (printer, wifi)
    assert room.say("ana", "ok thanks, the driver of the maker is what it wanted") == printer
    assert room.say("ben", "and the router asks for a password") == wifi


def test_a_long_quiet_talk_of_a_few_is_not_torn_apart_by_what_they_ask_each_other() -> None:
    room = Room()
    first = room.say("ana", "the release is planned for Thursday")
    for author, text in [
        ("ben", "is the changelog written"),
        ("ana", "I will do it tomorrow, the last part is missing"),
        ("cai", "which part do you mean?"),
        ("ana", "the one about the new storage"),
        ("ben", "can you ask my colleague to read it before it goes out"),
        ("cai", "I have written to her this morning"),
        ("ben", "how long does she need"),
    ]:
        assert room.say(author, text, after=150) == first, text


def test_silence_ends_a_session_and_a_calm_channel_is_given_more_of_it_than_the_base_gap() -> None:
    room = Room()
    first = room.say("ana", "good night")
    room.say("ben", "good night", after=60)
    assert room.say("ana", "one more thing about that", after=500) == first
    assert room.say("ana", "good morning", after=1000) != first
    assert room.rule == "new"


def test_without_a_gap_no_silence_ends_a_session() -> None:
    room = Room(gap=None)
    first = room.say("ana", "good night")
    room.say("ben", "good night", after=60)
    assert room.say("ana", "and here I am again", after=500_000) == first


def test_the_next_line_after_new_or_resume_goes_there_whatever_it_says_and_however_late() -> None:
    room, _, _ = two_questions()
    room.channel.begin("begun", room.now)
    assert room.say("ana", "cai: so what do I do now?", after=5000) == "begun"
    assert room.rule == "begun"
    assert room.say("cai", "ana: you try the other driver") == "begun", "the others are over"


def test_what_one_person_begins_is_for_them_and_whoever_calls_them_and_other_talk_goes_on() -> None:
    room, printer, wifi = two_questions()
    room.channel.begin("begun", room.now, ("ana",), printer)
    assert room.say("cai", "is the light on the box blue?") == wifi
    assert room.say("dee", "ana: did you look at the cable?") == "begun"
    assert room.say("ana", "no, which one?") == "begun"
    assert room.say("ben", "it is blue, and the wifi is still gone") == wifi


def test_what_one_person_begins_goes_on_with_anybody_where_no_other_talk_does() -> None:
    room = Room()
    first = room.say("ana", "how do plums grow?")
    room.channel.begin("begun", room.now, ("ana",), first)
    assert room.say("ben", "good morning", after=40_000) == "begun"


def test_nothing_goes_on_with_a_closed_session() -> None:
    room, printer, _ = two_questions()
    room.channel.close(printer, room.now)
    assert room.say("cai", "ana: and what does the display say?") != printer


def test_a_person_whom_the_bot_answered_goes_on_where_it_answered() -> None:
    room, printer, wifi = two_questions()
    room.say("ben", "and what is the weather like?")
    room.now += 1
    room.join(room.line("bot", "Sunny all day.", room.now, voice=True, answers="ana"), printer)
    room.say("dee", "ben: it is the one with the blue light")
    assert room.say("ana", "lovely") == printer
    assert wifi != printer


def test_choosing_changes_nothing() -> None:
    room, _, _ = two_questions()
    line = room.line("eva", "ana: same here", room.now + 5)
    chosen = room.channel.choose(line)
    room.channel.choose(room.line("fay", "hello, is anybody here who knows about scanners?", room.now + 7))
    assert room.channel.choose(line) == chosen


lines = some.lists(
    some.tuples(
        some.sampled_from(["ana", "ben", "cai", "dee"]),
        some.sampled_from(["ok", "ana: yes", "ben, why?", "how do I do that?", "hello, can anybody help me with it?"]),
        some.integers(0, 400),
        some.booleans(),
    ),
    min_size=3,
    max_size=25,
)


@given(lines, some.randoms(use_true_random=False))
def test_a_late_line_goes_where_it_would_have_gone_in_time(
    said: list[tuple[str, str, int, bool]], rnd: random.Random
) -> None:
    """Also where people begin and close sessions between the lines."""
    room = Room()
    heard, chosen = [], []
    decided: list[tuple[float, str, str]] = []
    for author, text, after, decides in said:
        room.now += after + 2  # no two at once
        heard.append(room.line(author, text, room.now))
        chosen.append(room.channel.choose(heard[-1]))
        session = room.join(heard[-1], chosen[-1].session or heard[-1].id)
        if decides:
            begun = len(decided) % 2 == 0
            decided.append((room.now + 1, "begin" if begun else "close", f"begun {len(decided)}" if begun else session))
            _decide(room.channel, decided[-1])
    late = sorted(rnd.sample(range(len(heard)), 2))
    without_them = Disentangler(300.0)
    events: list[tuple[float, Heard | tuple[float, str, str]]] = [(each[0], each) for each in decided]
    events += [(line.at, line) for number, line in enumerate(heard) if number not in late]
    for _, event in sorted(events, key=lambda each: each[0]):
        if isinstance(event, Heard):
            without_them.joined(event, room.places[event.id])
        else:
            _decide(without_them, event)
    for number in late:
        assert without_them.choose(heard[number]) == chosen[number]
        without_them.joined(heard[number], room.places[heard[number].id])
    following = room.line("eva", "ana: and then?", room.now + 5)
    assert without_them.choose(following) == room.channel.choose(following), "and what follows goes on as if it had"


def _decide(channel: Disentangler, what: tuple[float, str, str]) -> None:
    at, name, session = what
    (channel.begin if name == "begin" else channel.close)(session, at)


def test_what_is_held_of_a_channel_stays_bounded() -> None:
    room = Room()
    for number in range(6 * HORIZON):
        room.say(f"person {number % 500}", f"word{number} question {number}?", after=3)
    held = room.channel._present()
    assert len(held.lines) == HORIZON
    assert max(len(held.people), len(held.talks), len(held._callable)) <= HORIZON
    assert len(held.used) <= 40 * HORIZON
    assert len(room.channel._events) == 2 * HORIZON


def test_what_came_next_is_a_session_or_none() -> None:
    room, printer, _ = two_questions()
    assert room.say("eva", "ana: same here") == printer
    assert room.last is not None
    assert room.last.runner_up is None or room.last.runner_up in room.places.values()


@pytest.mark.parametrize("opening", ["Anna: ", "anna, ", "@Anna "])
def test_somebody_is_called_by_the_first_of_two_names(opening: str) -> None:
    room = Room()
    asked = room.say("Anna Schmidt", "does anybody know how the old printer is connected to the network?")
    room.say("ben", "hello, when does the canteen open on holidays, and who has the key to the kitchen?")
    room.say("ben", "I mean the one downstairs")
    assert room.say("cai", f"{opening}with the yellow cable", after=5) == asked


def test_a_first_name_that_two_bear_calls_neither() -> None:
    room = Room()
    for name in ("Anna Schmidt", "Anna Weber"):
        room.join(room.line(name, "hello", room.now), "hall")
    window = room.channel._present()
    line = room.line("cai", "Anna: which of you?", room.now)
    assert window.named(line, ["anna", "which", "of", "you"]) == ((), ())


def test_the_scores_are_one_for_the_truth_and_lower_for_everything_in_one_heap() -> None:
    true = {1: "a", 2: "a", 3: "b", 4: "b", 5: "a", 6: "c"}
    assert scores(true, true) == {"VI": 1.0, "1-1": 1.0, "exact": 1.0, "ctxF": 1.0}
    heap = dict.fromkeys(true, 0)
    assert one_to_one(heap, true) == pytest.approx(3 / 6)
    assert exact(heap, true) == 0
    assert 0 < variation(heap, true) < 1
    assert 0 < context(heap, true) < 1


@given(some.lists(some.tuples(some.integers(0, 3), some.integers(0, 4)), min_size=1, max_size=12))
def test_pairing_is_at_least_as_good_as_taking_the_largest_overlaps_first(pairs: list[tuple[int, int]]) -> None:
    found = {n: ours for n, (ours, _) in enumerate(pairs)}
    true = {n: theirs for n, (_, theirs) in enumerate(pairs)}
    overlaps = sorted({pair: -pairs.count(pair) for pair in pairs}.items(), key=lambda one: one[1])
    ours, theirs, greedy = set(), set(), 0
    for (one, other), many in overlaps:
        if one not in ours and other not in theirs:
            ours.add(one)
            theirs.add(other)
            greedy -= many
    assert greedy / len(pairs) <= one_to_one(found, true) + 1e-9 <= 1 + 1e-6
