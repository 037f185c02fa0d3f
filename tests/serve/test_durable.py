"""Conversations that outlive the server: killed with SIGKILL, started again, and gone on with."""
import shutil
import subprocess

import pytest

from conftest import BINARY, HOME, needs_model, running

MODEL = "smollm2:135m"
FACTS = "".join(f"Fact {i}: the number {i * 37 % 1001} follows {i}. " for i in range(240))
LONG = [{"role": "user", "content": FACTS + "What follows 17?"}]


def ask(server, messages):
    return server.client.chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=24)


@pytest.fixture(scope="module")
def first_life(tmp_path_factory):
    """A data folder in which a server answered the long question, saved it and was killed; the answer."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    for suffix in (".gguf", ".json"):
        name = MODEL.replace(":", "-") + suffix
        (home / "models" / name).symlink_to(HOME / "models" / name)
    with running(home=home) as server:
        reply = ask(server, LONG)
        assert reply.usage.prompt_tokens > 4000 and reply.usage.prompt_tokens_details.cached_tokens == 0
        n_full = (reply.usage.prompt_tokens + reply.usage.completion_tokens - 1) // 64
        while server.saved_blocks() < n_full:  # pytest's time limit ends a wait that never comes true
            pass
        server.process.kill()
        server.process.wait()
    return home, reply


@pytest.fixture
def home(first_life, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(first_life[0], tmp_path / "home", symlinks=True)


@pytest.fixture
def before(first_life):
    return first_life[1]


@needs_model(MODEL)
def test_a_long_conversation_goes_on_after_kill_9(home, before):
    with running(home=home) as server:
        after = ask(server, LONG)
        assert after.choices[0].message.content == before.choices[0].message.content
        n = after.usage.prompt_tokens
        assert after.usage.prompt_tokens_details.cached_tokens == (n - 1) // 64 * 64
        turn = LONG + [{"role": "assistant", "content": after.choices[0].message.content},
                       {"role": "user", "content": "And what follows 18?"}]
        warm = ask(server, turn)
        assert warm.usage.prompt_tokens_details.cached_tokens >= n
    with running("--kv-disk", "0", home=home) as server:  # nothing of the past, and the same answers
        cold = ask(server, turn)
        assert cold.usage.prompt_tokens_details.cached_tokens == 0
        assert cold.choices[0].message.content == warm.choices[0].message.content


@needs_model(MODEL)
def test_a_damaged_file_is_a_miss_and_no_error(home, before):
    path = home / "kv" / (MODEL.replace(":", "-") + ".kv")
    assert oct(path.stat().st_mode)[-3:] == "600" and b"follows" not in path.read_bytes()
    kept = home / "kept.kv"
    shutil.copy(path, kept)
    size = path.stat().st_size

    def damage(how):
        path.write_bytes(how(kept.read_bytes()))
        with running(home=home) as server:
            reply = ask(server, LONG)
        assert reply.choices[0].message.content == before.choices[0].message.content
        return reply.usage.prompt_tokens_details.cached_tokens

    middle = damage(lambda b: b[:size // 2] + bytes([b[size // 2] ^ 1]) + b[size // 2 + 1:])
    assert 0 < middle < 4000 and middle % 64 == 0
    assert 0 < damage(lambda b: b[:size // 3]) < 4000
    assert damage(lambda b: b"") == 0


@needs_model(MODEL)
def test_removing_a_model_removes_its_conversations(home):
    assert list((home / "kv").glob("*.kv"))
    subprocess.run([BINARY, "--home", str(home), "rm", MODEL], check=True, capture_output=True)
    assert not list((home / "kv").glob("*.kv"))
