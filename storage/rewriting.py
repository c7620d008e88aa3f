"""Takes a person out of archives: one that holds anything of theirs is written anew without it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from pathlib import Path

from . import connect
from .archive import Archive
from .backend import Store
from .blobs import Blobs
from .durable import in_thread, remove
from .forgetting import forget, pages, sessions_of
from .place import Folder
from .unpacking import description, restore_archive

_PAGE = 200


async def rewrite_without(path: Path, user_id: str, at: datetime, work: Path) -> bool:
    """Puts an archive without a person, up to a time, in place of one; whether there was anything of theirs in it.

    `work` is a folder that is not there yet, with room for all that is in the archive. A crash leaves both archives:
    the same call finishes. Raises `BadArchive` or `Unavailable`: then the archive is as it was."""
    told = await description(path)
    async with _scratch(told.bot, work) as store:
        blobs = Blobs(Folder(work / "attachments"), work)
        await restore_archive(path, store, blobs)
        if not await _knows(store, user_id):
            return False
        await forget(store, user_id, at, blobs=blobs)
        archive = Archive(path.parent, bot=told.bot, program=told.program, at=told.made_at, blobs=blobs)
        try:
            async for sessions in pages(lambda cursor: store.browse(cursor=cursor, limit=_PAGE)):
                for session in sessions:
                    await archive.add(store, session)
            await archive.finish()
        finally:
            await archive.drop()
    await in_thread(remove, path)
    return True


@asynccontextmanager
async def _scratch(bot: str, work: Path) -> AsyncIterator[Store]:
    await in_thread(shutil.rmtree, work, True)
    store = await connect(bot, work)
    try:
        yield store
    finally:
        await store.close()
        await in_thread(shutil.rmtree, work, True)


async def _knows(store: Store, user_id: str) -> bool:
    if (await store.talk_of(user_id, limit=1)).items or (await store.marked_by(user_id, limit=1)).items:
        return True
    async with aclosing(sessions_of(store, user_id)) as found:
        return await anext(found, None) is not None
