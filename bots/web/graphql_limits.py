"""How much one GraphQL document may ask for: how deep it goes, how many names it gives, what it costs."""

from __future__ import annotations

from collections.abc import Callable

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
from strawberry.extensions import (
    AddValidationRules,
    MaxAliasesLimiter,
    MaxTokensLimiter,
    QueryDepthLimiter,
    SchemaExtension,
)

from .graphql_types import MOST

_DEPTH, _ALIASES, _TOKENS, _COST = 10, 30, 2_000, 5_000
_USUALLY = 25
_LISTS = ("sessions", "messages", "search", "memories", "usage")
_DEAR = {"html": 10, "search": 50, "say": 50, "session": 3, "usage": 200}
"""Fields that are more work than to be looked up."""


def limits() -> list[Callable[[], SchemaExtension]]:
    """What a schema is given so that nobody asks for too much."""
    return [
        lambda: MaxTokensLimiter(_TOKENS),
        lambda: QueryDepthLimiter(_DEPTH),
        lambda: MaxAliasesLimiter(_ALIASES),
        lambda: AddValidationRules([CostRule]),
    ]


class CostRule(ValidationRule):
    """Refuses a document that could take more than it may, before anything of it is done: a field counts one, or more
    where it is dear, and what stands in a list as often as the list may be long."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        cost = _Cost(context.document)
        for operation in context.document.definitions:
            if isinstance(operation, OperationDefinitionNode) and (taken := cost.of(operation.selection_set)) > _COST:
                told = f"This could cost {taken:,}, and {_COST:,} is the most: ask for fewer at once (`first`)."
                context.report_error(GraphQLError(told, [operation]))


class _Cost:
    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[str, int] = {}

    def of(self, selected: SelectionSetNode | None) -> int:
        return sum(self._one(each) for each in selected.selections) if selected else 0

    def _one(self, node: object) -> int:
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        if isinstance(node, InlineFragmentNode):
            return self.of(node.selection_set)
        assert isinstance(node, FieldNode)
        return _DEAR.get(node.name.value, 1) + _many(node) * self.of(node.selection_set)

    def _fragment(self, name: str) -> int:
        """Each is counted once, however often it is spread: those that hold themselves are refused by another rule."""
        if name not in self._known:
            self._known[name] = 0
            fragment = self._fragments.get(name)
            self._known[name] = min(self.of(fragment.selection_set), _COST + 1) if fragment else 0
        return self._known[name]


def _many(node: FieldNode) -> int:
    if node.name.value not in _LISTS:
        return 1
    first = next((each.value for each in node.arguments or () if each.name.value == "first"), None)
    if first is None:
        return _USUALLY
    return min(int(first.value[:6]), MOST) if isinstance(first, IntValueNode) else MOST
