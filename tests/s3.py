"""An S3-compatible store on the loopback: another program's, started once for all tests that need one."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

SECRET = "c0rrect-h0rse-battery-staple"
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


class S3:
    """A running store with the bucket `troupe`, in which each test has a corner of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._corners = itertools.count()

    def corner(self) -> str:
        """An address under which nothing is kept yet."""
        return f"s3://troupe/corner/{next(self._corners)}"

    @property
    def options(self) -> dict[str, str]:
        """What opens one of its buckets."""
        endpoint = f"http://127.0.0.1:{self.port}"
        return {"access_key_id": "AKTROUPE", "secret_access_key": SECRET, "region": "eu-west-1", "endpoint": endpoint}

    def asked(self, method: str, path: str) -> tuple[int, bytes]:
        """The status and the body of the answer to a request past the code under test."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Refusing(BaseHTTPRequestHandler):
    """Says no, and repeats all it was told and more."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = f"<Error><Code>SignatureDoesNotMatch</Code><Message>{self.headers} {SECRET}</Message></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A process of its own: moto's imports take seconds and warn, and it ends when its input does."""
    command = [sys.executable, "-W", "ignore", "-c", SERVER]
    pipe, silence = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=silence, text=True) as process:
        assert process.stdout is not None
        store = S3(int(process.stdout.readline()))
        assert store.asked("PUT", "/troupe")[0] == 200
        yield store
        process.communicate()


@pytest.fixture
def refusing() -> Iterator[S3]:
    """A store that refuses every key."""
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield S3(server.server_port)
        server.shutdown()
        serving.join()
