"""Answers on their way to a front: their pieces as they come, and proof of where they stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import structlog

from storage.backend import Store
from storage.errors import StorageError
from storage.model import Message, Receipt

from .errors import TroupeError
from .lanes import Lanes, Turn
from .pieces import Done, Piece

log = structlog.get_logger()

ANEW = "That answer is gone meanwhile, or was given anew."


class Showing:
    """The answers of one bot that are being shown. `run` answers a turn; `left_sight` tells whether a message is no
    longer there; `unheard` is told of a turn that nobody waited for; `overhear` hears what is said in each."""

    def __init__(
        self,
        store: Store,
        lanes: Lanes,
        left_sight: Callable[[Message], Awaitable[bool]],
        *,
        run: Callable[[Turn], Awaitable[None]],
        unheard: Callable[[Turn], None],
        overhear: Callable[[Turn, Piece | None], None],
    ) -> None:
        self._store, self._lanes = store, lanes
        self._run, self._left_sight, self._unheard, self._overhear = run, left_sight, unheard, overhear
        self._turns: dict[str, Turn] = {}

    def __bool__(self) -> bool:
        """Whether any is under way."""
        return bool(self._turns)

    async def pieces(self, turn: Turn) -> AsyncGenerator[Piece, None]:
        """The pieces of an answer once its turn has come. Raises what kept it from being given."""
        structlog.contextvars.bind_contextvars(turn=turn.id, session=turn.session.id)
        try:
            async with self._lanes.floor(turn):
                if turn.replaces is not None and await self._left_sight(turn.replaces):
                    raise TroupeError(ANEW)
                turn.overheard = self._overhear
                running = asyncio.ensure_future(self._run(turn))
                self._turns[turn.id] = turn
                try:
                    while (piece := await turn.pieces.get()) is not None:
                        yield piece
                        if isinstance(piece, Done):
                            turn.shown.set()
                finally:
                    turn.shown.set()
                    await running
                    del self._turns[turn.id]
        finally:
            if not turn.over.is_set():  # nobody waited for its turn to come
                self._unheard(turn)
        if turn.refused is not None:
            raise turn.refused

    async def delivered(self, message_id: str, receipts: tuple[Receipt, ...]) -> None:
        """Records where an answer's pages stand, so that replies to any of them are understood."""
        turn = self._turns.get(message_id)
        if turn is not None and not turn.keeping:
            turn.receipts = receipts
            turn.shown.set()
            return
        if turn is not None:
            await turn.over.wait()
        try:
            await self._store.keep_receipts(message_id, receipts)
        except StorageError as error:
            log.error("receipts.unkept", message=message_id, error=str(error))
