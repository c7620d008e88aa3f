"""Files and folders that settings name and that must be there before a bot starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .embedding import VOCABULARY, WEIGHTS, lacks
from .findings import shown
from .written import Entry

_KINDS = (".md", ".txt")


def missing_notes(entries: Iterable[Entry], project: Path, absolute: Callable[[str], str]) -> Iterator[str]:
    """What is wrong with places that somebody is to quote from; `absolute` makes a path whole."""
    for entry in entries:
        if not isinstance(entry.value, str) or not entry.value:
            continue
        path = Path(absolute(entry.value.replace("\0", "")))
        single = os.path.isfile(path)
        if single and path.suffix.lower() not in _KINDS:
            yield f"{entry.place}: found {shown(entry.value)}; allowed: a folder, or a file that ends in .md or .txt"
        elif not single and not os.path.isdir(path):
            yield (
                f"{entry.place}: found {shown(entry.value)}, where there is no folder; make it or remove the line "
                f"(paths count from {project})"
            )


def missing_model(entry: Entry, project: Path, absolute: Callable[[str], str]) -> Iterator[str]:
    """What is wrong with the folder of a local model."""
    if isinstance(entry.value, str) and entry.value:
        lacking = lacks(Path(absolute(entry.value.replace("\0", ""))))
        if lacking:
            yield (
                f"{entry.place}: found {shown(entry.value)}, which {lacking}; allowed: a folder with {WEIGHTS} and "
                f"{VOCABULARY}, or no path: `make embed` installs a model (paths count from {project})"
            )
