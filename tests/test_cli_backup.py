"""`troupe backup` and `troupe restore`, as a person types them."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bots.backing import s3_options
from bots.cli_backup import backup, restore
from storage import connect
from storage.rootlock import RootLock
from tests.test_backup import SESSION, message


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with two bots in its config; sage has talked."""
    for name in ("sage", "spark"):
        for kind, text in (("bots", f"personas: [{name}]"), ("personas", "{display: X, description: d, prompt: p}")):
            (tmp_path / "config" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / "config" / kind / f"{name}.yaml").write_text(text)
    asyncio.run(talk(tmp_path / "data" / "sage"))
    return tmp_path


async def talk(root: Path) -> None:
    store = await connect("sage", root)
    for number in range(3):
        await store.append(SESSION, message(number))
    await store.close()


def troupe(desk: Path, *words: str) -> Result:
    command = restore if words[0] == "restore" else backup
    return CliRunner().invoke(command, [*words[1:], "--config", str(desk / "config")])


def made(desk: Path) -> str:
    """The name of the one backup of sage's, which tells its day."""
    (file,) = (desk / "data" / "sage" / "backups").glob("conversations_????-??-??.db.zst")
    return file.name.removesuffix(".db.zst")


def count(root: Path) -> int:
    async def look() -> int:
        store = await connect("sage", root)
        try:
            return (await store.counts()).messages
        finally:
            await store.close()

    return asyncio.run(look())


def test_a_bot_is_backed_up_also_while_it_runs(desk: Path) -> None:
    lock = RootLock.take(desk / "data" / "sage")
    done = troupe(desk, "backup", "sage")
    lock.release()
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"sage: {made(desk)} in {desk}/data/sage/backups: 3 messages, ")
    assert done.stdout.endswith(" s, proven by a restore\n")


def test_all_bots_are_backed_up_and_one_that_cannot_be_is_said(desk: Path) -> None:
    for words in (("backup", "--all"), ("backup",)):
        done = troupe(desk, *words)
        assert done.exit_code == 1
        assert done.stdout.startswith("sage: conversations_")
        assert done.stderr == f"spark: There is no {desk}/data/spark/conversations.db: nothing was kept there yet.\n"


def test_backups_are_listed(desk: Path) -> None:
    assert "There are no backups yet" in troupe(desk, "backup", "list").stderr
    troupe(desk, "backup", "sage")
    assert troupe(desk, "backup", "list", "sage").stdout.startswith(f"sage/{made(desk)}  ")
    (told,) = json.loads(troupe(desk, "backup", "list", "--json").stdout)
    assert (told["bot"], told["name"], told["counts"]["messages"]) == ("sage", made(desk), 3)


def test_a_whole_backup_is_verified_by_bot_name_and_file(desk: Path) -> None:
    troupe(desk, "backup", "sage")
    file = desk / "data" / "sage" / "backups" / f"{made(desk)}.db.zst"
    for what in ("sage", f"sage/{made(desk)}", str(file)):
        done = troupe(desk, "backup", "verify", what)
        assert (done.exit_code, done.stdout) == (0, f"sage/{made(desk)}: whole\n"), done.output


def test_a_damaged_backup_is_found_and_listed_as_such(desk: Path) -> None:
    troupe(desk, "backup", "sage")
    file = desk / "data" / "sage" / "backups" / f"{made(desk)}.db.zst"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    done = troupe(desk, "backup", "verify", "sage", "--json")
    (told,) = json.loads(done.stdout)
    assert (done.exit_code, told["ok"]) == (1, False)
    assert "is not the file that was put there" in told["trouble"]
    assert "NOT PROVEN" in troupe(desk, "backup", "list").stdout
    refused = troupe(desk, "restore", "sage", "--as", str(desk / "new"))
    assert (refused.exit_code, refused.stderr.count("holds no proven backup")) == (1, 1)


def test_no_backup_is_no_good_backup(desk: Path) -> None:
    done = troupe(desk, "backup", "verify", "spark")
    assert (done.exit_code, done.stderr) == (1, f"spark: no backup there ({desk}/data/spark/backups)\n")


@pytest.mark.parametrize("what", ["sage", "sage/{today}", "{desk}/data/sage/backups/{today}.db.zst", "{desk}/copy.db"])
def test_what_can_be_restored_may_be_named_in_many_ways(desk: Path, what: str) -> None:
    troupe(desk, "backup", "sage")
    shutil.copy(desk / "data" / "sage" / "conversations.db", desk / "copy.db")
    done = troupe(desk, "restore", what.format(today=made(desk), desk=desk), "--as", str(desk / "data" / "sage2"))
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Restored 3 messages in 1 sessions (")
    assert f"write `storage: {{path: {desk}/data/sage2}}`" in done.stdout
    assert count(desk / "data" / "sage2") == 3


def test_a_live_root_is_never_restored_over(desk: Path) -> None:
    troupe(desk, "backup", "sage")
    done = troupe(desk, "restore", "sage", "--as", str(desk / "data" / "sage"))
    assert done.exit_code == 1
    assert "is not empty" in done.stderr
    assert count(desk / "data" / "sage") == 3


def test_a_root_whose_name_no_server_takes_is_said_before_anything_is_made(desk: Path) -> None:
    copy, new = shutil.copy(desk / "data" / "sage" / "conversations.db", desk / "copy.db"), desk / "Sage2"
    words = [str(copy), "--as", str(new), "--type", "postgres", "--url-from", "URL", "--config", str(desk / "config")]
    done = CliRunner().invoke(restore, words, env={"URL": "postgresql://nobody@127.0.0.1:1/nothing"})
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: 'Sage2' cannot name a schema: ")
    assert done.stderr.endswith("`--for sage2`.\n")
    assert not new.exists()


def test_a_backup_without_its_manifest_says_what_to_do(desk: Path) -> None:
    troupe(desk, "backup", "sage")
    lone = shutil.copy(desk / "data" / "sage" / "backups" / f"{made(desk)}.db.zst", desk)
    done = troupe(desk, "restore", str(lone), "--as", str(desk / "new"))
    assert done.exit_code == 1
    assert f"{made(desk)}.json): put that file beside it" not in done.stderr
    assert "put that file beside it" in done.stderr
    assert troupe(desk, "backup", "verify", str(lone)).exit_code == 1


def test_names_of_nothing_are_said(desk: Path) -> None:
    for words in (("backup", "sgae"), ("backup", "verify", "sgae"), ("restore", "sgae", "--as", "x")):
        done = troupe(desk, *words)
        assert done.exit_code == 1
        assert "no bot is called 'sgae'; there are: sage, spark" in done.stderr


@pytest.mark.parametrize("words", [(), ("make",), ("list",), ("verify",)])
def test_every_command_has_an_example(words: tuple[str, ...]) -> None:
    assert "Example" in CliRunner().invoke(backup, [*words, "--help"]).stdout
    assert "Example" in CliRunner().invoke(restore, ["--help"]).stdout


# When somebody must be told

NOW = datetime(2024, 1, 8, 12, tzinfo=UTC)


def test_a_bucket_is_opened_with_the_usual_variables() -> None:
    given = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "r", "AWS_SESSION_TOKEN": ""}
    assert s3_options(given) == {"access_key_id": "k", "secret_access_key": "s", "region": "r"}
