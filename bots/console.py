"""`troupe chat`: a person at a terminal, or a pipe, talking to a bot through its own door."""

from __future__ import annotations

import contextlib
import json
import os
import re
import readline  # noqa: F401  (gives input() its editing and history)
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from storage.rootlock import holder

from . import status
from .errors import TroupeError
from .settings import BotSettings
from .terminal import SOCKET, Answer, reachable

_DOOR_SECONDS = 20.0
"""How long to knock at a door, at the start and when the bot has gone away."""
_PASTE_SECONDS = 0.05
"""Lines that follow each other faster than this were pasted and belong together."""
_LOG = "chat.log"
_NAME_LINE = re.compile(r"\*\*[^*]+\*\*")
_SMALL_PRINT = re.compile(r"^-# (.+)$", re.MULTILINE)
_HELP = """\
Type a line and press Enter. `/new` starts a new session, `/why` tells why that persona answered, `/why memory` what \
was recalled for it, `/why session` why your line is in this session, `/memory` what the bot remembers, `/memory \
remember` and `/memory forget` with words add to it and take from it, `/stop` or Ctrl-C ends an answer, `/history` \
shows the session so far, `/help` shows this. `/quit`, Ctrl-D or Ctrl-C at the prompt leaves."""
_HERE = {each: each for each in ("new", "why", "why memory", "why session", "memory list", "stop", "history")}
_HERE["memory"] = "memory list"
_WITH_WORDS = re.compile(r"(?P<do>memory (?:remember|forget)) (?P<text>.+)", re.IGNORECASE)
_MEMORY = "Say /memory list, /memory remember and what, or /memory forget and what."
_ELSEWHERE = {
    "backup": "backup {bot}",
    "cleanup": "cleanup {bot} --dry-run",
    "config": "config check",
    "doctor": "doctor {bot}",
    "export": "export {bot}",
    "import": "import --help",
    "memory": "memory list {bot}",
    "migrate": "migrate --help",
    "restore": "restore --help",
    "route": 'route "your line" --bot {bot}',
    "sessions": "sessions list {bot}",
    "start": "start {bot}",
    "status": "status {bot}",
    "transfer": "transfer --help",
}
"""What whoever runs the bot does at a terminal of its own, by the word that people type here."""

_Child = subprocess.Popen[bytes]


def chat(bot: BotSettings, config: Path) -> None:
    """Talks until the person leaves or the pipe ends. Uses the bot that runs; otherwise starts it for as long as
    the talk lasts."""
    try:
        with _at_home(bot, config) as child, contextlib.closing(_Talk(bot, Console(highlight=False), child)) as talk:
            if sys.stdin.isatty():
                talk.greet()
                talk.interactive()
            else:
                for line in sys.stdin:
                    if not talk.hear(line.strip()):
                        break
    except BrokenPipeError:  # nobody reads what is printed
        raise
    except OSError as error:
        raise TroupeError(f"Cannot talk to {bot.display}: {error}") from error


class _Gone(Exception):
    """The bot has hung up, before or after it began to answer."""

    def __init__(self, *, answering: bool = False) -> None:
        super().__init__()
        self.answering = answering


