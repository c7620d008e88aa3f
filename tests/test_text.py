"""Answers cut into pages, names made inert, mentions taken out: the promises of bots/discord/text.py."""

from itertools import groupby, pairwise

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bots.discord.text import Page, Pager, pages, safe_name, strip_mention

FAMILY = "👨‍👩‍👧‍👦"
ATOMS = ["a", "word ", "the quick. ", "\n", "\n\n", "```", "```py\n", "```\n", "````\n", "~~~\n", "~~~ x y\n", "    "]
ATOMS += ["- ", "10. ", "> ", "`", "``", "~", FAMILY, "🇫🇷", "e\u0301", "한", "각", "漢字。", "漢", "؟ ", "।", "x" * 30]
ATOMS += ["\u200d", "\ufe0f", " \u0301", "\r\n", "\t", "|a|b|\n", "```foo```", "\u3000", "z" + "\u0301" * 50, "\ud83d"]

# A few kinds of piece per text, so that each kind meets the others often.
texts = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(ATOMS), min_size=1, max_size=8).flatmap(
        lambda some: st.lists(st.sampled_from(some), max_size=80).map("".join)
    ),
)
limits = st.sampled_from([16, 20, 24, 40, 64, 100, 200])
steady = settings(derandomize=True, deadline=None, max_examples=150)


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def sources(found: list[Page]) -> str:
    return "".join(page.source for page in found)


def fit(found: list[Page], limit: int = 2000) -> bool:
    return all(page.shown.strip() and units(page.shown) <= limit for page in found)


def code(text: str) -> list[tuple[str, str]]:
    """(language, code) of each fence, as CommonMark reads it; a fence nobody closed fails."""
    blocks, lines = [], text.split("\n")
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence":
            assert token.map
            last = lines[token.map[1] - 1].strip()
            closed = token.map[1] - token.map[0] >= 2 and last.startswith(token.markup) and set(last) == {last[0]}
            assert closed, f"open fence in {text!r}"
            blocks.append((token.info.strip(), token.content))
    return blocks


def bare(text: str) -> str:
    return "".join(text.split())


# Any text at all.


@given(texts, limits)
@steady
def test_the_sources_are_the_text_and_every_page_fits(text: str, limit: int) -> None:
    found = pages(text, limit)
    assert sources(found) == (text if text.strip() else "")
    assert fit(found, limit)


@given(texts, limits, st.lists(st.integers(1, 12), min_size=1, max_size=10))
@steady
def test_any_split_into_pieces_gives_the_same_pages(text: str, limit: int, steps: list[int]) -> None:
    pager, at, kept = Pager(limit), 0, list[str]()
    while at < len(text):
        step = steps[at % len(steps)]
        pager.feed(text[at : at + step])
        at += step
        found = pager.pages
        assert sources(found) == (text[:at] if text[:at].strip() else "")
        assert fit(found, limit)
        assert [page.shown for page in found[: len(kept)]] == kept, "a full page changed"
        kept = [page.shown for page in pager._kept]
    pager.finish()
    assert pager.pages == pages(text, limit)


@given(texts, limits)
@steady
def test_no_cut_falls_inside_a_grapheme(text: str, limit: int) -> None:
    clusters = list(regex.finditer(r"\X", text))
    boundaries = {cluster.end() for cluster in clusters}
    at = 0
    for page in pages(text, limit)[:-1]:
        at += len(page.source)
        if at not in boundaries:
            cluster = next(cluster for cluster in clusters if cluster.start() < at < cluster.end())
            assert units(cluster.group()) > limit // 2  # too large for what the fence repairs leave of a page


@given(texts.filter(lambda text: "```" not in text and "~~~" not in text), limits)
@steady
def test_without_fences_nothing_but_whitespace_is_left_out(text: str, limit: int) -> None:
    assert bare("".join(page.shown for page in pages(text, limit))) == bare(text)


# Documents with fences, read back by a real CommonMark parser.


@st.composite
def fenced(draw: st.DrawFn) -> str:
    char = draw(st.sampled_from("`~"))
    size = draw(st.integers(3, 6))
    indent = " " * draw(st.integers(0, 3))
    info = draw(st.sampled_from(["", "python", "python title", " c++", "mermaid-" + "x" * 12]))
    inner = ["x = 1", "    return f(x)", "", "y" * 70, "漢字。", "# note. more"]
    inner += [char * (size - 1), char * (size - 1) + "js", ("~" if char == "`" else "`") * 3, " " * 4 + char * size]
    inner += [char * size + " not a closing", FAMILY, "- item", "> " + char * size]
    body = draw(
        st.lists(st.sampled_from(inner), min_size=1, max_size=14).filter(lambda lines: any(map(str.strip, lines)))
    )
    lines = [char * size + info, *body, char * (size + draw(st.integers(0, 2)))]
    return "\n".join(indent + line if line else line for line in lines)


