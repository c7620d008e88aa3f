"""Sums in plain words: a small exact calculator with hard bounds that runs nobody's code."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, Underflow
from fractions import Fraction

from .phrases import as_sums, plain

_MOST_BITS = 4_000
"""Of a numerator or denominator, some 1,200 digits: nothing here can take noticeable time."""
_MOST_LETTERS = 300
_MOST_TOKENS = 120
_DEEPEST = 30
_FINEST = 10**24
"""A number that ends within 24 places is shown in full."""
_LARGEST_SHOWN = 10**100
"""From here on a whole number is shown rounded."""
_PRECISE = Context(prec=40, Emax=20_000, Emin=-20_000, traps=[InvalidOperation, DivisionByZero, Overflow, Underflow])

_CODE = re.compile(
    r"""\.__\w+__|__\w+__\s*\(|["'][^"']*["']\s*\*\s*\d|\d\s*(<<|>>)\s*\d|\]\s*\*\s*\d"""
    r"""|\blambda\b.*:|^(eval|exec)\s*\("""
)
_ONLY_SYMBOLS = re.compile(r"[\d\s.,+\-*/^()%×÷=?]*\d\s*[-+*/^×÷][\d\s.,+\-*/^()%×÷=?]*")
_SOLVE = re.compile(
    r"^(?:solve|find|what is|determine)\b(?: for)?(?: (?:the )?equation)?(?: [a-z] (?:if|when|where|in))?:?"
)
_WITH_UNKNOWNS = re.compile(r"[^a-z]*(?:(?<![a-z])[a-z](?![a-z])[^a-z]*)+")
_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?(?:e[+-]?\d{1,3}(?!\d))?|\.\d+|\*\*|[-+*/^()!%√×÷·°]|[a-zπ]+)")


class NoResult(Exception):
    """A sum that has no result here; its text is a sentence for the person."""


def work_out(question: str, previous: str = "") -> str | None:
    """The sum in a question with its result (`17 × 23 = 391`), or a sentence saying why it has none; None where
    there is no sum. `previous` is the answer before this question, which "and 5 more?" counts on from."""
    if _CODE.search(question) and len(re.findall(r"[a-z]+ [a-z]+", question)) < 2:
        return "I work out sums; I don't run code."
    if _is_equation(question):
        return "I can't solve equations; I only work out sums, such as 17 * 23 or sqrt(9)."
    before = _RESULT.search(previous.rstrip())
    for phrase in as_sums(question[: _MOST_LETTERS + 1], before[1] if before else ""):
        if len(phrase) > _MOST_LETTERS:
            return "That sum is too long for me." if _ONLY_SYMBOLS.fullmatch(question) else None
        try:
            if (tokens := _tokens(phrase)) and (done := _Reading(tokens).result()):
                turns = not {"sin", "cos", "tan"}.isdisjoint(tokens) and "degrees" not in tokens
                sign = "=" if _is_shown_whole(done) else "≈"
                return f"{_written(tokens)} {sign} {shown(done)}{' (in radians)' if turns else ''}"
        except NoResult as reason:
            return str(reason)
        except _NotASum:
            continue
    return "I can't read that sum: is a bracket or a number missing?" if _looks_like_one(question) else None


@dataclass(frozen=True, slots=True)
class Number:
    """A value on its way through a sum."""

    value: Fraction
    exact: bool = True
    percent: bool = False
    """A bare percentage, which plus and minus take of what stands before them: 80 - 10% is 72."""


class _NotASum(Exception):
    """The words do not form a sum."""


def _tokens(phrase: str) -> list[str]:
    """The sum's parts; none if anything else stands there, or nothing is there to work out."""
    found: list[str] = []
    at = 0
    phrase = phrase.rstrip()
    while at < len(phrase):
        match = _TOKEN.match(phrase, at)
        if not match or (match[1].isalpha() and match[1] not in _NAMES):
            return []
        found.append({"**": "^", "×": "*", "·": "*", "÷": "/", "π": "pi", "°": "degrees"}.get(match[1], match[1]))
        at = match.end()
    if len(found) > _MOST_TOKENS:
        raise NoResult("That sum is too long for me.")
    return found if len(found) > 1 or found == ["pi"] else []


class _Reading:
    """Reads the tokens of a sum from left to right and works it out on the way."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def result(self) -> Number:
        value = self._level(0)
        if self._at < len(self._tokens):
            raise _NotASum
        return value

    def _level(self, binding: int) -> Number:
        """A value and every operator after it that binds tighter than `binding`."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise NoResult("That sum has too many brackets for me.")
        left = self._value()
        while (power := self._binding()) > binding:
            sign = self._next() if self._peek() in _BINDING else "*"
            left = _combined(left, sign, self._level(power - 1 if sign == "^" else power))
        self._depth -= 1
        return left

    def _binding(self) -> int:
        part = self._peek()
        if part == "(" or part in _FUNCTIONS or part in _CONSTANTS:
            return _BINDING["*"]
        return _BINDING.get(part, 0)

    def _value(self) -> Number:
        part = self._next()
        if part == "(":
            value = self._level(0)
            self._expect(")")
        elif part == "-":
            value = _combined(Number(Fraction(0)), "-", self._level(_BINDING["*"]))
        elif part == "+" and self._at > 1:  # "+5" alone goes on from a sum before, or means nothing
            value = self._level(_BINDING["*"])
        elif part in _CONSTANTS:
            value = Number(Fraction(_CONSTANTS[part]), exact=False)
        elif part in _FUNCTIONS:
            value = self._called(part)
        elif part[0].isdigit() or part[0] == ".":
            value = _bounded(Number(Fraction(part)))
        else:
            raise _NotASum
        return self._after(value)

    def _called(self, name: str) -> Number:
        bare = self._peek() != "("
        if bare and name not in ("√", "sqrt", "cbrt"):
            raise _NotASum
        if bare:
            return _applied(name, self._level(_BINDING["*"]))
        self._expect("(")
        value = self._level(0)
        if self._peek() == "degrees" and name in ("sin", "cos", "tan"):
            self._next()
            value = Number(value.value * Fraction(math.pi) / 180, exact=False)
        self._expect(")")
        return _applied(name, value)

    def _after(self, value: Number) -> Number:
        """The value with the `!` and `%` behind it. A `%` before a number is a remainder, not a percentage."""
        while self._peek() in ("!", "%"):
            following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else ""
            if self._peek() == "%" and (following[:1].isdigit() or following in ("(", "sqrt")):
                break
            value = _factorial(value) if self._next() == "!" else Number(value.value / 100, value.exact, percent=True)
        return value

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise _NotASum
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, part: str) -> None:
        if self._next() != part:
            raise _NotASum


