"""What the web front counts of itself, for whoever looks after it."""

from __future__ import annotations

from collections import Counter, defaultdict

_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"))


class Counts:
    """Requests since the bot was started. Cheap enough for every request."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By method, route and status; the route is empty where there was none."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """That answers took, by route."""
        self.refusals: Counter[str] = Counter()
        """At the door, by their kind."""

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests[(method if method in _METHODS else "other", route, status)] += 1
        self.seconds[route] += seconds

    def refused(self, kind: str) -> None:
        self.refusals[kind.strip("_")] += 1
