"""A local server that speaks OpenAI's chat completions and does to each note what a word in the note says."""

import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMES = {"diagnoses": ["pneumonia", "hypertension"], "prescriptions": ["furosemide"], "procedures": ["colonoscopy"]}


class LanguageModel:
    """Lists the names above that stand in the passage. Every call is counted by the note's number, `bed <number>`."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.is_healed = False
        self.calls = Counter()
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"model": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, messages):
        """Status, headers, body and what to wait before it."""
        passage = messages[-1]["content"]
        bed = int(re.search(r"bed (\d+)", passage)[1])
        kind = re.search(r"List the (\w+)", passage)[1]
        with self._lock:
            self.calls[bed, kind] += 1
            first = self.calls[bed, kind] == 1
        trouble = re.search(r"trouble (\w+)", passage)
        trouble = trouble[1] if trouble and not self.is_healed else ""
        if trouble == "garbage":
            return 200, {}, f"<html>{passage}</html>", 0
        if trouble == "refused":
            return 400, {}, json.dumps({"error": {"message": f"too long: {passage}"}}), 0
        if trouble == "busy" and first:
            return 429, {"retry-after": "1"}, "{}", 0
        if trouble == "slow":
            return 200, {}, self._completion("NA"), 5
        if trouble == "truncated":
            return 200, {}, self._completion("- pneumonia\n- hyp", "length"), 0
        names = [f"- {name}" for name in NAMES[kind] if name in passage]
        return 200, {}, self._completion("\n".join(names) or "NA"), self.seconds

    def _completion(self, text, finish="stop"):
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage, "model": "m"})


class _Handler(BaseHTTPRequestHandler):
    model: LanguageModel
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status, headers, body, seconds = self.model.answer(request["messages"])
        time.sleep(seconds)
        try:
            self.send_response(status)
            for name, value in {**headers, "content-length": len(body.encode())}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body.encode())
        except ConnectionError:
            pass

    def log_message(self, *_):
        pass
