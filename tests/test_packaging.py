"""The image, the compose file, the lock files and the documents say what the program, its config and its tree say."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from bots.cli import main
from bots.loading import load
from bots.settings import Troupe

from .test_architecture import ROOT, project_files

DOCUMENTS = [path for path in project_files() if path.endswith(".md") and not path.startswith("tests/")]


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


class Instruction(NamedTuple):
    line: int
    name: str
    words: str


class Stage(NamedTuple):
    image: str
    instructions: list[Instruction]

    def all(self, name: str) -> list[Instruction]:
        return [each for each in self.instructions if each.name == name]

    def last(self, name: str) -> str:
        return self.all(name)[-1].words

    @property
    def folder(self) -> PurePosixPath:
        return PurePosixPath(self.last("WORKDIR"))

    @property
    def variables(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for each in self.all("ENV") for pair in shlex.split(each.words))


@cache
def stages() -> list[Stage]:
    """The Dockerfile: comments gone, continued lines joined."""
    found: list[Stage] = []
    whole, began = "", 0
    for number, line in enumerate(_text("Dockerfile").splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        began = number if not whole else began
        whole += line.strip()
        if whole.endswith("\\"):
            whole = whole[:-1]
            continue
        name, _, words = whole.partition(" ")
        whole = ""
        if name == "FROM":
            found.append(Stage(words.split()[0], []))
        else:
            found[-1].instructions.append(Instruction(began, name, words.strip()))
    assert not whole, f"Dockerfile:{began}: the last instruction goes on into nothing"
    return found


def dockerignored(path: str) -> bool:
    """Whether the build never sees a file; the last line that names it or a folder around it counts."""
    places = [place.as_posix() for place in (PurePosixPath(path), *PurePosixPath(path).parents)][:-1]
    ignored = False
    for line in _text(".dockerignore").splitlines():
        pattern = line.lstrip("!").removeprefix("**/")
        names = [place.rsplit("/", 1)[-1] for place in places] if "**/" in line else places
        if line and not line.startswith("#") and any(fnmatch(name, pattern) for name in names):
            ignored = not line.startswith("!")
    return ignored


@cache
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(_text("compose.yaml"))
    return read


SERVICES: dict[str, dict[str, Any]] = compose()["services"]


@cache
def strangers() -> tuple[Path, Troupe]:
    """The config as a stranger has it, with an empty environment and no `.env`; before it, the folder it is in."""
    with TemporaryDirectory() as folder:
        config = Path(folder, "config")
        config.symlink_to(ROOT / "config")
        return config.parent, load(config, {})


def refusal(words: list[str]) -> str | None:
    """Why `troupe` would not take these arguments, or None when it would."""
    command: click.Command = main
    context = click.Context(main, info_name="troupe")
    try:
        while isinstance(command, click.Group):
            if not words or words[0].startswith("-"):
                known = {option for each in command.get_params(context) for option in each.opts}
                return None if set(words) <= known else f"no such option: {words}"
            name, found, words = command.resolve_command(context, words)
            assert found is not None
            command, context = found, click.Context(found, parent=context, info_name=name)
        if "--help" not in words:
            command.make_context(context.info_name, list(words), parent=context.parent)
    except click.UsageError as error:
        return error.format_message()
    return None


def test_the_parser_of_commands_is_strict() -> None:
    assert refusal(["up"]) is None
    assert refusal(["config", "check", "--json"]) is None
    for wrong in (["nonsense"], ["--nonsense"], ["up", "--nonsense"], ["up", "sage"], ["bot"], ["config", "nonsense"]):
        assert refusal(wrong)


def test_two_stages_from_a_python_that_the_project_supports() -> None:
    project = tomllib.loads(_text("pyproject.toml"))["project"]
    for stage in stages():
        assert (version := re.fullmatch(r"python:(\d+\.\d+)-slim", stage.image)), f"unknown base image {stage.image}"
        assert Version(version[1]) in SpecifierSet(project["requires-python"])
    builder, runtime = stages()
    assert builder.image == runtime.image, "the virtual environment of one Python does not run on another"
    installs = [each.words for each in builder.all("RUN") if "pip install" in each.words]
    assert "--require-hashes" in installs[0]
    assert "requirements.lock" in installs[0]
    assert not any("pip" in each.words for each in runtime.all("RUN"))
    assert any("ca-certificates" in each.words for each in runtime.all("RUN"))


@pytest.mark.parametrize(
    "copy", [each for stage in stages() for each in stage.all("COPY")], ids=lambda copy: copy.words
)
def test_what_is_copied_is_there(copy: Instruction) -> None:
    *sources, target = copy.words.split()
    if sources[0].startswith("--from="):
        assert sources[1:] == [target]
        return
    for source in sources:
        files = [path for path in project_files() if path == source or path.startswith(f"{source}/")]
        assert files, f"Dockerfile:{copy.line}: {source} is not in the project, or git ignores it"
        unseen = [path for path in files if dockerignored(path)]
        assert not unseen, f".dockerignore keeps from the build what Dockerfile:{copy.line} copies: {unseen}"


def test_the_image_holds_what_the_wheel_needs_and_nothing_private() -> None:
    copied = {word for each in stages()[0].all("COPY") for word in each.words.split()}
    project = tomllib.loads(_text("pyproject.toml"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {*packages, project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"} <= copied
    for private in (
        ".env",
        "config/.env",
        ".git/config",
        "data/sage/conversations.db",
        ".venv/bin/python",
        "tests/x.py",
    ):
        assert dockerignored(private), f".dockerignore lets {private} into the build"


def test_the_image_runs_as_somebody_who_owns_the_data_and_nothing_else() -> None:
    runtime = stages()[-1]
    uid, gid = map(int, runtime.last("USER").split(":"))
    assert uid >= 1000
    assert gid >= 1000
    made = " ".join(each.words for each in runtime.all("RUN"))
    assert f"--uid {uid}" in made
    assert f"--gid {gid}" in made
    order = [each.name for each in runtime.instructions]
    assert order.index("RUN") < order.index("VOLUME"), "what is done to a volume after VOLUME is lost"


def test_the_volume_is_where_the_bots_write() -> None:
    runtime = stages()[-1]
    volume = PurePosixPath(runtime.last("VOLUME"))
    assert f"{volume}" in runtime.all("RUN")[0].words
    project, settings = strangers()
    for bot in settings.bots:
        root = runtime.folder / bot.root.relative_to(project).as_posix()
        assert volume in root.parents, f"{bot.name} writes to {root}, which is outside the volume {volume}"


def test_the_image_finds_its_config_and_its_command() -> None:
    runtime = stages()[-1]
    assert runtime.variables["TROUPE_CONFIG"] == str(runtime.folder / "config")
    assert runtime.variables["PATH"].startswith("/venv/bin:")
    assert runtime.variables["PYTHONUNBUFFERED"] == "1"
    assert runtime.last("STOPSIGNAL") == "SIGTERM"
    scripts = tomllib.loads(_text("pyproject.toml"))["project"]["scripts"]
    (command,) = json.loads(runtime.last("ENTRYPOINT"))
    assert command in scripts
    assert refusal(json.loads(runtime.last("CMD"))) is None


@pytest.mark.parametrize(
    ("variable", "sick", "asked", "well"),
    [
        ("sage", "spark", ["sage"], True),
        ("spark", "spark", ["spark"], False),
        (None, "nobody", ["logic", "sage", "spark"], True),
        (None, "sage", ["logic", "sage"], False),
    ],
)
def test_the_health_check(tmp_path: Path, variable: str | None, sick: str, asked: list[str], well: bool) -> None:
    """Its words run in a shell, with a `troupe` that notes what it is asked and finds one bot sick."""
    command = stages()[-1].last("HEALTHCHECK").partition("CMD ")[2]
    for words in re.findall(r"troupe ([^|;]+)", command):
        assert refusal(shlex.split(words)) is None
    for name in ("logic", "sage", "spark"):
        (tmp_path / "config/bots").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"config/bots/{name}.yaml").touch()
    troupe = tmp_path / "troupe"
    troupe.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\ntest "$3" != {sick}\n')
    troupe.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TROUPE_CONFIG": f"{tmp_path}/config"}
    environment |= {"TROUPE_BOT": variable} if variable else {}
    ended = subprocess.run(["/bin/sh", "-c", command], env=environment, cwd="/", check=False)
    assert (ended.returncode == 0) is well
    assert (tmp_path / "asked").read_text().splitlines() == [f"status --healthy {name}" for name in asked]


def test_every_bot_has_a_service_and_every_service_a_bot() -> None:
    assert set(SERVICES) == {bot.name for bot in strangers()[1].bots}
    assert sum("build" in service for service in SERVICES.values()) == 1
    assert len({service["image"] for service in SERVICES.values()}) == 1


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_its_bot(name: str) -> None:
    service = SERVICES[name]
    assert shlex.split(service["command"]) == ["bot", name]
    assert refusal(shlex.split(service["command"])) is None
    bot = strangers()[1].bot(name)
    assert bot is not None
    assert service["environment"] == {"TROUPE_BOT": name, "TROUPE_WEB_HOST": "0.0.0.0"}
    assert service["ports"] == [f"127.0.0.1:{bot.web.port}:{bot.web.port}"]
    assert service["env_file"] == [{"path": ".env", "required": False}]
    assert service["restart"] == "unless-stopped"
    assert int(service["stop_grace_period"].removesuffix("s")) >= 15
    assert int(service["mem_limit"].removesuffix("m")) >= strangers()[1].fleet.memory_limit
    if "build" in service:
        assert (ROOT / service["build"] / "Dockerfile").is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["driver"] == "json-file"
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert not {"privileged", "cap_add", "network_mode", "user"} & set(service)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_mounts_what_the_image_expects(name: str) -> None:
    runtime = stages()[-1]
    mounts = {}
    for written in SERVICES[name]["volumes"]:
        source, target, *mode = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", written).split(":")
        mounts[target] = (source, *mode)
    assert mounts == {runtime.last("VOLUME"): ("data",), runtime.variables["TROUPE_CONFIG"]: ("./config", "ro")}
    assert "data" in compose()["volumes"]
    ports = {str(port).rsplit(":", 1)[-1] for port in SERVICES[name].get("ports", ())}
    assert ports <= {port for each in runtime.all("EXPOSE") for port in each.words.split()}


class Pin(NamedTuple):
    line: int
    version: str
    hashes: list[str]


@cache
def pins(lock: str) -> dict[str, Pin]:
    found: dict[str, Pin] = {}
    for number, line in enumerate(_text(lock).splitlines(), 1):
        if entry := re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)", line):
            name = canonicalize_name(entry[1])
            apart = name not in found or " ; " in line  # one pin for each Python
            assert apart, f"{lock}:{number}: {name} is pinned twice"
            found[name] = Pin(number, entry[2], [])
        elif hashed := re.fullmatch(r"\s+--hash=sha256:([0-9a-f]{64})(?: \\)?", line):
            list(found.values())[-1].hashes.append(hashed[1])
        else:
            assert re.match(r"\s*(#|$)", line), f"{lock}:{number}: neither a pin nor a hash nor a comment: {line}"
    return found


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", ("docx", "pdf", "postgres", "s3", "vectors", "install")),
        ("requirements-dev.lock", ("install", "dev")),
    ],
)
def test_a_lock_covers_the_project(lock: str, extras: tuple[str, ...]) -> None:
    assert "://" not in _text(lock), f"{lock} names a host"
    bare = [name for name, pin in pins(lock).items() if not pin.hashes]
    assert not bare, f"{lock}: without a hash: {bare}; run `make lock`"
    project = tomllib.loads(_text("pyproject.toml"))
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    wanted += [each for extra in extras for each in project["project"]["optional-dependencies"][extra]]
    for requirement in map(Requirement, wanted):
        pin = pins(lock).get(canonicalize_name(requirement.name))
        assert pin, f"{lock} does not pin {requirement.name}; run `make lock`"
        assert requirement.specifier.contains(pin.version), f"{lock}:{pin.line}: not {requirement}; run `make lock`"


def test_the_locks_agree() -> None:
    small, large = (
        {name: (pin.version, pin.hashes) for name, pin in pins(lock).items()}
        for lock in ("requirements.lock", "requirements-dev.lock")
    )
    apart = [name for name, pin in small.items() if large.get(name) != pin]
    assert not apart, f"requirements-dev.lock pins otherwise: {apart}; run `make lock`"


@pytest.mark.parametrize("document", [*DOCUMENTS, "Makefile", "compose.yaml", ".ci/run"])
def test_the_commands_in(document: str) -> None:
    """Every `troupe …` and `make …` that people are told to type is one that works."""
    targets = set(re.findall(r"^([a-z]+):", _text("Makefile"), re.MULTILINE))
    for place, command, words in _typed(document):
        words = [word for word in words if not word.startswith("$(")]
        if command == "troupe":
            why = refusal(words)
            spoken_of = why is not None and why.startswith("Missing argument")  # in a sentence, without its arguments
            elsewhere = why is not None and why.endswith("does not exist.")  # the file is the reader's own
            assert why is None or spoken_of or elsewhere, f"{place}: troupe {shlex.join(words)}: {why}"
        else:
            goals = {word for word in words if not re.match(r"-|\w+=", word)}
            assert goals <= targets, f"{place}: make {shlex.join(words)}: the Makefile has {sorted(targets)}"


def _typed(document: str) -> Iterator[tuple[str, str, list[str]]]:
    """Each `troupe` or `make` between backticks or beginning a line of a fenced block or script: where, arguments."""
    fenced = not document.endswith(".md")
    for number, line in enumerate(_text(document).splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        for text in [*re.findall(r"`([^`]+)`", line), *([line] if fenced else [])]:
            prompt = r"\s*(?:#\s+|\$ |exec )?(?:docker compose exec \w+ |@?\$\(BIN\)/)?"
            if found := re.match(rf"{prompt}(troupe|make) (?!=)(.+)", text):
                words = re.split(r"\s[#|&>]|\s{3,}|…", found[2])[0]
                yield f"{document}:{number}", found[1], shlex.split(words)


def test_continuous_integration_runs_make_test() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK), "chmod +x .ci/run"
    lines = _text(".ci/run").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1] == "exec make test"


def test_answering_offline_pulls_in_no_sdk() -> None:
    code = (
        "import sys, bots.providers.offline\n"
        "big = {'openai', 'anthropic', 'discord', 'httpx', 'httpx2', 'aiohttp', 'numpy', 'ssl', 'sqlite3', 'yaml'}\n"
        "print(sorted(big & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() in ("[]", "['ssl']")  # asyncio itself may bring ssl
