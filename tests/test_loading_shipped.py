"""The configuration as shipped: it loads, and so does what people add to it, or they are told what cannot work."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from bots.errors import ConfigError
from bots.loading import load

ROOT = Path(__file__).resolve().parent.parent


def findings(project: Path, text: str, **environ: str) -> list[str]:
    """What is wrong with the shipped sage after more was written into its file."""
    shutil.copytree(ROOT / "config", project / "config", dirs_exist_ok=True)
    with (project / "config" / "bots" / "sage.yaml").open("a") as file:
        file.write(text)
    try:
        load(project / "config", environ)
    except ConfigError as error:
        return [finding.partition("sage.yaml:")[2] or finding for finding in error.findings]
    return []


def test_the_shipped_config_loads_with_nothing_set(tmp_path: Path) -> None:
    (tmp_path / "config").symlink_to(ROOT / "config")
    troupe = load(tmp_path / "config", {})
    assert [bot.name for bot in troupe.bots] == ["sage", "spark", "logic"]
    for bot in troupe.bots:
        assert [model.ready for model in bot.models] == [False, False, True]
        assert not bot.discord.token
        assert len(bot.personas) >= 2
        assert bot.root == tmp_path / "data" / bot.name


def test_the_example_of_a_dotenv_is_one(tmp_path: Path) -> None:
    (tmp_path / "config").symlink_to(ROOT / "config")
    (tmp_path / ".env").write_bytes((ROOT / ".env.example").read_bytes())
    assert not any(bot.discord.token for bot in load(tmp_path / "config", {}).bots)


def test_the_rules_and_budgets_of_the_readme_pass_for_the_shipped_sage(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(access:\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    assert findings(tmp_path, block[1]) == []


def test_a_model_that_is_not_the_bots_is_not_taken_for_a_dearer_one(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, "budgets: [{per: bot, usd: 20, cheaper: gpt-6-luna}]\n")
    assert "found 'gpt-6-luna' (text), which is no model of this bot; allowed: " in found
    (found,) = findings(tmp_path / "slip", "budgets: [{per: bot, usd: 20, cheaper: gpt-6.1-tera}]\n")
    assert "did you mean 'gpt-6.1-terra'?" in found


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("user: ben", "found 'ben' (text); allowed: a user's id, 17 to 20 digits (right-click, Copy User ID)"),
        ("user: '<@123456789012345678>'", "allowed: a user's id"),
        ("channel: '<#123>'", "found '<#123>' (text); allowed: a channel's id in digits, or a pattern for its name"),
        ("channel: '#staff'", "without # or <>"),
        ("user: 123456789012345678, channel: staff-*", ""),
    ],
)
def test_a_rule_that_could_never_match_is_refused(tmp_path: Path, rule: str, said: str) -> None:
    found = findings(tmp_path, f"access: [{{{rule}, allow: false}}]\n")
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_the_address_of_a_server_says_how_it_is_reached(tmp_path: Path) -> None:
    found = findings(tmp_path, "", OPENAI_BASE_URL="localhost:11434/v1")
    assert len(found) == 1
    assert "${OPENAI_BASE_URL:-} (not shown); allowed: an address that begins with http:// or https://" in found[0]
    assert findings(tmp_path / "good", "", OPENAI_BASE_URL="http://localhost:11434/v1") == []
