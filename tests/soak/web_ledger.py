"""What was said at consoles on a simulated day, as everybody there was told."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class Line:
    """What somebody has said, or tried to."""

    number: int
    session: str
    texts: set[str]
    """The wordings that it may have in the end."""
    id: str = ""
    """Once somebody was told that it is kept."""
    taken: bool = False
    """Whether somebody has tried to take it away,"""
    gone: bool = False
    """and was told that it is."""
    stopped: bool = False
    """Whether somebody wanted silence while it may have been open."""
    answered: bool = False
    """Whether somebody has heard the end of an answer to it."""
    refused: str = ""
    """Why there is no answer, as was told."""

    @property
    def key(self) -> str:
        return f"k{self.number}"


@dataclass(eq=False)
class Ledger:
    """Written by whoever sits at a console, read by the check in the end."""

    sessions: dict[str, str] = field(default_factory=dict)
    """The tokens of those whose they are."""
    lines: list[Line] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    """The words of each answer whose end was told, by its id."""
    findings: list[str] = field(default_factory=list)
    cut: int = 0
    """Streams that were cut off by whoever listened, or by the bot's end."""

    def say(self, session: str, words: str) -> Line:
        """A new line, by a number that stands in it."""
        number = len(self.lines)
        line = Line(number, session, {f"q{number} {words}"})
        self.lines.append(line)
        return line

    def kept(self, line: Line, id: str) -> None:
        """Somebody was told that a line is kept."""
        if line.id not in ("", id):
            self.findings.append(f"{line.key} was told of as {line.id}, and as {id}")
        line.id = id

    def stop(self, session: str) -> None:
        """Somebody wants silence in a session."""
        for line in self.lines:
            line.stopped |= line.session == session and not line.answered
