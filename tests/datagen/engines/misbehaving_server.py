"""A chat completions server on a free port that answers as it is told, however wrong."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Reply(NamedTuple):
    body: bytes
    status: int = 200
    headers: Mapping[str, str] = {}
    phrase: str | None = None
    delay_s: float = 0
    unsent: int = 0
    """Bytes of the body that are announced and never come: the connection is closed instead."""
    pause_s: float = 0
    """Between one byte of the body and the next."""


def chat_completion(content: Any = "sepsis", finish_reason: str = "stop", **parts: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny", "choices": [choice], **parts}


def answer(content: Any = "sepsis", finish_reason: str = "stop", delay_s: float = 0, **parts: Any) -> Reply:
    body = json.dumps(chat_completion(content, finish_reason, **parts)).encode()
    return Reply(body, headers={"content-type": "application/json"}, delay_s=delay_s)


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    """As OpenAI and vLLM word errors; underscores in the names of headers stand for hyphens."""
    body = json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body, status, {"content-type": "application/json", **named})


class Received(NamedTuple):
    at: float
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: dict[str, Any]


class MisbehavingServer:
    """Gives the replies in turn, the last one for ever; remembers what came and how many calls at once."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self.received: list[Received] = []
        self.most_at_once = 0
        self._replies = list(replies)
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "MisbehavingServer":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, received: Received) -> Reply:
        with self._lock:
            self.received.append(received)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                reply = owner._take(
                    Received(
                        time.monotonic(), self.path, {name.lower(): value for name, value in self.headers.items()}, body
                    )
                )
                try:
                    time.sleep(reply.delay_s)
                    # Before it is sent: the client's next call may come before this thread goes on.
                    with owner._lock:
                        owner._at_once -= 1
                    self._send(reply)
                except (BrokenPipeError, ConnectionResetError):  # the client gave up
                    self.close_connection = True

            def _send(self, reply: Reply) -> None:
                self.send_response(reply.status, reply.phrase)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                for byte in reply.body if reply.pause_s else ():
                    self.wfile.write(bytes([byte]))
                    time.sleep(reply.pause_s)
                if not reply.pause_s:
                    self.wfile.write(reply.body[: len(reply.body) - reply.unsent])
                self.close_connection = bool(reply.unsent)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