def _combined(left: Number, sign: str, right: Number) -> Number:
    a, b, exact = left.value, right.value, left.exact and right.exact
    if sign in "+-":
        if right.percent and not left.percent:
            b *= a
        return _bounded(Number(a + b if sign == "+" else a - b, exact))
    if sign in ("*", "of"):
        return _bounded(Number(a * b, exact))
    if sign == "^":
        return _power(left, right)
    if b == 0:
        raise NoResult("Dividing by zero has no result.")
    return _bounded(Number(a / b if sign == "/" else a % b, exact))


def _power(base: Number, exponent: Number) -> Number:
    a, b = base.value, exponent.value
    if a == 0 and b < 0:
        raise NoResult("Dividing by zero has no result.")
    if b.denominator == 1 and a.denominator == 1 and abs(a) > 1 and a.numerator.bit_length() * abs(b) > 2 * _MOST_BITS:
        raise NoResult(_TOO_LARGE if b > 0 else _TOO_SMALL)
    if b.denominator == 1 and max(a.numerator.bit_length(), a.denominator.bit_length()) * abs(b) <= _MOST_BITS:
        return _bounded(Number(Fraction(a**b.numerator), base.exact and exponent.exact))
    if a in (0, 1):
        return Number(a)
    if b == Fraction(1, 2):
        return _applied("sqrt", base)
    if a < 0:
        raise NoResult("That power of a negative number is not a real number, or too large for me.")
    return _approximately(lambda: _PRECISE.power(_decimal(a), _decimal(b)))


def _applied(name: str, number: Number) -> Number:
    value = number.value
    if name in ("abs", "floor", "ceil", "round"):
        steps: dict[str, Fraction | int] = {
            "abs": abs(value),
            "floor": math.floor(value),
            "ceil": math.ceil(value),
            "round": _half_up(value),
        }
        return Number(Fraction(steps[name]), number.exact)
    if name in ("√", "sqrt"):
        if value < 0:
            raise NoResult("A negative number has no real square root.")
        root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        return (
            Number(root, number.exact) if root**2 == value else _approximately(lambda: _PRECISE.sqrt(_decimal(value)))
        )
    if name == "cbrt":
        near = round(float(abs(value)) ** (1 / 3)) if abs(value) < 10**15 else 0
        if near**3 == abs(value):
            return Number(Fraction(near if value >= 0 else -near), number.exact)
        third = _approximately(lambda: _PRECISE.power(_decimal(abs(value)), Decimal(1) / 3))
        return Number(third.value if value >= 0 else -third.value, exact=False)
    if name in ("ln", "log") and value <= 0:
        raise NoResult("Only numbers above zero have a logarithm.")
    if name == "log" and (whole := _whole_log10(value)) is not None:
        return Number(Fraction(whole), number.exact)
    if name in ("ln", "log", "exp"):
        return _approximately(
            lambda: {"ln": _PRECISE.ln, "log": _PRECISE.log10, "exp": _PRECISE.exp}[name](_decimal(value))
        )
    if abs(value) > 10**9:
        raise NoResult("That angle is too large for me.")
    if name == "tan" and abs(math.cos(value)) < 1e-12:
        raise NoResult("There is no tangent at that angle.")
    turned = {"sin": math.sin, "cos": math.cos, "tan": math.tan}[name](float(value))
    return Number(Fraction(round(turned, 12)), exact=False)


