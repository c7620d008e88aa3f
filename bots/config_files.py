"""The files of a bot's configuration, as people edit them: read, tried before they count, and written whole."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .config_variables import Variable, elsewhere, spoken_of
from .errors import ConfigError, TroupeError
from .loading import load
from .reloading import differing, needs_restart
from .settings import BotSettings
from .written import Entry, Files

Kind = Literal["bot", "persona", "fleet"]
FLEET = "troupe.yaml"
LARGEST = 262_144
"""Characters of a file."""
_PERSONA = re.compile(r"personas/[a-z][a-z0-9_-]{0,31}\.yaml")
_PLACED = re.compile(r"(?P<file>[^:\s]+\.yaml|\.env)(?::(?P<line>\d+))?: (?P<text>.+)", re.DOTALL)


class Changed(TroupeError):
    """A file is not as it was when it was read."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file, as it is now."""

    path: str
    """Within the folder: `bots/sage.yaml`."""
    kind: Kind
    writable: bool
    """Whether it may be changed from here: what all bots share is not one bot's to change."""
    text: str
    version: str
    """Another one when the text is another one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with what people wrote."""

    path: str | None
    line: int | None
    text: str
    """A whole sentence, the place included."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a text would do as one of the files."""

    findings: tuple[Finding, ...]
    diff: str
    changed: tuple[str, ...] = ()
    """The bot's settings that would be others."""
    waiting: tuple[str, ...] = ()
    """Those of them that take a restart."""


class ConfigFiles:
    """The files in `folder` that concern one bot. Everything here reads or writes files: to be called in a thread."""

    def __init__(self, folder: Path, bot_name: str, environ: Mapping[str, str] = os.environ) -> None:
        self._folder, self._own, self._environ = Path(os.path.abspath(folder)), f"bots/{bot_name}.yaml", environ
        self._name = bot_name
        self._one = threading.Lock()

    def listed(self) -> list[ConfigFile]:
        """The bot's own file, every persona's and what all bots share, as they are now; one that cannot be read is
        left out."""
        personas = sorted(path.name for path in (self._folder / "personas").glob("*.yaml"))
        found = [self._read(path) for path in (self._own, *(f"personas/{name}" for name in personas), FLEET)]
        return [each for each in found if each is not None]

    def variables(self) -> list[Variable]:
        """The variables that the files' values speak of, by name; a file that is broken speaks of none."""
        texts = {each.path: each.text for each in self.listed()}
        files = Files(self._folder.parent, self._environ, [], {self._folder / path: texts[path] for path in texts})
        entries = {path: entry for path in texts if (entry := files.mapping(self._folder / path)) is not None}
        return spoken_of(entries, files.variables)

    def check(self, path: str, text: str, running: BotSettings) -> Checked:
        """What would come of it if the file read so, beside the settings that are `running`: variables stay where they
        are. Raises `TroupeError` for a file that is none of the bot's."""
        self._kind(path)
        before = self._read(path)
        diff = "".join(
            difflib.unified_diff(
                _lines(before.text if before else ""), _lines(text), f"{path} as it is", f"{path} as written"
            )
        )
        try:
            new = load(self._folder, self._environ, {self._folder / path: text}).bot(self._name)
        except ConfigError as error:
            return Checked(tuple(map(self._placed, error.findings)), diff)
        if found := self._elsewhere(path, text):
            return Checked(tuple(map(self._placed, found)), diff)
        keys = differing(running, new) if new is not None else []
        return Checked((), diff, tuple(keys), tuple(key for key in keys if needs_restart(key)))

    def write(self, path: str, text: str, version: str | None, running: BotSettings) -> ConfigFile:
        """Puts a text in a file's place, in one step; the one before stays beside it as `.bak`. `version` is that of
        the file that was read, None for one that is new. Raises `Changed`, `ConfigError` with what is wrong with the
        text, and `TroupeError` where it cannot be written: then nothing has changed."""
        if self._kind(path) == "fleet":
            raise TroupeError(f"{path} is shared by every bot: change it where the files are.")
        with self._one:
            before = self._read(path)
            if (before.version if before else None) != version:
                raise Changed(f"{path} was changed meanwhile: read it again, and write what you want into that.")
            checked = self.check(path, text, running)
            if checked.findings:
                raise ConfigError([each.text for each in checked.findings])
            try:
                _replace(Path(os.path.realpath(self._folder / path)), text)
            except OSError as error:
                raise TroupeError(f"{path} cannot be written ({error.strerror}).") from error
        written = self._read(path)
        assert written is not None
        return written

    def _elsewhere(self, path: str, text: str) -> list[str]:
        """What is wrong with where variables would stand."""
        names = [path] if self._kind(path) != "persona" else [each.path for each in self.listed()]
        before = [entry for name in names if (entry := self._entry(name)) is not None]
        after = self._entry(path, text)
        return elsewhere(before, after) if after is not None else []

    def _entry(self, path: str, text: str | None = None) -> Entry | None:
        """A file as it is, or as it would be; a bot's with what all bots share."""
        file, shared = self._folder / path, self._folder / FLEET
        files = Files(self._folder.parent, self._environ, [], {file: text} if text is not None else None)
        entry = files.mapping(file)
        if self._kind(path) != "bot":
            return entry
        fleet = files.mapping(shared)
        defaults = fleet.at("defaults") if fleet is not None else None
        return entry.over(defaults) if entry is not None and defaults is not None else entry or defaults

    def _kind(self, path: str) -> Kind:
        if path == self._own:
            return "bot"
        if path == FLEET:
            return "fleet"
        if _PERSONA.fullmatch(path):
            return "persona"
        raise TroupeError(f"'{path[:60]}' is none of this bot's files: there are {self._own} and personas/<name>.yaml.")

    def _read(self, path: str) -> ConfigFile | None:
        if path not in (self._own, FLEET) and not _PERSONA.fullmatch(path):
            return None
        try:
            with (self._folder / path).open("rb") as file:
                text = file.read(LARGEST * 4).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            return None
        kind = self._kind(path)
        return ConfigFile(path, kind, kind != "fleet", text, hashlib.sha256(text.encode()).hexdigest())

    def _placed(self, finding: str) -> Finding:
        at = _PLACED.match(finding)
        if at is None:
            return Finding(None, None, finding)
        return Finding(
            at["file"].removeprefix(f"{self._folder.name}/"), int(at["line"]) if at["line"] else None, finding
        )


def _lines(text: str) -> list[str]:
    return [f"{line}\n" for line in text.splitlines()]


def _replace(path: Path, text: str) -> None:
    """Whole or not at all, and as readable as it was."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    aside = Path(name)
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            before = path.with_name(f"{path.name}.bak")
            shutil.copyfile(path, before)
            for copy in (before, aside):
                shutil.copymode(path, copy)
        else:
            aside.chmod(0o644)
        aside.replace(path)
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()
