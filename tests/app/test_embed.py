"""`maru embed` on the small random embedding models, against vectors of an independent program."""
import array
import json
import math
import subprocess

import pytest

from conftest import BINARY, SHARED, answers, jsonl, maru, needs_shared, tiny_model

MODELS = ["bert-cls", "bert-mean", "nomic-bert", "qwen3-embedding", "xlm-roberta"]
ENCODER = SHARED / "tiny_models/bert-mean.gguf"
# The tolerances of the reference data.
DIFFERENCE_MAX = 5e-3
COSINE_MIN = 0.9999


class Reference:
    """The ids, texts and vectors of one model, one entry per line that is asked."""

    def __init__(self, name):
        self.path = SHARED / f"tiny_models/{name}.gguf"
        data = json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))
        values = array.array("f", self.path.with_suffix(".f32").read_bytes())
        width = data["n_embd"]
        sequences = data["sequences"]
        texts = [s for s in sequences if s["text"] is not None]
        assert texts
        self.rows = [{"ids": s["ids"]} for s in sequences] + [{"text": s["text"]} for s in texts]
        self.sequences = sequences + texts
        self.tokens = [[values[(s["first_row"] + i) * width:(s["first_row"] + i + 1) * width]
                        for i in range(len(s["ids"]))] for s in self.sequences]

    def answers(self, *flags):
        """One answer of the command for each of self.sequences."""
        result = maru("embed", self.path, "--jsonl", *flags, stdin=jsonl(self.rows))
        assert result.returncode == 0, result.stderr
        lines = answers(result)
        assert len(lines) == len(self.sequences)
        return lines


def difference(ours, truth):
    """The largest absolute difference of two vectors of one length."""
    return max(abs(a - b) for a, b in zip(ours, truth, strict=True))


def cosine(ours, truth):
    """Of the angle between two vectors."""
    return sum(a * b for a, b in zip(ours, truth)) / (math.hypot(*ours) * math.hypot(*truth))


@needs_shared()
@pytest.mark.parametrize("name", MODELS)
def test_pooled_vectors_agree_with_the_truth(name):
    reference = Reference(name)
    for line, sequence in zip(reference.answers(), reference.sequences):
        assert list(line) == ["embedding"]
        assert difference(line["embedding"], sequence["pooled"]) <= DIFFERENCE_MAX
        assert cosine(line["embedding"], sequence["pooled"]) > COSINE_MIN


@needs_shared()
@pytest.mark.parametrize("name", MODELS)
def test_normalized_vectors_agree_with_the_truth(name):
    reference = Reference(name)
    for line, sequence in zip(reference.answers("--normalize"), reference.sequences):
        assert difference(line["embedding"], sequence["normalized"]) <= DIFFERENCE_MAX
        assert math.isclose(math.hypot(*line["embedding"]), 1, abs_tol=1e-6)


@needs_shared()
@pytest.mark.parametrize("name", MODELS)
def test_vectors_of_the_tokens_agree_with_the_truth(name):
    reference = Reference(name)
    plain = reference.answers("--tokens")
    normalized = reference.answers("--tokens", "--normalize")
    for line, other, tokens in zip(plain, normalized, reference.tokens):
        assert len(line["tokens"]) == len(tokens)
        for ours, truth in zip(line["tokens"], tokens):
            assert difference(ours, truth) <= DIFFERENCE_MAX
        assert line["tokens"] == other["tokens"]  # as the model gives them, also with --normalize


@needs_shared()
@pytest.mark.parametrize("name", MODELS)
def test_no_bit_depends_on_threads_or_the_instruction_set(name):
    reference = Reference(name)
    want = reference.answers("--tokens")
    assert reference.answers("--tokens", "--threads", "1", "--isa", "scalar") == want
    assert reference.answers("--tokens", "--threads", "3") == want


