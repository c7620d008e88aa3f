"""Questions in everyday words made plain: without fillers, and with the sums among them in symbols."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..terms import folded


def plain(question: str) -> str:
    """One line in lower case without accents, mentions, outer punctuation and the politeness around a question."""
    text = " ".join(_MENTION.sub(" ", folded(question)).split())
    text = _OUTER.sub("", _CONTRACTION.sub(r"\1 is", text))
    while (shorter := _POLITE_END.sub("", _POLITE_START.sub("", text)).strip(" ?!,;:")) != text:
        text = shorter
    return text


def as_sums(question: str, carried: str = "") -> Iterator[str]:
    """Readings of a question as a sum in symbols, likeliest first; what is no sum comes out as words. `carried` is
    the last result, which "and 5 more?" or "half of that" counts on from."""
    whole = plain(question) + ("!" if _FACTORIAL_AT_END.search(question) else "")
    if _DATE.search(whole) or _GROUPED_DIGITS.fullmatch(whole):
        return
    if carried:
        yield from _carried_on(whole, carried)
    yield _symbols(whole)
    for part in reversed(_CLAUSE_END.split(question)):
        if _ASKS_FOR_SUM.match(plain(part)) or _SUM_LEAD.match(plain(part)):
            yield _symbols(plain(part))
    inner = _SUM_WITHIN.search(whole)
    if inner and len((whole[: inner.start()] + whole[inner.end() :]).split()) <= 4:
        yield _symbols(inner[0])


def _carried_on(text: str, carried: str) -> Iterator[str]:
    text = re.sub(r"^(and|then|now|ok|so|what about|how about)\b,?\s*", "", text)
    carried = f"({carried})" if carried.startswith("-") else carried
    if more := re.fullmatch(r"(?:another )?(\S+(?: \S+)?) (more|less|fewer)", text):
        yield _symbols(f"{carried} {'+' if more[2] == 'more' else '-'} {more[1]}")
    if re.search(r"\b(that|it|this|the (?:result|answer))\b", text):
        yield _symbols(re.sub(r"\b(that|it|this|the (?:result|answer))\b", carried, text))
    symbols = _symbols(text)
    if re.match(r"[-+*/^×÷%!]|mod\b", symbols):
        yield f"{carried} {symbols}"


def _symbols(text: str) -> str:
    while (shorter := _SUM_END.sub("", _SUM_LEAD.sub("", text)).strip()) != text:
        text = shorter
    text = _NUMBER_IN_WORDS.sub(_in_digits, re.sub(r"[$€£¥]", "", text))
    text = re.sub(r"(?<=\d) (thousand|million|billion)\b", lambda match: f" * {_SCALES[match[1]]}", text)
    text = re.sub(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d,])", lambda match: match[0].replace(",", ""), text)
    text = re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", text)  # a decimal comma: 3,5
    for pattern, symbol in _WORDS:
        text = pattern.sub(symbol, text)
    return text.strip()


def _in_digits(match: re.Match[str]) -> str:
    total = part = 0
    for word in re.split(r"[\s-]+", match[0]):
        if word == "hundred":
            part = max(part, 1) * 100
        elif word in _SCALES:
            total, part = total + max(part, 1) * _SCALES[word], 0
        elif word != "and":
            part += _COUNTS[word]
    return str(total + part)


_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_COUNTS = {word: n for n, word in enumerate(_SMALL.split())} | {w: 10 * n for n, w in enumerate(_TENS.split(), 2)}
_SCALES = {"thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_COUNT = rf"(?:{'|'.join(_COUNTS)})"
_NUMBER_IN_WORDS = re.compile(
    rf"\b{_COUNT}(?:[\s-]+(?:(?:hundred|thousand|million)(?: and(?= {_COUNT}))?|billion|{_COUNT}))*\b"
)

_MENTION = re.compile(r"<(?:[@#][!&]?\d+|a?:\w+:\d+)>")
_OUTER = re.compile(r"^(?:[ ?!,;:…¿¡\"']|\.(?!\d))+|[ ?.!,;:…\"'*_]+$")
_CONTRACTION = re.compile(r"\b(what|when|who|where|how|that)'?s\b(?! (?:say|said))")
_POLITE_START = re.compile(
    r"^(?:(?:hey|hi|hello|yo|ok|okay|so|well|um+|hm+|uh|btw|please|pls|plz|quick question|just|actually|sorry|thanks)"
    r"\b[\s,!.:]*(?=\S)(?!there$)|(?:can|could|would|will) (?:you|u) (?:please |pls |kindly |quickly |maybe )?"
    r"(?=tell|say|work|calc|give|show|remind|explain|summ|recap|quote|solve|add|do\b|let|help me (?:with|calc))"
    r"|(?:do you know|any idea|i(?:'d| would) like to know|i want to know|i wonder|(?:tell|give|show) me"
    r"(?= (?:what|how|when|who|which|the (?:time|date|day)|\d|if|whether))|let me know)\s+|wh?[ai]t'?s? iz )",
)
_POLITE_END = re.compile(
    r"[\s,]+(?:please|pls|plz|thanks|thank you|thx|ty|for me|then|mate|btw|by the way|exactly|again|do you know)$"
)
_DATE = re.compile(r"\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}[./]\d{1,2}[./]\d{4}\b")
_GROUPED_DIGITS = re.compile(r"\+?\d+(?:-\d+){2,}|\+\d[\d\s-]+|\d{3}-\d{4}")
"""Telephone numbers and the like."""
_FACTORIAL_AT_END = re.compile(r"[\d)]!(?=[\s?.=]*$)")
_CLAUSE_END = re.compile(r"[?!;\n]+|[.,:](?=\s)")
_ASKS_FOR_SUM = re.compile(r"^(?:what is|how much is|calculate|calc|compute|whats)\b")
_SUM_LEAD = re.compile(
    r"^(?:what|whats|wats|wat|waht|wht|whts|is|are|do|does|the|how much|how many|calculate|calc|compute|evaluate"
    r"|eval|solve"
    r"|work out|tell me|answer to|result of|value of|equals?|and|what about|how about|then|make|makes|give"
    r"|if you)(?:\s+|$)"
    r"|^(?:=|what is:)\s*",
)
_SUM_END = re.compile(
    r"(?:\s+(?:is|are|equals?|equal to|makes?|be|in total|altogether|please|to|is what|equals what)|\s*=\s*\??|\?)$"
)
_N = r"(\(?-?[\d.]+%?\)?)"
_SUM_WITHIN = re.compile(
    r"(?:[\d.,()\s%]*\d[)%]?(?:\s*(?:[*×^]|\*\*|\+)\s*|\s+[-/÷x]\s+)[-(]?\d[\d.,()\s+*/^%×÷-]*)(?<=[\d)%])"
)
_WORDS = tuple(
    (re.compile(pattern), symbol)
    for pattern, symbol in (
        (r"\b(?:multiplied by|times|multiply by)\b", "*"),
        (r"\b(?:divided by|over|divide by|(?:split|shared?) (?:by|between|among))\b", "/"),
        (r"\b(?:added to|plus)\b", "+"),
        (r"\b(?:minus|take away)\b", "-"),
        (r"\b(?:raised )?to the power(?: of)?\b|\braised to\b", "^"),
        (r"\s*\bsquared\b|²", "^2"),
        (r"\s*\bcubed\b|³", "^3"),
        (r"\bcube root (?:of )?|\bcbrt of ", "cbrt "),
        (r"\b(?:square |sqrt )?root (?:of )?|\b(?:sqrt of|square root) ", "sqrt "),
        (r"\bfactorial of (\d+)", r"\1!"),
        (r"(\d+) factorial\b", r"\1!"),
        (r"\b(?:modulo|modulus)\b", "mod"),
        (r"\s*\b(?:per ?cent(?:age)?|pct)\b", "%"),
        (rf"{_N} is (?:what)?% of {_N}$", r"\1 / \2 * 100"),
        (rf"^% of {_N} is {_N}$", r"\2 / \1 * 100"),
        (rf"{_N} more than {_N}$", r"\2 + \1"),
        (rf"{_N} less than {_N}$", r"\2 - \1"),
        (rf"{_N}\s*off\s+(?:of )?{_N}", r"\2 - \1"),
        (r"%\s*(?:tip |tax |vat )?(?:of|on)\b", "% of"),
        (r"\b(?:a )?half (?:of )?", "0.5 * "),
        (r"\b(?:a |one )?third of ", "1/3 * "),
        (r"\b(?:a |one )?quarter of ", "0.25 * "),
        (r"\b(?:double|twice)\b", "2 *"),
        (r"\btriple\b", "3 *"),
        (rf"\b(?:add|sum of) {_N} (?:and|to|with) {_N}$", r"\1 + \2"),
        (rf"\b(?:difference between|difference of) {_N} and {_N}$", r"\1 - \2"),
        (rf"\bsubtract {_N} from {_N}$", r"\2 - \1"),
        (rf"\b(?:multiply|product of) {_N} (?:by|and|with|\*) {_N}$", r"\1 * \2"),
        (rf"\bdivide {_N} by {_N}$", r"\1 / \2"),
        (r"(?<=[\d)])\s*x\s*(?=[\d(.])", " * "),
        (r"\b(?:average|mean) of ([\d.]+) and ([\d.]+)$", r"(\1 + \2) / 2"),
        (r"\b(?:average|mean) of ([\d.]+), ([\d.]+),? and ([\d.]+)$", r"(\1 + \2 + \3) / 3"),
        (r"\b(?:sine|cosine|tangent) of ", ""),
        (r"\bdegree\b", "degrees"),
        (r"\blog10\b", "log"),
    )
)
