"""Which memory somebody means who says some of its words."""

from __future__ import annotations

from collections.abc import Sequence

from storage.records import Memory

from .errors import TroupeError


def meant(listed: Sequence[Memory], which: str, none: str) -> Memory:
    """The only one of these with that id or those words, or of several the one that says just them. Raises
    `TroupeError`, with `none` where there is none."""
    wanted = _plain(which)
    found = [each for each in listed if which == each.id or (wanted and wanted in _plain(each.text))]
    exact = [each for each in found if wanted == _plain(each.text)]
    if len(found) != 1 and len(exact) != 1:
        told = f"{len(found)} memories read like that" if found else none
        raise TroupeError(f"{told}: /memory list shows them; say enough of one that it is the only one.")
    return found[0] if len(found) == 1 else exact[0]


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
