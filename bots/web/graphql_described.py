"""Tells in GraphQL's own description what the sources say of its types and fields."""

from __future__ import annotations

from graphql import GraphQLObjectType
from strawberry import Schema
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from .docstrings import on_lines, told_of


def describe(schema: Schema) -> None:
    """Gives every type and field of ours its words."""
    for kind in schema._schema.type_map.values():
        made_of = kind.extensions.get("strawberry-definition")
        if not isinstance(kind, GraphQLObjectType) or not isinstance(made_of, StrawberryObjectDefinition):
            continue
        kind.description = kind.description or on_lines(made_of.origin.__doc__)
        for told in kind.fields.values():
            field = told.extensions.get("strawberry-definition")
            if isinstance(field, StrawberryField):
                asked = field.base_resolver
                said = on_lines(asked.wrapped_func.__doc__) if asked else told_of(made_of.origin, field.python_name)
                told.description = told.description or said or None
