#!/usr/bin/env python3
"""Makes bert-rank.gguf and bert-rank.json: bert-cls with a random head that ranks, and its scores.

The scores come from a forward pass in plain Python with 64-bit floats, written from the papers (BERT,
arXiv:1810.04805) and knowing nothing of Maru. The files in the repository are what this writes:
    python3 tests/data/tiny_models/make_bert_rank.py
"""
import json
import math
import pathlib
import random
import struct

HERE = pathlib.Path(__file__).parent
SEED = 31002
ALIGNMENT = 32
D = 64
N_LAYER, N_HEAD = 2, 4
EPS = 1e-12
POOLING_RANK = 4
SIZES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class Gguf:
    """A GGUF file of F32 tensors: its bytes in parts, and the tensors."""

    def __init__(self, data):
        self.data = data
        self.at = 8
        n_tensors, n_entries = self.take("QQ")
        begin = self.at
        for _ in range(n_entries):
            key = self.text()
            [kind] = self.take("I")
            if key == "bert.pooling_type":
                self.pooling_at = self.at - begin
            self.skip(kind)
        self.entries = data[begin:self.at]
        self.n_entries = n_entries
        begin = self.at
        infos = []
        for _ in range(n_tensors):
            name = self.text()
            [n_dims] = self.take("I")
            dims = self.take(f"{n_dims}Q")
            dtype, offset = self.take("IQ")
            assert dtype == 0, name
            infos.append((name, dims, offset))
        self.infos = data[begin:self.at]
        self.n_tensors = n_tensors
        start = -(-self.at // ALIGNMENT) * ALIGNMENT
        self.body = data[start:]
        self.tensors = {name: struct.unpack_from(f"<{math.prod(dims)}f", self.body, offset)
                        for name, dims, offset in infos}

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def text(self):
        [n] = self.take("Q")
        self.at += n
        return self.data[self.at - n:self.at].decode()

    def skip(self, kind):
        if kind == 8:
            self.text()
        elif kind == 9:
            inner, n = self.take("IQ")
            for _ in range(n):
                self.skip(inner)
        else:
            self.take(SIZES[kind])

    def with_tensors(self, added):
        """The bytes of this file with further tensors, as a model that ranks."""
        entries = bytearray(self.entries)
        struct.pack_into("<I", entries, self.pooling_at, POOLING_RANK)
        infos, body = bytearray(self.infos), bytearray(self.body)
        for name, (dims, values) in added.items():
            body += bytes(-len(body) % ALIGNMENT)
            infos += struct.pack("<Q", len(name)) + name.encode()
            infos += struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, 0, len(body))
            body += struct.pack(f"<{len(values)}f", *values)
        body += bytes(-len(body) % ALIGNMENT)
        head = b"GGUF" + struct.pack("<IQQ", 3, self.n_tensors + len(added), self.n_entries)
        out = head + entries + infos
        return out + bytes(-len(out) % ALIGNMENT) + body


def f32(values):
    """Rounded to f32, as the file holds them."""
    return struct.unpack(f"<{len(values)}f", struct.pack(f"<{len(values)}f", *values))


def linear(tensors, name, x):
    weight, bias = tensors[name + ".weight"], tensors[name + ".bias"]
    n = len(x)
    return [b + sum(w * v for w, v in zip(weight[i * n:(i + 1) * n], x)) for i, b in enumerate(bias)]


def norm(tensors, name, x):
    mean = sum(x) / len(x)
    scale = 1 / math.sqrt(sum((v - mean)**2 for v in x) / len(x) + EPS)
    return [(v - mean) * scale * w + b
            for v, w, b in zip(x, tensors[name + ".weight"], tensors[name + ".bias"])]


def softmax(scores):
    top = max(scores)
    weights = [math.exp(s - top) for s in scores]
    return [w / sum(weights) for w in weights]


def attend(q, k, v):
    """One row of q against all rows, head by head."""
    d_head = D // N_HEAD
    out = []
    for h in range(0, D, d_head):
        weights = softmax([sum(a * b for a, b in zip(q[h:h + d_head], row[h:h + d_head])) /
                           math.sqrt(d_head) for row in k])
        out += [sum(w * row[i] for w, row in zip(weights, v)) for i in range(h, h + d_head)]
    return out


def score(tensors, ids, n_first):
    """The head's value for one pair."""
    rows = []
    for position, token in enumerate(ids):
        kind = 1 if position >= n_first else 0
        parts = (tensors[name][i * D:(i + 1) * D] for name, i in
                 (("token_embd.weight", token), ("position_embd.weight", position),
                  ("token_types.weight", kind)))
        rows.append(norm(tensors, "token_embd_norm", [sum(p) for p in zip(*parts)]))
    for i in range(N_LAYER):
        blk = f"blk.{i}."
        q, k, v = ([linear(tensors, blk + name, x) for x in rows]
                   for name in ("attn_q", "attn_k", "attn_v"))
        next_rows = []
        for x, query in zip(rows, q):
            out = linear(tensors, blk + "attn_output", attend(query, k, v))
            x = norm(tensors, blk + "attn_output_norm", [a + b for a, b in zip(x, out)])
            hidden = [h / 2 * (1 + math.erf(h / math.sqrt(2)))
                      for h in linear(tensors, blk + "ffn_up", x)]
            out = linear(tensors, blk + "ffn_down", hidden)
            next_rows.append(norm(tensors, blk + "layer_output_norm",
                                  [a + b for a, b in zip(x, out)]))
        rows = next_rows
    hidden = [math.tanh(h) for h in linear(tensors, "cls", rows[0])]
    return linear(tensors, "cls.output", hidden)[0]


def main():
    base = Gguf((HERE / "bert-cls.gguf").read_bytes())
    rng = random.Random(SEED)
    draw = lambda n, width: f32([rng.gauss(0, width) for _ in range(n)])
    added = {"cls.weight": ((D, D), draw(D * D, 0.2)), "cls.bias": ((D, ), draw(D, 0.1)),
             "cls.output.weight": ((D, 1), draw(D, 0.5)), "cls.output.bias": ((1, ), draw(1, 0.1))}
    (HERE / "bert-rank.gguf").write_bytes(base.with_tensors(added))
    tensors = base.tensors | {name: values for name, (_, values) in added.items()}
    sequences = json.loads((HERE / "bert-cls.json").read_text(encoding="utf-8"))["sequences"]
    texts = [s for s in sequences if s["text"] is not None and len(s["ids"]) <= 40]
    pairs = []
    for query in texts[:3]:
        for document in texts:
            ids = query["ids"] + document["ids"][1:]  # [CLS] query [SEP] document [SEP]
            pairs.append({"query": query["text"], "document": document["text"], "ids": ids,
                          "n_first": len(query["ids"]),
                          "score": float(f"{score(tensors, ids, len(query['ids'])):.7g}")})
    (HERE / "bert-rank.json").write_text(
        json.dumps({"seed": SEED, "pairs": pairs}, ensure_ascii=False, indent=0) + "\n",
        encoding="utf-8")


if __name__ == "__main__":
    main()
