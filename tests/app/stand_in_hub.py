"""A small server that plays the hub: its API, its redirects to another host, and its bad days.

Used by test_hub.py. Repositories are dictionaries of bytes; what goes wrong is said by the test, per
path, and happens as often as it was said. Nothing here waits.
"""
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

COMMIT = "c0ffee" + "0" * 34


class Repo:
    """One repository: files by path; a licence; who may read it."""

    def __init__(self, files, licence="apache-2.0", gated=None, members=()):
        self.files = files
        self.licence = licence
        self.gated = gated      # None: everybody; "terms": tokens in `members`
        self.members = members
        self.listed_sha256 = {}  # where the listing shall lie
        self.listed_size = {}
        self.revisions = {"main": COMMIT}

    def may_read(self, token):
        return self.gated is None or token in self.members


class Server(http.server.ThreadingHTTPServer):
    """One origin. The hub's file requests are redirected to the other one, as the real hub does."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos = {}
        self.cdn = None         # another Server, or None: files are served here
        self.blobs = {}         # path -> bytes, of a CDN or a plain web server
        self.etags = True
        self.ranges = True
        self.faults = {}        # path -> list of faults, taken in order
        self.requests = []      # (path, headers)
        self.lock = threading.Lock()
        self.held = threading.Event()     # set once a request is held
        self.release = threading.Event()  # lets held requests go
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, path):
        """The next fault for a path, or None."""
        with self.lock:
            waiting = self.faults.get(path, [])
            return waiting.pop(0) if waiting else None

    def seen(self, word):
        """The requests whose path holds a word."""
        with self.lock:
            return [(path, headers) for path, headers in self.requests if word in path]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):  # noqa: N802  (the name that http.server calls)
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        with self.server.lock:
            self.server.requests.append((path, dict(self.headers)))
        fault = self.server.fault(path)
        if fault and "status" in fault:
            return self.answer(fault["status"], fault.get("body", b"busy"), fault.get("headers", {}))
        if path.startswith("/api/models/"):
            return self.api(path)
        if "/resolve/" in path and self.server.repos:
            return self.resolve(path)
        return self.blob(path, fault)

    def token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def answer(self, status, body, headers=None, content_type="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    def api(self, path):
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path)
        repo = self.server.repos.get(match[1]) if match else None
        if repo is None:
            return self.answer(401, b'{"error": "Invalid username or password."}',
                               {"X-Error-Code": "RepoNotFound"})
        commit = repo.revisions.get(match[2], match[2] if match[2] == COMMIT else None)
        if commit is None:
            return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        siblings = [{"rfilename": "README.md", "size": 10}]
        for name, content in repo.files.items():
            digest = repo.listed_sha256.get(name, hashlib.sha256(content).hexdigest())
            sibling = {"rfilename": name, "size": repo.listed_size.get(name, len(content))}
            if digest:
                sibling["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 135}
            siblings.append(sibling)
        info = {"id": match[1], "sha": commit, "gated": repo.gated or False, "siblings": siblings,
                "tags": ["gguf", f"license:{repo.licence}"], "cardData": {"license": repo.licence}}
        return self.answer(200, json.dumps(info).encode())

    def resolve(self, path):
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        repo = self.server.repos.get(match[1]) if match else None
        if repo is None or match[3] not in repo.files:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        if not repo.may_read(self.token()):
            return self.answer(403 if self.token() else 401, b"", {"X-Error-Code": "GatedRepo"})
        content = repo.files[match[3]]
        if self.server.cdn is None:
            return self.send_ranges(path, content)
        self.server.cdn.blobs["/blob/" + match[3]] = content
        return self.answer(302, b"Found", {
            "Location": f"{self.server.cdn.origin}/blob/{urllib.parse.quote(match[3])}?signed=1",
            "X-Linked-Size": str(len(content)),
            "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def blob(self, path, fault):
        if path not in self.server.blobs:
            return self.answer(404, b"")
        return self.send_ranges(path, self.server.blobs[path], fault)

    def send_ranges(self, path, content, fault=None):
        fault = fault or {}
        etag = '"' + hashlib.md5(content).hexdigest() + '"'
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        stale = self.headers.get("If-Range") not in (None, etag)
        first, last, status = 0, len(content) - 1, 200
        if wanted and self.server.ranges and not stale:
            first, last, status = int(wanted[1]), min(int(wanted[2]), last), 206
        self.send_response(status)
        self.send_header("Content-Length", str(last + 1 - first))
        if self.server.etags:
            self.send_header("ETag", etag)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        body = content[first:last + 1]
        cut = fault.get("cut_at", fault.get("hold_at"))
        try:
            self.wfile.write(body[:cut])
            self.wfile.flush()
            if "hold_at" in fault:
                self.server.held.set()
                self.server.release.wait(60)
                self.wfile.write(body[cut:])
            elif cut is not None:
                self.close_connection = True
        except OSError:
            self.close_connection = True
