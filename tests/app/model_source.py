"""Folders as model hubs have them, made from small GGUF files by the inverse of what the importer does.

Written from the public definitions of both formats and by nothing of Maru: what `maru import` makes of such
a folder must be the GGUF file again.
"""
import json
import struct

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
SIZES = {0: 4, 1: 2, 30: 2}  # of an element of F32, F16, BF16
NAMES = {0: "F32", 1: "F16", 30: "BF16"}


class Gguf:
    """Metadata and the tensors' bytes of a GGUF file, version 3."""

    def __init__(self, path):
        self.data = path.read_bytes()
        self.at = 8
        n_tensors, n_entries = self.take("Q"), self.take("Q")
        self.metadata = {}
        for _ in range(n_entries):
            key = self.text()
            self.metadata[key] = self.value(self.take("I"))
        infos = []
        for _ in range(n_tensors):
            name = self.text()
            dims = [self.take("Q") for _ in range(self.take("I"))]
            infos.append((name, dims, self.take("I"), self.take("Q")))
        begin = (self.at + 31) // 32 * 32
        self.tensors = {}
        for name, dims, dtype, offset in infos:
            n_bytes = SIZES.get(dtype, 0)
            for dim in dims:
                n_bytes *= dim
            # Slowest dimension first, as everybody but GGUF writes it.
            self.tensors[name] = (dtype, dims[::-1], self.data[begin + offset:begin + offset + n_bytes])

    def take(self, kind):
        value, = struct.unpack_from("<" + kind, self.data, self.at)
        self.at += struct.calcsize("<" + kind)
        return value

    def text(self):
        n = self.take("Q")
        self.at += n
        return self.data[self.at - n:self.at].decode()

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            return self.take(NUMBERS[kind])
        item, n = self.take("I"), self.take("Q")
        return [self.value(item) for _ in range(n)]


def rows(shape, data):
    n_bytes = len(data) // (len(data) and shape[0])
    return [data[i * n_bytes:(i + 1) * n_bytes] for i in range(shape[0])]


def halves_from_pairs(shape, data, n_head):
    """Rows of q and k: GGUF's llama files keep the two of a rotated pair together."""
    d_head = shape[0] // n_head
    old = rows(shape, data)
    return b"".join(old[h * d_head + 2 * (i % (d_head // 2)) + i // (d_head // 2)]
                    for h in range(n_head) for i in range(d_head))


def minus_one(data):
    values = struct.unpack(f"<{len(data) // 4}f", data)
    return struct.pack(f"<{len(values)}f", *(v - 1 for v in values))


def write_safetensors(path, tensors):
    """tensors: name -> (dtype, shape, bytes)."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


LAYER = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
         "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
GEMMA3 = {**LAYER, "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
          "post_ffw_norm": "post_feedforward_layernorm"}
MIXTRAL = {**LAYER, "ffn_gate_inp": "block_sparse_moe.gate", "ffn_gate_exps": "block_sparse_moe.experts.{}.w1",
           "ffn_up_exps": "block_sparse_moe.experts.{}.w3", "ffn_down_exps": "block_sparse_moe.experts.{}.w2"}
ENDS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def source_tensors(gguf, names, pairs=False, plus_one=False):
    """The tensors as safetensors has them."""
    arch = gguf.metadata["general.architecture"]
    heads = {"attn_q": gguf.metadata[f"{arch}.attention.head_count"],
             "attn_k": gguf.metadata[f"{arch}.attention.head_count_kv"]}
    out = {}
    for name, (dtype, shape, data) in gguf.tensors.items():
        parts = name.split(".")
        if name == "rope_freqs.weight":
            continue
        if parts[0] == "blk":
            base, target = parts[2], f"model.layers.{parts[1]}.{names[parts[2]]}.{parts[3]}"
        else:
            base, target = parts[0], f"{ENDS[parts[0]]}.{parts[1]}"
        if pairs and base in heads:
            data = halves_from_pairs(shape, data, heads[base])
        if plus_one and "norm" in base:
            data = minus_one(data)
        if "{}" in target:
            for e, part in enumerate(rows(shape, data)):
                out[target.format(e)] = (NAMES[dtype], shape[1:], part)
        else:
            out[target] = (NAMES[dtype], shape, data)
    return out


CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {"llama-bpe": CONTRACTIONS + r"\p{N}{1,3}" + REST, "qwen2": CONTRACTIONS + r"\p{N}" + REST}


def tokenizer_json(gguf):
    """tokenizer.json of a byte-level vocabulary."""
    metadata = gguf.metadata
    pre = metadata["tokenizer.ggml.pre"]
    kinds = metadata["tokenizer.ggml.token_type"]
    tokens = metadata["tokenizer.ggml.tokens"]
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": text, "special": kind == 3, "normalized": False}
                         for i, (text, kind) in enumerate(zip(tokens, kinds)) if kind in (3, 4)],
        "normalizer": {"type": "NFC"} if pre == "qwen2" else None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True} if pre == "gpt-2" else {
            "type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERNS[pre]}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "ignore_merges": pre == "llama-bpe",
                  "vocab": {text: i for i, (text, kind) in enumerate(zip(tokens, kinds)) if kind == 1},
                  "merges": [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]]},
    }


def write_folder(folder, gguf, model_type, config, tensors, parts=1):
    """config.json, the weights in so many files, and the tokenizer."""
    folder.mkdir()
    metadata = gguf.metadata
    tokens = metadata["tokenizer.ggml.tokens"]
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, **config}), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(gguf)), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "bos_token": tokens[metadata["tokenizer.ggml.bos_token_id"]],
        "eos_token": {"content": tokens[metadata["tokenizer.ggml.eos_token_id"]]},
        "pad_token": tokens[metadata["tokenizer.ggml.padding_token_id"]],
        "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}), encoding="utf-8")
    if parts == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return
    weight_map = {}
    for part in range(parts):
        name = f"model-{part + 1:05}-of-{parts:05}.safetensors"
        chosen = {key: value for i, (key, value) in enumerate(tensors.items()) if i % parts == part}
        write_safetensors(folder / name, chosen)
        weight_map.update(dict.fromkeys(chosen, name))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
