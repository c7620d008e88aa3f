"""The answers that are being given just now, as far as they have got: told as they come, and to whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from storage.model import Session

from .events import Anew, Began, Ended, Events, More, Standing, Wanted
from .lanes import Turn
from .pieces import Delta, Left, Opened, Piece, Reset


@dataclass(slots=True)
class SoFar:
    """One answer, as far as it has got."""

    session: Session
    answer_id: str
    persona: str
    speaker: str
    asked: tuple[str, ...]
    """The ids of the lines that it answers."""
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its words so far."""
        return "".join(self.words)


class UnderWay:
    """The answers of one bot that are being given, and whoever hears of them."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._answers: dict[str, SoFar] = {}

    def __iter__(self) -> Iterator[SoFar]:
        """Those that have begun, the oldest first."""
        return iter(tuple(self._answers.values()))

    def standing(self, wanted: Wanted) -> Standing:
        """How those stand that somebody wants to know of. Who has begun to listen and asks at once, before anybody
        else has a turn, misses no word and hears none twice."""
        began = ((Began(each.session, each.answer_id, each.persona, each.speaker, each.asked), each) for each in self)
        return Standing(tuple((event, each.text) for event, each in began if wanted(event)))

    def overhear(self, turn: Turn, piece: Piece | None) -> None:
        """Told each piece of an answer as it comes, and None once all is kept and nothing more comes."""
        known = self._answers.get(turn.id)
        match piece:
            case Opened():
                asked = tuple(line.id for line in turn.lines)
                self._answers[turn.id] = SoFar(turn.session, turn.id, piece.persona, piece.speaker, asked)
                self._events.tell(Began(turn.session, turn.id, piece.persona, piece.speaker, asked))
            case Delta() if known is not None:
                known.words.append(piece.text)
                if self._events.listened:
                    self._events.tell(More(known.session, turn.id, piece.text))
            case Reset() | Left() if known is not None:
                known.words.clear()
                self._events.tell(Anew(known.session, turn.id))
            case None if known is not None:
                del self._answers[turn.id]
                self._events.tell(Ended(known.session, turn.id))
