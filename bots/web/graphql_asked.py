"""A GraphQL request and its answer as they are sent, known before the rest of GraphQL is loaded."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, JsonValue


class Asked(BaseModel):
    """A GraphQL request."""

    query: Annotated[str, Field(min_length=1, max_length=50_000)]
    variables: dict[str, JsonValue] | None = None
    operationName: Annotated[str, Field(max_length=200)] | None = None


class Answered(BaseModel):
    """A GraphQL answer."""

    data: dict[str, JsonValue] | None = None
    errors: list[dict[str, JsonValue]] | None = None
    extensions: dict[str, JsonValue] | None = None
