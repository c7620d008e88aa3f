"""Tries every operation of a web front as its OpenAPI description says; a program, which `test_web_schema` runs.

What Hypothesis tries depends on the constants of all modules of ours that are loaded: in a process of its own they are
few, and the same whichever tests ran before.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from itertools import count
from typing import Any, cast

import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

Known = dict[str, list[str]]
"""Ids of what there is, by the names that they have in paths, queries and bodies."""
_EXAMPLES = {GenerationMode.POSITIVE: 4, GenerationMode.NEGATIVE: 1}
"""Of each operation."""
_CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
_LAST = ("DELETE /api/chat/messages/{id}", "DELETE /api/chat/sessions/{id}", "POST /api/privacy/forget")
"""Of what these take away there is nothing more to try."""


def tried_out(url: str, known: Known) -> tuple[list[str], int]:
    """Tries every operation of the bot there; returns what was not as it is described, and how many tries there
    were."""
    schema, wrong, tries = schemathesis.openapi.from_url(f"{url}/api/openapi.json"), list[str](), count()
    schema.config.generation.update(
        with_security_parameters=False
    )  # whoever is here needs none, and an untrue one is 401
    operations = [cast(Any, operation).ok() for operation in schema.get_all_operations()]
    for operation in sorted(operations, key=lambda each: each.label in _LAST):
        for mode, examples in _EXAMPLES.items():
            if mode is GenerationMode.NEGATIVE and anything_goes(operation):
                continue

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=examples,
                derandomize=True,
                database=None,
                deadline=timedelta(seconds=20),
                phases=[Phase.explicit, Phase.generate],
                verbosity=Verbosity.quiet,
                suppress_health_check=list(HealthCheck),
            )
            def answers(case: Case[Any]) -> None:
                about_something(case, next(tries), known)
                case.validate_response(case.call(timeout=20), checks=_CHECKS)

            try:
                answers()
            except Unsatisfiable:
                pass  # nothing is asked there that could be asked wrongly
            except BaseExceptionGroup as errors:
                wrong.extend(f"{operation.label}: {error}" for error in errors.exceptions)
            except Exception as error:
                wrong.append(f"{operation.label}: {error}")
    return wrong, next(tries)


def anything_goes(operation: Any) -> bool:
    """Whether nothing can be asked wrongly there: Hypothesis would look for it hundreds of times."""
    told = operation.definition.raw
    return "requestBody" not in told and all(
        each["in"] == "path" and each["schema"].keys() <= {"type", "title"} and each["schema"]["type"] == "string"
        for each in told.get("parameters", ())
    )


def about_something(case: Case[Any], number: int, known: Known) -> None:
    """Lets all but every third try be about a session, a message or what else that there is."""
    if number % 3 == 0:
        return
    given_in: Any
    noun = next((noun for noun in known if noun in case.path), "")
    for given_in in (case.path_parameters, case.query, case.body):
        for name in given_in if isinstance(given_in, dict) else ():
            there = known.get(noun if name == "id" else name, [])
            if there and isinstance(given_in[name], str):
                given_in[name] = there[number % len(there)]


if __name__ == "__main__":
    print(json.dumps(tried_out(sys.argv[1], json.loads(sys.argv[2]))))
