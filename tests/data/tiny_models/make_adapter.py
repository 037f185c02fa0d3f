#!/usr/bin/env python3
"""Makes llama-lora.{gguf,json,f32}: a random LoRA adapter for llama.gguf, and the logits of both together.

Plain Python in float64, which shares nothing with Maru: y = W x + alpha / rank * B (A x), not merged. The
same forward pass without an adapter gives llama.f32, which transformers computed; main() checks that first.
Whole-binary tests import it to make more adapters.
"""
import array
import json
import math
import pathlib
import random
import struct

HERE = pathlib.Path(__file__).resolve().parent
CHANGED = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
ALIGNMENT = 32


def read_gguf(path):
    """(metadata, {tensor: rows}) of a GGUF file whose tensors are F32."""
    data, at = path.read_bytes(), 0

    def take(form):
        nonlocal at
        value, = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return value

    def text():
        nonlocal at
        size = take("Q")
        at += size
        return data[at - size:at].decode("utf-8", "replace")

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            item, count = take("I"), take("Q")
            return [value(item) for _ in range(count)]
        return take("BbHhIif?..Qqd"[kind])

    assert take("I") == 0x46554747 and take("I") == 3
    n_tensors, n_entries = take("Q"), take("Q")
    metadata = {}
    for _ in range(n_entries):
        key = text()
        metadata[key] = value(take("I"))
    infos = []
    for _ in range(n_tensors):
        name = text()
        dims = [take("Q") for _ in range(take("I"))]
        assert take("I") == 0, name
        infos.append((name, dims, take("Q")))
    begin = -(-at // ALIGNMENT) * ALIGNMENT
    tensors = {}
    for name, dims, offset in infos:
        flat = array.array("f")
        flat.frombytes(data[begin + offset:begin + offset + 4 * math.prod(dims)])
        tensors[name] = [flat[i:i + dims[0]] for i in range(0, len(flat), dims[0])]
    return metadata, tensors


def write_adapter(path, parts, alpha, architecture="llama"):
    """parts: {tensor: (A, B)}, each a list of rows."""
    def text(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    entries = [("general.type", "adapter"), ("general.architecture", architecture), ("adapter.type", "lora")]
    head = b"".join(text(key) + struct.pack("<I", 8) + text(value) for key, value in entries)
    head += text("adapter.lora.alpha") + struct.pack("<If", 6, alpha)
    infos, body = b"", b""
    for tensor, halves in parts.items():
        for half, rows in zip("ab", halves):
            infos += text(f"{tensor}.lora_{half}") + struct.pack("<IQQIQ", 2, len(rows[0]), len(rows), 0, len(body))
            body += b"".join(array.array("f", row).tobytes() for row in rows)
            body += bytes(-len(body) % ALIGNMENT)
    begin = b"GGUF" + struct.pack("<IQQ", 3, 2 * len(parts), len(entries) + 1) + head + infos
    path.write_bytes(begin + bytes(-len(begin) % ALIGNMENT) + body)


def random_parts(tensors, seed, rank, names, size=0.5):
    """A and B of random values for those matrices of every layer, and for the output."""
    source = random.Random(seed)

    def rows(n_rows, n_cols):
        values = [[source.uniform(-size, size) for _ in range(n_cols)] for _ in range(n_rows)]
        return [array.array("f", row) for row in values]

    wanted = [name for name in tensors if name == "output.weight" or name.split(".")[-2] in names]
    return {name: (rows(rank, len(tensors[name][0])), rows(len(tensors[name]), rank)) for name in sorted(wanted)}


def dot(a, b):
    return sum(map(float.__mul__, map(float, a), map(float, b)))


def forward(metadata, tensors, parts, alpha, ids):
    """The logits after each of the ids, by the equations of a Llama with grouped queries."""
    n_head, n_head_kv = metadata["llama.attention.head_count"], metadata["llama.attention.head_count_kv"]
    eps, base = metadata["llama.attention.layer_norm_rms_epsilon"], metadata["llama.rope.freq_base"]
    d_head = metadata["llama.attention.key_length"]

    def times(name, x):
        y = [dot(row, x) for row in tensors[name]]
        if name not in parts:
            return y
        low = [dot(row, x) for row in parts[name][0]]
        scale = alpha / len(low)
        return [value + scale * dot(row, low) for value, row in zip(y, parts[name][1])]

    def norm(name, x):
        scale = 1 / math.sqrt(dot(x, x) / len(x) + eps)
        return [value * scale * weight for value, weight in zip(x, tensors[name][0])]

    def heads(x, position):
        out = [list(x[i:i + d_head]) for i in range(0, len(x), d_head)]
        if position is None:
            return out
        for head in out:
            for i in range(0, d_head, 2):  # the file's rows are in this order
                angle = position * base ** (-i / d_head)
                a, b = head[i], head[i + 1]
                head[i], head[i + 1] = (a * math.cos(angle) - b * math.sin(angle),
                                        a * math.sin(angle) + b * math.cos(angle))
        return out

    cache = [([], []) for _ in range(metadata["llama.block_count"])]
    logits = []
    for position, token in enumerate(ids):
        x = [float(value) for value in tensors["token_embd.weight"][token]]
        for layer, (keys, values) in enumerate(cache):
            blk = f"blk.{layer}."
            row = norm(blk + "attn_norm.weight", x)
            queries = heads(times(blk + "attn_q.weight", row), position)
            keys.append(heads(times(blk + "attn_k.weight", row), position))
            values.append(heads(times(blk + "attn_v.weight", row), None))
            out = []
            for head, query in enumerate(queries):
                kv = head * n_head_kv // n_head
                scores = [dot(query, key[kv]) / math.sqrt(d_head) for key in keys]
                weights = [math.exp(score - max(scores)) for score in scores]
                out += [sum(w * v[kv][d] for w, v in zip(weights, values)) / sum(weights) for d in range(d_head)]
            x = [a + b for a, b in zip(x, times(blk + "attn_output.weight", out))]
            row = norm(blk + "ffn_norm.weight", x)
            gate, up = times(blk + "ffn_gate.weight", row), times(blk + "ffn_up.weight", row)
            hidden = [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up)]
            x = [a + b for a, b in zip(x, times(blk + "ffn_down.weight", hidden))]
        logits.append(times("output.weight", norm("output_norm.weight", x)))
    return logits


def main():
    metadata, tensors = read_gguf(HERE / "llama.gguf")
    known = json.loads((HERE / "llama.json").read_text(encoding="utf-8"))
    ids = known["sequences"][0]["ids"]
    truth = array.array("f")
    truth.frombytes((HERE / "llama.f32").read_bytes())
    plain = [value for row in forward(metadata, tensors, {}, 1, ids) for value in row]
    worst = max(abs(a - b) for a, b in zip(plain, truth))
    print(f"without an adapter: {worst:.1e} from transformers")
    assert worst < 1e-4
    alpha, rank, seed = 8.0, 4, 20
    parts = random_parts(tensors, seed, rank, CHANGED)
    write_adapter(HERE / "llama-lora.gguf", parts, alpha)
    logits = forward(metadata, tensors, parts, alpha, ids)
    flat = array.array("f", [value for row in logits for value in row])
    (HERE / "llama-lora.f32").write_bytes(flat.tobytes())
    about = {"base": "llama", "alpha": alpha, "rank": rank, "seed": seed, "ids": ids,
             "logits_shape": [len(ids), len(logits[0])]}
    (HERE / "llama-lora.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
