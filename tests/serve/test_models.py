"""Several models behind one server: loaded on first use, unloaded when another needs the memory."""
import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess

import openai
import pytest

from conftest import BINARY, HOME, ROOT, needs_model, running

CHAT, BASE = "smollm2:135m", "gemma3:270m"
EMBED = "bert-cls"
BOTH = [needs_model(CHAT), needs_model(BASE)]
# Holds either of the two, not both.
SMALL = ["--memory", "420", "--context", "2048"]


def both(test):
    for mark in BOTH:
        test = mark(test)
    return test


@pytest.fixture
def home(tmp_path):
    """A home of its own, with links to the models."""
    models = tmp_path / "models"
    models.mkdir()
    for name in (CHAT, BASE):
        file = HOME / "models" / (name.replace(":", "-") + ".gguf")
        if file.exists():
            (models / file.name).symlink_to(file)
            side = file.with_suffix(".json")
            if side.exists():
                (models / side.name).write_bytes(side.read_bytes())
    (models / f"{EMBED}.gguf").symlink_to(ROOT / f"tests/data/tiny_models/{EMBED}.gguf")
    return tmp_path


def complete(server, model, prompt="The capital of France is", **more):
    reply = server.client.completions.create(model=model, prompt=prompt, temperature=0,
                                             max_tokens=8, **more)
    return reply.choices[0].text


def engines(server):
    """{model: what the server says of its engine}."""
    status, _, body = server.request("GET", "/maru/engines")
    assert status == 200
    return {e["model"]: e for e in json.loads(body)["engines"]}


def wait_for(server, condition):
    """Asks again and again; pytest's own time limit ends a wait that never comes true."""
    while not condition(engines(server)):
        pass


def states(server):
    """{model: state} of GET /v1/models."""
    status, _, body = server.request("GET", "/v1/models")
    assert status == 200
    return {m["id"]: m["meta"]["state"] for m in json.loads(body)["data"]}


def processes(server, model=""):
    """The engine processes of a server; of one model, those that have its file open."""
    pids = []
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        pids += map(int, (task / "children").read_text().split())
    file = model.replace(":", "-") + ".gguf"
    return [p for p in pids if file in pathlib.Path(f"/proc/{p}/maps").read_text()] if model else pids


@both
def test_two_models_and_an_encoder_at_once(home):
    with running(home=home) as server:
        want = {model: complete(server, model) for model in (CHAT, BASE)}
        vector = server.client.embeddings.create(model=EMBED, input="hi").data[0].embedding
        assert states(server) == {CHAT: "ready", BASE: "ready", EMBED: "ready"}
        assert len(processes(server)) == 3
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            texts = [pool.submit(complete, server, m) for m in (CHAT, BASE) * 4]
            vectors = [pool.submit(server.client.embeddings.create, model=EMBED, input="hi")
                       for _ in range(4)]
            assert [t.result() for t in texts] == [want[CHAT], want[BASE]] * 4
            assert all(v.result().data[0].embedding == vector for v in vectors)
        metrics = server.request("GET", "/metrics")[2].decode()
        for model in (CHAT, BASE, EMBED):
            assert f'maru_engine_ready{{model="{model}"}} 1' in metrics
            assert f'maru_requests_running{{model="{model}"}} 0' in metrics
            status, _, body = server.request("GET", f"/health/{model}")
            assert status == 200 and json.loads(body)["state"] == "ready"
        top = subprocess.run([BINARY, "top", "--url", f"http://{server.host}:{server.port}", "--once"],
                             capture_output=True, text=True, timeout=60, check=True).stdout
        assert CHAT in top and BASE in top and EMBED in top


@both
def test_many_first_requests_load_once(home):
    with running(home=home) as server:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(lambda _: complete(server, CHAT), range(8)))
        assert len(set(texts)) == 1
        assert len(processes(server)) == 1


