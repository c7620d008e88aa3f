"""The file that a command writes: whole or not at all, and never over something that is no file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

Write = Callable[[bytes], object]
_CHANCE = r"\.[a-z0-9_]{8}"
"""What `mkstemp` adds to the name of a draft."""


@contextmanager
def standing(path: Path, target: str | None, force: bool) -> Iterator[Write]:
    """What writes a file, which is there only once all of it is; with the target `-` the standard output. A link is
    followed, and what is no file (a device, a pipe) is written into. Ends the command where that cannot be;
    `BrokenPipeError` where nobody reads it any more."""
    if target == "-":
        try:
            with _said_of("The standard output"):
                yield sys.stdout.buffer.write
                sys.stdout.buffer.flush()
        except click.ClickException:
            hush()
            raise
        return
    if path.is_dir():
        raise click.ClickException(f"{path} is a folder: name a file in it.")
    if path.exists() and not path.is_file():
        with _said_of(str(path)), path.open("wb") as file:
            yield file.write
        return
    if path.exists() and not force:
        raise click.ClickException(f"{path} is there already: choose another name, or write over it with --force.")
    with _said_of(str(path), " Nothing was left there."), _aside(path.resolve()) as file:
        yield file.write


def hush() -> None:
    """Lets go of what waits for the standard output, so that nothing is said of it when the program ends."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    with contextlib.suppress(OSError, ValueError):
        os.dup2(sys.stdout.fileno(), 1)


@contextmanager
def _said_of(what: str, more: str = "") -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise click.ClickException(f"{what} cannot be written: {error.strerror}.{more}") from error


@contextmanager
def _aside(path: Path) -> Iterator[IO[bytes]]:
    """A draft beside a file, which takes its place at the end. Drafts of those who were killed are cleared away."""
    stem = f".{path.name[:60]}"
    _sweep(path.parent, stem)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{stem}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _sweep(folder: Path, stem: str) -> None:
    drafts = re.compile(re.escape(stem) + _CHANCE)
    with contextlib.suppress(OSError):
        for left in [each for each in folder.iterdir() if drafts.fullmatch(each.name)]:
            with contextlib.suppress(OSError), left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # whoever writes it holds it
                left.unlink()
