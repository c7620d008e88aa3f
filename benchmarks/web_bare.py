"""The peer of `web.py`: a bare FastAPI app that answers the same JSON, already at hand, on the same server.

python -m benchmarks.web_bare FILE, whose JSON says what each path answers; prints its port.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI


def app_of(answers: dict[str, Any]) -> FastAPI:
    """An app with one route for each path."""
    app = FastAPI()
    for path, answer in answers.items():
        app.add_api_route(path, _answering(answer), methods=["GET"])
    return app


def _answering(answer: Any) -> Any:
    async def route() -> Any:
        return answer

    return route


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(app_of(json.loads(Path(sys.argv[1]).read_text())), log_level="warning", access_log=False)
    uvicorn.Server(config).run([listening])
