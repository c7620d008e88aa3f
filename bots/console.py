"""`troupe chat`: a person at a terminal, or a pipe, talking to a bot through its own door."""

from __future__ import annotations

import contextlib
import json
import os
import readline  # noqa: F401  (gives input() its editing and history)
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
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

_START_SECONDS = 20.0
_HELP = """\
Type a line and press Enter. `/new` starts a new session, `/why` tells why that persona answered, `/stop` or Ctrl-C \
ends an answer, `/history` shows the session so far, `/quit` or Ctrl-D leaves."""


def chat(bot: BotSettings, config: Path) -> None:
    """Talks until the person leaves or the pipe ends. Uses the bot that runs; otherwise starts it for as long as
    the talk lasts."""
    talk = _Talk(bot, Console(highlight=False))
    with _at_home(bot, config), talk.connected():
        if sys.stdin.isatty():
            talk.greet()
            talk.interactive()
        else:
            for line in sys.stdin:
                if line.strip():
                    talk.say(line.strip())


class _Talk:
    def __init__(self, bot: BotSettings, console: Console) -> None:
        self._bot = bot
        self._console = console
        self._socket: socket.socket
        self._partial = b""
        self._heard: deque[bytes] = deque()
        self._typed: list[str] = []

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        with socket.socket(socket.AF_UNIX) as self._socket, reachable(self._bot.root / SOCKET) as path:
            self._socket.connect(path)
            yield

    def greet(self) -> None:
        ready = [model.model for model in self._bot.models if model.ready and model.model]
        voice = f"answers with {ready[0]}" if ready else "has no model configured and answers offline"
        self._console.print(f"[bold]{self._bot.display}[/bold] is here and {voice}.")
        self._console.print(Markdown(_HELP), style="dim")

    def interactive(self) -> None:
        """Reads lines until the person leaves. Lines typed while an answer runs are said after it."""
        while True:
            try:
                line = self._typed.pop(0) if self._typed else input("\nyou: ").strip()
            except (EOFError, KeyboardInterrupt):
                self._console.print()
                return
            if line in ("/quit", "/exit"):
                return
            if line in ("/help", "/?"):
                self._console.print(Markdown(_HELP), style="dim")
            elif line:
                self.say(line)

    def say(self, line: str) -> None:
        """Says one line, or gives one command, and shows all that comes back."""
        command = line[1:] if line.startswith("/") else ""
        self._send({"do": command} if command else {"say": line})
        shown = ""
        with contextlib.ExitStack() as screen:
            live: Live | None = None
            for told in self._told():
                if told["is"] == "opened":
                    if live is None and self._console.is_terminal:
                        live = screen.enter_context(Live(console=self._console, transient=True))
                        live.update(Text(f"{told['speaker']} …", style="dim"))
                elif told["is"] == "delta":
                    shown += told["text"]
                    if live is not None:
                        live.update(Markdown(_tail(shown, self._console.height)))
                elif told["is"] == "reset":
                    shown = ""
                elif told["is"] == "done":
                    screen.close()
                    self._print(told["text"])
                else:
                    self._aside(told)

    def _told(self) -> Iterator[Answer]:
        """What comes back until the request is over; Ctrl-C and a typed `/stop` stop the answer meanwhile."""
        while True:
            try:
                while not self._heard:
                    self._listen()
            except KeyboardInterrupt:
                self._send({"do": "stop"})
                continue
            told: Answer = json.loads(self._heard.popleft())
            if told["is"] == "end":
                return
            yield told

    def _listen(self) -> None:
        """Waits for the bot, or for what the person types meanwhile."""
        keyboard = [sys.stdin] if sys.stdin.isatty() else []
        ready, _, _ = select.select([self._socket, *keyboard], [], [])
        if sys.stdin in ready:
            self._overhear(sys.stdin.readline().strip())
        if self._socket in ready:
            more = self._socket.recv(1 << 16)
            if not more:
                raise TroupeError(f"{self._bot.display} has gone; see its log, or `troupe status`.")
            *lines, self._partial = (self._partial + more).split(b"\n")
            self._heard.extend(lines)

    def _overhear(self, line: str) -> None:
        if line in ("/stop", "stop"):
            self._send({"do": "stop"})
        elif line:
            self._typed.append(line)

    def _send(self, asked: Answer) -> None:
        self._socket.sendall(json.dumps(asked).encode() + b"\n")

    def _print(self, text: str) -> None:
        if self._console.is_terminal:
            self._console.print(Markdown(_without_marks(text)))
        else:
            print(text, flush=True)

    def _aside(self, told: Answer) -> None:
        if told["is"] == "line":
            self._console.print(Text(f"{told['at'][11:16]} {told['who']}: {told['text']}"))
        elif told["is"] == "note":
            self._console.print(Text(told["text"], style="dim"))


@contextlib.contextmanager
def _at_home(bot: BotSettings, config: Path) -> Iterator[None]:
    """Makes sure that somebody answers the door: the running bot, or one started for the while."""
    if holder(bot.root) is not None:
        yield
        return
    bot.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = bot.root / "chat.log"
    command = [sys.executable, "-m", "bots", "bot", bot.name, "--config", str(config)]
    with log.open("ab") as sink, subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True) as child:  # noqa: S603
        try:
            _wait_for_door(bot, child, log)
            yield
        finally:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
            child.kill()


def _wait_for_door(bot: BotSettings, child: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock, reachable(bot.root / SOCKET) as path:
            knock.connect(path)
            return
        if child.poll() is not None:
            break
        time.sleep(0.05)
    why = status.of(bot).last_error or "it said nothing"
    raise TroupeError(f"{bot.display} did not start: {why} (its log: {os.path.relpath(log)})")


def _tail(text: str, height: int) -> str:
    """The end of a text that still fits the screen while it grows."""
    return "\n".join(text.splitlines()[-max(4, height - 4) :])


def _without_marks(text: str) -> str:
    """Discord's small print (`-# `) as emphasis, which a terminal knows."""
    return "\n".join(f"*{line[3:]}*" if line.startswith("-# ") else line for line in text.splitlines())
