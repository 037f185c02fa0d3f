"""`maru quantize` as a whole program: files that run, refusals, and nothing left behind."""
import os
import pathlib
import shutil

import pytest

from conftest import DATA, maru, answers, jsonl, needs

F16 = DATA / "tiny_models/llama-f16.gguf"
QUANTIZED = DATA / "tiny_models/qwen3-q8_0.gguf"
TEXT = {"ids": [1, 5, 9, 20, 31, 7, 40, 3]}


def nll(path):
    result = maru("score", path, "--jsonl", stdin=jsonl([TEXT]))
    assert result.returncode == 0, result.stderr
    return answers(result)[0]["nll"]


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "MXFP4", "BF16"])
def test_the_new_file_runs_and_says_nearly_the_same(tmp_path, kind):
    out = tmp_path / "out.gguf"
    result = maru("quantize", F16, out, kind)
    assert result.returncode == 0, result.stderr
    assert str(out) in result.stdout
    assert os.listdir(tmp_path) == ["out.gguf"]
    assert abs(nll(out) - nll(F16)) < (0.05 if kind in ("Q8_0", "Q6_K", "BF16") else 0.5)
    if kind == "Q4_K_M":  # rows of 64 values
        assert "Q5_0 instead of Q4_K" in result.stderr and "no multiple of 256" in result.stderr


def test_any_number_of_threads_writes_the_same_bytes(tmp_path):
    for n in (1, 3):
        assert maru("quantize", F16, tmp_path / f"{n}.gguf", "Q6_K", "--threads", n).returncode == 0
    assert (tmp_path / "1.gguf").read_bytes() == (tmp_path / "3.gguf").read_bytes()


def test_an_existing_file_is_not_touched(tmp_path):
    out = tmp_path / "out.gguf"
    out.write_text("mine", encoding="utf-8")
    result = maru("quantize", F16, out, "Q8_0")
    assert result.returncode == 1
    assert "exists" in result.stderr
    assert out.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("source, kind, words", [
    (QUANTIZED, "Q4_0", "--requantize"),
    (F16, "Q3_K", "Q4_K_M"),
    ("no-such-model", "Q8_0", "no-such-model"),
    (pathlib.Path(__file__), "Q8_0", "not a GGUF file"),
])
def test_refusals_say_why_and_leave_nothing(tmp_path, source, kind, words):
    result = maru("quantize", source, tmp_path / "out.gguf", kind)
    assert result.returncode in (1, 2)
    assert words in result.stderr
    assert not os.listdir(tmp_path)


def test_quantized_input_is_taken_when_asked_for(tmp_path):
    out = tmp_path / "out.gguf"
    assert maru("quantize", QUANTIZED, out, "F16", "--requantize").returncode == 0
    assert abs(nll(out) - nll(QUANTIZED)) < 0.05


def test_a_cut_file_leaves_nothing(tmp_path):
    cut = tmp_path / "cut.gguf"
    shutil.copy(F16, cut)
    os.truncate(cut, F16.stat().st_size - 100)
    result = maru("quantize", cut, tmp_path / "out.gguf", "Q8_0")
    assert result.returncode == 1
    assert "truncated" in result.stderr
    assert os.listdir(tmp_path) == ["cut.gguf"]


@needs("smollm2:135m")
def test_a_real_model(tmp_path):
    out = tmp_path / "out.gguf"
    result = maru("quantize", "smollm2:135m", out, "Q8_0", "--requantize")
    assert result.returncode == 0, result.stderr
    text = "The capital of France is Paris. The capital of Germany is Berlin."
    nll = [answers(maru("score", model, text, "--json"))[0]["nll"] for model in ("smollm2:135m", out)]
    assert abs(nll[0] - nll[1]) < 0.1
    result = maru("run", out, "What is the capital of Japan?", "--temperature", "0", "--max-tokens", "24")
    assert "Tokyo" in result.stdout  # no near tie: each token leads by 0.9 nats
