"""What the API says of itself, as OpenAPI: beside its forms what the sources say of each field, and who may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BaseModel

from storage.durable import in_thread

from .callers import Asks
from .description_words import LIVE, OF_A_PARAMETER, OF_AN_ID, WHO
from .desk import Desk
from .docstrings import told_of
from .tokens import Scope

router = APIRouter()


class Description:
    """The description of one app: made when somebody first asks, which takes seconds, and beside the loop."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        self._made = b""

    async def of(self, app: FastAPI) -> bytes:
        """It, as JSON."""
        async with self._one:
            if not self._made:
                self._made = await in_thread(_made, app)
        return self._made


@router.get("/api/openapi.json", include_in_schema=False)
async def description(request: Request) -> Response:
    """What can be asked of this bot."""
    app: FastAPI = request.app
    found: Description = app.state.description
    return Response(await found.of(app), media_type="application/json")


def _made(app: FastAPI) -> bytes:
    told: dict[str, Any] = app.openapi()
    desk: Desk = app.state.desk
    told["info"]["description"] += f"\n\n{WHO}\n\n{LIVE}"
    told["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "One that `troupe token create` has shown."},
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": f"troupe_{desk.settings.name}",
            "description": "That of a browser that is signed in; behind HTTPS its name begins with `__Host-`.",
        },
    }
    kinds = list(_kinds(BaseModel))
    for name, schema in told["components"]["schemas"].items():
        _say_of_fields(name, schema, kinds)
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                _say_of(route, told["paths"][route.path_format][method.lower()])
    return json.dumps(told, ensure_ascii=False).encode()


def _say_of_fields(name: str, schema: dict[str, Any], kinds: list[type[BaseModel]]) -> None:
    """Tells of the fields of a component what the source of its class says, whose name is its own."""
    fields = schema.get("properties", {})
    for kind in kinds:
        names = {field.alias or each: each for each, field in kind.model_fields.items()}
        if kind.__name__ == name.partition("_")[0] and fields.keys() <= names.keys():
            for each, field in fields.items():
                if said := told_of(kind, names[each]):
                    field.setdefault("description", said)


def _say_of(route: RouteContext, told: dict[str, Any]) -> None:
    """Tells of an operation which scope it takes, and what each of its parameters is."""
    models = [
        kind
        for each in route.dependant.query_params
        if isinstance(kind := each.field_info.annotation, type) and issubclass(kind, BaseModel)
    ]
    for parameter in told.get("parameters", ()):
        name = parameter["name"]
        said = next((said for kind in models if (said := told_of(kind, name))), "") or OF_A_PARAMETER.get(name, "")
        if name == "id":
            noun = next(noun for noun in OF_AN_ID if f"/{noun}/{{id}}" in (route.path_format or ""))
            said = OF_AN_ID[noun]
        if said:
            parameter.setdefault("description", said)
    if (scope := _scope(route.dependant)) is not None:
        told["security"] = [{"token": [scope]}, {"cookie": [scope]}]
        told["description"] = f"{told.get('description', '')}\n\nTakes the scope `{scope}`.".strip()


def _scope(dependant: Dependant) -> Scope | None:
    """What a caller needs there; None where everybody may."""
    for each in dependant.dependencies:
        if isinstance(each.call, Asks):
            return each.call.scope
        if (found := _scope(each)) is not None:
            return found
    return None


def _kinds(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """All forms of ours."""
    for each in base.__subclasses__():
        if each.__module__.partition(".")[0] in ("bots", "storage") and not each.__pydantic_generic_metadata__["args"]:
            yield each
        yield from _kinds(each)
