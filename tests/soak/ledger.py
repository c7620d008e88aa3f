"""What a writer was told is kept, and how many of what it told were troubles."""

from __future__ import annotations

from collections.abc import Iterable

from .talk import Name


class Ledger:
    """The acknowledgements of one round."""

    def __init__(self) -> None:
        self.opened = 0
        self.kept: list[Name] = []
        self.changed: set[Name] = set()
        self.removed: list[Name] = []
        self.titled: dict[str, int] = {}
        """By session, the number its title must have at least."""
        self.runs: dict[str, int] = {}
        """By lane, the number its run must stand at, at least."""
        self.troubles: list[str] = []
        """Whatever a writer said that is no acknowledgement."""

    def hear(self, lines: Iterable[str]) -> None:
        for line in lines:
            match line.split(" "):
                case ["opened"]:
                    self.opened += 1
                case ["kept", name]:
                    self.kept.append(Name.read(name))
                case ["changed", name]:
                    self.changed.add(Name.read(name))
                case ["removed", name]:
                    self.removed.append(Name.read(name))
                case ["titled", name]:
                    titled = Name.read(name)
                    self.titled[titled.within] = titled.number
                case ["run", name]:
                    ran = Name.read(name)
                    self.runs[ran.lane] = ran.number
                case _:
                    self.troubles.append(line)