class _Talk:
    def __init__(self, bot: BotSettings, console: Console, child: _Child | None) -> None:
        self._bot = bot
        self._console = console
        self._child = child
        self._requests = count(1)
        self._partial = b""
        self._heard: deque[bytes] = deque()
        self._typed: deque[str] = deque()
        self._socket = _knock(bot, child, "did not start")

    def close(self) -> None:
        self._socket.close()

    def greet(self) -> None:
        said = status.of(self._bot)
        models = said.models if said.running and said.models else status.models(self._bot)
        offline = models[0] == "offline"
        voice = "It has no model and answers offline." if offline else f"It answers with {models[0]}."
        about = f": {self._bot.description}" if self._bot.description else "."
        self._console.print(Text.assemble((self._bot.display, "bold"), f" is here{about}"))
        if len(self._bot.personas) > 1:
            names = ", ".join(persona.display for persona in self._bot.personas)
            voice = f"Its personas are {names}: call one by name. {voice}"
        self._console.print(Text(voice))
        self._help()

    def interactive(self) -> None:
        """Reads lines until the person leaves. Lines typed while an answer runs are said after it."""
        while True:
            try:
                if not self.hear(self._typed.popleft() if self._typed else self._read()):
                    return
            except (EOFError, KeyboardInterrupt):
                self._console.print()
                return

    def hear(self, line: str) -> bool:
        """Does what the person says; False when that is to leave."""
        typed = " ".join(line[1:].split()) if line.startswith("/") else ""
        command = typed.casefold() if line.startswith("/") else None
        if command in ("quit", "exit"):
            return False
        if command in ("help", "?", ""):
            self._help()
        elif with_words := _WITH_WORDS.fullmatch(typed):
            self._say({"do": with_words["do"].casefold(), "text": with_words["text"]})
        elif command is not None and command not in _HERE:
            self._send_elsewhere(command)
        elif line:
            self._say({"say": line} if command is None else {"do": _HERE[command]})
        return True

    def _send_elsewhere(self, command: str) -> None:
        """Says where a command is done that is not done here."""
        word = command.split()[0]
        if command in ("memory remember", "memory forget"):
            self._note(_MEMORY)
        elif example := _ELSEWHERE.get(word):
            self._note(f"In another terminal: troupe {example.format(bot=self._bot.name)}")
        else:
            self._note(f"There is no command '{command[:40]}'; /help lists them.")

    def _say(self, asked: Answer) -> None:
        """Says one line, or gives one command, and shows all that comes back; outlives a restart of the bot."""
        try:
            try:
                request = self._send(asked)
            except _Gone:  # it went while nobody spoke, so nothing is lost by saying it again
                self._await_return()
                request = self._send(asked)
            with _on_interrupt(self._stop):
                self._show(request)
        except _Gone as gone:
            self._await_return()
            broken = "The answer was cut off" if gone.answering else "Your line was probably not heard"
            self._note(f"{broken}: say it again, please.")

    def _show(self, request: str) -> None:
        shown = ""
        with contextlib.ExitStack() as screen:
            live: Live | None = None
            for told in self._told(request):
                if told["is"] == "opened":
                    if live is None and self._console.is_terminal:
                        live = screen.enter_context(Live(console=self._console, transient=True))
                        live.update(Text(f"{told['speaker']} …", style="dim"))
                elif told["is"] == "delta":
                    shown += told["text"]
                    if live is not None:
                        live.update(Markdown(_tail(_markdown(shown), self._console.height)))
                elif told["is"] == "reset":
                    shown = ""
                elif told["is"] == "done":
                    screen.close()
                    self._print(told["text"])
                else:
                    self._aside(told)

    def _told(self, request: str) -> Iterator[Answer]:
        """What comes back until this request is over. What belongs to others, such as a `stop`, is nobody's concern."""
        answering = False
        while True:
            while not self._heard:
                try:
                    self._listen()
                except _Gone as gone:
                    raise _Gone(answering=answering) from gone
            told: Answer = json.loads(self._heard.popleft())
            if told.get("id") != request:
                continue
            if told["is"] == "end":
                return
            answering = True
            yield told

    def _listen(self) -> None:
        """Waits for the bot, or for what the person types meanwhile."""
        keyboard = [sys.stdin] if sys.stdin.isatty() else []
        ready, _, _ = select.select([self._socket, *keyboard], [], [])
        if sys.stdin in ready:
            self._overhear("\n".join(_waiting()).strip())
        if self._socket in ready:
            try:
                more = self._socket.recv(1 << 16)
            except ConnectionError:
                more = b""
            if not more:
                raise _Gone
            *lines, self._partial = (self._partial + more).split(b"\n")
            self._heard.extend(lines)

    def _overhear(self, line: str) -> None:
        if line.casefold() in ("/stop", "stop"):
            self._stop()
        elif line:
            self._typed.append(line)

    def _stop(self) -> None:
        with contextlib.suppress(_Gone):  # whoever listens will notice
            self._send({"do": "stop"})

    def _send(self, asked: Answer) -> str:
        """Returns the id under which the bot will speak of this."""
        request = str(next(self._requests))
        try:
            self._socket.sendall(json.dumps({**asked, "id": request}).encode() + b"\n")
        except ConnectionError as error:
            raise _Gone from error
        return request

    def _await_return(self) -> None:
        self._note(f"{self._bot.display} has gone away; waiting for it to come back …")
        self._socket.close()
        self._partial = b""
        self._heard.clear()
        self._socket = _knock(self._bot, self._child, "has gone and not come back")
        self._note(f"{self._bot.display} is back.")

    def _read(self) -> str:
        """One line, or all of a paste."""
        line = input("\nyou: ").strip()
        rest = _waiting()
        if line.startswith("/"):
            self._typed.extend(more for each in rest if (more := each.strip()))
            return line
        return "\n".join([line, *rest]).strip()

    def _help(self) -> None:
        if self._console.is_terminal:
            self._console.print(Markdown(_HELP), style="dim")
        else:
            print(_HELP.replace("`", ""), flush=True)

    def _print(self, text: str) -> None:
        if self._console.is_terminal:
            self._console.print(Markdown(_markdown(text)))
        else:
            print(_plain(text), flush=True)

    def _aside(self, told: Answer) -> None:
        if told["is"] == "line":
            self._console.print(Text(f"{told['at'][11:16]} {told['who']}: {told['text']}"))
        elif told["is"] == "note":
            self._note(told["text"])

    def _note(self, text: str) -> None:
        if self._console.is_terminal:
            self._console.print(Text(text, style="dim"))
        else:
            print(text.replace("`", ""), flush=True)


