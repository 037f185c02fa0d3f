"""Errors of ggml's own encoders, the figures that src/tensor/quantize_test.cc compares with.

Usage: reference_encoders.py LIBGGML_BASE.so
Needs a build of llama.cpp outside the repository. Prints, per type, the root mean square error on
the four kinds of values of quantize_test.cc.
"""
import ctypes
import math
import struct
import sys

MASK = (1 << 64) - 1
KINDS = ("bell", "tails", "positive", "small")
N_VALUES = 32768
# name: number in GGUF, elements and bytes of a block
TYPES = {"Q4_0": (2, 32, 18), "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34),
         "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210),
         "MXFP4": (39, 32, 17)}


class Rng:
    """xoshiro256** seeded by SplitMix64, as src/base/rng.h."""

    def __init__(self, seed):
        self.state = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & MASK
            z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
            self.state.append(z ^ (z >> 31))

    def uniform(self):
        def rotl(x, n):
            return ((x << n) | (x >> (64 - n))) & MASK
        s = self.state
        result = (rotl((s[1] * 5) & MASK, 7) * 9) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
        return (result >> 11) * 2.0 ** -53


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def sample(kind):
    rng = Rng(1)
    values = []
    for _ in range(N_VALUES):
        bell = 0.0
        for _ in range(4):
            bell += rng.uniform() - 0.5
        spread = rng.uniform()
        values.append(f32({"bell": bell * 0.03,
                           "tails": bell * 0.02 / (0.05 + spread * spread),
                           "positive": (bell + 2.0) * 0.01,
                           "small": bell * 0.0001}[kind]))
    return values


def load(path):
    ggml = ctypes.CDLL(path)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                                         ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                         ctypes.c_void_p]
    ggml.ggml_get_type_traits.restype = ctypes.c_void_p
    return ggml


def encode(ggml, number, n_cols, values_pointer, n_rows, out):
    return ggml.ggml_quantize_chunk(number, values_pointer, out, 0, n_rows, n_cols, None)


def decode(ggml, name, blocks, n):
    function = getattr(ggml, "dequantize_row_" + name.lower().replace("_k", "_K"))
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    out = (ctypes.c_float * n)()
    function(blocks, out, n)
    return out


def main():
    ggml = load(sys.argv[1])
    samples = {kind: sample(kind) for kind in KINDS}
    for name, (number, elements, n_bytes) in TYPES.items():
        errors = []
        for kind in KINDS:
            values = samples[kind]
            blocks = ctypes.create_string_buffer(N_VALUES // elements * n_bytes)
            encode(ggml, number, N_VALUES, (ctypes.c_float * N_VALUES)(*values), 1, blocks)
            back = decode(ggml, name, blocks, N_VALUES)
            errors.append(math.sqrt(sum((a - b) ** 2 for a, b in zip(values, back)) / N_VALUES))
        print(f"{name}: " + ", ".join(f"{error:.6e}" for error in errors))


if __name__ == "__main__":
    main()
