"""Who is at this machine: the person at the terminal front and at an open console."""

from __future__ import annotations

import getpass
import os
from functools import cache

from storage.model import Sender


@cache
def whoever_is_here() -> Sender:
    """The person at this machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = f"user-{os.getuid()}"
    return Sender(type="user", id=name, name=name)
