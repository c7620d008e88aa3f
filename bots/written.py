"""What people wrote, as they wrote it: YAML and .env files as values that know their file, line and key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from .values import Filled

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = "tag:yaml.org,2002:"
_LARGEST = 20_000
"""Values in one file; aliases of aliases can otherwise grow without end."""
_DEEPEST = 50
"""Blocks inside blocks; the YAML library recurses in C and takes the process with it when the stack is full."""

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_]\w*)(?::-((?:(?!\$\{)[^}])*))?\}|\$\{", re.ASCII)
_ASSIGNMENT = re.compile(
    r"""(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(?:'([^']*)'|"((?:[^"\\]|\\.)*)"|((?!['"]).*?))\s*(?:(?:(?<=\s)|(?<=['"]))\#.*)?""",
    re.ASCII,
)

_LONGEST_LINE = 8_000
"""Characters of a line of .env; a key of any provider is far shorter."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and where it stands. Scalars are text, whatever YAML takes them for, so that an id, a time or `1_000`
    reach their setting as people wrote them; only an empty value is None."""

    file: str
    line: int
    """From 1; 0 for what stands in no file but in the variable that `file` names."""
    key: str
    value: dict[str, Entry] | list[Entry] | str | None
    problem: str = ""
    """What is wrong with it by itself (a variable nobody set): counts only where the value is used."""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}: {self.key}".removesuffix(": ") if self.line else self.file

    @property
    def text(self) -> str:
        """Its words, or nothing where something else stands."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def plain(self) -> Any:
        if isinstance(self.value, dict):
            return {key: entry.plain for key, entry in self.value.items()}
        return [entry.plain for entry in self.value] if isinstance(self.value, list) else self.value

    @property
    def problems(self) -> Iterator[str]:
        """What is wrong with it and everything inside it."""
        if self.problem:
            yield f"{self.place}: {self.problem}"
        for entry in self.children:
            yield from entry.problems

    @property
    def children(self) -> list[Entry]:
        if isinstance(self.value, dict):
            return list(self.value.values())
        return self.value if isinstance(self.value, list) else []

    def at(self, *path: str | int) -> Entry:
        """The entry at the end of the path; where nothing is written, an empty one at the nearest line."""
        if not path:
            return self
        step, *rest = path
        if isinstance(self.value, dict) and step in self.value:
            return self.value[str(step)].at(*rest)
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step].at(*rest)
        return replace(self, key=_inside(self.key, step), value=None).at(*rest)

    def over(self, base: Entry) -> Entry:
        """This entry with whatever it leaves out taken from `base`; lists and scalars replace."""
        if not isinstance(self.value, dict) or not isinstance(base.value, dict):
            return self
        both = {key: entry.over(base.value[key]) if key in base.value else entry for key, entry in self.value.items()}
        return replace(self, value={**base.value, **both})

    def without(self, key: str) -> Entry:
        assert isinstance(self.value, dict)
        return replace(self, value={name: entry for name, entry in self.value.items() if name != key})


class Files:
    """Reads files of one project and notes what is wrong with them in `findings`. `trial` holds texts that are read in
    place of what is in some files."""

    def __init__(
        self, project: Path, environ: Mapping[str, str], findings: list[str], trial: Mapping[Path, str] | None = None
    ) -> None:
        self.project = project
        self.findings = findings
        self.trial = trial or {}
        self.variables = {**self.assignments(project / ".env"), **environ}

    def label(self, path: Path) -> str:
        return path.relative_to(self.project).as_posix()

    def mapping(self, path: Path) -> Entry | None:
        """The YAML mapping a file holds, or None with a finding."""
        text = self.text(path)
        if text is None:
            return None
        file = self.label(path)
        try:
            _refuse_depth(text)
            node = yaml.compose(text, Loader=_LOADER)
            entry = None if node is None else _Composed(file, self.variables, self.findings).entry(node, "", 1)
        except yaml.YAMLError as error:
            self.findings.append(_broken(file, text, error))
            return None
        except (RecursionError, OverflowError):
            self.findings.append(f"{file}: found values nested or repeated without end; write them out without aliases")
            return None
        if entry is None or not isinstance(entry.value, dict):
            found = "nothing but comments" if entry is None or entry.value is None else "a single value or a list"
            self.findings.append(f"{file}:1: found {found}; allowed: settings written as `key: value`")
            return None
        return entry

    def text(self, path: Path) -> str | None:
        """The words of a file, or None with a finding."""
        if path in self.trial:
            return self.trial[path]
        file = self.label(path)
        try:
            content = path.read_bytes()
            return content.decode("utf-8-sig")
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            self.findings.append(f"{file}: cannot be read ({why}); check that it is a file this account may read")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self.findings.append(f"{file}:{line}: found letters that are not UTF-8; save the file as UTF-8")
        return None

    def assignments(self, path: Path) -> dict[str, str]:
        """The variables of a .env file, which need not exist."""
        if not os.path.lexists(path):
            return {}
        variables = {}
        for number, line in enumerate((self.text(path) or "").splitlines(), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            match = _ASSIGNMENT.fullmatch(line.strip()) if len(line) <= _LONGEST_LINE else None
            if match is None:
                self.findings.append(
                    f"{self.label(path)}:{number}: found a line that assigns nothing (not shown: it may be secret); "
                    "allowed: NAME=value, NAME='value', NAME=\"value\", # comment"
                )
                continue
            name, single, double, bare = match.groups()
            variables[name] = re.sub(r"\\(.)", _escaped, double) if double is not None else single or bare or ""
        return variables


class _Composed:
    """Turns the nodes of one YAML file into entries."""

    def __init__(self, file: str, variables: Mapping[str, str], findings: list[str]) -> None:
        self.file = file
        self.variables = variables
        self.findings = findings
        self.count = 0

    def entry(self, node: yaml.Node, key: str, line: int) -> Entry:
        self.count += 1
        if self.count > _LARGEST:
            raise OverflowError
        problem = "" if node.tag.startswith(_TAGS) else f"found the tag {node.tag}; allowed: plain values without tags"
        if isinstance(node, yaml.MappingNode):
            return Entry(self.file, line, key, self.entries(node, key), problem)
        if isinstance(node, yaml.SequenceNode):
            items = [self.entry(item, _inside(key, i), _line(item)) for i, item in enumerate(node.value)]
            return Entry(self.file, line, key, items, problem)
        if node.tag == f"{_TAGS}null":
            return Entry(self.file, line, key, None)
        text, missing = fill(node.value, self.variables)
        return Entry(self.file, line, key, text, problem or missing)

    def entries(self, node: yaml.MappingNode, key: str) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for name_node, value in node.value:
            name, line = str(name_node.value), _line(name_node)
            if not isinstance(name_node, yaml.ScalarNode):
                where = Entry(self.file, line, key, None).place
                self.findings.append(f"{where}: found a key that is no word; allowed: `key: value`")
            elif name in found:
                again = f"found the key a second time (first in line {found[name].line}); keep one of them"
                self.findings.append(f"{self.file}:{line}: {_inside(key, name)}: {again}")
            else:
                found[name] = self.entry(value, _inside(key, name), line)
        return found


def fill(source: str, variables: Mapping[str, str]) -> tuple[Filled, str]:
    """The text with its variables filled in, and what is wrong with it (or nothing)."""
    problems: list[str] = []

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        if match[0] == "$${":
            return "${"
        if name is None:
            problems.append(
                "found a '${' that opens no variable; allowed: ${NAME}, ${NAME:-default}, and $${ for a bare ${"
            )
            return ""
        if default is None and name not in variables:
            problems.append(
                f"the variable {name} is not set; set it in the environment or in .env, "
                f"or write ${{{name}:-}} to leave it empty"
            )
        # As in a shell, `:-` also stands in for a variable that is set to nothing.
        return variables.get(name, "") or default or ""

    return Filled(_REFERENCE.sub(value, source), source), "; ".join(problems)


def _refuse_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise OverflowError


def _inside(key: str, step: str | int) -> str:
    if isinstance(step, int):
        return f"{key}[{step}]"
    return f"{key}.{step}" if key else step


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _broken(file: str, text: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    number = mark.line if mark else 0
    line = next(iter(text.splitlines()[number : number + 1]), "")
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return f"{file}:{number + 1}: broken YAML (found a tab); YAML wants spaces at the beginning of a line"
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    hint = "check the indentation, the colons and the quotes there and just above"
    if "alias" in f"{problem} {getattr(error, 'context', '')}":
        hint = "a value that starts with * or & needs quotes around it"
    return f"{file}:{number + 1}: broken YAML ({problem}); {hint}"


def _escaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
