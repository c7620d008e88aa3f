"""Embedders as a bot has them: which one it gets, what each is good for, and what goes wrong."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bots import checkup
from bots.checkup import Check
from bots.embedding import VOCABULARY, WEIGHTS, Remembering, chosen
from bots.errors import ProviderError
from bots.memory_settings import EmbedderSettings
from bots.providers import Embedder
from bots.providers.embedding import embedder, made
from bots.providers.hashed import Hashed
from bots.providers.minilm import MiniLM
from bots.providers.openai_embeddings import OpenAIEmbeddings
from bots.providers.wordpiece import WordPiece
from bots.settings import BotSettings, PersonaSettings
from bots.status import BotStatus
from tests.contracts.test_embedders import likeness, minilm
from tests.wire.embedding_server import EmbeddingServer, counted


def settings(**written: Any) -> EmbedderSettings:
    return EmbedderSettings.model_validate(written)


async def nearest(embedder: Embedder, question: str, texts: Sequence[str]) -> str:
    asked, *vectors = await embedder.embed([question, *texts])
    return max(zip(vectors, texts, strict=True), key=lambda pair: likeness(asked, pair[0]))[1]


# The local model


SAID = (
    "My dog Biscuit is terrified of thunderstorms.",
    "I changed my password yesterday and now the app will not let me in.",
    "We are moving to Lisbon in March.",
    "The recipe needs two eggs and a cup of flour.",
    "The deployment failed because a container ran out of memory.",
)


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("Which pet is scared of loud weather?", 0),
        ("Who cannot log in to their account?", 1),
        ("When is the relocation to Portugal?", 2),
        ("What do I bake a cake with?", 3),
        ("Why did the server crash?", 4),
    ],
)
async def test_the_local_model_finds_what_was_meant_though_no_word_is_shared(question: str, meant: int) -> None:
    assert await nearest(minilm(), question, SAID) == SAID[meant]


async def test_the_local_model_says_what_its_makers_publish() -> None:
    lovely, sunny, stadium = await minilm().embed(
        ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    )
    measured = [likeness(lovely, sunny), likeness(lovely, stadium), likeness(sunny, stadium)]
    assert measured == pytest.approx([0.6660, 0.1046, 0.1411], abs=0.001)


async def test_a_question_comes_between_the_texts_of_a_long_job() -> None:
    model = minilm()
    job = asyncio.create_task(model.embed([f"{SAID[n % 5]} {n}" for n in range(400)]))
    await model.embed(["are you there?"])
    assert not job.done()
    job.cancel()


async def test_a_closed_model_and_a_torn_one_say_so_as_a_provider_does(tmp_path: Path) -> None:
    closed = minilm()
    await closed.close()
    with pytest.raises(ProviderError):
        await closed.embed(["hello"])
    (tmp_path / VOCABULARY).write_text("[CLS]\n[SEP]\n[UNK]\n", encoding="utf-8")
    for content in (b"", b"\xff" * 100, struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 9) + b"[]       "):
        (tmp_path / WEIGHTS).write_bytes(content)
        with pytest.raises(ProviderError) as refused:
            await MiniLM(tmp_path).embed(["hello"])
        assert str(tmp_path) in refused.value.detail


def test_words_are_cut_into_the_longest_pieces_the_vocabulary_has() -> None:
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "un",
        "##aff",
        "##able",
        "strasse",
        "cafe",
        ",",
        "日",
        "σ",
        "##ος",
        "-",
    ]
    cut = WordPiece(words)
    assert cut.ids("Unaffable, CAFÉ", 20) == [2, 4, 5, 6, 9, 8, 3]
    assert cut.ids("日日 un\u200b-\x00un", 20) == [2, 10, 10, 4, 13, 4, 3]
    assert cut.ids("zebra " + "un" * 60, 20) == [2, 1, 1, 3]
    assert cut.ids("un " * 50, 6) == [2, 4, 4, 4, 4, 3]
    assert cut.ids("[SEP]", 20) == [2, 1, 1, 1, 3]
    with pytest.raises(ValueError, match="has no"):
        WordPiece(["a", "b"])


# OpenAI's embeddings


async def test_many_texts_go_out_in_several_requests_and_no_empty_one_does() -> None:
    async with EmbeddingServer() as server:
        model = OpenAIEmbeddings("small", "key", server.url)
        vectors = await model.embed(
            ["a", "", "字" * 9_000, "\ud800", *("b" * 40_000 for _ in range(20)), *("c" for _ in range(200))]
        )
        await model.close()
    assert len(vectors) == 224
    assert len(server.asked) > 2
    assert all(all(body["input"]) and body["encoding_format"] == "float" for body in server.asked)
    assert max(len(text.encode()) for body in server.asked for text in body["input"]) <= 8_000
    assert set(server.keys) == {"Bearer key"}


async def test_what_passes_is_tried_again_and_what_does_not_is_told_without_a_word_that_was_said() -> None:
    async with EmbeddingServer() as server:
        model = OpenAIEmbeddings("small", "sk-secret", server.url)
        server.refusals.extend((500, 429))
        assert len(await model.embed(["hello"])) == 1
        server.refusals.append(401)
        with pytest.raises(ProviderError) as refused:
            await model.embed(["a private thing"])
        await model.close()
    assert refused.value.kind == "auth"
    assert "private" not in refused.value.detail
    assert "sk-secret" not in refused.value.detail


@pytest.mark.parametrize("vector", [[0.0, 0.0], [], [float("nan"), 1.0]])
async def test_vectors_that_point_nowhere_are_refused(vector: list[float]) -> None:
    async with EmbeddingServer() as server:
        server.vector = lambda text: vector
        model = OpenAIEmbeddings("small", "key", server.url)
        with pytest.raises(ProviderError):
            await model.embed(["hello"])
        await model.close()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    model = OpenAIEmbeddings("small", "", "http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(ProviderError) as refused:
        await model.embed(["hello"])
    assert refused.value.kind == "unavailable"
    await model.close()


# Which one a bot gets


def test_auto_takes_the_local_model_where_it_is_installed() -> None:
    found = chosen(settings())
    assert (found.kind, found.wrong) == ("minilm", False)
    made = embedder(settings())
    assert made is not None
    assert made.id == "minilm-l6-v2"


@pytest.mark.parametrize("provider", ["auto", "minilm"])
def test_a_path_without_the_models_files_is_told_with_what_is_missing(tmp_path: Path, provider: str) -> None:
    (tmp_path / VOCABULARY).write_text("[UNK]\n", encoding="utf-8")
    found = chosen(settings(provider=provider, path=str(tmp_path)))
    assert found.kind == "none"
    assert found.wrong
    assert f"{tmp_path} has no {WEIGHTS}" in found.sentence
    assert "make embed" in found.remedy
    assert embedder(settings(provider=provider, path=str(tmp_path))) is None
    assert "is not a folder" in chosen(settings(path=str(tmp_path / "nowhere"))).sentence


def test_openai_without_a_key_is_off_unless_a_server_is_named() -> None:
    assert chosen(settings(provider="openai")).kind == "none"
    assert "${VARIABLE:-}" in chosen(settings(provider="openai")).remedy
    assert chosen(settings(provider="openai", base_url="http://localhost:11434/v1")).kind == "openai"


def test_nothing_and_letters_alone_can_be_asked_for() -> None:
    assert embedder(settings(provider="none")) is None
    made = embedder(settings(provider="hashed"))
    assert made is not None
    assert not made.semantic


async def test_the_texts_of_a_moment_ago_are_not_embedded_again() -> None:
    async with EmbeddingServer() as server:
        model = Remembering(OpenAIEmbeddings("small", "", server.url))
        first = await model.embed(["hello", "there"])
        assert await model.embed(["there", "hello", "there"]) == [first[1], first[0], first[1]]
        assert model.dimensions == 27
        assert len(server.asked) == 1
        await model.embed([f"line {number}" for number in range(8)] * 20)
        await model.close()


class Watched:
    """An embedder that a person is asked of, with what the log was told."""

    def __init__(self, server: EmbeddingServer) -> None:
        self.at = 0.0
        self.server = server
        self.model = Remembering(OpenAIEmbeddings("small", "", server.url, retries=0), ticks=lambda: self.at)

    async def fails(self, text: str) -> bool:
        try:
            async with asyncio.timeout(0.1):
                await self.model.embed([text])
        except (ProviderError, TimeoutError):
            return True
        return False


@pytest.mark.parametrize("trouble", ["status", "garbage", "other length", "slow"])
async def test_one_that_fails_is_left_alone_for_a_minute_and_the_log_told_once(trouble: str) -> None:
    async with EmbeddingServer() as server:
        seen = Watched(server)
        assert not await seen.fails("before")
        wrong: dict[str, list[Any]] = {"garbage": ["x"], "other length": [1.0]}
        if trouble in wrong:
            server.vector = lambda _: wrong[trouble]
        server.refusals.extend([500] * 9 * (trouble == "status"))
        if trouble == "slow":
            server.free.clear()
        with capture_logs() as told:
            for number in range(3 * 3):
                assert await seen.fails(f"line {number}")
            asked = len(server.asked)
            assert asked == (4 if trouble == "slow" else 2)
            assert not await seen.fails("before")  # what it knows it still tells
            seen.at = 61.0
            assert await seen.fails("still?")
            assert len(server.asked) == asked + 1
            server.free.set()
            server.refusals.clear()
            server.vector = counted
            seen.at = 200.0
            assert not await seen.fails("and now?")
        assert [each["event"] for each in told] == ["embedder.failed", "embedder.back"]
        await seen.model.close()


async def test_letters_alone_forgive_a_slip_of_the_finger() -> None:
    texts = ("resetting the router", "watering plants", "a recipe for soup")
    assert await nearest(Hashed(), "reseting my ruoter", texts) == texts[0]


# As `troupe doctor` sees it


async def test_the_doctor_has_a_text_embedded() -> None:
    asked = settings()
    check = await embedder_check(asked)
    assert (check.state, check.where) == ("ok", "minilm")
    assert "384 numbers" in check.sentence


async def test_the_doctor_says_what_keeps_an_embedder_from_answering(tmp_path: Path) -> None:
    async with EmbeddingServer() as server:
        served = settings(provider="openai", base_url=server.url)
        assert "27 numbers" in (await embedder_check(served)).sentence
        server.refusals.append(401)
        refused = await embedder_check(served)
    assert refused.state == "wrong"
    assert "401" in refused.sentence
    for name in (WEIGHTS, VOCABULARY):
        (tmp_path / name).write_bytes(b"")
    torn = await embedder_check(settings(path=str(tmp_path)))
    assert torn.state == "wrong"
    assert "make embed" in torn.remedy
    assert (await embedder_check(settings(path=str(tmp_path / "nowhere")))).state == "wrong"
    assert (await embedder_check(settings(provider="none"))).state == "off"


async def test_the_doctor_says_when_the_bot_that_runs_goes_by_another() -> None:
    def running(by: str) -> BotStatus:
        return BotStatus(bot="sage", state="ready", embedder=by)

    meaning, letters, words = (settings(provider=each) for each in ("minilm", "hashed", "none"))
    for asked, by in ((meaning, "minilm-l6-v2"), (letters, "words alone"), (words, "words alone"), (meaning, "")):
        assert "still" not in (await embedder_check(asked, running(by))).sentence
    stale = await embedder_check(meaning, running("words alone"))
    assert stale.state == "note"
    assert stale.sentence.endswith("The bot that runs goes by words alone still.")
    assert "`troupe stop sage` and `troupe start sage`" in stale.remedy
    assert "goes by minilm-l6-v2 still" in (await embedder_check(words, running("minilm-l6-v2"))).sentence
    stopped = BotStatus(bot="sage", state="stopped", embedder="minilm-l6-v2")
    assert (await embedder_check(words, stopped)).state == "off"


async def embedder_check(asked: EmbedderSettings, said: BotStatus | None = None) -> Check:
    choice = chosen(asked)
    model = made(choice, asked)
    try:
        return await checkup.embedder(choice, model, said or BotStatus(bot="sage"))
    finally:
        if model is not None:
            await model.close()


def test_the_doctor_says_what_can_be_quoted_and_what_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\nSomething.\n", "utf-8")
    persona = PersonaSettings(name="ann", display="Ann", description="a", prompt="a", knowledge=(str(tmp_path),))
    for name in "bcdef":
        (tmp_path / f"{name}.md").write_bytes(b"\xff")
    [check] = checkup.knowledge(BotSettings(name="sage", personas=(persona,)))
    assert (check.state, check.where) == ("note", "ann")
    assert check.sentence == (
        "Passages that can be quoted: 1. Left out: b.md: not UTF-8 text; c.md: not UTF-8 text; "
        "d.md: not UTF-8 text and 2 more."
    )
