"""Tokens for the console: made and taken back on the command line, hashed at rest, good at once and while they may."""

from __future__ import annotations

import asyncio
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bots.cli import main
from bots.cli_bots import opened
from bots.errors import TroupeError
from bots.loading import load
from bots.web.tokens import FILE, Token, Tokens, new_token
from storage.model import Sender
from storage.records import AuditEntry

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ANNA = Sender(type="user", id="anna", name="Anna")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    for name in ("bots", "personas"):
        (folder / name).mkdir(parents=True)
    (folder / "personas" / "sage.yaml").write_text("{display: Sage, description: wise, prompt: You are Sage.}")
    for name in ("sage", "spark"):
        (folder / "bots" / f"{name}.yaml").write_text("personas: [sage]\nmodels: [{provider: offline}]\n")
    return folder


def run(config: Path, *args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["token", *args, "--config", str(config)])
    return result.exit_code, result.stdout, result.stderr


def kept_in(root: Path, **more: Any) -> tuple[str, Token]:
    token = new_token()
    return token, Tokens(root).keep(token, "anna", "chat", ANNA, AT, **more)


def test_a_token_is_shown_once_and_only_its_hash_is_kept(config: Path, tmp_path: Path) -> None:
    code, out, err = run(config, "create", "anna", "--user", "123456789012345678", "--bot", "sage")
    token = out.strip()
    assert code == 0
    assert token.startswith("troupe_")
    assert len(token) > 45
    assert "Opens sage at http://127.0.0.1:8700. To take it back: troupe token revoke " in err
    file = tmp_path / "data" / "sage" / FILE
    assert token not in file.read_text()
    assert token.removeprefix("troupe_") not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = Tokens(file.parent).find(token, AT)
    assert found is not None
    assert (found.person.id, found.person.name, found.scope) == (
        "123456789012345678",
        "anna",
        "chat",
    )
    assert not (tmp_path / "data" / "spark" / FILE).exists()


def test_one_token_is_good_at_every_bot_unless_one_is_named(config: Path, tmp_path: Path) -> None:
    made = json.loads(run(config, "create", "anna", "--scope", "admin", "--json")[1])
    assert [(each["bot"], each["url"]) for each in made] == [
        ("sage", "http://127.0.0.1:8700"),
        ("spark", "http://127.0.0.1:8701"),
    ]
    assert made[0]["token"] == made[1]["token"]
    assert all(Tokens(tmp_path / "data" / name).find(made[0]["token"], AT) for name in ("sage", "spark"))


def test_tokens_are_listed_without_what_would_let_somebody_in(config: Path, tmp_path: Path) -> None:
    run(config, "create", "anna", "--expires", "30d")
    listed = json.loads(run(config, "list", "--json")[1])
    assert [(each["bot"], each["label"], each["scope"]) for each in listed] == [
        ("sage", "anna", "chat"),
        ("spark", "anna", "chat"),
    ]
    assert not {"hash", "token"} & set(listed[0])
    assert "anna: not used, until 20" in run(config, "list", "--bot", "sage")[1]


def test_a_token_is_taken_back_by_its_id_or_its_name(config: Path, tmp_path: Path) -> None:
    token = run(config, "create", "anna")[1].strip()
    sage = Tokens(tmp_path / "data" / "sage")
    known = sage.find(token, AT)
    assert known is not None
    browser = new_token()
    sage.keep(browser, "anna", "chat", ANNA, AT, expires=AT + timedelta(days=1), sign_in="token", of=known.id)
    code, out, _ = run(config, "revoke", known.id)
    assert code == 0
    assert out.count("is not good at sage any more") == 2
    assert sage.find(token, AT) is None
    assert sage.find(browser, AT) is None
    assert "is not good at spark any more" in run(config, "revoke", "anna")[1]
    code, _, err = run(config, "revoke", "anna")
    assert code == 1
    assert "there is no token 'anna'" in err
    assert "token list" in err


def test_what_is_done_with_tokens_is_in_the_audit(config: Path) -> None:
    run(config, "create", "anna", "--scope", "admin", "--bot", "sage")
    assert run(config, "revoke", "anna")[2] == ""
    sage = load(config, {}).bot("sage")
    assert sage is not None

    async def told() -> list[AuditEntry]:
        async with opened(sage) as store:
            return list((await store.records(AuditEntry)).items)

    revoked, created = asyncio.run(told())
    assert (created.action, revoked.action) == ("token create", "token revoke")
    assert created.target == revoked.target
    assert (created.details["label"], created.details["scope"]) == ("anna", "admin")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["create", "an\x1b[2Jna"], "allowed: 1 to 80 characters"),
        (["create", "anna", "--user", " "], "allowed: 1 to 80 characters"),
        (["create", "anna", "--expires", "soon"], "allowed: a span of time such as 12h, 30d or 1y"),
        (["create", "anna", "--bot", "nobody"], "no bot is called 'nobody'"),
    ],
)
def test_what_cannot_be_is_refused_plainly(config: Path, args: list[str], said: str) -> None:
    code, out, err = run(config, *args)
    assert (code, out) == (1, "")
    assert said in err


def test_a_token_ends_when_it_is_to_end(tmp_path: Path) -> None:
    token, kept = kept_in(tmp_path, expires=AT + timedelta(hours=1))
    tokens = Tokens(tmp_path)
    assert tokens.find(token, AT + timedelta(minutes=59)) is not None
    assert tokens.find(token, AT + timedelta(hours=1)) is None
    assert not tokens.good(kept.id, AT + timedelta(hours=1))


def test_what_another_process_changes_counts_at_once(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    assert tokens.all() == []
    token, kept = kept_in(tmp_path)
    assert tokens.find(token, AT) == kept
    Tokens(tmp_path).revoke(kept.id)
    assert tokens.find(token, AT) is None


def test_two_who_change_it_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as many:
        made = [each[1].id for each in many.map(lambda _: kept_in(tmp_path), range(24))]
    assert sorted(each.id for each in Tokens(tmp_path).all()) == sorted(made)


def test_a_damaged_file_lets_nobody_in(tmp_path: Path) -> None:
    token, _ = kept_in(tmp_path)
    (tmp_path / FILE).write_text('{"version": 1, "tokens": [{"id": "x"}]}')
    with pytest.raises(TroupeError, match="no token is accepted until it is mended"):
        Tokens(tmp_path).find(token, AT)
    with pytest.raises(TroupeError, match="mended"):
        kept_in(tmp_path)
    assert '"x"' in (tmp_path / FILE).read_text()


def test_browsers_that_are_signed_in_do_not_grow_without_end(tmp_path: Path) -> None:
    first = kept_in(tmp_path, sign_in="discord", expires=AT + timedelta(days=30))[1]
    gone = kept_in(tmp_path, sign_in="discord", expires=AT)[1]
    plain = kept_in(tmp_path)[1]
    made = [kept_in(tmp_path, sign_in="discord", expires=AT + timedelta(days=30))[1].id for _ in range(20)]
    left = {each.id for each in Tokens(tmp_path).all()}
    assert left == {plain.id, *made}
    assert not {first.id, gone.id} & left


def test_the_day_of_its_last_use_is_noted_once(tmp_path: Path) -> None:
    _, kept = kept_in(tmp_path)
    tokens = Tokens(tmp_path)
    tokens.used(kept, AT.date())
    [now] = tokens.all()
    assert now.used == AT.date()
    before = (tmp_path / FILE).stat().st_mtime_ns
    tokens.used(now, AT.date())
    assert (tmp_path / FILE).stat().st_mtime_ns == before