@both
def test_a_model_makes_room_for_another_and_comes_back(home):
    with running(*SMALL, home=home) as server:
        first = complete(server, CHAT)
        assert list(engines(server)) == [CHAT]
        other = complete(server, BASE)
        wait_for(server, lambda e: list(e) == [BASE])
        assert len(processes(server)) == 1
        assert complete(server, CHAT) == first
        assert complete(server, BASE) == other
        assert sum(e["memory_bytes"] for e in engines(server).values()) <= 420 << 20


@both
def test_a_model_in_use_is_not_unloaded(home):
    with running(*SMALL, home=home) as server:
        stream = server.client.completions.create(model=CHAT, prompt="Once", max_tokens=1900,
                                                  stream=True, extra_body={"ignore_eos": True})
        next(iter(stream))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(complete, server, BASE)
            wait_for(server, lambda e: e.get(BASE, {}).get("state") == "waiting")
            assert engines(server)[CHAT]["state"] == "ready" and engines(server)[CHAT]["n_users"] == 1
            assert server.request("GET", f"/health/{BASE}")[0] == 503
            stream.close()
            assert waiting.result()
        wait_for(server, lambda e: list(e) == [BASE])


@both
def test_killing_one_engine_leaves_the_other_alone(home):
    with running(home=home) as server:
        other = complete(server, BASE)
        body = {"max_tokens": 300, "seed": 5, "extra_body": {"ignore_eos": True}}
        ask = lambda: server.client.completions.create(model=CHAT, prompt="Once upon", stream=True,
                                                       **body)
        alone = "".join(c.choices[0].text for c in ask() if c.choices)
        chunks = iter(ask())
        text = next(chunks).choices[0].text
        [pid] = processes(server, BASE)
        os.kill(pid, signal.SIGKILL)
        text += "".join(c.choices[0].text for c in chunks if c.choices)
        assert text == alone
        wait_for(server, lambda e: not e.get(BASE, {}).get("ready"))
        assert complete(server, BASE) == other
        [again] = processes(server, BASE)
        assert again != pid


@both
def test_what_is_not_used_goes_and_what_is_pinned_stays(home):
    with running("--keep-alive", "0", "--pin", BASE, home=home) as server:
        wait_for(server, lambda e: e.get(BASE, {}).get("ready"))  # without any request
        assert engines(server)[BASE]["pinned"]
        assert complete(server, CHAT)
        wait_for(server, lambda e: list(e) == [BASE])
        assert states(server) == {CHAT: "unloaded", BASE: "ready", EMBED: "unloaded"}
        assert json.loads(server.request("GET", f"/health/{CHAT}")[2])["state"] == "unloaded"


def test_a_pinned_model_must_be_there(home):
    result = subprocess.run([BINARY, "--home", home, "serve", "--port", "0", "--pin", "none"],
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1 and 'no model "none" is installed' in result.stderr


@both
def test_what_never_fits_is_refused_with_the_numbers(home):
    with running("--memory", "100", home=home) as server:
        with pytest.raises(openai.BadRequestError) as error:
            complete(server, BASE)
        assert "306 MiB" in error.value.message and "100 MiB" in error.value.message
        assert error.value.param == "model"


def test_a_broken_file_is_told_to_all_who_wait(home):
    good = (ROOT / "tests/data/tiny_models/llama.gguf").read_bytes()
    (home / "models/broken.gguf").write_bytes(good[:len(good) // 2])
    with running(home=home) as server:
        def ask(_):
            status, _, body = server.request("POST", "/v1/completions",
                                             json.dumps({"model": "broken", "prompt": "a"}))
            return status, json.loads(body)["error"]["code"]

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            assert set(pool.map(ask, range(12))) == {(500, "corrupt")}
        assert server.client.embeddings.create(model=EMBED, input="hi").data
        # Once the file is whole it is loaded, without waiting.
        (home / "models/broken.gguf").write_bytes(good)
        os.utime(home / "models/broken.gguf", (1, 1))
        assert server.request("POST", "/v1/completions",
                              json.dumps({"model": "broken", "prompt": [1, 2], "max_tokens": 2}))[0] == 200