@contextlib.contextmanager
def _at_home(bot: BotSettings, config: Path) -> Iterator[_Child | None]:
    """Makes sure that somebody will answer the door: the running bot, or one started for the while."""
    if holder(bot.root) is not None:
        yield None
        return
    bot.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    # However this process ends, the pipe to the child then closes, and that ends the child. SIGTERM and SIGHUP need
    # no handler for it, and one of Python's own would not run while input() waits, if it came a moment before.
    command = [sys.executable, "-m", "bots", "bot", bot.name, "--with-parent", "--config", str(config)]
    with (
        (bot.root / _LOG).open("ab") as sink,
        subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=sink, stderr=sink, start_new_session=True
        ) as child,
    ):
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
            child.kill()


def _knock(bot: BotSettings, child: _Child | None, trouble: str) -> socket.socket:
    """The way to the bot, as soon as it opens its door. Raises `TroupeError` when it does not in time."""
    until = time.monotonic() + _DOOR_SECONDS
    while time.monotonic() < until and (child is None or child.poll() is None):
        door = socket.socket(socket.AF_UNIX)
        try:
            with reachable(bot.root / SOCKET) as path:
                door.connect(path)
            return door
        except OSError as error:
            door.close()
            why = f"nobody answers at its door ({error.strerror})"
        time.sleep(0.05)
    why = status.of(bot).last_error or (why if child is None else "it said nothing")
    log = os.path.relpath(bot.root / _LOG)
    raise TroupeError(f"{bot.display} {trouble}: {why} ({f'its log: {log}' if child else 'see `troupe status`'})")


@contextlib.contextmanager
def _on_interrupt(act: Callable[[], None]) -> Iterator[None]:
    """What Ctrl-C does meanwhile, in place of breaking off whatever is being shown."""
    before = signal.signal(signal.SIGINT, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _waiting() -> list[str]:
    """The lines that wait at the terminal already. Read from the descriptor: what Python's own buffer holds,
    `select` and `input` do not see."""
    keyboard, raw = sys.stdin.fileno(), b""
    while select.select([keyboard], [], [], _PASTE_SECONDS)[0]:
        more = os.read(keyboard, 1 << 16)
        if not more:
            break
        raw += more
    # What came while input() still read has the bare Enter of a raw terminal.
    return raw.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _tail(text: str, height: int) -> str:
    """The end of a text that still fits the screen while it grows."""
    return "\n".join(text.splitlines()[-max(4, height - 4) :])


def _plain(text: str) -> str:
    """An answer for a pipe: the speaker's name and the small print without Discord's marks."""
    first, newline, rest = text.partition("\n")
    if newline and _NAME_LINE.fullmatch(first):
        text = f"{first.strip('*')}:\n{rest}"
    return _SMALL_PRINT.sub(r"(\1)", text)


def _markdown(text: str) -> str:
    """An answer as a terminal's Markdown knows it: the speaker's name and Discord's small print (`-# `, here
    emphasis) stand on lines of their own."""
    lines: list[str] = []
    for number, line in enumerate(text.splitlines()):
        if line.startswith("-# "):
            lines += ["", f"*{line[3:]}*", ""]
        elif number == 0 and _NAME_LINE.fullmatch(line):
            lines += [line, ""]
        else:
            lines.append(line)
    return "\n".join(lines)