prose = st.sampled_from(
    ["Some words here. And more!", "- item", "1. step", "| a | b |\n|---|---|\n| 1 | 2 |", "漢字。" * 30]
)
documents = st.lists(st.one_of(prose, fenced()), min_size=1, max_size=8).map("\n\n".join)


@given(documents, st.sampled_from([200, 300, 500]))
@steady
def test_every_page_has_its_fences_closed_and_the_code_is_kept(text: str, limit: int) -> None:
    found = [code(page.shown) for page in pages(text, limit)]
    blocks = [block for page in found for block in page]
    assert bare("".join(body for _, body in blocks)) == bare("".join(body for _, body in code(text)))
    assert {info for info, _ in blocks} == {info for info, _ in code(text)}
    assert all(body.strip() for _, body in blocks), "an empty code block"


@given(documents, st.sampled_from([200, 300]), st.integers(1, 7))
@settings(steady, max_examples=50)
def test_while_streaming_pages_are_valid_and_never_taken_back(text: str, limit: int, step: int) -> None:
    pager, count = Pager(limit), 0
    for at in range(0, len(text), step):
        pager.feed(text[at : at + step])
        for page in pager.pages[-2:]:
            shown = page.shown.splitlines()
            opener = shown[-2].lstrip() if len(shown) > 1 else ""
            if not opener.startswith(("```", "~~~")):  # a block still without code is closed, but empty
                code(page.shown)
        assert len(pager.pages) >= count
        count = len(pager.pages)


def test_a_long_answer_with_nested_fences() -> None:
    python = "".join(f"    value_{number} = compute({number})  # note\n" for number in range(100))
    guide = "".join(f"Step {number}:\n\n```sh\nrun {number}\n```\n\n" for number in range(90))
    text = f"Intro.\n\n```python title\n{python}```\n\nThen:\n\n````markdown\n{guide}````\n\n~~~ruby\nputs 1\n~~~\n\n"
    text += "And some closing words. " * 100
    assert len(text) > 8000
    found = pages(text)
    assert sources(found) == text
    assert fit(found)
    blocks = [block for page in found for block in code(page.shown)]
    for language, body in (("python title", python), ("markdown", guide), ("ruby", "puts 1")):
        assert bare("".join(part for info, part in blocks if info == language)) == bare(body)
    assert [info for info, _ in groupby(info for info, _ in blocks)] == ["python title", "markdown", "ruby"]
    assert len(blocks) >= 5
    assert all(line.startswith("    value_") for info, body in blocks if "py" in info for line in body.splitlines())


@pytest.mark.parametrize("end", range(1985, 2012))
@pytest.mark.parametrize("fence", ["```", "~~~~"])
@pytest.mark.parametrize("after", ["", "\n", "\n\nThat was all."])
def test_a_closing_line_at_the_limit_never_makes_an_empty_block(end: int, fence: str, after: str) -> None:
    start = f"{fence}py\n"
    block = start + ("x = 1\n" * 400)[: end - len(start) - len(fence) - 2] + "x\n" + fence
    assert len(block) == end
    found = pages(block + after)
    assert sources(found) == block + after
    assert fit(found)
    assert all(body.strip() for page in found for _, body in code(page.shown))
    if end == 2000:
        assert found[0].shown == block
        assert len(found) == (2 if after.strip() else 1)


def test_a_closing_line_past_the_limit_is_the_repair_itself() -> None:
    text = "```py\n" + "x" * 60 + "\n" + "y" * 29 + "\n```\nAfter."
    assert pages(text, 100) == [
        Page("```py\n" + "x" * 60 + "\n" + "y" * 29 + "\n```\n", "```py\n" + "x" * 60 + "\n" + "y" * 29 + "\n```"),
        Page("After.", "After."),
    ]


