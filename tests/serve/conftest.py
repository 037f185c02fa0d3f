"""Whole-binary tests of `maru serve`: the real program, real sockets, the official openai client.

The program is MARU_BINARY, or build/release/maru. Tests on the scripted engine give a script (see
src/link/scripted_engine.h); tests on a real model are skipped where the model is not in MARU_HOME.
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess

import openai
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("MARU_BINARY", str(ROOT / "build/release/maru"))
HOME = pathlib.Path(os.environ.get("MARU_HOME", pathlib.Path.home() / ".maru"))
ADDRESS_LINE = "maru: listening on http://"


class Server:
    """One running `maru serve`."""

    def __init__(self, process, address):
        self.process = process
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
        self.client = openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0)

    def request(self, method, path, body=None, headers=None, timeout=120):
        """(status, headers, body) of one plain request."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def engine(self, model):
        """What the engine of that model reports of itself."""
        status, _, body = self.request("GET", "/maru/engines")
        assert status == 200
        return next((e for e in json.loads(body)["engines"] if e["model"] == model), None)

    def wait_for_engine(self, model, condition):
        """Asks again and again; pytest's own time limit ends a wait that never comes true."""
        while True:
            engine = self.engine(model)
            if engine is not None and engine["ready"] and condition(engine):
                return engine

    def saved_blocks(self):
        """KV blocks that its one engine has saved to disk."""
        text = self.request("GET", "/metrics")[2].decode()
        return int(re.search(r"^maru_kv_blocks_saved_total\{.*\} (\d+)$", text, re.M)[1])

    def stop(self):
        """Ends the server as an administrator would; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextlib.contextmanager
def running(*arguments, home=HOME):
    """A server with these arguments, from its address line to its end."""
    process = subprocess.Popen([BINARY, "--home", str(home), "serve", "--port", "0", *arguments],
                               stdout=subprocess.PIPE, text=True)
    try:
        line = ""
        while not line.startswith(ADDRESS_LINE):
            line = process.stdout.readline()
            assert line, f"the server ended with {process.wait()} before it listened"
        server = Server(process, line.removeprefix(ADDRESS_LINE).strip().rstrip("/"))
        yield server
        server.stop()
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def scripted(tmp_path):
    """start(script) -> (server, model name), on the scripted engine."""
    with contextlib.ExitStack() as stack:
        def start(script):
            path = tmp_path / "script.json"
            path.write_text(json.dumps(script), encoding="utf-8")
            server = stack.enter_context(running("--engine-script", str(path)))
            return server, server.client.models.list().data[0].id
        yield start


def needs_model(name):
    """Skips a test where the model is not installed."""
    path = HOME / "models" / (name.replace(":", "-") + ".gguf")
    return pytest.mark.skipif(not path.exists(), reason=f"{name} is not in {HOME}/models")


@pytest.fixture(scope="session")
def real():
    """A server of the installed models, shared by all tests of real models."""
    with running() as server:
        yield server
