"""What people may write about a bot's storage, read as a whole config."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots.errors import ConfigError
from bots.loading import load
from bots.storage_settings import StorageSettings


def written(project: Path, storage: str, **environ: str) -> StorageSettings:
    """The storage settings of a bot with these lines in its file."""
    for file, text in (
        ("personas/sage.yaml", "{display: Sage, description: d, prompt: p}"),
        ("bots/sage.yaml", f"personas: [sage]\nstorage: {storage}"),
    ):
        (project / "config" / file).parent.mkdir(parents=True, exist_ok=True)
        (project / "config" / file).write_text(text)
    return load(project / "config", environ).bots[0].storage


def test_spans_and_sizes_are_a_number_and_a_unit(tmp_path: Path) -> None:
    kept = written(tmp_path, "{retention: {deleted: off, dm: {age: 90d, size: 1.5MB}, web: {age: 2y}}}").retention
    assert (kept.deleted, kept.dm.age, kept.dm.size) == (None, 90 * 86_400, 3 << 19)
    assert kept.web.age == pytest.approx(2 * 365.25 * 86_400)


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("{backup: {schedule: daily}}", "backup.schedule: found 'daily' (text); allowed: a cron line in UTC (minute,"),
        ("{retention: {dm: {age: soon}}}", "dm.age: found 'soon' (text); allowed: a span of time: 90s, 30m"),
        ("{retention: {dm: {size: big}}}", "dm.size: found 'big' (text); allowed: a size: 500KB"),
        ("{backup: {to: 's3:/bucket'}}", "found backup.to 's3:/bucket'; allowed: a folder, or s3://bucket/prefix"),
        ("{type: postgres, url: '${DATABASE:-}'}", "type postgres needs the server's address: set the variable"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, storage: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, storage)
    (finding,) = caught.value.findings
    assert told in finding


def test_an_address_of_something_else_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, "{type: postgres, url: '${DATABASE:-}'}", DATABASE="mysql://sage:pw@db")
    (finding,) = caught.value.findings
    assert "${DATABASE} holds no address of a PostgreSQL server" in finding
    assert "pw" not in finding


def test_the_address_of_a_database_comes_from_a_variable(tmp_path: Path) -> None:
    address = "postgresql://sage:pw@db/chat"
    assert written(tmp_path, "{type: postgres, url: '${DATABASE:-}'}", DATABASE=address).address == address


def test_places_are_counted_from_the_project_and_buckets_are_left_alone(tmp_path: Path) -> None:
    kept = written(tmp_path, "{path: ./here, attachments: files, backup: {to: s3://bucket/copies}}")
    assert (kept.path, kept.attachments) == (str(tmp_path / "here"), str(tmp_path / "files"))
    assert kept.backup.to == "s3://bucket/copies"
