"""How much one GraphQL document may ask for: how deep it goes, how many names it gives, what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
)
from strawberry.extensions import AddValidationRules, MaxTokensLimiter, SchemaExtension

from .graphql_types import MOST

_DEPTH, _ALIASES, _TOKENS, _COST = 10, 30, 2_000, 5_000
_ROUNDS = 2
"""How often the schema may be asked for what lies within what lies within it."""
_USUALLY = 25
_LISTS = ("sessions", "messages", "search", "memories", "usage")
_DEAR = {"html": 10, "search": 50, "say": 50, "session": 3, "usage": 200}
"""Fields that are more work than to be looked up."""
_WITHIN = ("fields", "inputFields", "interfaces", "possibleTypes")
"""Lists of the schema about itself, by which it can be gone round in."""


def limits() -> list[Callable[[], SchemaExtension]]:
    """What a schema is given so that nobody asks for too much."""
    return [lambda: MaxTokensLimiter(_TOKENS), lambda: AddValidationRules([LimitRule])]


class LimitRule(ValidationRule):
    """Refuses a document that could take more than it may, before anything of it is done: a field counts one, or more
    where it is dear, and what stands in a list as often as the list may be long."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        weighing = _Weighing(context.document)
        for operation in context.document.definitions:
            if isinstance(operation, OperationDefinitionNode):
                for told in _too_much(weighing.of(operation.selection_set)):
                    context.report_error(GraphQLError(told, [operation]))


@dataclass(frozen=True, slots=True)
class _Weight:
    cost: int = 0
    depth: int = 0
    aliases: int = 0
    rounds: int = 0


class _Weighing:
    """Weighs each fragment once, however often it is spread: written out, a short document can be endless. Those that
    hold themselves are refused by another rule."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[str, _Weight] = {}

    def of(self, selected: SelectionSetNode | None) -> _Weight:
        found = [self._one(each) for each in selected.selections] if selected else []
        return _Weight(
            cost=sum(each.cost for each in found),
            depth=max((each.depth for each in found), default=0),
            aliases=sum(each.aliases for each in found),
            rounds=max((each.rounds for each in found), default=0),
        )

    def _one(self, node: object) -> _Weight:
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        if isinstance(node, InlineFragmentNode):
            return self.of(node.selection_set)
        assert isinstance(node, FieldNode)
        name, inside = node.name.value, self.of(node.selection_set)
        return _Weight(
            cost=_DEAR.get(name, 1) + _many(node) * inside.cost,
            depth=1 if name.startswith("__") else 1 + inside.depth,  # programs that read the schema go deep
            aliases=inside.aliases + (node.alias is not None),
            rounds=inside.rounds + (name in _WITHIN),
        )

    def _fragment(self, name: str) -> _Weight:
        if name not in self._known:
            self._known[name] = _Weight()
            fragment = self._fragments.get(name)
            self._known[name] = self.of(fragment.selection_set if fragment else None)
        return self._known[name]


def _too_much(weight: _Weight) -> list[str]:
    told = []
    if weight.depth > _DEPTH:
        told.append(f"This goes to a depth of more than {_DEPTH}: ask for less at once.")
    if weight.aliases > _ALIASES:
        told.append(f"This gives more than {_ALIASES} aliases: ask for less at once.")
    if weight.rounds > _ROUNDS:
        told.append("This goes round in the schema: ask for each type by its name (`__type`).")
    if weight.cost > _COST:
        told.append(f"This could cost more than {_COST:,}, which is the most: ask for fewer at once (`first`).")
    return told


def _many(node: FieldNode) -> int:
    if node.name.value not in _LISTS:
        return 1
    first = next((each.value for each in node.arguments or () if each.name.value == "first"), None)
    if first is None:
        return _USUALLY
    asked = int(first.value[:6]) if isinstance(first, IntValueNode) else MOST
    return asked if 1 <= asked <= MOST else MOST
