"""Who is called where a line calls several in one breath, as in `Ada and Sage, what do you think?`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_AND = r"(?:\s*(?:,\s*(?:(?:and|und|et|y)\s+)?|[&+]\s*)|\s+(?:and|und|et|y)\s+|\s+(?=@))"
_LOOKED_AT = 300
"""Characters at either end of a line in which names are looked for."""


class CalledTogether:
    """Knows what each of several is called."""

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        """`names` are ids, each with what it is called by."""
        known = sorted(((name.strip(), id) for id, those in names.items() for name in those if name.strip()), key=_long)
        self._ids = [id for _, id in known]
        either = "|".join(f"({re.escape(name)})" for name, _ in known) or "(?!)"
        self._each = re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)
        one = rf"(?:{'|'.join(re.escape(name) for name, _ in known) or '(?!)'})(?!\w)"
        some = rf"@?{one}(?:{_AND}@?{one})+"
        pinged = rf"@{one}(?:{_AND}@{one})+"
        start = rf"\s*(?:(?:hey|hi|hello|ok|okay|dear)[\s,]+{some}|{pinged}|{some}\s*(?:[,:;!?]|$))"
        self._first = re.compile(start, re.IGNORECASE)
        self._last = re.compile(rf",\s*{some}\s*[.!?]*\s*$", re.IGNORECASE)

    def by(self, text: str) -> tuple[str, ...]:
        """The ids of those whom a line calls by name at its beginning or its end, in their order; empty where it does
        not call several."""
        found = self._first.match(text[:_LOOKED_AT]) or self._last.search(text[-_LOOKED_AT:])
        called = [self._ids[(each.lastindex or 1) - 1] for each in self._each.finditer(found[0])] if found else []
        several = tuple(dict.fromkeys(called))
        return several if len(several) > 1 else ()


def _long(known: tuple[str, str]) -> int:
    return -len(known[0])
