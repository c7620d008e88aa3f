"""Text on its way to and from Discord: answers cut into pages, names made inert, the bot's own mention taken out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import copy
from typing import NamedTuple

LIMIT = 2000
"""Discord's longest message. Its client counts UTF-16 code units, its API code points: the first is safe for both."""


class Page(NamedTuple):
    """One message of an answer: the exact piece of the answer it stands for, and what Discord is given to show."""

    source: str
    shown: str


def pages(text: str, limit: int = LIMIT) -> list[Page]:
    """Cut an answer into messages of at most `limit` UTF-16 units (`limit` is at least 16, else ValueError).

    Promises: the sources joined are the text, exactly; no `shown` is blank; a text of nothing but whitespace has no
    pages. `shown` is its source without the whitespace at the cuts and, where a page ends inside a code fence, with
    that fence closed there and reopened on the next page. Cuts fall, in order of preference, between paragraphs,
    lines, sentences, words and graphemes; inside a grapheme only when that one alone is longer than the limit.
    """
    pager = Pager(limit)
    pager.feed(text)
    pager.finish()
    return pager.pages


class Pager:
    """Pages of an answer that is still growing: full pages are kept, only the open tail is cut again.

    However the text is split into pieces, the finished pages are those of `pages(text)`: each step sees only a window
    of fixed size, and waits until that window is full or the text has ended. `feed` costs the length of its piece
    (plus one cut per page); reading `pages` cuts the tail, a little over one page: only its pages may still change.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        if limit < 16:
            raise ValueError(f"a page needs room for at least 16 characters, not {limit}")
        self._limit = limit
        self._window = limit + limit // 8 + 16  # a little more than a page, to see what a cut would stand before
        self._kept: list[Page] = []
        self._before = ""  # whitespace before the first page, which then owns it
        self._fence: Fence | None = None  # the fence in which the tail begins
        self._fresh = True  # does the tail begin at the start of a line?
        self._loose: list[str] = []
        self._size = 0
        self._ended = False
        self._read: list[Page] | None = None

    def feed(self, piece: str) -> None:
        """Append a piece of the answer. ValueError after `finish`."""
        if self._ended:
            raise ValueError("this answer is finished: nothing can be added to it")
        self._loose.append(piece)
        self._size += len(piece)
        self._read = None
        if self._size >= self._window:
            self._settle()

    def finish(self) -> None:
        """Say that the answer is complete; the pages no longer change."""
        self._ended = True
        self._read = None
        self._settle()

    @property
    def pages(self) -> list[Page]:
        """The pages as they stand: each one can be shown, and their sources joined are the text fed so far."""
        if self._read is None:
            self._read = self._kept if self._ended else self._preview()
        return list(self._read)

    def _preview(self) -> list[Page]:
        tail = "".join(self._loose)
        self._loose = [tail]
        held = unsure(tail, self._fence, self._limit)
        found = self._as_if_ended(tail[: len(tail) - held])
        if held and found:
            found[-1] = Page(found[-1].source + tail[-held:], found[-1].shown)
        elif held:
            found = self._as_if_ended(tail)
        return self._kept[:-1] + found

    def _as_if_ended(self, tail: str) -> list[Page]:
        twin = copy(self)
        twin._kept, twin._loose, twin._ended = self._kept[-1:], [tail], True
        twin._settle()
        return twin._kept

    def _settle(self) -> None:
        tail, at = "".join(self._loose), 0
        while len(tail) - at >= self._window or (self._ended and at < len(tail)):
            window = tail[at : at + self._window]
            used = self._absorb(window) or self._take(window)
            at += used
            self._fresh = tail[at - 1] == "\n"
        self._loose, self._size = [tail[at:]], len(tail) - at

    def _absorb(self, window: str) -> int:
        """Give what needs no showing to the page before it, so that no page is ever blank or an empty code block."""
        size, closed = silent(window, self._fence, self._fresh, self._limit)
        if closed:
            self._fence = None
        if not self._kept:
            self._before += window[:size]
        elif size:
            self._kept[-1] = Page(self._kept[-1].source + window[:size], self._kept[-1].shown)
        return size

    def _take(self, window: str) -> int:
        size = cut(window, self._fence, self._limit)
        body, fence = shown(window[:size], self._fence, self._limit)
        self._kept.append(Page(self._before + window[:size], body))
        self._before = ""
        self._fence = fence.carried(self._limit) if fence else None
        return size


def unsure(tail: str, fence: Fence | None, limit: int) -> int:
    """Length of a last line, still growing, that may or may not become a fence; showing it early would flicker.

    A half-written closing fence would open a page of its own and then take it back.
    """
    start = tail.rfind("\n") + 1
    last = tail[start:]
    mark = MAYBE.match(last)
    if not mark:
        return 0
    held = len(last) - mark.end() + 1
    if not last[mark.end() :].strip(mark[0][-1]):
        return held
    line = FENCE.match(last)
    opens = line and opened(line, limit) and shown(tail[:start], fence, limit)[1] is None
    return held if opens else 0


def silent(window: str, fence: Fence | None, fresh: bool, limit: int) -> tuple[int, bool]:
    """How much at the start needs no showing: whitespace, or the closing line of a fence already closed by a repair.

    Also says whether it was such a closing line. Inside a fence, the indentation of a line stays with its line.
    """
    blank = len(window) - len(window.lstrip())
    if blank == len(window):
        return blank, False
    start = window.rfind("\n", 0, blank) + 1
    if fence and (start or fresh):
        line = FENCE.match(window, start)
        if line and fence.closed_by(line):
            return line.end(), True
        if (blank - start) * 4 <= limit:
            return start, False
    return whole(window, blank), False


def cut(window: str, fence: Fence | None, limit: int) -> int:
    """How many characters of the window make the next page, which begins inside `fence`."""
    text = window if fence else window.lstrip()
    if units(shown(text, fence, limit)[0]) <= limit:
        return len(window.rstrip())
    found = list(fences(text, fence, limit))
    closings = [width(line["lead"]) + len(line["run"]) for line, _, _ in found]
    closings = [size + 1 for size in closings if size * 8 <= limit]
    opening = 0
    if fence:
        closings.append(units(fence.closing) + 1)
        opening = units(fence.opening) + 1
    room = fitting(text, limit - opening - max(closings, default=0))
    return len(window) - len(text) + place(text, room, found, fence)


def place(text: str, room: int, found: list[Crossing], fence: Fence | None) -> int:
    """The best place to cut, at most `room` characters in: the last of the best kind that leaves no small page."""
    barred = [span for span in map(closed_to_cuts, found) if span[0] or span[1] < room]
    for pattern, share in ((PARAGRAPH, 2), (LINE, 2), (SENTENCE, 2), (WORD, 4)):
        spots = [match.end() for match in pattern.finditer(text, room // share)]
        for spot in reversed(spots):
            if not (1 <= spot <= room) or any(start < spot < end for start, end in barred):
                continue
            if pattern is PARAGRAPH and fence_at(spot, found, fence):
                continue
            if text[:spot].strip() and not RISKY.match(text, spot) and whole(text, spot) == spot:
                return spot
    return forced(text, room, barred)


def forced(text: str, room: int, barred: list[tuple[int, int]]) -> int:
    """Where to cut when there is no good place: between graphemes if that can be, else between code points."""
    spot = whole(text, room)
    spot = next((start for start, end in barred if 0 < start < spot < end), spot)
    if RISKY.match(text, spot):
        earlier = whole(text, spot - 1)
        spot = spot if RISKY.match(text, earlier) else earlier
    return spot if text[:spot].strip() else room


def closed_to_cuts(crossing: Crossing) -> tuple[int, int]:
    """The open interval around a fence line where a cut would break it, or leave an empty code block behind."""
    line, before, after = crossing
    if before is None and after is not None:
        rest = line.string[line.end() :]
        return line.start(), line.end() + len(rest) - len(rest.lstrip()) + 1
    return line.start(), line.end()


def fence_at(spot: int, found: list[Crossing], fence: Fence | None) -> Fence | None:
    """The fence open at this place."""
    return next((after for line, _, after in reversed(found) if line.start() < spot), fence)


def shown(body: str, fence: Fence | None, limit: int) -> tuple[str, Fence | None]:
    """What Discord is given for this piece, which begins inside `fence`; and the fence left open at its end."""
    # Discord strips messages itself: outside a fence, what we send should be what it stores.
    text = body.rstrip() if fence else body.strip()
    found = list(fences(text, fence, limit))
    last = found[-1][2] if found else fence
    closing_line = next((line for line, before, after in found if fence and before is fence and after is None), None)
    if fence and closing_line and width(closing_line["lead"]) > 3 and ">" not in closing_line["lead"]:
        # The list that this fence stood in is on an earlier page; so deep, the line would no longer close it.
        text = text[: closing_line.start()] + fence.lead + text[closing_line.start("run") :]
    opening = fence.opening + "\n" if fence else ""
    closing = "\n" + last.closing if last else ""
    return opening + text + closing, last


class Fence(NamedTuple):
    """An open code fence: what stands before its marker, the marker, its info string, how deep a closing may stand."""

    lead: str
    run: str
    info: str
    reach: int

    @property
    def opening(self) -> str:
        """The line that opens it."""
        return self.lead + self.run + self.info

    @property
    def closing(self) -> str:
        """The line that closes it."""
        return self.lead + self.run

    def closed_by(self, line: re.Match[str]) -> bool:
        """As CommonMark says: the same character, at least as long, nothing after it, not indented as code."""
        lead = line["lead"]
        plain = not lead.strip(" \t>") and lead.count(">") == self.lead.count(">")
        return plain and width(lead) <= self.reach and line["run"].startswith(self.run) and not line["info"].strip()

    def carried(self, limit: int) -> Fence:
        """The same fence reopened on a page of its own, out of its list; an outsized info string is left behind."""
        lead = self.lead if len(self.lead) <= 3 or ">" in self.lead else ""
        info = self.info if units(self.opening) * 4 <= limit else ""
        return self._replace(lead=lead, info=info)


Crossing = tuple[re.Match[str], Fence | None, Fence | None]
"""A line that looks like a fence, the fence open before it and the one open after it."""


def fences(text: str, fence: Fence | None, limit: int) -> Iterator[Crossing]:
    """Every line that looks like a fence, with what it does; `fence` is open at the start."""
    if "```" not in text and "~~~" not in text:
        return
    for line in FENCE.finditer(text):
        before = fence
        if before is None:
            fence = opened(line, limit)
        elif before.closed_by(line):
            fence = None
        yield line, before, fence


def opened(line: re.Match[str], limit: int) -> Fence | None:
    """The fence this line opens, if it does.

    Any indentation is accepted: Discord has no indented code, and inside a list four spaces and more are ordinary. A
    marker so long that repairs would crowd out the text is taken for text.
    """
    run, info = line["run"], line["info"].rstrip()
    if run[0] == "`" and "`" in info:
        return None
    lead = re.sub(r"[^\s>]", " ", line["lead"]).expandtabs(4)
    if (len(lead) + len(run)) * 8 > limit:
        return None
    deep = len(lead) > 3 or ">" in lead
    return Fence(lead, run, info, len(lead) + 3 if deep else 3)


def width(lead: str) -> int:
    """Columns taken by what stands before a fence."""
    return len(lead.expandtabs(4))


def units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def fitting(text: str, room: int) -> int:
    """How many characters from the start fit into `room` UTF-16 units."""
    size = min(room, len(text))
    while (over := units(text[:size]) - room) > 0:
        size -= (over + 1) // 2  # no character is more than two units, so this never goes too far
    return size


def whole(text: str, spot: int) -> int:
    """The last boundary between graphemes at or before this place. The text begins at one."""
    if not 0 < spot < len(text) or (simple(text[spot - 1]) and simple(text[spot])):
        return spot
    import regex  # only here: most answers never need it

    start = spot - 1
    while start > 0 and not (simple(text[start - 1]) and simple(text[start])):
        start -= 1
    for cluster in regex.finditer(r"\X", text, pos=start):
        if cluster.end() >= spot:
            return spot if cluster.end() == spot else int(cluster.start())
    return spot


def simple(char: str) -> bool:
    """Is there always a grapheme boundary between two of these?"""
    return (char < "\u0300" and char != "\r") or "\u3400" <= char <= "\u9fff"


def safe_name(name: str) -> str:
    """A display name made inert for prompts and logs: one line, at most 80 characters, nothing hidden, no ping.

    Emoji and every script are kept; backticks, `@` and the `<` of a tag are replaced by look-alikes. A name with
    nothing to see in it becomes "someone".
    """
    import regex

    name = regex.sub(r"[\s\p{Z}\u2800]+", " ", name)
    name = regex.sub(HIDDEN, "", name).translate(LOOKALIKES)
    name = regex.sub(r"<(?=[^\s\d])", "‹", name)
    name = " ".join(name.split())
    name = name[: whole(name, 80) or 80].rstrip()
    return name if regex.search(r"[^\p{M}\p{Z}\s]", name) else "someone"


def strip_mention(text: str, bot_id: str, name: str) -> str:
    """The message without the bot's mention at its start or end; elsewhere the mention reads as the bot's name."""
    token = rf"<@!?{re.escape(bot_id)}>"
    text = re.sub(rf"\A(?:\s*{token}[,:]?)+|(?<!\s)(?:\s*{token})+\Z", "", text.strip()).strip()
    return re.sub(rf"(?<! )( ?) *{token}( ?) *", lambda found: found[1] + name + found[2], text)


LEAD = r"(?:[ \t>]|[-*+] |\d{1,9}[.)] )*"  # what may stand before a fence: indentation, list markers, quotes
FENCE = re.compile(rf"^(?P<lead>{LEAD})(?P<run>`{{3,}}|~{{3,}})(?P<info>[^\n]*)$", re.MULTILINE)
MAYBE = re.compile(rf"{LEAD}[`~]")
RISKY = re.compile(rf"{LEAD}(?:```|~~~)")  # text that would become a fence if a page began with it

# All match no characters, or end where the cut goes.
PARAGRAPH = re.compile(rf"(?=\n[ \t\r]*\n)|(?=\n{LEAD}(?:```|~~~))")
LINE = re.compile(r"(?=\n)")
SENTENCE = re.compile(r"[.!?…][\"')\]*_”’»]*(?=\s)|[。！？｡؟۔।॥]+[\"'」』）】”’»*_]*")
WORD = re.compile(r"(?=\s)|(?<=[，、；：\u200b])")  # the last: where Thai and Khmer writers mark a break

# Zero-width, bidi and control characters, lone surrogates; but not the joiners that hold one emoji together.
HIDDEN = (
    r"(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}\uFE0F])\u200D(?=\p{Extended_Pictographic})(*SKIP)(*FAIL)"
    r"|(?<=\p{Emoji})\uFE0F(*SKIP)(*FAIL)"
    r"|[\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}]"
)
LOOKALIKES = str.maketrans({"`": "'", "@": "＠"})
