"""What is plain about a message: what it wants, its tone, its language, what it names and what it is about."""

from __future__ import annotations

import timeit

import pytest

from bots.understanding import understood


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("How do I reset my password?", "question"),
        ("what time does the shop open", "question"),
        ("wie komme ich zum Bahnhof?", "question"),
        ("明日は何時ですか？", "question"),
        ("ما اسمك؟", "question"),
        ("Can you explain recursion to me?", "request"),
        ("please translate this into French", "request"),
        ("tell me a story", "request"),
        ("kannst du mir helfen?", "request"),
        ("hey everyone", "greeting"),
        ("bonjour", "greeting"),
        ("thanks so much, that helped", "thanks"),
        ("danke dir", "thanks"),
        ("the build keeps crashing, this is broken again", "complaint"),
        ("das funktioniert nicht", "complaint"),
        ("lol same", "smalltalk"),
        ("🎉", "smalltalk"),
        ("", "smalltalk"),
        ("/weather Berlin", "command"),
        ("I planted tomatoes in the garden.", "statement"),
        ("What a lovely day", "statement"),
        ("the page is https://example.com/a?b=c", "statement"),
    ],
)
def test_what_a_message_wants(text: str, intent: str) -> None:
    assert understood(text).intent == intent


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("the build is broken on my machine", "en"),
        ("Ich wohne seit Mai in der Stadt", "de"),
        ("je ne sais pas où est le problème", "fr"),
        ("¿cómo está el tiempo en la playa?", "es"),
        ("non so che cosa sono questi", "it"),
        ("eu não sei o que isso é", "pt"),
        ("ik weet niet wat het is", "nl"),
        ("привет, как дела", "ru"),
        ("今日はいい天気です", "ja"),
        ("今天天气很好", "zh"),
        ("안녕하세요", "ko"),
        ("كيف حالك", "ar"),
        ("Grafana Prometheus Loki", None),
        ("12345", None),
    ],
)
def test_the_language_of_a_message_or_none_where_nobody_can_tell(text: str, language: str | None) -> None:
    assert understood(text).language == language


def test_what_a_message_names() -> None:
    told = understood(
        "I moved to Berlin with my friend Clara Meyer on 2024-05-03, see `notes.md` at https://x.example/a"
    )
    assert told.entities["places"] == ("Berlin",)
    assert told.entities["people"] == ("Clara Meyer",)
    assert told.entities["dates"] == ("2024-05-03",)
    assert told.entities["urls"] == ("https://x.example/a",)
    assert told.entities["code"] == ("notes.md",)
    told = understood('@ben said "never ever again", so we ship 3 of them next week')
    assert told.entities["people"] == ("@ben",)
    assert told.entities["quoted"] == ("never ever again",)
    assert told.entities["numbers"] == ("3",)
    assert told.entities["dates"] == ("next week",)


def test_what_a_message_is_about() -> None:
    assert set(understood("Does anyone know how to prune apple trees in winter?").topics) == {
        "prune", "apple", "trees", "winter",
    }  # fmt: skip
    assert understood("so what do you think about that?").topics == ()


def test_the_tone_of_a_message_and_that_a_negation_turns_it() -> None:
    assert understood("this is really great, I love it!").sentiment > 0.5
    assert understood("this is terrible").sentiment < -0.5
    assert understood("that's not good").sentiment < 0 < understood("that's good").sentiment
    assert understood("the train leaves at noon").sentiment == 0


@pytest.mark.parametrize(
    "text", ["\0", "((((", "`" * 3000, "@" * 3000, '"' * 3000, "a" * 100_000, "\ud83d", "?!" * 9000]
)
def test_nothing_that_people_send_breaks_it_or_takes_long(text: str) -> None:
    assert timeit.timeit(lambda: understood(text), number=1) < 0.1