def _half_up(value: Fraction) -> int:
    return math.floor(abs(value) + Fraction(1, 2)) * (1 if value >= 0 else -1)


def _whole_log10(value: Fraction) -> int | None:
    """The exponent of a power of ten."""
    digits, sign = (str(value.numerator), 1) if value.denominator == 1 else (str(value.denominator), -1)
    is_power = value.numerator == 1 or value.denominator == 1
    return sign * (len(digits) - 1) if is_power and digits.rstrip("0") == "1" else None


def _factorial(number: Number) -> Number:
    if number.value.denominator != 1 or number.value < 0:
        raise NoResult("Only whole numbers from zero up have a factorial.")
    if number.value > 400:
        raise NoResult(_TOO_LARGE)
    return Number(Fraction(math.factorial(number.value.numerator)), number.exact)


def _approximately(work: Callable[[], Decimal]) -> Number:
    try:
        done = work()
    except Underflow:
        raise NoResult(_TOO_SMALL) from None
    except (Overflow, InvalidOperation):
        raise NoResult(_TOO_LARGE) from None
    if done and abs(done.adjusted()) > 1_000:
        raise NoResult(_TOO_LARGE if done.adjusted() > 0 else _TOO_SMALL)
    return Number(Fraction(done), exact=False)


def _decimal(value: Fraction) -> Decimal:
    return _PRECISE.divide(Decimal(value.numerator), Decimal(value.denominator))


def _bounded(number: Number) -> Number:
    if max(number.value.numerator.bit_length(), number.value.denominator.bit_length()) > _MOST_BITS:
        raise NoResult(_TOO_LARGE if abs(number.value) > 1 else _TOO_SMALL)
    return number


def shown(number: Number) -> str:
    """The number in digits: in full where it has an end, else to 12 digits that count."""
    value = number.value
    if _is_shown_whole(number):
        if value.denominator == 1:
            return str(value.numerator)
        return f"{_PRECISE.normalize(_decimal(value)):f}"
    rounded = Context(prec=12).plus(_decimal(value)).normalize()
    if rounded == 0 or -7 <= rounded.adjusted() < 15:
        return f"{rounded:f}"
    digits = rounded.scaleb(-rounded.adjusted())
    return f"{digits:f} × 10^{rounded.adjusted()}"


def _is_shown_whole(number: Number) -> bool:
    """Whether the digits shown are the whole truth."""
    if not number.exact:
        return False
    if number.value.denominator == 1:
        return abs(number.value) < _LARGEST_SHOWN
    return abs(number.value) < 10**15 and _FINEST % number.value.denominator == 0


def _written(tokens: list[str]) -> str:
    """The sum as people write it."""
    text = ""
    for at, part in enumerate(tokens):
        before, after = tokens[at - 1] if at else "(", tokens[at + 1] if at + 1 < len(tokens) else ""
        ends = before[0] in ".0123456789" or before in (")", "!", "%", "degrees", *_CONSTANTS)
        if part in _BINDING and part != "^" and ends and (part != "%" or after[:1].isdigit() or after == "("):
            text += f" {_SIGNS.get(part, part)} "
        elif (part[0].isalpha() and ends) or (before[0].isalpha() and part != ")" and before not in _BINDING):
            text += f" {part}" if part not in ("(", "^", "!") else part
        else:
            text += part
    return text


def _is_equation(question: str) -> bool:
    text = _SOLVE.sub("", plain(question))
    if "=" not in text or not _WITH_UNKNOWNS.fullmatch(text) or not re.search(r"\d", text):
        return False
    named = re.sub(r"(?<=\d)\s*x\s*(?=\d)", "*", text)  # 2 x 3 is a product
    return re.search(r"[a-z]", named) is not None and not re.fullmatch(r"[a-z]\s*=\s*[\d.]+", text)


def _looks_like_one(question: str) -> bool:
    return bool(_ONLY_SYMBOLS.fullmatch(question)) and not re.fullmatch(r"[\d\s./-]+", question)


_TOO_LARGE = "That number is too large for me to work out."
_TOO_SMALL = "That number is too close to zero for me to work out."
_BINDING = {"+": 10, "-": 10, "*": 20, "/": 20, "%": 20, "mod": 20, "of": 20, "^": 30}
_SIGNS = {"*": "×", "/": "÷", "%": "mod"}
_CONSTANTS = {"pi": "3.14159265358979323846264338327950288", "e": "2.71828182845904523536028747135266249"}
_FUNCTIONS = frozenset(("√", "sqrt", "cbrt", "abs", "round", "floor", "ceil", "ln", "log", "exp", "sin", "cos", "tan"))
_NAMES = _FUNCTIONS | _CONSTANTS.keys() | {"mod", "of", "π", "degrees"}
_RESULT = re.compile(r"[=≈] (-?\d+(?:\.\d+)?)$")
