"""Prompts of 300 pages: all of them are read, with progress, in memory that can be foretold.

The model is thin and its weights are random (bench/make_random_model): it proves the way, not the reading.
MARU_LONG names a real model beside it, as qwen2.5-coder:1.5b, whose prompt has MARU_LONG_TOKENS (default 32,000)
tokens and may take many minutes.
"""
import json
import os
import pathlib
import subprocess
import time

import pytest
from conftest import BINARY, HOME, ROOT, needs_model, running

CONTEXT = 131_072
VOCABULARY = HOME / "models/smollm2-135m.gguf"
MIB = 1 << 20


@pytest.fixture(scope="module")
def thin_home(tmp_path_factory):
    """A MARU_HOME with the one model "long"."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    subprocess.run([str(ROOT / "bench/make_random_model"), "long", "--vocabulary", str(VOCABULARY),
                    "--out", str(home / "models/long.gguf")], check=True)
    return home


def stream(server, model, ids, **more):
    """(progress, choices, usage) of one streamed completion; progress as it came."""
    body = json.dumps({"model": model, "prompt": ids, "stream": True, "stream_options": {"include_usage": True},
                       "return_progress": True, "temperature": 0, "ignore_eos": True, **more})
    status, _, text = server.request("POST", "/v1/completions", body, timeout=7200)
    assert status == 200, text
    events = [json.loads(line[6:]) for line in text.decode().split("\n\n") if line.startswith("data: {")]
    return ([e["prompt_progress"] for e in events if "prompt_progress" in e],
            "".join(e["choices"][0]["text"] for e in events if e["choices"]),
            next(e["usage"] for e in events if "usage" in e))


def resident_bytes(pid):
    """Of a process and its children, the most that they ever had."""
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    children = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return int(fields["VmHWM"].split()[0]) * 1024 + sum(
        resident_bytes(int(child)) for file in children for child in file.read_text().split())


@needs_model("smollm2:135m")
def test_a_prompt_that_fills_a_stretched_context(thin_home):
    ids = [(i * 7919 + i // 64) % 40_000 + 100 for i in range(CONTEXT - 16)]
    with running("--kv-disk", "0", "--context", str(CONTEXT), home=thin_home) as server:
        stream(server, "long", ids[:100], max_tokens=4)
        before = resident_bytes(server.process.pid)
        progress, text, usage = stream(server, "long", ids, max_tokens=16)
        assert usage["prompt_tokens"] == len(ids) and usage["completion_tokens"] == 16
        done = [p["processed"] for p in progress]
        assert len(done) >= 10 and done == sorted(set(done)) and done[-1] < len(ids)
        assert all(p["total"] == len(ids) for p in progress)
        # Keys and values: 2 layers x 2 x 64 values of 2 bytes; the rest: the prompt itself, in three processes' hands.
        keys_and_values = CONTEXT * 2 * 2 * 64 * 2
        assert resident_bytes(server.process.pid) - before < keys_and_values + 64 * MIB

        again = stream(server, "long", ids, max_tokens=16)
        assert again[1] == text and again[2]["prompt_tokens_details"]["cached_tokens"] == len(ids) - 1
        cold = stream(server, "long", ids[:40_000], max_tokens=16, cache_prompt=False)
        part = stream(server, "long", ids[:40_000], max_tokens=16)
        assert cold[1] == part[1]

        status, _, body = server.request("POST", "/v1/completions", json.dumps(
            {"model": "long", "prompt": ids + ids[:100], "max_tokens": 1}))
        error = json.loads(body)["error"]
        assert status == 400 and error["code"] == "context_length_exceeded"
        assert str(len(ids) + 100) in error["message"] and str(CONTEXT) in error["message"]


@pytest.mark.skipif("MARU_LONG" not in os.environ, reason="MARU_LONG names no model")
@pytest.mark.timeout(7200)
def test_a_real_model_reads_a_long_prompt():
    model = os.environ["MARU_LONG"]
    n = int(os.environ.get("MARU_LONG_TOKENS", "32000"))
    with running("--kv-disk", "0") as server:
        text = "".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.cc")))
        tokenized = subprocess.run([BINARY, "tokenize", model, "--jsonl"], input=json.dumps({"text": text[:6 * n]}),
                                   stdout=subprocess.PIPE, text=True, check=True)
        ids = json.loads(tokenized.stdout)["ids"][:n]
        assert len(ids) == n
        begin = time.monotonic()
        progress, text, usage = stream(server, model, ids, max_tokens=32)
        assert usage["prompt_tokens"] == n and usage["completion_tokens"] == 32 and text
        print(f"{model}: {n} tokens in {time.monotonic() - begin:.0f} s, {len(progress)} signs of progress, "
              f"peak memory {resident_bytes(server.process.pid) / MIB:.0f} MiB")
