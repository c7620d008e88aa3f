"""Speaks GraphQL over HTTP and WebSocket."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from .graphql_asked import Asked
from .graphql_schema import schema

_GREETED_WITHIN = timedelta(seconds=10)
_SUBSCRIPTIONS = 20
"""Of one client at once."""


class _Sent(BaseModel):
    """What a client sends, as far as what reads it takes for granted."""

    model_config = ConfigDict(strict=True)
    type: str
    id: str = ""


class _Subscribe(_Sent):
    payload: Asked


class _Exchange(BaseGraphQLTransportWSHandler[Any, None]):
    async def handle_message(self, message: Any) -> None:
        try:
            if _Sent.model_validate(message).type == "subscribe":
                _Subscribe.model_validate(message)
        except ValidationError:
            await self.handle_invalid_message("This is no message of graphql-transport-ws.")
        else:
            await super().handle_message(message)


class View(GraphQL[Any, None]):
    """The whole schema, at one address."""

    graphql_transport_ws_handler_class = _Exchange

    def __init__(self) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            allow_queries_via_get=False,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=_GREETED_WITHIN,
            max_subscriptions_per_connection=_SUBSCRIPTIONS,
        )

    def is_websocket_origin_allowed(self, request: Any, origin: str) -> bool:
        """The guard has looked already, and knows the address at which people reach the bot."""
        return True