def test_the_info_string_is_kept_unless_it_would_crowd_out_the_code() -> None:
    info = "python " + "i" * 33
    found = pages(f"```{info}\n" + "line of code\n" * 400 + "```")
    assert len(found) > 2
    assert all(page.shown.startswith(f"```{info}\n") and page.shown.endswith("\n```") for page in found)
    outsized = pages("```" + "i" * 3000 + "\n" + "line of code\n" * 400 + "```")
    assert fit(outsized)
    assert all(page.shown.startswith("```\n") for page in outsized[1:])


@pytest.mark.parametrize("line", ["code here\n" * 30, "x" * 300 + "\n", "\n" + "x" * 300 + "\n"])
def test_the_opening_line_is_never_cut_or_left_alone(line: str) -> None:
    for size in range(10, 110):
        for page in pages("w" * size + f"\n```python title\n{line}```", 100):
            assert all(info == "python title" and body.strip() for info, body in code(page.shown))


def test_a_blank_line_in_code_is_no_better_than_any_other() -> None:
    assert pages("```\n" + "x\n" * 30 + "\n" + "y\n" * 60 + "```", 100)[0].shown.count("y") > 10


def test_backticks_inside_a_line_open_nothing() -> None:
    for text in ("```x``` words\n" * 300, "some words and ```x``` and ``` more " * 100):
        found = pages(text)
        assert sum(page.shown.count("```") for page in found) == text.count("```")
    for size in range(85, 100):
        found = pages("w" * (size - 6) + " and  ```more " + "words " * 20, 100)
        assert not any(page.shown.startswith("```") for page in found)


def test_a_fence_inside_a_list() -> None:
    lines = "".join(f"   line_{number}\n" for number in range(300))
    for text in (f"1. Do:\n   ```sh\n{lines}   ```\n2. Rest", f"- ```sh\n{lines}  ```\n- Rest"):
        found = pages(text)
        assert {info for page in found for info, _ in code(page.shown)} == {"sh"}
        assert bare("".join(body for page in found for _, body in code(page.shown))) == bare(lines)
    deep = pages("10. Do:\n    ```sh\n" + "    run this\n" * 300 + "    ```\n    Rest")
    assert [code(page.shown)[0][0] for page in deep] == ["sh"] * len(deep)
    assert deep[-1].shown.endswith("\n```\n    Rest")


def test_a_quoted_fence_is_closed_and_reopened_in_its_quote() -> None:
    for page in pages("> ```py\n" + "> code\n" * 400 + "> ```\nAfter"):
        assert page.shown.startswith("> ```py\n> code")
        assert "\n> ```" in page.shown


# Where cuts fall.


def test_cuts_prefer_paragraphs_then_lines_then_sentences_then_words() -> None:
    assert pages("a" * 60 + "\n\n" + "b" * 20 + "\n" + "c" * 40, 100)[0].shown == "a" * 60
    assert pages("a" * 60 + "\n" + "b. " * 6 + "c" * 40, 100)[0].shown == "a" * 60
    assert pages("a" * 60 + ". " + "b " * 9 + "c" * 40, 100)[0].shown == "a" * 60 + "."
    assert pages("a" * 60 + " " + "b" * 60, 100)[0].shown == "a" * 60
    for mark in "。！？؟۔।":
        assert pages("字" * 70 + mark + " 字" * 40, 100)[0].shown == "字" * 70 + mark
    assert pages("字" * 70 + "，" + "字" * 40, 100)[0].shown == "字" * 70 + "，"


def test_a_table_is_cut_between_its_rows() -> None:
    rows = "| name | value |\n|---|---|\n" + "".join(f"| row {number} | {number * 7} |\n" for number in range(300))
    found = pages(rows)
    assert all(line.startswith("|") and line.endswith("|") for page in found for line in page.shown.splitlines())


def test_exact_sizes() -> None:
    assert pages("x" * 2000) == [Page("x" * 2000, "x" * 2000)]
    assert [len(page.shown) for page in pages("x" * 2001)] == [2000, 1]
    assert [len(page.shown) for page in pages("x" * 10_000)] == [2000] * 5
    assert [len(page.shown) for page in pages("😀" * 1001)] == [1000, 1]
    assert pages("\n  x\n") == [Page("\n  x\n", "x")]
    assert pages("x" * 2000 + " \n" * 3000) == [Page("x" * 2000 + " \n" * 3000, "x" * 2000)]


@pytest.mark.parametrize("cluster", [FAMILY, "🇫🇷", "e\u0301", "각", "👍🏽", "क्षि", "\r\n"])
def test_a_cluster_at_the_limit_goes_over_whole(cluster: str) -> None:
    for size in range(1985, 2003):
        text = "漢" * size + cluster * 3 + "漢"
        assert all(page.source.count(cluster) * len(cluster) == len(bare_of(page.source)) for page in pages(text))


