"""`troupe config`: what it says of a good and a bad config, and the JSON Schemas it hands to editors."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from bots.cli_config import config
from bots.loading import schema

from .test_loading import Desk

ROOT = Path(__file__).resolve().parent.parent
BOT = """\
personas: [sage]
discord: {token: "${DESK_TOKEN:-}"}
models: [{provider: openai, model: m, api_key: "${DESK_KEY:-}"}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config" / "bots").mkdir(parents=True)
    (tmp_path / "config" / "personas").mkdir()
    (tmp_path / "config" / "personas" / "sage.yaml").write_text("{display: Sage, description: d, prompt: p}")
    (tmp_path / "config" / "bots" / "sage.yaml").write_text(BOT)
    return tmp_path / "config"


def run(*args: str, **environ: str | None) -> Result:
    return CliRunner().invoke(config, args, env={"DESK_TOKEN": None, "DESK_KEY": None, **environ})


def test_check_says_what_each_bot_has(folder: Path) -> None:
    done = run("check", "--config", str(folder), DESK_TOKEN="a-token")
    assert done.exit_code == 0
    assert done.output == (
        f"sage: personas sage; storage sqlite in {folder.parent}/data/sage; "
        "models openai m off (set DESK_KEY); Discord on\n"
    )


def test_one_id_where_a_list_belongs_is_a_finding(folder: Path) -> None:
    (folder / "bots" / "sage.yaml").write_text("personas: [sage]\ndiscord: {dms: {policy: allowlist, allow: 12345}}")
    done = run("check", "--config", str(folder))
    assert done.exit_code == 1
    assert "discord.dms.allow" in done.stderr
    assert "a list of texts" in done.stderr


def test_check_tells_all_findings_and_fails(folder: Path) -> None:
    (folder / "bots" / "sage.yaml").write_text("personas: [sage]\ncolour: red\nstorage: {max_history: 0}")
    done = run("check", TROUPE_CONFIG=str(folder))
    assert (done.exit_code, done.stdout) == (1, "")
    assert [line.split(" ")[0] for line in done.stderr.splitlines()] == [
        "config/bots/sage.yaml:2:",
        "config/bots/sage.yaml:3:",
        "2",
    ]
    assert done.stderr.endswith("2 to put right; nothing was started or changed.\n")


def test_check_for_programs(folder: Path) -> None:
    done = run("check", "--json", "--config", str(folder))
    told = json.loads(done.stdout)
    assert (done.exit_code, told["ok"], told["findings"]) == (0, True, [])
    assert told["bots"][0]["discord"] == {"on": False, "set": "DESK_TOKEN"}
    assert told["bots"][0]["models"] == [{"provider": "openai", "model": "m", "on": False, "set": "DESK_KEY"}]


def test_check_for_programs_when_something_is_wrong(folder: Path) -> None:
    (folder / "bots" / "sage.yaml").write_text("personas: [nobody]")
    done = run("check", "--json", "--config", str(folder))
    told = json.loads(done.stdout)
    assert (done.exit_code, told["ok"], len(told["findings"]), told["bots"]) == (1, False, 1, [])


@pytest.mark.parametrize("kind", ["troupe", "bot", "persona"])
def test_the_schema_command_prints_one(kind: str) -> None:
    assert json.loads(run("schema", kind).stdout) == schema()[kind]


@pytest.mark.parametrize(
    ("kind", "files"), [("troupe", "troupe.yaml"), ("bot", "bots/*.yaml"), ("persona", "personas/*.yaml")]
)
def test_the_schemas_fit_the_shipped_files(kind: str, files: str) -> None:
    shape = schema()[kind]
    jsonschema.Draft202012Validator.check_schema(shape)
    paths = sorted((ROOT / "config").glob(files))
    assert paths
    for path in paths:
        jsonschema.validate(yaml.safe_load(path.read_text()), shape)


@pytest.mark.parametrize(
    "text", ["token: abc", "discord: {token: abc}", "name: sage", "storage: {max_history: 0}", "personas: [{name: a}]"]
)
def test_the_schema_refuses_what_loading_refuses(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schema()["bot"])


def test_the_schema_allows_variables_off_and_bare_ids() -> None:
    text = "storage: {max_history: '${MANY}', session_gap: off, type: '${TYPE}'}\ndiscord: {dms: {allow: [1]}}"
    jsonschema.validate(yaml.safe_load(text), schema()["bot"])


def test_the_schema_explains_every_key() -> None:
    for kind, shape in schema().items():
        shapes = {kind: shape, **shape.get("$defs", {})}
        for name, part in shapes.items():
            for key, about in part.get("properties", {}).items():
                assert about.get("description") or "$ref" in about, f"{name}.{key}"


def test_the_fleet_says_which_bots_run_and_in_what_order(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for name in ("atlas", "spark", "zeno"):
        desk.write(f"config/bots/{name}.yaml", "personas: [sage]\n")
    assert [bot.name for bot in desk.load().bots] == ["atlas", "sage", "spark", "zeno"]
    desk.write("config/troupe.yaml", "fleet: {bots: [zeno, sage]}\n")
    zeno, sage = desk.load().bots
    assert (zeno.name, sage.name, sage.siblings[:2]) == ("zeno", "sage", ("Zeno", "zeno"))
    desk.write("config/troupe.yaml", "fleet:\n  bots:\n    - sage\n    - sgae\n    - sage\n")
    assert desk.findings() == [
        "config/troupe.yaml:4: fleet.bots[1]: found 'sgae' (text), which names no file in bots/; "
        "did you mean 'sage'? allowed: atlas, sage, spark, zeno",
        "config/troupe.yaml:5: fleet.bots[2]: found the bot 'sage' a second time; remove one of them",
    ]
    desk.write("config/troupe.yaml", "fleet: {bots: []}\n")
    assert "fleet.bots: found an empty list; allowed: a list of texts, at least 1, such as" in desk.finding()


def test_a_server_of_ones_own_needs_no_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.bot("models: [{provider: openai, model: m, base_url: '${URL:-}', api_key: '${KEY:-}'}]")
    assert not desk.load().bots[0].models[0].ready
    assert desk.load(URL="http://localhost:11434/v1").bots[0].models[0].ready
    assert desk.load(KEY="k").bots[0].models[0].ready
