"""The configuration in the browser: shown without secrets, tried before it counts, and taken on while the bot runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.test_web_operating import as_someone, done
from tests.webfront import web_front

PERSONA = "{display: Sage, description: wise, prompt: You are Sage.}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    for name in ("bots", "personas"):
        (folder / name).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / ".env").write_text("DESK_KEY=sk-very-secret\n")
    (folder / "personas" / "sage.yaml").write_text(PERSONA)
    (folder / "bots" / "spark.yaml").write_text("personas: [sage]\n")
    (folder / "bots" / "sage.yaml").write_text(
        f"personas: [sage]  # no ${{DESK_SAMPLE}}\nweb: {{port: {port}}}\nembedder: {{provider: none}}\n"
        'discord: {token: "${DESK_TOKEN:-}"}\n'
        'models: [{provider: openai, model: m, api_key: "${DESK_KEY:-}", base_url: "http://127.0.0.1:1/v1"}]\n'
    )
    return folder


async def test_files_are_shown_with_the_names_of_variables_and_never_what_they_hold(config: Path) -> None:
    async with web_front(config, config=config) as web:
        told = await web.client.get("/api/config")
        shown = told.json()
        assert [(each["path"], each["kind"]) for each in shown["files"]] == [
            ("bots/sage.yaml", "bot"),
            ("personas/sage.yaml", "persona"),
        ]
        assert shown["variables"] == [
            {"name": "DESK_KEY", "set": True, "default": "", "used_in": ["bots/sage.yaml"]},
            {"name": "DESK_TOKEN", "set": False, "default": "", "used_in": ["bots/sage.yaml"]},
        ]
        assert "very-secret" not in told.text
        for scope in ("read", "chat"):
            assert (await web.client.get("/api/config", headers=as_someone(web, scope))).status_code == 403


async def test_a_change_is_tried_before_it_counts(config: Path) -> None:
    async with web_front(config, config=config) as web:
        text = (config / "bots" / "sage.yaml").read_text()
        tried = {"path": "bots/sage.yaml", "text": text + "display: Wise one\nstorage: {path: ./elsewhere}\n"}
        told = (await web.client.post("/api/config/check", json=tried)).json()
        assert (told["ok"], "+display: Wise one\n" in told["diff"]) == (True, True)
        assert (set(told["changed"]), told["waiting"]) == ({"display", "storage.path"}, ["storage.path"])
        wrong = {
            "path": "bots/sage.yaml",
            "text": text + "colour: red\nmodels: [{provider: openai, api_key: sk-typed-in}]\n",
        }
        told = await web.client.post("/api/config/check", json=wrong)
        assert not told.json()["ok"]
        found = told.json()["findings"]
        assert {each["path"] for each in found} == {"bots/sage.yaml"}
        assert any(each["line"] == 6 and "colour" in each["text"] for each in found)
        assert "sk-typed-in" not in "".join(each["text"] for each in found)
        assert (config / "bots" / "sage.yaml").read_text() == text


async def test_a_good_change_is_written_and_the_bot_goes_by_it_at_once(config: Path) -> None:
    async with web_front(config, config=config) as web:
        (file, *_) = (await web.client.get("/api/config")).json()["files"]
        os.chmod(config / "bots" / "sage.yaml", 0o640)
        new = {"text": file["text"] + "display: Wise one\n", "version": file["version"]}
        written = await web.client.put("/api/config/bots/sage.yaml", json=new)
        assert (written.status_code, written.json()["changed"]) == (200, ["display"])
        assert web.house.bot.settings.display == "Wise one"
        assert (config / "bots" / "sage.yaml").read_text() == new["text"]
        assert (config / "bots" / "sage.yaml").stat().st_mode & 0o777 == 0o640
        assert (config / "bots" / "sage.yaml.bak").read_text() == file["text"]
        late = await web.client.put("/api/config/bots/sage.yaml", json=new)
        assert (late.status_code, "changed meanwhile" in late.json()["detail"]) == (409, True)


async def test_a_mistake_is_refused_and_changes_nothing(config: Path) -> None:
    async with web_front(config, config=config) as web:
        (file, *_) = (await web.client.get("/api/config")).json()["files"]
        for text in ("", "personas: [nobody]\n", "personas: [sage\n", "a: &a [*a, *a]\n", "[" * 5_000, "\x00\ufffe: 1"):
            refused = await web.client.put(
                "/api/config/bots/sage.yaml", json={"text": text, "version": file["version"]}
            )
            assert (refused.status_code, bool(refused.json()["detail"])) == (400, True), text[:20]
        assert (config / "bots" / "sage.yaml").read_text() == file["text"]
        assert sorted(os.listdir(config / "bots")) == ["sage.yaml", "spark.yaml"]


ELSEWHERE = [
    ("personas: [sage]", 'description: "${DESK_KEY}"\npersonas: [sage]', "DESK_KEY"),
    ("personas: [sage]", 'description: "\\x24{DESK_KEY:-}"\npersonas: [sage]', "DESK_KEY"),
    ("personas: [sage]", "description: &it ${HOME:-}\npersonas: [sage]", "HOME"),
    (
        "personas: [sage]",
        "templates: [{name: a, opening: [{role: user, text: '${DESK_KEY}'}]}]\npersonas: [sage]",
        "DESK_KEY",
    ),
    ('api_key: "${DESK_KEY:-}"', 'api_key: "${DESK_TOKEN:-}"', "DESK_TOKEN"),
    ("127.0.0.1:1/v1", "127.0.0.1:2/v1", "DESK_KEY"),
    (', base_url: "http://127.0.0.1:1/v1"', "", "DESK_KEY"),
    ("provider: openai", "provider: anthropic", "DESK_KEY"),
    ("discord: {", "discord: {api_url: 'http://127.0.0.1:2', ", "DESK_TOKEN"),
]
"""What is in the file, what somebody puts in its place, and the variable that would be read out by it."""


async def test_a_variable_is_not_read_out_by_putting_it_elsewhere(config: Path) -> None:
    async with web_front(config, config=config) as web:
        (file, *_) = (await web.client.get("/api/config")).json()["files"]
        for old, new, name in ELSEWHERE:
            given = {"text": file["text"].replace(old, new), "version": file["version"]}
            refused = await web.client.put("/api/config/bots/sage.yaml", json=given)
            assert refused.status_code == 400, new
            assert f"found the variable {name}" in refused.json()["detail"], new
            told = await web.client.post("/api/config/check", json={"path": "bots/sage.yaml", "text": given["text"]})
            assert (told.json()["ok"], "very-secret" in told.text) == (False, False), new
        card = {"text": PERSONA.replace("wise", '"${DESK_KEY}"'), "version": None}
        assert (await web.client.put("/api/config/personas/spy.yaml", json=card)).status_code == 400
        assert (config / "bots" / "sage.yaml").read_text() == file["text"]


async def test_a_variable_that_stands_there_stays(config: Path) -> None:
    (config / "troupe.yaml").write_text('defaults: {description: "From ${DESK_TOWN:-here}"}\n')
    (config / "personas" / "sage.yaml").write_text(PERSONA.replace("wise", '"${DESK_TOWN:-here}"'))
    async with web_front(config, config=config) as web:
        (file, *_) = (await web.client.get("/api/config")).json()["files"]
        model = '{provider: openai, model: n, api_key: "${DESK_KEY:-}", base_url: "http://127.0.0.1:1/v1"}]\n'
        text = file["text"][: file["text"].rindex("]")] + f", {model}"
        given = {"text": text + 'description: "Of ${DESK_TOWN:-here}"\n', "version": file["version"]}
        written = await web.client.put("/api/config/bots/sage.yaml", json=given)
        assert (written.status_code, set(written.json()["changed"])) == (200, {"description", "models"}), written.text
        card = {"text": PERSONA.replace("wise", '"in ${DESK_TOWN:-here}"').replace("Sage", "Gadfly"), "version": None}
        assert (await web.client.put("/api/config/personas/gadfly.yaml", json=card)).status_code == 200


async def test_a_new_persona_is_a_new_file(config: Path) -> None:
    async with web_front(config, config=config) as web:
        card = {"text": PERSONA.replace("Sage", "Gadfly"), "version": None}
        assert (await web.client.put("/api/config/personas/gadfly.yaml", json=card)).status_code == 200
        assert (await web.client.put("/api/config/personas/gadfly.yaml", json=card)).status_code == 409
        assert (config / "personas" / "gadfly.yaml").read_text() == card["text"]


OTHERS = (
    *("bots/spark.yaml", "troupe.yaml", "../.env", "personas/../../.env", "personas/x.yml", "bots/sage.yaml.bak"),
    *("x", "%00"),
)
"""Paths of what is not changed from here."""


async def test_no_other_file_is_written(config: Path) -> None:
    (config / "troupe.yaml").write_text("fleet: {stagger: 1}\n")
    async with web_front(config, config=config) as web:
        before = {
            each: each.read_bytes()
            for each in config.parent.rglob("*.*")
            if each.is_file() and "data" not in each.parts
        }
        for path in OTHERS:
            for way in (path, path.replace("/", "%2f"), path.replace("..", "%2e%2e")):
                asked = await web.client.put(f"/api/config/{way}", json={"text": "a: 1\n", "version": None})
                assert 400 <= asked.status_code < 500, way
            checked = await web.client.post("/api/config/check", json={"path": path, "text": "a: 1\n"})
            assert checked.status_code == (200 if path == "troupe.yaml" else 400), path
        assert {each: each.read_bytes() for each in before} == before
        assert {each for each in config.parent.rglob("*.*") if each.is_file() and "data" not in each.parts} == set(
            before
        )


async def test_a_backup_is_not_restored_as_another_bot_that_has_nothing_yet(config: Path) -> None:
    async with web_front(config, config=config) as web:
        made = (await done(web, await web.client.post("/api/backups")))["result"]
        path = f"/api/backups/{made['name']}/restore"
        plan = (await web.client.get(path, params={"as": "spark"})).json()
        assert (plan["possible"], "the folder of the bot 'spark'" in plan["trouble"]) == (False, True)
        assert (await web.client.post(path, json={"as": "spark"})).status_code == 409
        assert not (config.parent / "data" / "spark").exists()
        assert (await web.client.get(path, params={"as": "barn"})).json()["possible"]


async def test_a_folder_that_may_not_be_written_to_says_so(config: Path) -> None:
    async with web_front(config, config=config) as web:
        (file, *_) = (await web.client.get("/api/config")).json()["files"]
        text = file["text"] + "display: Wise one\n"
        (config / "bots" / "sage.yaml.bak").mkdir()  # what stands before is to be kept there, and cannot be
        refused = await web.client.put("/api/config/bots/sage.yaml", json={"text": text, "version": file["version"]})
        assert (refused.status_code, "cannot be written" in refused.json()["detail"]) == (400, True)
        assert (config / "bots" / "sage.yaml").read_text() == file["text"]
