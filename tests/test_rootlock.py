"""The root's lock: one owner, known by its pid, and free however that one ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.errors import RootInUse, Unavailable
from storage.rootlock import RootLock, holder

HOUSE = Path(__file__).parent.parent


def child(script: str, root: Path) -> subprocess.Popen[str]:
    """A real process that runs `script`."""
    opening = "import os, sys; from pathlib import Path; from storage.rootlock import RootLock, holder"
    command = [sys.executable, "-c", f"{opening}; root = Path(sys.argv[1])\n{script}", str(root)]
    return subprocess.Popen(command, cwd=HOUSE, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


HOLDER = "lock = RootLock.take(root); print(os.getpid(), flush=True); sys.stdin.read()"


def test_a_root_has_one_owner_and_is_free_after_kill_9(tmp_path: Path) -> None:
    root = tmp_path / "data" / "sage"
    assert holder(root) is None
    with child(HOLDER, root) as first:
        assert first_line(first) == str(first.pid)
        assert holder(root) == first.pid
        with pytest.raises(RootInUse, match=f"in use by process {first.pid}") as refused:
            RootLock.take(root)
        assert refused.value.pid == first.pid
        assert holder(root) == first.pid
        first.kill()
    assert holder(root) is None
    lock = RootLock.take(root)
    assert holder(root) == os.getpid()
    lock.release()
    lock.release()
    assert holder(root) is None


def test_a_new_root_is_its_owners_alone(tmp_path: Path) -> None:
    RootLock.take(tmp_path / "sage").release()
    assert (tmp_path / "sage").stat().st_mode & 0o777 == 0o700


def test_a_started_program_does_not_hold_the_root(tmp_path: Path) -> None:
    lock = RootLock.take(tmp_path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False):
        lock.release()
        RootLock.take(tmp_path).release()


def test_looking_does_not_refuse_a_start(tmp_path: Path) -> None:
    RootLock.take(tmp_path).release()
    looking = "print('ready', flush=True)\nwhile True: holder(root)"
    with child(looking, tmp_path) as looker:
        assert first_line(looker) == "ready"
        for _ in range(300):
            RootLock.take(tmp_path).release()
        looker.kill()


def test_a_root_that_cannot_be_locked_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Unavailable, match="cannot be used as a storage root"):
        RootLock.take(tmp_path / "file")
