"""`/v1/embeddings` and `/v1/rerank` on small random models, through the official openai client."""
import base64
import concurrent.futures
import json
import math
import struct
import subprocess

import openai
import pytest

from conftest import BINARY, ROOT, running

MODEL = "bert-cls"
RANKER = "bert-rank"
DECODER = "llama"
DATA = ROOT / "tests/data/tiny_models"
SHARED = ROOT / "../shared/fixtures/tiny_models"
# Those beside the repository are tested where they are there.
OTHERS = [n for n in ("bert-mean", "nomic-bert", "qwen3-embedding", "xlm-roberta")
          if (SHARED / f"{n}.gguf").exists()]
TEXTS = ["hello world", "a b c " * 40, "Grüße an 東京", "x", "the cat sat on the mat " * 12, "[SEP]"]
CONTEXT = 256  # of MODEL


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with the small models alone."""
    models = tmp_path_factory.mktemp("home") / "models"
    models.mkdir()
    for name in (MODEL, RANKER, DECODER):
        (models / f"{name}.gguf").symlink_to(DATA / f"{name}.gguf")
    for name in OTHERS:
        (models / f"{name}.gguf").symlink_to((SHARED / f"{name}.gguf").resolve())
    with running(home=models.parent) as started:
        yield started


def f32(values):
    """Values as the bytes of f32: what must be equal."""
    return struct.pack(f"<{len(values)}f", *values)


def of_command(model, rows, *flags):
    """What `maru embed` makes of texts and ids."""
    path = DATA / f"{model}.gguf" if (DATA / f"{model}.gguf").exists() else SHARED / f"{model}.gguf"
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    result = subprocess.run([BINARY, "embed", path, "--jsonl", *flags], input=lines, text=True,
                            capture_output=True, timeout=120, check=True)
    return [f32(json.loads(line)["embedding"]) for line in result.stdout.splitlines()]


def embed(server, inputs, model=MODEL, **more):
    reply = server.client.embeddings.create(model=model, input=inputs, **more)
    assert [d.index for d in reply.data] == list(range(len(reply.data)))
    return reply


def vectors(reply):
    return [f32(d.embedding) for d in reply.data]


@pytest.mark.parametrize("model", [MODEL, *OTHERS])
def test_vectors_are_those_of_the_command_to_the_last_bit(server, model):
    want = of_command(model, [{"text": t} for t in TEXTS], "--normalize")
    assert vectors(embed(server, TEXTS, model)) == want
    assert [vectors(embed(server, t, model))[0] for t in TEXTS] == want  # alone as together
    raw = embed(server, TEXTS, model, extra_body={"normalize": False})
    assert vectors(raw) == of_command(model, [{"text": t} for t in TEXTS])


def test_many_clients_at_once_get_what_each_gets_alone(server):
    texts = [f"{'word ' * (i * 7 % 50)}number {i}" for i in range(300)]
    want = of_command(MODEL, [{"text": t} for t in texts], "--normalize")
    parts = [list(range(i, 300, 12)) for i in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        replies = pool.map(lambda part: vectors(embed(server, [texts[i] for i in part])), parts)
        for part, got in zip(parts, replies):
            assert got == [want[i] for i in part]


def test_vectors_agree_with_the_truth(server):
    """Those of an independent program: tests/data/tiny_models."""
    truth = json.loads((DATA / f"{MODEL}.json").read_text(encoding="utf-8"))["sequences"]
    reply = embed(server, [s["ids"] for s in truth])
    for got, want in zip(reply.data, truth):
        assert max(abs(a - b) for a, b in zip(got.embedding, want["normalized"], strict=True)) < 5e-3
    assert reply.usage.prompt_tokens == sum(len(s["ids"]) for s in truth)


def test_formats_and_ids(server):
    ids = [2, 10, 259, 296, 3]
    [want] = of_command(MODEL, [{"ids": ids}], "--normalize")
    assert vectors(embed(server, ids)) == vectors(embed(server, [ids])) == [want]
    body = {"model": MODEL, "input": ids}
    for encoding, read in (("float", f32), ("base64", base64.b64decode)):
        status, _, answer = server.request("POST", "/v1/embeddings",
                                           json.dumps({**body, "encoding_format": encoding}))
        assert status == 200
        assert read(json.loads(answer)["data"][0]["embedding"]) == want


def test_dimensions_are_the_first_with_their_own_length(server):
    whole = embed(server, "hello", extra_body={"normalize": False}).data[0].embedding
    cut = embed(server, "hello", dimensions=16).data[0].embedding
    length = math.hypot(*whole[:16])
    assert len(cut) == 16 and math.isclose(math.hypot(*cut), 1, abs_tol=1e-6)
    assert all(math.isclose(a, b / length, rel_tol=1e-6) for a, b in zip(cut, whole))
    with pytest.raises(openai.BadRequestError) as error:
        embed(server, "hello", dimensions=65)
    assert error.value.param == "dimensions"
    assert "65" in error.value.message and "64" in error.value.message


def test_too_long_is_an_error_with_both_counts(server):
    assert embed(server, [[2] * CONTEXT]).usage.prompt_tokens == CONTEXT
    with pytest.raises(openai.BadRequestError) as error:
        embed(server, [[2], [2] * (CONTEXT + 1)])
    assert error.value.code == "context_length_exceeded" and error.value.param == "input[1]"
    assert str(CONTEXT) in error.value.message and str(CONTEXT + 1) in error.value.message
    with pytest.raises(openai.BadRequestError) as error:
        embed(server, [[2], [900]])
    assert error.value.param == "input[1]" and "900" in error.value.message


def test_models_are_asked_for_what_they_make(server):
    with pytest.raises(openai.BadRequestError) as error:
        embed(server, "hi", model=DECODER)
    assert "not made for embeddings" in error.value.message
    with pytest.raises(openai.BadRequestError) as error:
        server.client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    assert "cannot generate text" in error.value.message
    with pytest.raises(openai.NotFoundError):
        embed(server, "hi", model="nothing")


def rerank(server, **body):
    status, _, answer = server.request("POST", "/v1/rerank", json.dumps({"model": MODEL, **body}))
    return status, json.loads(answer)


def test_rerank_by_the_cosine(server):
    documents = ["a red apple", "quantum field theory", "hello world", "apples are red"]
    query, *others = [d.embedding for d in embed(server, ["hello world", *documents]).data]
    want = [sum(a * b for a, b in zip(query, other)) for other in others]
    status, reply = rerank(server, query="hello world", documents=documents, return_documents=True)
    assert status == 200
    results = reply["results"]
    assert [r["index"] for r in results] == sorted(range(4), key=lambda i: -want[i])
    assert results[0]["index"] == 2 and math.isclose(results[0]["relevance_score"], 1, abs_tol=1e-9)
    for result in results:
        assert math.isclose(result["relevance_score"], want[result["index"]], abs_tol=1e-5)
        assert result["document"] == {"text": documents[result["index"]]}
    status, short = rerank(server, query="hello world", documents=[{"text": d} for d in documents],
                           top_n=2)
    assert status == 200 and "document" not in short["results"][0]
    assert [r["relevance_score"] for r in short["results"]] == \
        [r["relevance_score"] for r in results[:2]]
    assert reply["usage"]["total_tokens"] > 0
    status, refused = rerank(server, query="q", documents=["ok", "word " * 300])
    assert status == 400 and refused["error"]["param"] == "documents[1]"
    assert refused["error"]["code"] == "context_length_exceeded"


def test_rerank_by_a_model_that_ranks(server):
    """The scores of an independent program: tests/data/tiny_models/make_bert_rank.py."""
    pairs = json.loads((DATA / f"{RANKER}.json").read_text(encoding="utf-8"))["pairs"]
    assert len({p["query"] for p in pairs}) > 1
    for query in {p["query"] for p in pairs}:
        mine = [p for p in pairs if p["query"] == query]
        body = {"model": RANKER, "query": query, "documents": [p["document"] for p in mine]}
        status, reply = rerank(server, **body, raw_scores=True)
        assert status == 200, reply
        got = {r["index"]: r["relevance_score"] for r in reply["results"]}
        for i, pair in enumerate(mine):
            assert abs(got[i] - pair["score"]) < 5e-3
        assert [r["index"] for r in reply["results"]] == sorted(got, key=lambda i: -got[i])
        assert reply["usage"]["total_tokens"] == sum(len(p["ids"]) for p in mine)
        _, scaled = rerank(server, **body)
        for result in scaled["results"]:
            assert math.isclose(result["relevance_score"], 1 / (1 + math.exp(-got[result["index"]])))
        for i, pair in enumerate(mine):  # alone as together
            _, one = rerank(server, **{**body, "documents": [pair["document"]]}, raw_scores=True)
            assert one["results"][0]["relevance_score"] == got[i]


def test_a_model_that_ranks_makes_nothing_else(server):
    with pytest.raises(openai.BadRequestError) as error:
        embed(server, "hi", model=RANKER)
    assert "/v1/rerank" in error.value.message
    status, reply = rerank(server, model=RANKER, query="q " * 200, documents=["d", "d " * 100])
    assert status == 400 and reply["error"]["code"] == "context_length_exceeded"
    result = subprocess.run([BINARY, "embed", DATA / f"{RANKER}.gguf", "hi"], capture_output=True,
                            text=True, timeout=60, check=False)
    assert result.returncode == 1 and "ranks documents" in result.stderr
