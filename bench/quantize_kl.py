"""What quantizing costs: the divergence of each type from the file that it was made of.

Usage: quantize_kl.py MARU F16.gguf SEQUENCES.json TYPE...
SEQUENCES.json has `sequences[].ids`, as the reference data of real models. Prints, per type, the size,
the mean NLL and the mean KL over 51 buckets (the original's 50 likeliest tokens and the rest) of the
last 8 positions of each sequence.
"""
import json
import math
import os
import subprocess
import sys
import tempfile

N_TOP = 50
N_LAST = 8


def score(maru, model, sequences, top):
    lines = "".join(json.dumps({"ids": ids, "last": N_LAST, "top": top}) + "\n" for ids in sequences)
    result = subprocess.run([maru, "score", model, "--jsonl"], input=lines, text=True,
                            capture_output=True, check=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


def divergence(truth, other):
    """KL(truth || other); `other` lists more candidates, so that it has nearly all of truth's."""
    logprobs = dict(map(tuple, other))
    floor = min(logprobs.values())
    kl, p_rest, q_rest = 0.0, 1.0, 1.0
    for token, logprob in truth[:N_TOP]:
        p, q = math.exp(logprob), math.exp(logprobs.get(token, floor))
        kl += p * math.log(p / q)
        p_rest, q_rest = p_rest - p, q_rest - q
    return kl + (p_rest * math.log(p_rest / q_rest) if min(p_rest, q_rest) > 0 else 0)


def main():
    maru, original, reference, *kinds = sys.argv[1:]
    with open(reference, encoding="utf-8") as file:
        sequences = [row["ids"] for row in json.load(file)["sequences"]]
    limit = int(os.environ.get("QUANTIZE_KL_SEQUENCES", len(sequences)))
    sequences = sequences[:limit]
    truth = score(maru, original, sequences, N_TOP)
    print(f"original: NLL {sum(row['nll'] for row in truth) / len(truth):.4f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            path = os.path.join(folder, kind + ".gguf")
            subprocess.run([maru, "quantize", original, path, kind], check=True,
                           capture_output=True)
            rows = score(maru, path, sequences, 4 * N_TOP)
            kls = [divergence(a, b) for one, two in zip(truth, rows)
                   for a, b in zip(one["top"], two["top"])]
            print(f"{kind}: {os.path.getsize(path) / 1e6:.1f} MB, "
                  f"NLL {sum(row['nll'] for row in rows) / len(rows):.4f}, "
                  f"KL {sum(kls) / len(kls):.5f}", flush=True)
            os.remove(path)


if __name__ == "__main__":
    main()
