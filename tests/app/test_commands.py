"""Names, help, exit codes, and what is said about models and files that are wrong."""
import json
import signal
import socket
import subprocess

import pytest

from conftest import BINARY, answers, maru, needs, tiny_model

COMMANDS = ["serve", "chat", "run", "pull", "list", "show", "rm", "tokenize", "detokenize", "score",
            "render", "replay", "grammar", "import", "quantize", "dequantize", "bench", "version", "help"]


def test_without_a_command_it_explains_itself():
    result = maru()
    assert result.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command}" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    for arguments in (["help", command], [command, "--help"]):
        result = maru(*arguments)
        assert result.returncode == 0
        assert f"Usage: maru {command}" in result.stdout


def test_version():
    assert maru("version").stdout.startswith("maru ")
    assert json.loads(maru("version", "--json").stdout)["version"]


def test_an_output_that_cannot_be_written_is_said():
    with open("/dev/full", "wb") as full:
        result = subprocess.run([BINARY, "version"], stdout=full, stderr=subprocess.PIPE,
                                text=True, check=False)
    assert result.returncode == 1
    assert "No space left" in result.stderr


@pytest.mark.parametrize("arguments, words", [
    (["lst"], "did you mean 'list'?"),
    (["pull"], "MODEL"),
    (["rm"], "MODEL"),
    (["render", "--jsonl"], "--template"),
    (["list", "--no-such-flag"], "--no-such-flag"),
    (["run", "x", "hi", "--temperature", "9"], "temperature"),
    (["run", "x", "hi", "--top-k", "many"], "top_k"),
    (["dequantize", "Q9_9"], "accepted: F32, F16, BF16"),
    (["help", "nothing"], "nothing"),
    (["serve", "--port", "70000"], "0 to 65535"),
])
def test_wrong_usage_is_2_and_says_what(arguments, words):
    result = maru(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_an_unknown_key_in_the_settings_refuses_to_start(tmp_path):
    (tmp_path / "config.json").write_text('{"prot": 1}', encoding="utf-8")
    result = maru("list", home=tmp_path)
    assert result.returncode == 2
    assert "did you mean 'port'?" in result.stderr


def test_a_missing_model_names_the_command_that_fetches_it(tmp_path):
    for command in ("show", "tokenize", "score", "bench"):
        result = maru(command, "smollm2:135m", home=tmp_path)
        assert result.returncode == 1
        assert "maru pull smollm2:135m" in result.stderr
    result = maru("run", "smolm2:135m", "hi", home=tmp_path)
    assert result.returncode == 1
    assert "did you mean smollm2:135m" in result.stderr


def test_pull_of_an_unknown_name_says_the_nearest(tmp_path):
    result = maru("pull", "smolm2", home=tmp_path)
    assert result.returncode == 1
    assert "smollm2:135m" in result.stderr


def test_list_and_rm_in_a_new_home(tmp_path):
    assert "maru pull" in maru("list", home=tmp_path).stderr
    assert json.loads(maru("list", "--json", home=tmp_path).stdout) == []
    available = json.loads(maru("list", "--available", "--json", home=tmp_path).stdout)
    assert [m["name"] for m in available if m["here"]] == []
    assert all(m["licence"] and m["licence_url"] for m in available)

    dropped = tmp_path / "models" / "mine.gguf"
    dropped.write_bytes(tiny_model().read_bytes())
    assert [m["name"] for m in json.loads(maru("list", "--json", home=tmp_path).stdout)] == ["mine"]
    assert maru("rm", "mine", home=tmp_path).returncode == 0
    assert not dropped.exists()
    assert maru("rm", "mine", home=tmp_path).returncode == 1


def gguf_with_architecture(path, name):
    """A copy of the tiny model that says it is of another architecture, of equal length."""
    data = tiny_model().read_bytes()
    assert data.count(b"llama") > 0 and len(name) == 5
    path.write_bytes(data.replace(b"llama", name.encode()))


def wrong_files(folder):
    """Files that are no models, with a word that must be in the message."""
    (folder / "text.gguf").write_text("this is no model\n" * 10, encoding="utf-8")
    (folder / "empty.gguf").write_bytes(b"")
    (folder / "cut.gguf").write_bytes(tiny_model().read_bytes()[:20_000])
    gguf_with_architecture(folder / "foreign.gguf", "lxama")
    return {"text.gguf": "GGUF", "empty.gguf": "GGUF", "cut.gguf": "", "foreign.gguf": "lxama"}


@pytest.mark.parametrize("name", ["text.gguf", "empty.gguf", "cut.gguf", "foreign.gguf"])
def test_a_wrong_file_is_refused_and_named(tmp_path, name):
    word = wrong_files(tmp_path)[name]
    result = maru("run", tmp_path / name, "hi")
    assert result.returncode == 1
    assert result.stderr.startswith("maru: ") and word in result.stderr
    assert result.stdout == ""


def test_a_folder_is_no_model(tmp_path):
    result = maru("show", str(tmp_path))
    assert result.returncode == 1
    assert "is not a file" in result.stderr


@needs("smollm2:135m")
def test_show_describes_a_model():
    model = json.loads(maru("show", "smollm2:135m", "--json").stdout)
    assert model["architecture"] == "llama"
    assert model["quantization"] == "Q4_1"
    assert model["licence"] == "Apache-2.0"
    assert model["chat_template"] is True
    assert 130_000_000 < model["parameters"] < 170_000_000


@needs("smollm2:135m")
def test_bench_reports_every_figure():
    result = maru("bench", "smollm2:135m", "--repeats", "1", "--decode-tokens", "4", "--json")
    assert result.returncode == 0, result.stderr
    report = answers(result)[0]
    cells = report["cells"]
    assert [cell["tokens"] for cell in cells if cell["cell"] == "prefill"] == [128, 512, 2048]
    assert [cell["context"] for cell in cells if cell["cell"] == "decode"] == [0, 2048]
    for cell in cells:
        assert cell["samples"] == [cell["tokens_per_second"]]
        assert cell["tokens_per_second"] > 0
    assert report["peak_memory_bytes"] > report["weight_bytes"] / 2
    assert report["read_bytes_per_second"] > 0
    assert report["sustained_bytes_per_second"] > 0
    for cell in cells[3:]:
        assert cell["fraction_of_roof"] > 0


def test_bench_measures_the_cells_that_are_named():
    result = maru("bench", tiny_model(), "--decode-at", "0,70", "--repeats", "2", "--decode-tokens", "8",
                  "--no-roofs", "--json")
    assert result.returncode == 0, result.stderr
    report = answers(result)[0]
    assert [(c["cell"], c["context"], c["streams"]) for c in report["cells"]] == [
        ("decode", 0, 1), ("decode", 70, 1)]
    assert all(len(cell["samples"]) == 2 for cell in report["cells"])
    assert "read_bytes_per_second" not in report


@needs("smollm2:135m")
def test_bench_decodes_streams_together():
    result = maru("bench", "smollm2:135m", "--decode-at", "70", "--streams", "1,3", "--repeats", "1",
                  "--no-roofs", "--json")
    assert result.returncode == 0, result.stderr
    cells = answers(result)[0]["cells"]
    assert [(cell["context"], cell["streams"]) for cell in cells] == [(70, 1), (70, 3)]
    assert all(cell["tokens_per_second"] > 0 for cell in cells)


def test_bench_says_which_cells_do_not_fit():
    result = maru("bench", tiny_model(), "--prefill", "100000", "--no-roofs", "--json")
    assert answers(result)[0]["cells"] == [
        {"cell": "prefill", "tokens": 100000, "samples": [], "tokens_per_second": None}]


@pytest.mark.parametrize("flags", [["--streams", "0"], ["--streams", "65"], ["--prefill", "128,"],
                                   ["--decode-at", "x"], ["--only-roofs", "--no-roofs"]])
def test_bench_refuses_what_is_no_cell(flags):
    result = maru("bench", tiny_model(), *flags)
    assert result.returncode == 2
    assert result.stdout == ""


def test_bench_measures_the_machine_alone():
    report = answers(maru("bench", "--only-roofs", "--json", "--threads", "1"))[0]
    assert report["threads"] == 1
    assert report["read_bytes_per_second"] > 0


def test_serve_says_who_has_its_port(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        result = maru("serve", "--port", port, home=tmp_path)
    assert result.returncode == 1
    assert "in use" in result.stderr and "process " in result.stderr


def test_serve_refuses_other_addresses_while_there_are_no_accounts(tmp_path):
    result = maru("serve", "--host", "0.0.0.0", home=tmp_path)
    assert result.returncode == 1
    assert "accounts" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_cleanly(tmp_path, number):
    process = subprocess.Popen([BINARY, "--home", str(tmp_path), "serve", "--port", "0"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "listening on http://127.0.0.1:" in process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 0
