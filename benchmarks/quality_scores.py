"""How close a division of lines into conversations comes to the one that people made.

Both divisions map the same lines, in the order they were said, to a conversation each; scores are from 0 to 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from math import log2

Division = Mapping[int, Hashable]
"""By line, the conversation it is in; in the order the lines were said."""
PROMPT = 20
"""Lines of a session that a prompt would hold."""


def scores(found: Division, true: Division) -> dict[str, float]:
    """All four, by their names in the tables."""
    return {
        "VI": variation(found, true),
        "1-1": one_to_one(found, true),
        "exact": exact(found, true),
        "ctxF": context(found, true),
    }


def variation(found: Division, true: Division) -> float:
    """One less the variation of information, scaled by the most that so many lines can have."""
    count = len(true)
    if count < 2:
        return 1.0
    both = Counter((found[line], true[line]) for line in true)
    ours, theirs = Counter(found[line] for line in true), Counter(true.values())
    apart = -sum(
        many / count * (log2(many / ours[one]) + log2(many / theirs[other])) for (one, other), many in both.items()
    )
    return 1 - apart / log2(count)


def one_to_one(found: Division, true: Division) -> float:
    """The share of lines that agree when conversations are paired as well as they can be, one with one."""
    both = Counter((found[line], true[line]) for line in true)
    ours, theirs = list(dict.fromkeys(found[line] for line in true)), list(dict.fromkeys(true.values()))
    if len(ours) > len(theirs):
        table = [[-both[one, other] for one in ours] for other in theirs]
    else:
        table = [[-both[one, other] for other in theirs] for one in ours]
    return -_cheapest(table) / len(true) if true else 1.0


def exact(found: Division, true: Division) -> float:
    """F1 of the conversations of more than one line that were recovered line by line."""
    ours, theirs = _conversations(found, true), _conversations(true, true)
    if not ours and not theirs:
        return 1.0
    return 2 * len(ours & theirs) / (len(ours) + len(theirs))


def context(found: Division, true: Division) -> float:
    """Mean F1 between what a prompt would hold of the session when each line came, and the same of its conversation."""
    ours: dict[Hashable, list[int]] = {}
    theirs: dict[Hashable, list[int]] = {}
    total = 0.0
    for line in true:
        ours.setdefault(found[line], []).append(line)
        theirs.setdefault(true[line], []).append(line)
        held, wanted = set(ours[found[line]][-PROMPT:]), set(theirs[true[line]][-PROMPT:])
        total += 2 * len(held & wanted) / (len(held) + len(wanted))
    return total / len(true) if true else 1.0


def _conversations(division: Division, lines: Division) -> set[frozenset[int]]:
    by_conversation: dict[Hashable, list[int]] = {}
    for line in lines:
        by_conversation.setdefault(division[line], []).append(line)
    return {frozenset(members) for members in by_conversation.values() if len(members) > 1}


def _cheapest(costs: Sequence[Sequence[float]]) -> float:
    """The lowest sum of one cost a row, no column twice (the Hungarian method); at least as many columns as rows."""
    rows, columns = len(costs), len(costs[0]) if costs else 0
    for_row, for_column = [0.0] * (rows + 1), [0.0] * (columns + 1)
    taken_by = [0] * (columns + 1)
    for row in range(1, rows + 1):
        taken_by[0] = row
        column, least, came_from = 0, [float("inf")] * (columns + 1), [0] * (columns + 1)
        seen = [False] * (columns + 1)
        while taken_by[column]:
            seen[column] = True
            here, step, following = taken_by[column], float("inf"), 0
            for other in range(1, columns + 1):
                if seen[other]:
                    continue
                reduced = costs[here - 1][other - 1] - for_row[here] - for_column[other]
                if reduced < least[other]:
                    least[other], came_from[other] = reduced, column
                if least[other] < step:
                    step, following = least[other], other
            for other in range(columns + 1):
                if seen[other]:
                    for_row[taken_by[other]] += step
                    for_column[other] -= step
                else:
                    least[other] -= step
            column = following
        while column:
            taken_by[column] = taken_by[came_from[column]]
            column = came_from[column]
    return sum(costs[taken_by[column] - 1][column - 1] for column in range(1, columns + 1) if taken_by[column])
