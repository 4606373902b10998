"""A Hugging Face Hub on loopback: what huggingface_hub, datasets and transformers ask of it. Its state is in memory; a fault may end an upload half-way."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_loopbackSecret0123456789"


class Repo:
    """Commits, each a tree of path → bytes; branches by name."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.commit("main", {}, [])

    def commit(self, branch: str, adds: dict[str, bytes], deletes: list[str]) -> str:
        tree = {**self.commits.get(self.branches.get(branch, ""), {}), **adds}
        for path in deletes:
            del tree[path]
        held = json.dumps([len(self.commits), sorted((p, hashlib.sha256(b).hexdigest()) for p, b in tree.items())])
        sha = hashlib.sha1(held.encode()).hexdigest()
        self.commits[sha] = tree
        self.branches[branch] = sha
        return sha

    def at(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)


def is_lfs(path: str) -> bool:
    return path.endswith((".parquet", ".safetensors", ".bin", ".gguf"))


class Hub:
    """`with Hub() as hub:` serves at `hub.url`. `fault(method, path)` may answer a status instead."""

    def __init__(self, fault: Callable[[str, str], int | None] = lambda method, path: None) -> None:
        self.fault = fault
        self.repos: dict[str, Repo] = {}  # "datasets/me/name" or "models/me/name"
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("H", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def tree(self, repo: str, branch: str = "main") -> dict[str, bytes]:
        found = self.repos[repo]
        return found.commits[found.branches[branch]]


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Nothing is printed."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # of a client that was killed
            super().handle()

    def say(self, status: int, value: Any = None, headers: dict[str, str] | None = None, *, body: bytes | None = None) -> None:
        data = body if body is not None else json.dumps(value if value is not None else {}).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def missing(self, code: str) -> None:
        self.say(404, {"error": code}, {"X-Error-Code": code})

    def handle_any(self) -> None:
        split = urlsplit(self.path)
        path, query = unquote(split.path), parse_qs(split.query)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append((self.command, path))
        if (status := self.hub.fault(self.command, path)) is not None:
            self.say(status, {"error": "the loopback hub goes wrong"})
        elif path == "/api/whoami-v2":
            self.say(200, {"name": "me", "type": "user", "orgs": []})
        elif path == "/api/validate-yaml":
            self.say(200, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self.create(json.loads(data))
        elif path.startswith("/lfs/"):
            if is_whole := hashlib.sha256(data).hexdigest() == path.removeprefix("/lfs/"):  # a sender may have been killed
                self.hub.objects[path.removeprefix("/lfs/")] = data
            self.say(200 if is_whole else 400)
        elif path.endswith("/info/lfs/objects/batch"):
            self.batch(json.loads(data))
        elif path.startswith("/api/"):
            self.api(path.removeprefix("/api/"), query, data)
        elif "/resolve/" in path:
            self.resolve(path)
        else:
            self.missing("RepoNotFound")

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_any

    def create(self, asked: dict[str, Any]) -> None:
        kind = {"dataset": "datasets"}.get(asked.get("type") or "model", "models")
        name = f"{asked.get('organization') or 'me'}/{asked['name'].rpartition('/')[2]}"
        known = f"{kind}/{name}" in self.hub.repos
        self.hub.repos.setdefault(f"{kind}/{name}", Repo())
        self.say(409 if known else 200, {"url": f"{self.hub.url}/{'datasets/' if kind == 'datasets' else ''}{name}", "name": name})

    def batch(self, asked: dict[str, Any]) -> None:
        found = []
        for o in asked["objects"]:
            upload = {} if o["oid"] in self.hub.objects else {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{o['oid']}", "header": {}}}}
            found.append({"oid": o["oid"], "size": o["size"], **upload})
        self.say(200, {"transfer": "basic", "objects": found})

    def api(self, path: str, query: dict[str, list[str]], data: bytes) -> None:
        parts = path.split("/")
        name, rest = "/".join(parts[:3]), parts[3:]
        repo = self.hub.repos.get(name)
        if repo is None:
            self.missing("RepoNotFound")
            return
        what, at = (rest[0], "/".join(rest[1:])) if rest else ("revision", "main")
        if what == "branch":
            known = at in repo.branches
            repo.branches.setdefault(at, repo.branches["main"])
            self.say(409 if known else 200)
        elif what == "preupload":
            modes = [{"path": f["path"], "uploadMode": "lfs" if is_lfs(f["path"]) else "regular", "shouldIgnore": False} for f in json.loads(data)["files"]]
            self.say(200, {"files": modes})
        elif what == "commit":
            self.commit(repo, name, at, data)
        elif what == "revision":
            sha = repo.at(at)
            siblings = [{"rfilename": p} for p in repo.commits[sha]] if sha else []
            own = name.partition("/")[2]
            known = {"id": own, "sha": sha, "siblings": siblings, "tags": [], "private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0}
            self.say(200, known | {"lastModified": "2026-01-01T00:00:00.000Z"}) if sha else self.missing("RevisionNotFound")
        elif what == "tree":
            self.tree(repo, rest[1], "/".join(rest[2:]), recursive=query.get("recursive", [""])[0].lower() in ("true", "1"))
        elif what == "paths-info":
            asked = json.loads(data)["paths"] if data[:1] == b"{" else parse_qs(data.decode()).get("paths", [])
            sha = repo.at(at)
            assert sha is not None
            self.say(200, [self.entry(p, repo.commits[sha][p]) for p in asked if p in repo.commits[sha]])
        else:
            self.missing("EntryNotFound")

    def tree(self, repo: Repo, revision: str, under: str, *, recursive: bool) -> None:
        sha = repo.at(revision)
        if sha is None:
            self.missing("RevisionNotFound")
            return
        prefix = f"{under}/" if under else ""
        inside = {p: b for p, b in repo.commits[sha].items() if p.startswith(prefix)}
        if under and not inside:
            self.missing("EntryNotFound")
            return
        folders = {prefix + p[len(prefix) :].split("/")[0] for p in inside if "/" in p[len(prefix) :]}
        files = [self.entry(p, b) for p, b in sorted(inside.items()) if recursive or "/" not in p[len(prefix) :]]
        self.say(200, [*files, *({"type": "directory", "oid": "0" * 40, "size": 0, "path": f} for f in sorted(folders))])

    def entry(self, path: str, held: bytes) -> dict[str, Any]:
        lfs = {"lfs": {"oid": hashlib.sha256(held).hexdigest(), "size": len(held), "pointerSize": 130}} if is_lfs(path) else {}
        return {"type": "file", "oid": hashlib.sha1(f"blob {len(held)}\0".encode() + held).hexdigest(), "size": len(held), "path": path, **lfs}

    def commit(self, repo: Repo, name: str, branch: str, data: bytes) -> None:
        adds, deletes = {}, []
        for line in data.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                adds[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                adds[value["path"]] = self.hub.objects[value["oid"]]
            elif item["key"] == "deletedFile":
                deletes.append(value["path"])
            elif item["key"] == "header" and value.get("parentCommit") not in (None, repo.branches.get(branch)):
                self.say(412, {"error": "A commit has happened since. Please refresh and try again."})
                return
        sha = repo.commit(branch, adds, deletes)
        self.say(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha, "pullRequestUrl": None})

    def resolve(self, path: str) -> None:
        before, _, after = path.strip("/").partition("/resolve/")
        name = before if before.startswith("datasets/") else f"models/{before}"
        revision, _, wanted = after.partition("/")
        repo = self.hub.repos.get(name)
        sha = repo.at(revision) if repo is not None else None
        if repo is None or sha is None:
            self.missing("RepoNotFound" if repo is None else "RevisionNotFound")
        elif wanted not in repo.commits[sha]:
            self.say(404, {"error": "EntryNotFound"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        else:
            held = repo.commits[sha][wanted]
            begin, end = 0, len(held)
            if (wants := self.headers.get("Range", "")).startswith("bytes="):
                first, _, last = wants.removeprefix("bytes=").partition("-")
                begin, end = int(first or 0), int(last) + 1 if last else len(held)
            tag = {"ETag": f'"{hashlib.sha256(held).hexdigest()}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
            ranged = {"Content-Range": f"bytes {begin}-{end - 1}/{len(held)}"} if wants else {}
            self.say(206 if wants else 200, headers={**tag, **ranged, "Content-Type": "application/octet-stream"}, body=held[begin:end])
