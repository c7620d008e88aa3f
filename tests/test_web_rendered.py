"""Words as the console shows them: Markdown with formulas, and nothing that could do anything."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from bots.web.rendered import rendered
from storage.exports.html_words import words


@pytest.mark.parametrize(
    ("written", "kind", "holds"),
    [
        ("so $x^2$ it is", "inline", "<msup>"),
        ("so \\(x_1\\) it is", "inline", "<msub>"),
        ("$$\n\\frac{a_1 * b}{c_2 * d}\n$$", "block", "<mfrac>"),
        ("\\[\\sqrt{x}\\]", "block", "<msqrt>"),
        ("| a |\n|---|\n| $|x|$ |", "inline", "<mi>x</mi>"),
        ("$\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}$", "inline", "<mtable>"),
    ],
)
def test_formulas_become_mathml(written: str, kind: str, holds: str) -> None:
    html = rendered(written)
    assert f'<math display="{kind}">' in html
    assert holds in html
    assert "<em>" not in html


def test_tasks_have_boxes_and_what_only_looks_like_one_has_none() -> None:
    html = rendered("- [x] tea\n- [ ] $x$ cakes\n- `[x] code`\n\n[x] no list")
    assert [html.count(box) for box in "☑☐"] == [1, 1]
    assert "☑\ufe0e tea" in html


@pytest.mark.parametrize(
    "written",
    [
        "it costs $5, or $10 for two",
        "$HOME/$USER and $ x $",
        "`$x$` and ``$y$``",
        "```sh\necho $a$\n```",
        "~~~\n$x$\n~~~",
        "```sh\necho $x$ and no end",
        "\\$x$ and \\\\(x\\\\)",
        "[a link](https://example.org/$x$y)",
    ],
)
def test_money_shells_code_and_addresses_stay_as_they_are(written: str) -> None:
    html = rendered(written)
    assert "<math" not in html
    assert re.search("[\U000f0000-\U000fffff]", html) is None
    for dollar in re.findall(r"\$\w+", written):
        assert dollar in re.sub("<[^>]*>", "", html) or dollar in html


@pytest.mark.parametrize("written", ["$\\frac{$", "$x^$", "$\\newcommand{\\a}{\\a\\a}\\a$", "$" + "{" * 900 + "$"])
def test_what_is_no_formula_is_shown_as_it_was_written(written: str) -> None:
    assert "<code>$" in rendered(written)


@pytest.mark.parametrize(
    "written",
    [
        "<script>alert(1)</script>",
        "$\\text{<script>alert(1)</script>}$",
        "$\\text{</math><img src=x onerror=alert(1)>}$",
        "$\\href{javascript:alert(1)}{x}$",
        "$\\text{&lt;script&gt;alert(1)}$",
        '$\\color{red" onclick="alert(1)}{x}$',
        "[$x$](javascript:alert(1))",
        "![x](https://example.org/track.png)",
        "\U000f0000 $x$",
    ],
)
def test_nothing_that_is_written_does_anything(written: str) -> None:
    tags = re.findall(r"<[^>]*>", rendered(written))
    assert not [tag for tag in tags if re.match(r"</?(?:script|img|iframe|svg|style)", tag)]
    assert not [tag for tag in tags if "javascript:" in tag or re.search(r"\bon\w+=|href=\"(?!https?:|mailto:)", tag)]


@pytest.mark.parametrize(
    "written",
    ["$" * 20_000, "\\(" * 20_000, "\\[" * 20_000 + "$", "`$" * 20_000, "$x$ " * 5_000, "$" + "x^" * 900 + "$"],
)
def test_the_worst_text_takes_a_moment_only(written: str) -> None:
    began = time.process_time()
    rendered(written)
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    "written",
    [
        "\\[" * 50_000,
        "\\(" * 50_000,
        "\\[\\(" * 25_000,
        "$" + "~" * 90_000,
        "a".join("`" * n for n in range(440)) + "$",
    ],
    ids=["brackets", "parentheses", "both", "tildes", "ticks"],
)
def test_looking_for_formulas_is_no_more_work_than_showing_the_words(written: str) -> None:
    def taken(work: Callable[[], str]) -> float:
        began = time.thread_time()
        work()
        return time.thread_time() - began

    def no_more() -> bool:
        plain = taken(lambda: words(written, code_language="", load_images=False))
        return taken(lambda: rendered(written)) < 3 * plain + 0.1

    assert any(no_more() for _ in range(5)), "a busy machine slows one of the two now and then, and not each time"


def test_a_formula_may_break_its_lines_and_code_of_any_length_holds_none() -> None:
    assert rendered("\\[a \\\\[2pt] b\\] and \\(f(x)\\)").count("<math") == 2
    assert "<math" not in rendered(f"`{'a $x$ ' * 500}` and ```` $y$ ``` $z$ ````")
