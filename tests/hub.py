"""A stand-in for the model hub on loopback, with one model, `owner/name`.

It is served whole, slowly, cut off, behind a gate or not at all.
"""

import hashlib
import http.server
import json
import socket
import threading
import time
from contextlib import contextmanager

COMMIT = "a" * 40


class Hub(http.server.ThreadingHTTPServer):
    """Serves the files of `folder`, and keeps (verb, file, Range) of each call in `seen`.

    mode: whole, slow, cut once, cut, gated or missing.
    """

    daemon_threads = True

    def __init__(self, folder, mode):
        self.folder, self.mode, self.seen = folder, mode, []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.reply(False)

    def do_GET(self):
        self.reply(True)

    def send(self, code, data, body, size=None, **headers):
        self.send_response(code)
        headers["Content-Length"] = len(data) if size is None else size
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def send_json(self, value, body):
        self.send(200, json.dumps(value).encode(), body, Content_Type="application/json")

    def reply(self, body):
        path = self.path.split("?")[0]
        if self.server.mode == "gated":
            self.send(403, b"{}", body, X_Error_Code="GatedRepo")
        elif self.server.mode == "missing":
            self.send(401, b"{}", body, X_Error_Code="RepoNotFound")
        elif "/tree/" in path:
            self.send_json(self.listing(), body)
        elif path.startswith("/api/models/owner/name"):
            siblings = [{"rfilename": file["path"]} for file in self.listing()]
            about = {"id": "owner/name", "modelId": "owner/name", "sha": COMMIT}
            self.send_json({**about, "siblings": siblings, "tags": [], "private": False}, body)
        else:
            self.file(path.rsplit("/", 1)[-1], body)

    def listing(self):
        files = sorted(file for file in self.server.folder.iterdir() if file.is_file())
        return [
            {
                "type": "file",
                "path": f.name,
                "size": f.stat().st_size,
                "oid": hashlib.sha1(f.read_bytes()).hexdigest(),
            }
            for f in files
        ]

    def file(self, name, body):
        """One file, or from the byte on that a Range asks for.

        Large ones are slow or cut off in the middle, as the mode says.
        """
        path, asked = self.server.folder / name, self.headers.get("Range")
        self.server.seen.append((self.command, name, asked))
        if not path.is_file():
            self.send(404, b"", body, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            return

        # what is asked for, and the headers that the hub client looks at
        data = path.read_bytes()
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X_Repo_Commit": COMMIT,
            "Accept_Ranges": "bytes",
        }
        if asked:
            headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"

        # weights are served as badly as the mode says
        part, mode = data[start:], self.server.mode
        large = body and name.endswith(".safetensors")
        if large and (mode == "cut" or (mode == "cut once" and not asked)):
            self.send(206 if asked else 200, part[: len(part) // 2], body, len(part), **headers)
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if large and mode == "slow":
            time.sleep(2)
        self.send(206 if asked else 200, part, body, **headers)


@contextmanager
def serving(folder, mode="whole"):
    """The stand-in, running inside the block."""
    hub = Hub(folder, mode)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
