"""An HTTP server in a thread of the test, which answers as it is told and keeps a record."""

import contextlib
import dataclasses
import http.server
import threading
import time
import urllib.parse
from collections.abc import Callable


@dataclasses.dataclass
class Answer:
    """``length``: the Content-Length to claim (None: none is sent); the connection closes after the body."""

    body: bytes = b""
    status: int = 200
    headers: dict = dataclasses.field(default_factory=dict)
    length: int | str | None = "own"
    delay_s: float = 0.0


@dataclasses.dataclass
class Asked:
    path: str
    query: dict
    headers: dict


class LocalServer:
    """``respond(Asked) -> Answer`` for each request; ``asked`` lists them, ``most_at_once`` says how many at a time."""

    def __init__(self, respond: Callable[[Asked], Answer]):
        self.respond = respond
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner._handle(self)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _handle(self, handler):
        parts = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        asked = Asked(parts.path, query, dict(handler.headers))
        with self._lock:
            self.asked.append(asked)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            answer = self.respond(asked)
            time.sleep(answer.delay_s)
            with contextlib.suppress(OSError):  # the client has gone
                handler.send_response(answer.status)
                for name, value in answer.headers.items():
                    handler.send_header(name, value)
                length = len(answer.body) if answer.length == "own" else answer.length
                if length is not None:
                    handler.send_header("Content-Length", str(length))
                handler.end_headers()
                handler.wfile.write(answer.body)
        finally:
            with self._lock:
                self._now -= 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
