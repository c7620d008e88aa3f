"""What somebody wants of the `troupe up` that looks after a bot: a word in the bot's root, which is taken once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Literal, cast, get_args

Wish = Literal["stop", "start", "restart"]
FILE = "fleet.wish"


def leave(root: Path, wish: Wish) -> None:
    """Leaves a wish, in place of one that was not taken yet. Raises `OSError`."""
    draft = root / f".{FILE}"
    draft.write_text(wish)
    draft.replace(root / FILE)


def waits(root: Path) -> bool:
    """Whether a wish was not taken yet."""
    return (root / FILE).exists()


def withdraw(root: Path, wish: Wish) -> None:
    """Takes a wish back that was not taken yet; another one stays."""
    with suppress(OSError):
        if (root / FILE).read_text() == wish:
            (root / FILE).unlink()


def taken(root: Path) -> Wish | None:
    """The wish that was left, which is gone from now on; None where there is none."""
    try:
        wish = (root / FILE).read_text()
        (root / FILE).unlink()
    except OSError:
        return None
    return cast(Wish, wish) if wish in get_args(Wish) else None
