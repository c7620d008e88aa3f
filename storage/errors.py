"""What can go wrong with storage: a class for the program, a sentence for the person.

StorageError
├── Unavailable      the root cannot be read or written right now (full disk, permissions, damage)
├── NewerSchema      the database was written by a newer program
└── RootInUse        another process holds the root
"""


class StorageError(Exception):
    """Anything storage refuses; its text is a whole sentence for a person."""


class Unavailable(StorageError):
    """The root cannot be used right now; nothing acknowledged is lost."""


class NewerSchema(StorageError):
    """The database's schema is newer than this program knows."""


class RootInUse(StorageError):
    """Another process is the root's only writer."""

    def __init__(self, root: str, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{root} is in use by {holder}. One process owns a bot's storage: stop that one first "
            "(or talk to the running bot with `troupe chat`)."
        )
        self.pid = pid
