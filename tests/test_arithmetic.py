"""Sums as people type them, worked out exactly or refused in a sentence, and always at once."""

from __future__ import annotations

import time

import pytest

from bots.offline.arithmetic import work_out


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what is 17 * 23?", "17 × 23 = 391"),
        ("12% of 80", "12% of 80 = 9.6"),
        ("what's 20% off 80?", "80 - 20% = 64"),
        ("sqrt(2)", "sqrt(2) ≈ 1.41421356237"),
        ("square root of 16", "sqrt 16 = 4"),
        ("2^10", "2^10 = 1024"),
        ("-2^2", "-2^2 = -4"),
        ("(3+4)/5", "(3 + 4) ÷ 5 = 1.4"),
        ("15 plus 4", "15 + 4 = 19"),
        ("seven times twenty three", "7 × 23 = 161"),
        ("1,234.5 * 2", "1234.5 × 2 = 2469"),
        ("3,5 * 2", "3.5 × 2 = 7"),
        (".5+.5", ".5 + .5 = 1"),
        ("0.1+0.2", "0.1 + 0.2 = 0.3"),
        ("1/3", "1 ÷ 3 ≈ 0.333333333333"),
        ("17 % 5", "17 mod 5 = 2"),
        ("100 + 10%", "100 + 10% = 110"),
        ("5!", "5! = 120"),
        ("2(3+4)", "2(3 + 4) = 14"),
        ("2+2=?", "2 + 2 = 4"),
        ("hey can you tell me what 6 x 7 is please?", "6 × 7 = 42"),
        ("I buy 3 boxes of 12. what is 3*12?", "3 × 12 = 36"),
        ("sin(30 degrees)", "sin(30 degrees) ≈ 0.5"),
        ("round(2.5)", "round(2.5) = 3"),
        ("2**64", "2^64 = 18446744073709551616"),
        ("2**1000", "2^1000 ≈ 1.07150860719 × 10^301"),
        ("average of 3, 4 and 8", "(3 + 4 + 8) ÷ 3 = 5"),
        ("1/0", "Dividing by zero has no result."),
        ("0^-1", "Dividing by zero has no result."),
        ("5 % 0", "Dividing by zero has no result."),
        ("sqrt(-4)", "A negative number has no real square root."),
        ("log(0)", "Only numbers above zero have a logarithm."),
        ("500!", "That number is too large for me to work out."),
        ("(3+4", "I can't read that sum: is a bracket or a number missing?"),
    ],
)
def test_sums(question: str, answer: str) -> None:
    assert work_out(question) == answer


@pytest.mark.parametrize(
    "question",
    [
        "9**9**9",
        "9^9^9^9",
        "10**400 * 10**900",
        "1e999*1e999",
        "0.5^10^9",
        "1.1^1e300",
        "1<<10**9",
        '"a"*10**9',
        "[1]*10**9",
        "().__class__.__bases__[0].__subclasses__()",
        "__import__('os').system('ls')",
        'eval("1+1")',
        "(1+" * 1000,
        "(" * 100 + "1" + ")" * 100,
        "1+" * 2000 + "1",
        "-" * 299 + "1",
        "99999999999^99999999999",
        "exp(exp(exp(9)))",
        "400!" + "*400!" * 30,
    ],
)
def test_sums_meant_to_hurt_are_refused_at_once(question: str) -> None:
    start = time.process_time()
    answer = work_out(question) or ""
    assert time.process_time() - start < 0.5
    assert answer.startswith(("That number is too", "That sum ", "I work out sums; I don't run code."))


@pytest.mark.parametrize(
    "question", ["gpt-4", "covid-19", "555-1234", "+49 30 1234567", "open 24/7?", "2x + 3", "c++ 11", ":)", "what is 5"]
)
def test_not_everything_with_digits_is_a_sum(question: str) -> None:
    assert work_out(question) is None


@pytest.mark.parametrize(
    ("before", "question", "answer"),
    [
        ("17 × 23 = 391", "and 5 more?", "391 + 5 = 396"),
        ("17 × 23 = 391", "times 2", "391 × 2 = 782"),
        ("2 - 5 = -3", "squared", "(-3)^2 = 9"),
        ("1 ÷ 3 ≈ 0.333333333333", "* 3", "0.333333333333 × 3 = 0.999999999999"),
        ("17 × 23 = 391", "that minus 1", "391 - 1 = 390"),
        ("17 × 23 = 391", "tell me more", None),
        ("Hello!", "and 5 more?", None),
    ],
)
def test_a_sum_goes_on_from_the_result_before(before: str, question: str, answer: str | None) -> None:
    assert work_out(question, before) == answer


@pytest.mark.parametrize("question", ["solve x^2 = 9", "solve 2x + 3 = 7 for me", "find x if x + 2 = 5"])
def test_equations_are_refused_in_a_sentence(question: str) -> None:
    assert (work_out(question) or "").startswith("I can't solve equations")


@pytest.mark.parametrize(("question", "answer"), [("2 x 3 =", "2 × 3 = 6"), ("x = 5", None), ("a = b", None)])
def test_not_every_sign_of_equality_makes_an_equation(question: str, answer: str | None) -> None:
    assert work_out(question) == answer
