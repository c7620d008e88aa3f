"""The house rules as tests: what may import what, how big a thing may grow, which names and marks are refused."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest

from bots.storage_settings import StorageSettings

ROOT = Path(__file__).resolve().parent.parent
EDGES = ("bots.discord", "bots.web", "bots.providers")
SDKS = {
    "discord": "bots/discord/",
    "openai": "bots/providers/openai.py",
    "anthropic": "bots/providers/anthropic.py",
    "agents": "storage/agents_session.py",
}
SEE_EVERYTHING = ("__main__", "cli", "cli_*", "wiring", "wiring_*", "supervisor", "process", "preload", "console")
"""Modules directly in bots/ that may name concrete classes; all others there know protocols only."""
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time")}
VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "handler", "handlers", "misc"}
OPEN_MARKS = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error", "pass  # " + "stub")
_APART = "py|pi.org python|hosted.org npm|js. crates|.io ruby|gems.org deb|.debian docker|.io gh|cr.io qu|ay.io"
REGISTRIES = _APART.replace("|", "").split()
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
FILE_LINES, FUNCTION_LINES = 400, 70
FILE_BYTES = 1 << 20
PATCHES_PER_100_TESTS = 5


@cache
def project_files() -> tuple[str, ...]:
    """Every file that is, or is about to be, part of the project, as paths from its root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        return walked()
    return tuple(sorted(path for path in listed if path and (ROOT / path).is_file()))


def walked() -> tuple[str, ...]:
    """The same without git: all files but those that `.gitignore` names."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    kept = {line[1:] for line in lines if line.startswith("!")}
    ignored = [".git", *(line.rstrip("/") for line in lines if not line.startswith("!"))]

    def seen(path: Path) -> bool:
        names = (path.name, path.relative_to(ROOT).as_posix())
        return names[1] in kept or not any(fnmatch(name, pattern) for name in names for pattern in ignored)

    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if seen(Path(folder, name))]
        found += [Path(folder, name).relative_to(ROOT).as_posix() for name in files if seen(Path(folder, name))]
    return tuple(sorted(found))


@dataclass(frozen=True)
class Import:
    """One name brought in, as the most specific module it is known to be."""

    line: int
    module: str
    running: bool
    """False where only the type checker sees it."""


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All of the tree, walked once for all rules."""
        return tuple(ast.walk(self.tree))

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def imports(self) -> list[Import]:
        typing = [node for node in self.nodes if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
        unseen = {id(inner) for block in typing for part in block.body for inner in ast.walk(part)}
        nodes = [node for node in self.nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        return [Import(node.lineno, name, id(node) not in unseen) for node in nodes for name in self._modules(node)]

    def _modules(self, node: ast.Import | ast.ImportFrom) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        base = node.module or ""
        if node.level:
            package = self.path.removesuffix(".py").split("/")[: -node.level]
            base = ".".join([*package, *filter(None, [base])])
        full = [f"{base}.{alias.name}" for alias in node.names]
        return [name if name in known_modules() else base for name in full]


@cache
def sources() -> tuple[Source, ...]:
    paths = [path for path in project_files() if path.endswith(".py") and not path.startswith("tests/golden/")]
    return tuple(Source(path, (ROOT / path).read_text(encoding="utf-8")) for path in paths)


@cache
def known_modules() -> frozenset[str]:
    return frozenset(source.module for source in sources())


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def edge(module: str) -> str | None:
    return next((name for name in EDGES if within(module, name)), None)


def backend(module: str) -> str | None:
    """The kind of storage a module in storage/backends belongs to; None for pieces that all of them share."""
    kinds = get_args(StorageSettings.model_fields["type"].annotation)
    name = module.removeprefix("storage.backends.")
    return next((kind for kind in kinds if within(module, "storage.backends") and name.startswith(kind)), None)


Finding = tuple[int, str]
Rule = Callable[[Source], Iterator[Finding]]


def storage_is_a_leaf(source: Source) -> Iterator[Finding]:
    for each in source.imports if within(source.module, "storage") else ():
        if within(each.module, "bots"):
            yield each.line, f"storage imports {each.module}; take what it needs as an argument"


def edges_stay_apart(source: Source) -> Iterator[Finding]:
    here = edge(source.module)
    for each in source.imports:
        there = edge(each.module)
        if here and there and here != there:
            yield each.line, f"{here} imports {each.module}; move what both need to bots/ or pass it in bots/wiring.py"


def sdks_stay_at_home(source: Source) -> Iterator[Finding]:
    for each in source.imports if within(source.module, "bots") or within(source.module, "storage") else ():
        home = SDKS.get(each.module.split(".")[0])
        if home and not source.path.startswith(home):
            yield each.line, f"imports {each.module}; only {home} may, so translate to our own types there"


def middle_knows_protocols(source: Source) -> Iterator[Finding]:
    folder, _, name = source.module.rpartition(".")
    if folder != "bots" or any(fnmatch(name, allowed) for allowed in SEE_EVERYTHING):
        return
    for each in source.imports:
        if edge(each.module) and each.module != "bots.providers":
            yield each.line, f"names the concrete {each.module}; take its protocol as an argument from bots/wiring.py"


def backends_stay_apart(source: Source) -> Iterator[Finding]:
    if not within(source.module, "storage.backends"):
        return
    for each in source.imports:
        other = backend(each.module)
        mine = backend(source.module)
        if other and other != mine and (mine, other) != ("file", "sqlite"):  # which is its index
            yield each.line, f"imports the backend {each.module}; move what both need to a module named after neither"


def storage_is_told_the_time(source: Source) -> Iterator[Finding]:
    if not within(source.module, "storage"):
        return
    for node in source.nodes:
        found = None
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).split(".")[-1]
            found = f"{owner}.{node.attr}" if (owner, node.attr) in CLOCKS else None
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found = "time" if any(alias.name in ("time", "time_ns") for alias in node.names) else None
        if found:
            yield getattr(node, "lineno", 1), f"asks the clock ({found}); take the time as an argument"


def files_fit(source: Source) -> Iterator[Finding]:
    lines = len(source.text.splitlines())
    if lines > FILE_LINES:
        yield FILE_LINES + 1, f"{lines} lines, allowed are {FILE_LINES}; move one subject to a file of its own"


def functions_fit(source: Source) -> Iterator[Finding]:
    for node in source.nodes:
        if isinstance(node, FUNCTIONS):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield node.lineno, f"{node.name} has {lines} lines, allowed are {FUNCTION_LINES}; name a part of it"


def names_say_something(source: Source) -> Iterator[Finding]:
    defined = [node for node in source.nodes if isinstance(node, FUNCTIONS | ast.ClassDef)]
    folders = source.path.removesuffix(".py").split("/")
    for line, name in [*((1, name) for name in folders), *((node.lineno, node.name) for node in defined)]:
        for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name):
            if word.lower() in VAGUE:
                yield line, f"'{word}' in '{name}' says nothing; name it after what it does"


