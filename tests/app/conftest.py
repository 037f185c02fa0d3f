"""Whole-binary tests of the commands: the real program, its streams and its exit codes.

The program is MARU_BINARY, or build/release/maru. Models come from MARU_HOME (default ~/.maru); a test
that needs one that is not there is skipped. Tests that write use a home of their own.
"""
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("MARU_BINARY", str(ROOT / "build/release/maru"))
HOME = pathlib.Path(os.environ.get("MARU_HOME", pathlib.Path.home() / ".maru"))
DATA = ROOT / "tests/data"
SHARED = ROOT / "../shared/fixtures"


def maru(*arguments, stdin="", home=HOME, **variables):
    """Runs one command to its end; stdin and the outputs are text, or bytes where stdin is."""
    environment = {**os.environ, "MARU_HOME": str(home), **variables}
    return subprocess.run([BINARY, *map(str, arguments)], input=stdin, capture_output=True,
                          text=isinstance(stdin, str), env=environment, timeout=280, check=False)


def answers(result):
    """The JSON lines that a command printed."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def jsonl(rows):
    """Rows as JSON lines; a string stands for itself, whatever it is."""
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def needs(name):
    """Skips a test where the model is not installed."""
    path = HOME / "models" / (name.replace(":", "-") + ".gguf")
    return pytest.mark.skipif(not path.exists(), reason=f"{name} is not in {HOME}/models")


def needs_shared():
    """Skips a test where the reference data beside the repository is not there."""
    return pytest.mark.skipif(not SHARED.exists(), reason="no ../shared/fixtures")


@pytest.fixture
def script(tmp_path):
    """A function that writes a script for the scripted engine and gives the flags to use it."""
    def write(**fields):
        path = tmp_path / "script.json"
        path.write_text(json.dumps(fields), encoding="utf-8")
        return "--engine-script", str(path)
    return write


def tiny_model():
    """A small random model of ours."""
    return DATA / "tiny_models/llama.gguf"
