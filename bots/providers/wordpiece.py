"""Text as the numbers of a vocabulary's pieces, as uncased BERT models read it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

_LONGEST_WORD = 100
_MOST_KNOWN = 20_000


class WordPiece:
    """A vocabulary of whole words and `##` pieces of words, and the greedy longest match that cuts text into them."""

    def __init__(self, vocabulary: Iterable[str]) -> None:
        """`vocabulary` in the order of its numbers. Raises `ValueError` for one that is not BERT's."""
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        missing = [piece for piece in ("[CLS]", "[SEP]", "[UNK]") if piece not in self._numbers]
        if missing:
            raise ValueError(f"the vocabulary has no {', '.join(missing)}")
        self.size = len(self._numbers)
        self._first, self._last = self._numbers["[CLS]"], self._numbers["[SEP]"]
        self._unknown = self._numbers["[UNK]"]
        self._read = _Reading()

    def ids(self, text: str, most: int) -> list[int]:
        """The numbers of a text's pieces between those for its beginning and its end, `most` in all. What looks
        like one of the model's own marks (`[SEP]`) is text like any other."""
        found = [self._first]
        for word in text[: most * (_LONGEST_WORD + 1)].translate(self._read).split():
            found += self._pieces(word)
            if len(found) >= most:
                break
        return [*found[: most - 1], self._last]

    def _pieces(self, word: str) -> list[int]:
        whole = self._numbers.get(word)
        if whole is not None:
            return [whole]
        if len(word) > _LONGEST_WORD:
            return [self._unknown]
        found: list[int] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = self._numbers.get(f"##{word[start:end]}" if start else word[:end])
                if piece is not None:
                    break
            else:
                return [self._unknown]
            found.append(piece)
            start = end
        return found


class _Reading(dict[int, str]):
    """What each character is read as, for `str.translate`: small, without accents, and apart where it is a word by
    itself."""

    def __missing__(self, code: int) -> str:
        read = "".join(_read(chr(code)))
        if len(self) < _MOST_KNOWN:
            self[code] = read
        return read


def _read(character: str) -> Iterator[str]:
    if (character.isspace() and unicodedata.category(character) != "Cc") or character in "\t\n\r":
        yield " "
        return
    if character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs"):
        return
    alone = _ideograph(ord(character))
    for part in unicodedata.normalize("NFD", character):
        if unicodedata.category(part) == "Mn":
            continue
        for small in part.lower():
            yield f" {small} " if alone or _punctuation(small) else small


def _punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P") or character in "$+<=>^`|~"


def _ideograph(code: int) -> bool:
    return any(first <= code <= last for first, last in _IDEOGRAPHS)


_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
