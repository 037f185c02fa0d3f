"""`maru import` as a whole program: folders made from our small models come back as those models."""
import json
import os
import struct

import pytest

from conftest import DATA, answers, jsonl, maru
from model_source import GEMMA3, Gguf, LAYER, MIXTRAL, source_tensors, write_folder

TINY = DATA / "tiny_models"
TEXT = {"ids": [376, 5, 9, 20, 31, 7, 40, 3], "last": 0, "top": 5}
# What a converter may write and no program needs.
FREE_KEYS = ("general.", "tokenizer.ggml.add_", "tokenizer.chat_template")

# name of the model -> model_type, names of the layers' tensors, how they differ
MODELS = {
    "llama": ("llama", LAYER, {"pairs": True}),
    "llama-bias": ("llama", LAYER, {"pairs": True}),
    "llama-f16": ("llama", LAYER, {"pairs": True}),
    "llama3-rope": ("llama", LAYER, {"pairs": True}),
    "llama-linear-rope": ("llama", LAYER, {"pairs": True}),
    "llama-yarn-rope": ("llama", LAYER, {"pairs": True}),
    "mistral": ("mistral", LAYER, {"pairs": True}),
    "mixtral": ("mixtral", MIXTRAL, {"pairs": True}),
    "qwen2": ("qwen2", LAYER, {}),
    "gemma3": ("gemma3_text", GEMMA3, {"plus_one": True}),
}


def config_of(name):
    """The configuration that the reference program made the model with, and what it takes by itself."""
    config = json.loads((TINY / f"{name}.json").read_text(encoding="utf-8"))["config"]
    config.setdefault("rms_norm_eps", 1e-5 if name == "mixtral" else 1e-6)
    return config


def is_computed(name, key):
    """Whether the last bit may differ."""
    return key == "rope_freqs.weight" or (MODELS[name][2].get("plus_one", False) and "norm" in key)


def floats(data):
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def make_source(tmp_path, name, parts=1, **config):
    model_type, names, differences = MODELS[name]
    gguf = Gguf(TINY / f"{name}.gguf")
    folder = tmp_path / "source"
    write_folder(folder, gguf, model_type, {**config_of(name), **config},
                 source_tensors(gguf, names, **differences), parts)
    return folder, gguf


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_as_it_was(tmp_path, name):
    folder, truth = make_source(tmp_path, name, parts=3 if name == "llama" else 1)
    out = tmp_path / "out.gguf"
    result = maru("import", folder, out)
    assert result.returncode == 0, result.stderr
    ours = Gguf(out)
    assert ours.tensors.keys() == truth.tensors.keys()
    for key, (dtype, shape, data) in truth.tensors.items():
        assert ours.tensors[key][:2] == (dtype, shape), key
        if is_computed(name, key):
            assert floats(ours.tensors[key][2]) == pytest.approx(floats(data), abs=1e-6), key
        else:
            assert ours.tensors[key][2] == data, key
    for key, value in truth.metadata.items():
        if key.startswith(FREE_KEYS) and key != "general.architecture":
            continue
        assert ours.metadata[key] == pytest.approx(value) if isinstance(value, float) else \
            ours.metadata[key] == value, key
    assert ours.metadata["tokenizer.chat_template"].startswith("{% for")
    scores = [answers(maru("score", path, "--jsonl", stdin=jsonl([TEXT])))[0]
              for path in (out, TINY / f"{name}.gguf")]
    if any(is_computed(name, key) for key in truth.tensors):
        assert scores[0]["nll"] == pytest.approx(scores[1]["nll"], abs=1e-4)
    else:
        assert scores[0] == scores[1]


def test_another_type_is_made_on_request(tmp_path):
    folder, _ = make_source(tmp_path, "llama")
    out = tmp_path / "out.gguf"
    assert maru("import", folder, out, "--type", "bf16").returncode == 0
    tensors = Gguf(out).tensors
    assert tensors["blk.0.attn_q.weight"][0] == 30 and tensors["output_norm.weight"][0] == 0
    result = maru("import", folder, tmp_path / "x.gguf", "--type", "Q4_K_M")
    assert result.returncode == 2 and "F32, F16 and BF16" in result.stderr


@pytest.mark.parametrize("change, expected", [
    (lambda folder: (folder / "config.json").unlink(), "config.json"),
    (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
    (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors.index.json"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "safetensors"),
    (lambda folder: (folder / "config.json").write_text('{"model_type": "abacus"}'), "accepted: arcee"),
    (lambda folder: (folder / "config.json").write_text('{"model_type": "llama"}'), "lacks num_hidden_layers"),
])
def test_what_is_wrong_is_named_and_nothing_is_left(tmp_path, change, expected):
    folder, _ = make_source(tmp_path, "llama")
    change(folder)
    out = tmp_path / "out.gguf"
    result = maru("import", folder, out)
    assert result.returncode == 1
    assert expected in result.stderr
    assert os.listdir(tmp_path) == ["source"]


def test_missing_and_unknown_tensors_are_named(tmp_path):
    folder, gguf = make_source(tmp_path, "llama", num_hidden_layers=3)
    result = maru("import", folder, tmp_path / "out.gguf")
    assert "lacks 9 tensors: 'model.layers.2.input_layernorm.weight'" in result.stderr
    tensors = source_tensors(gguf, {**LAYER, "ffn_down": "mlp.dawn_proj"}, pairs=True)
    write_folder(tmp_path / "other", gguf, "llama", config_of("llama"), tensors)
    result = maru("import", tmp_path / "other", tmp_path / "out.gguf")
    assert "lacks 2 tensors: 'model.layers.0.mlp.down_proj.weight'" in result.stderr
    tensors = source_tensors(gguf, LAYER, pairs=True)
    tensors["model.layers.0.self_attn.magic.weight"] = ("F32", [1], b"abcd")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = ("F32", [1], b"abcd")
    write_folder(tmp_path / "third", gguf, "llama", config_of("llama"), tensors)
    result = maru("import", tmp_path / "third", tmp_path / "out.gguf")
    assert "1 tensors" in result.stderr and "self_attn.magic.weight" in result.stderr


def test_what_would_have_no_effect_is_refused(tmp_path):
    folder, _ = make_source(tmp_path, "llama")
    out = tmp_path / "out.gguf"
    (tmp_path / "model.bin").write_bytes(b"x" * 100)
    result = maru("import", tmp_path / "model.bin", out)
    assert result.returncode == 1 and "model.bin' is nothing to import; accepted" in result.stderr
    result = maru("import", folder, out, "--pre", "nonsense")
    assert result.returncode == 1 and "--pre" in result.stderr
    assert not out.exists()


def test_an_existing_file_is_not_touched(tmp_path):
    folder, _ = make_source(tmp_path, "llama")
    out = tmp_path / "out.gguf"
    out.write_text("mine")
    result = maru("import", folder, out)
    assert result.returncode == 1 and "exists" in result.stderr
    assert out.read_text() == "mine"