def opens_with_its_purpose(source: Source) -> Iterator[Finding]:
    said = (ast.get_docstring(source.tree, clean=False) or "").split("\n")
    whole = said[0].strip().endswith((".", "?", "!", ":"))
    if not whole or said[1:2] not in ([], [""]) or source.tree.body[0].lineno != 1:
        yield 1, "does not open with a one-line sentence on what the module is for (a blank line before more); write it"


def no_test_waits(source: Source) -> Iterator[Finding]:
    for node in source.nodes if source.path.startswith("tests/") else ():
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "sleep":
            first = node.args[0] if node.args else None
            constant = first.value if isinstance(first, ast.Constant) else None
            if ast.unparse(node.func) == "time.sleep" or (isinstance(constant, int | float) and constant > 0):
                yield node.lineno, "sleeps; wait for the event itself, or move a clock of tests/world.py"


def silences_are_named(source: Source) -> Iterator[Finding]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if re.search(r"#\s*type:\s*ignore(?!\[)|#\s*noqa(?!:)", line):
            yield number, "silences every finding of a line; name the one, as in [arg-type]"


RULES: tuple[Rule, ...] = (
    storage_is_a_leaf,
    edges_stay_apart,
    sdks_stay_at_home,
    middle_knows_protocols,
    backends_stay_apart,
    storage_is_told_the_time,
    files_fit,
    functions_fit,
    names_say_something,
    opens_with_its_purpose,
    no_test_waits,
    silences_are_named,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps(rule: Rule) -> None:
    mend([f"{source.path}:{line}: {found}" for source in sources() for line, found in rule(source)])


BROKEN: tuple[tuple[Rule, str, str], ...] = (
    (storage_is_a_leaf, "storage/x.py", "from bots.settings import Name"),
    (storage_is_a_leaf, "storage/backends/x.py", "def f():\n    import bots.router"),
    (edges_stay_apart, "bots/providers/x.py", "from ..discord import text"),
    (sdks_stay_at_home, "bots/x.py", "from openai.types import Model"),
    (sdks_stay_at_home, "storage/x.py", "import discord"),
    (sdks_stay_at_home, "bots/providers/openai.py", "if TYPE_CHECKING:\n    import anthropic"),
    (middle_knows_protocols, "bots/x.py", "from .providers.offline import Offline"),
    (middle_knows_protocols, "bots/x.py", "from . import discord"),
    (backends_stay_apart, "storage/backends/postgres.py", "from .sqlite import SqliteStore"),
    (backends_stay_apart, "storage/backends/group.py", "from . import sqlite"),
    (storage_is_told_the_time, "storage/x.py", "at = datetime.datetime.now(UTC)"),
    (storage_is_told_the_time, "storage/x.py", "def f(now=time.time): ..."),
    (files_fit, "bots/x.py", "pass\n" * (FILE_LINES + 1)),
    (functions_fit, "bots/x.py", "def f():\n" + "    pass\n" * FUNCTION_LINES),
    (names_say_something, "bots/text_utils.py", ""),
    (names_say_something, "bots/x.py", "class RequestHandler: ..."),
    (names_say_something, "bots/x.py", "def common_parts(): ..."),
    (opens_with_its_purpose, "bots/x.py", "import os"),
    (opens_with_its_purpose, "bots/x.py", '"""No end"""'),
    (opens_with_its_purpose, "bots/x.py", '"""\nLate."""'),
    (no_test_waits, "tests/x.py", "await asyncio.sleep(0.1)"),
    (no_test_waits, "tests/x.py", "time.sleep(0)"),
    (silences_are_named, "bots/x.py", "import x  #" + " type: ignore"),
)


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_the_rule_sees(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


def test_no_import_cycles() -> None:
    runs = {s.module: {each.module for each in s.imports if each.running} & known_modules() for s in sources()}
    try:
        TopologicalSorter({module: found - {module} for module, found in runs.items()}).prepare()
    except CycleError as error:
        ring = list(reversed(error.args[1]))
        mend([_arrow(one, other) for one, other in pairwise(ring)])


def _arrow(one: str, other: str) -> str:
    source = next(source for source in sources() if source.module == one)
    line = next(each.line for each in source.imports if each.module == other and each.running)
    return f"{source.path}:{line}: imports {other} in a circle; move what both need to a third module"


def test_nothing_is_left_open_and_no_registry_is_named() -> None:
    marks = re.compile("|".join(rf"\b{re.escape(mark)}\b" for mark in OPEN_MARKS))
    hosts = re.compile("|".join(map(re.escape, REGISTRIES)), re.IGNORECASE)
    found = []
    for path in project_files():
        text = (ROOT / path).read_bytes().decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if not path.startswith("tests/golden/") and (mark := marks.search(line)):
                found.append(f"{path}:{number}: {mark[0]}: finish it, or write down elsewhere what is missing")
            if host := hosts.search(line):
                found.append(
                    f"{path}:{number}: names the registry {host[0]}; every machine has its own, so leave it out"
                )
    mend(found)


def test_no_file_is_large() -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in project_files()}
    mend([f"{path}:1: {n} bytes, allowed are {FILE_BYTES}; keep a part" for path, n in sizes.items() if n > FILE_BYTES])


def test_few_patches() -> None:
    """Patched tests know the inside of what they test: constructor arguments and the offline provider do not."""
    patches, tests = [], 0
    for source in sources():
        for node in source.nodes if source.path.startswith("tests/") else ():
            if isinstance(node, FUNCTIONS):
                tests += node.name.startswith("test_")
            elif isinstance(node, ast.Call) and re.search(
                r"^(monkeypatch|mp)\.setattr$|\bpatch\b", ast.unparse(node.func)
            ):
                patches.append(f"{source.path}:{node.lineno}: a patch; pass the thing as an argument")
    if len(patches) * 100 > PATCHES_PER_100_TESTS * tests:
        mend([*patches, f"{len(patches)} patches in {tests} tests, allowed are {PATCHES_PER_100_TESTS} per 100"])


def test_the_readme_map_is_the_tree() -> None:
    """Every module of bots/ and storage/ has its line in the map, and every line its file or folder."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    at = readme.index("## The map") if "## The map" in readme else len(readme)
    mapped: dict[str, int] = {}
    fenced = False
    for number, line in enumerate(readme[at + 1 :], at + 2):
        if line.startswith("## "):
            break
        fenced ^= line.startswith("```")
        if entry := re.match(r"\s*([\w.-]+/[\w./-]*|[\w-]+\.\w+)\s{2,}\S", line if fenced else ""):
            mapped[entry[1]] = number
    gone = [
        f"README.md:{number}: {path} is not there; remove or mend the line"
        for path, number in mapped.items()
        if not (ROOT / path).exists()
    ]
    missing = [source for source in sources() if _belongs_in_the_map(source) and source.path not in mapped]
    lines = [f"{source.path:<32}  {_purpose(source)}" for source in missing]
    mend([*gone, *(["README.md: put these lines into the fenced block under '## The map':", *lines] if lines else [])])


def _belongs_in_the_map(source: Source) -> bool:
    return source.path.startswith(("bots/", "storage/")) and Path(source.path).stem not in ("__init__", "__main__")


def _purpose(source: Source) -> str:
    return (ast.get_docstring(source.tree) or "").split("\n")[0].rstrip(".")


def test_the_file_list_needs_no_git() -> None:
    assert {"Makefile", "bots/router.py", "tests/test_architecture.py"} <= set(walked())
    assert not any(path.startswith((".git/", ".venv/")) or "__pycache__" in path for path in walked())


def mend(findings: list[str]) -> None:
    """Fails with one finding a line."""
    if findings:
        pytest.fail("\n".join(findings), pytrace=False)