@needs_shared()
def test_pooling_can_be_chosen():
    [line] = answers(maru("embed", ENCODER, "--jsonl", "--tokens", "--pooling", "cls",
                          stdin=jsonl([{"text": "hello world"}])))
    assert line["embedding"] == line["tokens"][0]
    [line] = answers(maru("embed", ENCODER, "--jsonl", "--tokens", "--pooling", "last",
                          stdin=jsonl([{"text": "hello world"}])))
    assert line["embedding"] == line["tokens"][-1]
    assert maru("embed", ENCODER, "--pooling", "best", "text").returncode == 2


@needs_shared()
def test_bad_lines_are_answered_and_the_others_too():
    rows = [{"ids": []}, {"ids": [2, 900]}, {"ids": [2, -1]}, {"text": "a", "ids": [2]}, {}, "{",
            "[]", {"text": 5}, {"text": "ok"}, {"ids": [2] * 257}, {"ids": [2] * 256}]
    result = maru("embed", ENCODER, "--jsonl", stdin=jsonl(rows))
    assert result.returncode == 0
    lines = answers(result)
    assert ["error" in line for line in lines] == [True] * 8 + [False, True, False]
    assert all(line["error"]["message"] for line in lines if "error" in line)
    too_long = lines[9]["error"]
    assert too_long["code"] == "context_length_exceeded"
    assert "256" in too_long["message"] and "257" in too_long["message"]


@needs_shared()
@pytest.mark.parametrize("name", MODELS)
def test_lines_that_come_together_answer_as_alone(name):
    reference = Reference(name)
    together = reference.answers("--tokens")
    process = subprocess.Popen([BINARY, "embed", reference.path, "--jsonl", "--tokens"], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for row, line in zip(reference.rows, together):
        process.stdin.write(json.dumps(row) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == line
    process.stdin.close()
    assert process.wait(timeout=60) == 0


def test_an_engine_that_dies_costs_one_line(script):
    flags = script(replies=[{"match": "boom", "fault": "die"}], card={"d_model": 2})
    rows = [{"text": "a"}, {"text": "boom"}, {"text": "b"}, {"ids": "x"}, {"text": "boom"},
            {"text": "c"}]
    result = maru("embed", "any", "--jsonl", *flags, stdin=jsonl(rows * 30))
    assert result.returncode == 0, result.stderr
    for first in range(0, 180, 6):
        a, boom, b, wrong, again, c = answers(result)[first:first + 6]
        assert a == {"embedding": [0, 1]} and b == {"embedding": [1, 0]} and c == a
        assert boom["error"]["code"] == again["error"]["code"] == "unavailable"
        assert wrong["error"]["param"] == "ids"


@needs_shared()
def test_one_text_of_the_command_line_or_a_pipe():
    [line] = answers(maru("embed", ENCODER, "--jsonl", stdin=jsonl([{"text": "hello world"}])))
    assert json.loads(maru("embed", ENCODER, "hello world").stdout) == line
    assert json.loads(maru("embed", ENCODER, stdin="hello world").stdout) == line


@needs_shared()
@pytest.mark.parametrize("arguments", [["chat"], ["run"], ["score"], ["bench"]])
def test_an_encoder_makes_no_text_and_says_so(arguments):
    result = maru(*arguments, ENCODER, stdin="hi")
    assert result.returncode == 1
    assert "makes embeddings and no text" in result.stderr


def test_a_model_that_names_no_pooling_asks_for_one():
    result = maru("embed", tiny_model(), "--jsonl", stdin=jsonl([{"ids": [1, 2]}]))
    assert result.returncode == 1 and not result.stdout
    assert "--pooling" in result.stderr
    [line] = answers(maru("embed", tiny_model(), "--jsonl", "--pooling", "mean", "--tokens",
                          stdin=jsonl([{"ids": [1, 2]}])))
    mean = [(a + b) / 2 for a, b in zip(*line["tokens"])]
    assert difference(line["embedding"], mean) < 1e-6


def test_called_wrongly_or_without_a_model():
    assert maru("embed").returncode == 2
    assert maru("embed", "no-such-model", "--jsonl").returncode == 1
