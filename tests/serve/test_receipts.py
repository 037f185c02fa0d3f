"""Receipts: what a busy server answered comes again from `maru replay` on a fresh engine, byte for byte."""
import concurrent.futures
import hashlib
import json
import shutil
import subprocess

import pytest

from conftest import BINARY, HOME, ROOT, needs_model, running

CHAT_MODEL = "smollm2:135m"
SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20},
                                           "age": {"type": "integer", "minimum": 0}},
          "required": ["name", "age"], "additionalProperties": False}


def replay(receipt, *arguments, home=HOME):
    """`maru replay` of a receipt on standard input."""
    return subprocess.run([BINARY, "--home", str(home), "replay", "-", *map(str, arguments)],
                          input=json.dumps(receipt), capture_output=True, text=True, timeout=120, check=False)


def chat(prompt, **more):
    return "/v1/chat/completions", {"model": CHAT_MODEL, "messages": [{"role": "user", "content": prompt}],
                                    "max_tokens": 40, **more}


MIXED = [
    chat("Tell me a story.", temperature=0.8),
    chat("Make up a person.", temperature=0.8, json_schema=SCHEMA, max_tokens=60),
    chat("Name a colour.", temperature=0.8, n=2),
    chat("Name a colour.", temperature=0.8, n=2, stream=True, stream_options={"include_usage": True}),
    chat("Make up a person.", temperature=0.8, json_schema=SCHEMA, n=2, stream=True, max_tokens=60),
    chat("Count to ten.", temperature=1.2, seed=-3, logprobs=True, top_logprobs=3, stop=["five"]),
    ("/v1/completions", {"model": CHAT_MODEL, "prompt": ["Once upon", "The sea"], "n": 2, "echo": True,
                         "temperature": 0.8, "max_tokens": 24, "stream": True, "user": "someone"}),
    chat("Who was Newton?", temperature=0, repetition_penalty=1.1, max_tokens=200),
]


def receipt_of(server, path, body):
    """The receipt of one answer, whole or streamed, and the text of its first choice."""
    status, _, reply = server.request("POST", path, json.dumps(body | {"receipt": True}))
    assert status == 200, reply
    if not body.get("stream"):
        return json.loads(reply)["receipt"]
    events = [json.loads(line.removeprefix("data: ")) for line in reply.decode().split("\n\n")
              if line.startswith("data: {")]
    return next(event["receipt"] for event in events if "receipt" in event)


@needs_model(CHAT_MODEL)
def test_answers_under_load_come_again(real):
    with concurrent.futures.ThreadPoolExecutor(len(MIXED)) as pool:
        receipts = list(pool.map(lambda request: receipt_of(real, *request), MIXED))
    assert len(receipts[2]["choices"]) == 2 and len(receipts[6]["choices"]) == 4
    for receipt in receipts:
        result = replay(receipt)
        assert result.returncode == 0, (result.stdout, result.stderr, receipt)
        assert result.stdout.startswith(f"identical: {receipt['id']}")
        assert result.stderr == ""


@needs_model(CHAT_MODEL)
def test_what_is_not_the_answer_is_told(real):
    receipt = receipt_of(real, *chat("Tell me a story."))
    tampered = json.loads(json.dumps(receipt))
    tampered["choices"][0]["message"]["content"] += "!"
    result = replay(tampered)
    assert result.returncode == 1 and "was changed after it was made" in result.stderr

    # A forger can make the hash anew (it is over the sorted, compact text), and the replay tells.
    forged = with_new_sha256(tampered)
    result = replay(forged, "--json")
    assert result.returncode == 1, result.stderr
    told = json.loads(result.stdout)
    n_bytes = len(receipt["choices"][0]["message"]["content"].encode())
    assert not told["identical"]
    assert told["difference"] == {"where": f"choices[0].message.content, from byte {n_bytes} on",
                                  "receipt": '"!"', "replay": '""'}
    other_build = json.loads(json.dumps(receipt))
    other_build["build"]["commit"] = "0123456789ab"
    result = replay(with_new_sha256(other_build))
    assert result.returncode == 0 and "warning: the receipt is of Maru" in result.stderr


def with_new_sha256(receipt):
    content = {key: value for key, value in receipt.items() if key != "sha256"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return receipt | {"sha256": hashlib.sha256(text.encode()).hexdigest()}


@pytest.fixture
def tiny_home(tmp_path):
    """A home with two small models of ours that nobody described."""
    (tmp_path / "models").mkdir()
    for name in ("llama", "qwen2"):
        shutil.copy(ROOT / f"tests/data/tiny_models/{name}.gguf", tmp_path / "models")
    return tmp_path


def test_another_model_is_told(tiny_home):
    with running(home=tiny_home) as server:
        receipt = receipt_of(server, "/v1/completions", {"model": "llama", "prompt": "abc", "max_tokens": 8})
    assert replay(receipt, home=tiny_home).returncode == 0
    result = replay(receipt, "--model", "qwen2", home=tiny_home)
    assert result.returncode == 1 and "the model differs: the receipt is of llama" in result.stderr
    (tiny_home / "models/llama.gguf").rename(tiny_home / "elsewhere.gguf")
    assert replay(receipt, home=tiny_home).returncode == 1
    result = replay(receipt, "--model", tiny_home / "elsewhere.gguf", home=tiny_home)
    assert result.returncode == 0, result.stderr


def test_what_is_no_receipt_is_said(tiny_home, tmp_path):
    result = replay({"choices": []}, home=tiny_home)
    assert result.returncode == 1 and "this is no receipt" in result.stderr
    missing = subprocess.run([BINARY, "replay", str(tmp_path / "none.json")], capture_output=True, text=True,
                             check=False)
    assert missing.returncode == 1 and "none.json" in missing.stderr
