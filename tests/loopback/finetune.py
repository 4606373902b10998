"""A server of fine-tuning on loopback: OpenAI's and Mistral's files and jobs, and chats with what was tuned. Faults are arguments."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import policy
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KEY = "secret-of-the-test"


@dataclass
class Tuning:
    """What the server holds, and how it behaves. `polls` states of a job are "running" before it ends."""

    polls: int = 2
    fail: str | None = None  # jobs that are started now end failed, with this message
    lose: Callable[[str], bool] = lambda _: False  # requests ("POST /files") that are done, but whose answer is lost
    refuse: Callable[[str], int | None] = lambda _: None  # a status instead of doing it
    started: threading.Event = field(default_factory=threading.Event)  # a job was made
    hold: threading.Event | None = None  # jobs run until it is set
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    chats: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""

    def count(self, request: str) -> int:
        return sum(line == request for line in self.log)


@contextmanager
def tuning_server(**behaviour: Any) -> Iterator[Tuning]:
    """Run one while the block lasts."""
    tuning = Tuning(**behaviour)
    handler = type("Handler", (Handler,), {"tuning": tuning})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    tuning.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield tuning
    finally:
        server.shutdown()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tuning: Tuning

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.answer("GET")

    def do_POST(self) -> None:
        self.answer("POST")

    def answer(self, method: str) -> None:
        path = urlsplit(self.path).path.removeprefix("/v1")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = f"{method} {path}"
        self.tuning.log.append(name)
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self.send(401, {"error": {"message": "no such key", "code": "invalid_api_key"}})
            return
        if (status := self.tuning.refuse(name)) is not None:
            self.send(status, {"error": {"message": f"refused with {status}", "code": "refused"}})
            return
        made = self.made(name, body)
        if self.tuning.lose(name):
            self.close_connection = True
            self.connection.close()
            return
        self.send(404 if made is None else 200, made or {"error": {"message": f"no such address: {path}"}})

    def send(self, status: int, payload: dict[str, Any]) -> None:
        data = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def made(self, name: str, body: bytes) -> dict[str, Any] | None:  # noqa: PLR0911  one line an address
        held = self.tuning
        if name == "POST /files":
            return self.upload(body)
        if name == "GET /files":
            return {"object": "list", "data": list(held.files.values()), "has_more": False, "total": len(held.files)}
        if found := re.fullmatch(r"GET /files/(.+)", name):
            return held.files.get(found[1])
        if name == "POST /fine_tuning/jobs":
            return self.start(json.loads(body))
        if name == "GET /fine_tuning/jobs":
            return {"object": "list", "data": [self.seen(j) for j in list(held.jobs)[::-1]], "has_more": False}
        if found := re.fullmatch(r"GET /fine_tuning/jobs/([^/]+)", name):
            held.jobs[found[1]]["polls"] += 1
            return self.seen(found[1])
        if found := re.fullmatch(r"GET /fine_tuning/jobs/([^/]+)/events", name):
            return {"object": "list", "data": self.events(found[1]), "has_more": False}
        if name == "POST /chat/completions":
            return self.chat(json.loads(body))
        return None

    def upload(self, body: bytes) -> dict[str, Any]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = {p.get_param("name", header="content-disposition"): p for p in BytesParser(policy=policy.HTTP).parsebytes(head + body).iter_parts()}
        content = parts["file"].get_payload(decode=True)
        file = f"file-{len(self.tuning.files) + 1}"
        purpose = parts["purpose"].get_payload(decode=True).decode().strip()
        made = {"id": file, "object": "file", "bytes": len(content), "created_at": 1, "filename": parts["file"].get_filename(), "purpose": purpose}
        self.tuning.files[file] = {**made, "status": "processed"}
        self.tuning.contents[file] = content
        return self.tuning.files[file]

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        job = f"ftjob-{len(self.tuning.jobs) + 1}"
        self.tuning.jobs[job] = {"asked": asked, "polls": 0, "fail": self.tuning.fail}
        self.tuning.started.set()
        return self.seen(job)

    def seen(self, job: str) -> dict[str, Any]:
        """A job in the words of the one who asks: OpenAI's, or Mistral's."""
        held = self.tuning
        asked, polls, fail = (held.jobs[job][k] for k in ("asked", "polls", "fail"))
        is_over = polls > held.polls and (held.hold is None or held.hold.is_set())
        status = ("failed" if fail else "succeeded") if is_over else "running"
        model = f"ft:{asked['model']}:{asked.get('suffix') or 'x'}:{job}" if status == "succeeded" else None
        common = {"id": job, "model": asked["model"], "fine_tuned_model": model, "trained_tokens": 1234 if model else None, "suffix": asked.get("suffix")}
        if "training_files" in asked:
            words = {"failed": "FAILED", "succeeded": "SUCCESS", "running": "RUNNING"}
            steps = range(min(polls, held.polls + 1), 0, -1)
            checkpoints = [{"metrics": {"train_loss": 2.0 / s, "valid_loss": 3.0 / s}, "step_number": s, "created_at": s} for s in steps]
            return {
                **common, "status": words[status], "hyperparameters": asked["hyperparameters"], "object": "job", "checkpoints": checkpoints,
                "training_files": [f["file_id"] for f in asked["training_files"]],
                "events": [{"name": "status", "data": {"error": fail}, "created_at": 1}],
            }  # fmt: skip
        return {
            **common, "object": "fine_tuning.job", "created_at": 1, "status": status, "organization_id": "org", "result_files": [], "seed": asked["seed"],
            "hyperparameters": {}, "training_file": asked["training_file"], "validation_file": asked.get("validation_file"), "metadata": asked.get("metadata"),
            "error": {"code": "bad_data", "message": fail, "param": None} if status == "failed" else None, "method": asked.get("method"),
        }  # fmt: skip

    def events(self, job: str) -> list[dict[str, Any]]:
        """Newest first, as the API gives them."""
        polls = min(self.tuning.jobs[job]["polls"], self.tuning.polls + 1)
        common = {"object": "fine_tuning.job.event", "level": "info"}
        data = [{"step": s, "total_steps": 3, "train_loss": 2.0 / s} for s in range(1, polls + 1)]
        steps = [{**common, "id": f"ev-{d['step']}", "created_at": 1, "message": f"Step {d['step']}", "type": "metrics", "data": d} for d in data]
        return [*steps[::-1], {**common, "id": "ev-0", "created_at": 0, "message": "Created", "type": "message"}]

    def chat(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.tuning.chats.append(asked)
        text = f"{asked['model']} says {asked['messages'][-1]['content']}"
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        return {"id": "c", "object": "chat.completion", "created": 1, "model": asked["model"], "choices": [choice], "usage": usage}
