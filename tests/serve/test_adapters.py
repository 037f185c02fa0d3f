"""Adapters over HTTP: two of them and the model itself at once, on a small model of ours."""
import concurrent.futures
import importlib.util
import json
import shutil
import subprocess

import pytest

from conftest import BINARY, ROOT, running

DATA = ROOT / "tests/data/tiny_models"
NAMES = ["llama", "llama:one", "llama:two"]


def maker():
    """tests/data/tiny_models/make_adapter.py as a module."""
    spec = importlib.util.spec_from_file_location("make_adapter", DATA / "make_adapter.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a small model, and two adapters of it beside."""
    path = tmp_path_factory.mktemp("home")
    (path / "models").mkdir()
    shutil.copy(DATA / "llama.gguf", path / "models")
    shutil.copy(DATA / "qwen2.gguf", path / "models")
    shutil.copy(DATA / "llama-lora.gguf", path / "one.gguf")
    make = maker()
    _, tensors = make.read_gguf(DATA / "llama.gguf")
    make.write_adapter(path / "two.gguf", make.random_parts(tensors, 5, 17, ["attn_v", "ffn_up"]), 20.0)
    return path


def serve(home, *more):
    return running("--model", "llama", "--adapter", f"one={home}/one.gguf",
                   "--adapter", f"llama:two={home}/two.gguf", *more, home=home)


def complete(server, model, prompt, **more):
    body = {"model": model, "prompt": prompt, "max_tokens": 12, "seed": 3, "logprobs": 2, **more}
    status, _, reply = server.request("POST", "/v1/completions", json.dumps(body))
    assert status == 200, reply
    return json.loads(reply)


def choices(server, model, prompt, **more):
    return complete(server, model, prompt, **more)["choices"]


def test_each_answers_as_it_does_alone(home):
    prompts = ["Once upon a time", "The sea " * 20, "x"]
    wanted = [(model, prompt) for prompt in prompts for model in NAMES]
    with running(home=home) as server:  # without adapters
        plain = {prompt: choices(server, "llama", prompt) for prompt in prompts}
    with serve(home) as server:
        alone = {want: choices(server, *want) for want in wanted}
        again = {want: choices(server, *want) for want in wanted}  # from the prefix tree, each its own
    assert again == alone
    with serve(home) as server, concurrent.futures.ThreadPoolExecutor(len(wanted)) as pool:
        together = dict(zip(wanted, pool.map(lambda want: choices(server, *want), wanted)))
    assert together == alone
    for prompt in prompts:
        assert alone["llama", prompt] == plain[prompt]
        assert len({json.dumps(alone[model, prompt]) for model in NAMES}) == 3


def cached(server, model, prompt):
    """Tokens of the prompt that were not evaluated, and full blocks that the answer leaves."""
    usage = complete(server, model, prompt)["usage"]
    return usage["prompt_tokens_details"]["cached_tokens"], (usage["total_tokens"] - 1) // 64


def test_nothing_is_shared_between_adapters(home):
    prompt = "The same beginning for everybody. " * 12
    with serve(home) as server:
        n_blocks = 0
        for model in NAMES:
            n_cached, n = cached(server, model, prompt)
            assert n_cached == 0, model
            n_blocks += n
        assert cached(server, "llama:one", prompt)[0] > 256
        while server.saved_blocks() < n_blocks:  # pytest's time limit ends a wait that never comes true
            pass
    # From disk an adapter is known by what is in its file, whatever its name.
    other = home / "other.gguf"
    make = maker()
    make.write_adapter(other, make.random_parts(make.read_gguf(DATA / "llama.gguf")[1], 6, 2, ["attn_q"]), 1.0)
    with running("--adapter", f"llama:new={home}/one.gguf", "--adapter", f"llama:one={other}", home=home) as server:
        assert cached(server, "llama:one", prompt)[0] == 0
        assert cached(server, "llama:new", prompt)[0] == 256
        assert cached(server, "llama", prompt)[0] == 256


def test_they_are_listed_and_unknown_ones_are_told(home):
    with serve(home) as server:
        models = {model.id: model for model in server.client.models.list().data}
        assert set(models) == {"llama", "llama:one", "llama:two", "qwen2"}
        assert models["llama:two"].parent == "llama"
        for model, told in [("llama:three", "it has: one, two"), ("qwen2:one", "it has none")]:
            status, _, reply = server.request("POST", "/v1/completions", json.dumps({"model": model, "prompt": "x"}))
            error = json.loads(reply)["error"]
            assert status == 404 and error["code"] == "model_not_found"
            assert f'has no adapter "{model.split(":")[1]}"' in error["message"] and told in error["message"]


def test_a_receipt_names_its_adapter(home):
    with serve(home) as server:
        receipt = complete(server, "llama:one", "Once", receipt=True, temperature=0.8)["receipt"]

    def replay(*arguments):
        return subprocess.run([BINARY, "--home", str(home), "replay", "-", *arguments], input=json.dumps(receipt),
                              capture_output=True, text=True, timeout=120, check=False)

    assert receipt["adapter"]["name"] == "one" and receipt["model"]["name"] == "llama"
    assert replay("--adapter", f"{home}/one.gguf").returncode == 0
    assert "`--adapter FILE` names its file" in replay().stderr
    assert "the adapter differs" in replay("--adapter", f"{home}/two.gguf").stderr


def test_one_that_does_not_fit_is_said(home):
    def refusal(*arguments):
        result = subprocess.run([BINARY, "--home", str(home), "serve", "--port", "0", *arguments], capture_output=True,
                                text=True, timeout=60, check=False)
        assert result.returncode == 1
        return result.stderr

    assert "expected [MODEL:]NAME=FILE" in refusal("--adapter", "one")
    assert "there is no file" in refusal("--adapter", "llama:one=/none.gguf")
    assert "there is no model 'other'" in refusal("--adapter", f"other:one={home}/one.gguf")
    with running("--adapter", f"qwen2:one={home}/one.gguf", home=home) as server:
        status, _, reply = server.request("POST", "/v1/completions", json.dumps({"model": "qwen2", "prompt": "x"}))
        assert status >= 400
        assert "the adapter is for architecture 'llama', the model is 'qwen2'" in json.loads(reply)["error"]["message"]