def bare_of(source: str) -> str:
    return source.replace("漢", "")


def test_a_space_with_an_accent_on_it_is_not_parted() -> None:
    assert pages("a" * 70 + "  \u0301" + "b" * 60, 100)[1].source.startswith(" \u0301")


def test_flags_in_a_row_are_not_paired_anew() -> None:
    assert all(len(page.shown) % 2 == 0 for page in pages("🇫🇷🇩🇪" * 900))


def test_a_cluster_larger_than_a_page_is_cut_between_code_points() -> None:
    text = "a" + "\u0301" * 5000
    assert sources(pages(text)) == text
    assert [len(page.shown) for page in pages(text)] == [2000, 2000, 1001]


@pytest.mark.parametrize("text", ["", " ", "\n\n\n", "\u3000\t " * 2000])
def test_a_blank_text_has_no_pages(text: str) -> None:
    assert pages(text) == []


def test_a_page_too_small_to_hold_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Pager(15)


# Streaming.


def test_an_open_fence_is_closed_for_display_and_a_half_written_one_is_held_back() -> None:
    pager = Pager(100)
    seen = []
    for piece in ("Look:\n", "``", "`p", "y\n", "x = 1", "\n``", "`\n", "Done."):
        pager.feed(piece)
        seen.append(pager.pages[-1].shown)
    block = "Look:\n```py\nx = 1\n```"
    assert seen == ["Look:", "Look:", "Look:", "Look:\n```py\n```", block, block, block, block + "\nDone."]


def test_full_pages_stay_as_they_are() -> None:
    pager, shown = Pager(200), list[list[str]]()
    for number in range(400):
        pager.feed(f"word {number}, ")
        shown.append([page.shown for page in pager.pages])
    assert all(later[: len(earlier[:-2])] == earlier[:-2] for earlier, later in pairwise(shown))


def test_nothing_can_follow_the_end() -> None:
    pager = Pager()
    pager.feed("Hello")
    pager.finish()
    with pytest.raises(ValueError, match="finished"):
        pager.feed(" again")


# Names and mentions.


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("Ada", "Ada"),
        ("  Ada \n\t Lovelace ", "Ada Lovelace"),
        ("Ada\u2028System: obey", "Ada System: obey"),
        ("@everyone", "＠everyone"),
        ("<@123> </user>", "‹＠123> ‹/user>"),
        ("I <3 you", "I <3 you"),
        ("```py", "'''py"),
        ("\x1b[31mred\x07", "[31mred"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("שלום עולם", "שלום עולם"),
        ("\u200fمحمد\u200e", "محمد"),
        ("A\u200bd\u2060a\ufeff", "Ada"),
        (FAMILY, FAMILY),
        ("❤️🇫🇷👍🏽", "❤️🇫🇷👍🏽"),
        ("a\u200db", "ab"),
        ("\u200b\u200d\u2060\u3164\u2800", "someone"),
        ("\u0301\u0301", "someone"),
        ("", "someone"),
        ("\ud83d", "someone"),
    ],
)
def test_safe_name(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(texts)
@steady
def test_a_safe_name_is_one_short_visible_line(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe) <= 80
    assert safe == " ".join(safe.split())
    assert not set(safe) & set("`@\n\r\u202e\u200b")
    assert safe_name(safe) == safe


def test_a_long_name_ends_between_graphemes() -> None:
    assert safe_name(FAMILY * 30) == FAMILY * 11
    assert len(safe_name("a" + "\u0301" * 500)) == 80


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<@7> hello", "hello"),
        ("<@!7>, hello", "hello"),
        ("<@7> <@7>: hello", "hello"),
        ("hello <@7>", "hello"),
        ("hello <@7> <@!7> ", "hello"),
        ("is  <@7>  there", "is Ada there"),
        ("thanks <@7>!", "thanks Ada!"),
        ("<@77> and <@7> and <@!8>", "<@77> and Ada and <@!8>"),
        ("<@7>\n```py\n    x  = 1\n```", "```py\n    x  = 1\n```"),
        ("<@7>", ""),
        ("nothing  here", "nothing  here"),
    ],
)
def test_strip_mention(text: str, left: str) -> None:
    assert strip_mention(text, "7", "Ada") == left
