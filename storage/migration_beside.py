"""What a source holds besides what was read from it: other formats, and the talk of other bots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath

from .legacy import Reader
from .legacy.multi_bot_files import candidates
from .legacy.source import BadSource, Source

_TOLD = 20
"""Of each of the two."""
_LOOKED_AT = 200
"""Folders and zips that are opened for a look."""

Known = Sequence[tuple[str, Reader]]


def others(source: Source, format: str, known: Known) -> tuple[str, ...]:
    """A sentence for each folder and zip at the top of a folder that is of another format than the one it was read as,
    for each zip there of the same, and for each other format of the whole of it. Blocks."""
    told: list[str] = []
    met = {format}
    for path in islice(_inside(source.path), _LOOKED_AT):
        with suppress(BadSource), Source(path) as part:
            for name in _formats(part, known):
                if path.is_dir() and name == format:
                    break
                met.add(name)
                told.append(f"{_shown(path)} looks like {name}, and was not read: migrate it by itself.")
                break
    more = [name for name in _formats(source, known) if name not in met]
    told += [
        f"{_shown(source.path)} looks like {name} as well: migrate it again with `--format {name}`." for name in more
    ]
    rest = [f"… and {len(told) - _TOLD:,} more like these"] if len(told) > _TOLD else []
    return (*told[:_TOLD], *rest)


def whose(source: Source, bot: str) -> tuple[str, ...]:
    """The bots after which folders of the multi-bot format are named, but for this one."""
    mine = {name for name, _ in candidates(source, bot)}
    names = (name for name, _ in candidates(source, None) if name not in mine)
    return tuple(sorted({_shown(PurePosixPath(name).parent) for name in names})[:_TOLD])


def _inside(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if not path.is_symlink() and (path.is_dir() or path.suffix.lower() == ".zip"):
                yield path


def _formats(source: Source, known: Known) -> Iterator[str]:
    for name, reader in known:
        with suppress(Exception):  # whatever is in it: it was not asked for
            if reader.recognise(source):
                yield name


def _shown(path: PurePosixPath | Path) -> str:
    return "".join(c if c.isprintable() else "?" for c in path.name)[:120]
