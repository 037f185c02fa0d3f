"""The statistic: ratios within blocks, their geometric mean, and a bootstrap interval over blocks.

In a block every program runs twice, in an order that reads the same backwards (A B B A): a machine that
gets steadily faster or slower is then as good to one as to the other.
"""
import math
import random

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 6278
BLOCKS_LEAST = 5  # a verdict needs as many


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def block_ratio(ours, theirs):
    """How many times as fast we were in one block; the arguments are rates (more is better)."""
    return geometric_mean(ours) / geometric_mean(theirs)


def summarize(ratios, seed=SEED):
    """Mean, lower and upper bound of the ratio, and the verdict, from one ratio for each block.

    The verdict is `win` only where the whole interval is above 1, `loss` where it is below, `even`
    between; None with fewer than BLOCKS_LEAST blocks. One block has no interval either.
    """
    mean = geometric_mean(ratios)
    if len(ratios) < 2:
        return {"ratio": mean, "low": None, "high": None, "verdict": None, "blocks": len(ratios)}
    rng = random.Random(seed)
    means = sorted(geometric_mean(rng.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    low = means[int(RESAMPLES * (1 - CONFIDENCE) / 2)]
    high = means[int(RESAMPLES * (1 + CONFIDENCE) / 2) - 1]
    verdict = None
    if len(ratios) >= BLOCKS_LEAST:
        verdict = "win" if low > 1 else "loss" if high < 1 else "even"
    return {"ratio": mean, "low": low, "high": high, "verdict": verdict, "blocks": len(ratios)}
