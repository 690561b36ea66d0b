"""A stand-in of the model hub over HTTP on loopback: repositories, small files in commits, large ones by git LFS."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_writes"
LFS = re.compile(r"\.(safetensors|gguf)$")


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


@dataclass
class Hub:
    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            self.handle_with(b"")

        def do_POST(self) -> None:
            self.handle_with(self.rfile.read(int(self.headers.get("content-length") or 0)))

        do_PUT = do_POST

        def reply(self, status: int, value: object = None, **headers: str) -> None:
            body = json.dumps(value).encode() if value is not None else b""
            self.send_response(status)
            for name, text in (
                headers | {"content-length": str(len(body)), "content-type": "application/json"}
            ).items():
                self.send_header(name.replace("_", "-"), text)
            self.end_headers()
            self.wfile.write(body)

        def handle_with(self, body: bytes) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            path = self.path.partition("?")[0]
            if path.startswith("/objects/"):  # its address is signed; it wants no token
                hub.objects[path.rpartition("/")[2]] = body
                return self.reply(200)
            if self.headers.get("authorization") != f"Bearer {TOKEN}":
                return self.reply(401, {"error": "Invalid username or password."})
            if path == "/api/validate-yaml":
                return self.reply(200, {"errors": [], "warnings": []})
            if path == "/api/repos/create":
                asked = json.loads(body)
                name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
                name = name if "/" in name else f"me/{name}"
                hub.repositories[name] = Repository(asked.get("private", asked.get("visibility") == "private"))
                return self.reply(200, {"url": f"{hub.url}/{name}", "name": name})
            found = re.match(r"/api/models/([^/]+/[^/]+)(?:/(\w+)/.*)?$", path)
            if found:
                return self.of_repository(found[1], found[2], body)
            if found := re.match(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch$", path):
                objects = [
                    one | {"actions": {"upload": {"href": f"{hub.url}/objects/{one['oid']}"}}}
                    for one in json.loads(body)["objects"]
                ]
                return self.reply(200, {"transfer": "basic", "objects": objects})
            return self.reply(404, {"error": path})

        def of_repository(self, name: str, action: str | None, body: bytes) -> None:
            repository = hub.repositories.get(name)
            if repository is None:
                return self.reply(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            if action == "preupload":
                asked = json.loads(body)["files"]
                modes = [
                    {
                        "path": one["path"],
                        "uploadMode": "lfs" if LFS.search(one["path"]) else "regular",
                        "shouldIgnore": False,
                    }
                    for one in asked
                ]
                return self.reply(200, {"files": modes})
            if action == "commit":
                for line in body.splitlines():
                    item = json.loads(line)
                    value = item["value"]
                    if item["key"] == "header":
                        repository.messages.append(value["summary"])
                    elif item["key"] == "file":
                        repository.files[value["path"]] = base64.b64decode(value["content"])
                    elif item["key"] == "lfsFile":
                        content = hub.objects[value["oid"]]
                        assert hashlib.sha256(content).hexdigest() == value["oid"]
                        repository.files[value["path"]] = content
                return self.reply(200, {"commitOid": "0" * 40, "commitUrl": f"{hub.url}/{name}/commit/{'0' * 40}"})
            files = [{"rfilename": path} for path in repository.files]
            return self.reply(
                200, {"id": name, "modelId": name, "sha": "0" * 40, "private": repository.private, "siblings": files}
            )

    return Handler


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
