"""The goals: how many times as fast as each peer, on two threads unless said otherwise."""
import dataclasses

LLAMA, IK = "llama.cpp", "ik_llama.cpp"


@dataclasses.dataclass(frozen=True)
class Goal:
    model: str
    cell: str
    least: dict  # peer -> ratio
    threads: int = 2


def goal(model, cell, llama, ik, threads=2):
    return Goal(model, cell, {LLAMA: llama, IK: ik}, threads)


BIG, SMALL = "qwen2.5-coder:1.5b", "qwen2.5-coder:0.5b"
SMOLLM, GEMMA = "smollm2:135m", "gemma3:270m"
MODELS = [BIG, SMALL, SMOLLM, GEMMA]

GOALS = [
    goal(BIG, "prefill:512", 1.6, 1.55), goal(SMALL, "prefill:512", 2.8, 1.5),
    goal(SMOLLM, "prefill:512", 6, 1.8), goal(GEMMA, "prefill:512", 3, 1.8),
    goal(BIG, "prefill:8192", 1.9, 1.6),
    goal(BIG, "decode:0", 1.2, 1.08), goal(SMALL, "decode:0", 1.7, 1.1),
    goal(SMOLLM, "decode:0", 2.3, 1.4), goal(GEMMA, "decode:0", 1.5, 1.1),
    goal(BIG, "decode:0", 1.5, 1.45, 1), goal(SMALL, "decode:0", 2.4, 1.4, 1),
    goal(BIG, "decode:2048", 1.5, 1.4), goal(BIG, "decode:4096", 1.5, 1.4),
    goal(BIG, "decode:32x4", 2.4, 1.5), goal(SMALL, "decode:32x4", 4, 1.5),
    goal(BIG, "decode:32x8", 5, 1.6), goal(SMALL, "decode:32x8", 5, 1.6),
    goal(BIG, "decode:32x16", 2.5, 1.5), goal(SMALL, "decode:32x16", 3.7, 1.5),
    goal(BIG, "decode:32x32", 2.5, 1.5), goal(SMALL, "decode:32x32", 3.7, 1.5),
    goal(BIG, "load", 2.5, 2.5), goal(SMALL, "load", 2.5, 2.5),
]

# Of the roofs measured in the same blocks: int8 products, and sustained reads.
PREFILL_PART_LEAST = 0.70
DECODE_PART_LEAST = 0.90
