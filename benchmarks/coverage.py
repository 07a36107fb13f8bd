"""How often 95 % intervals of a test accuracy hold the truth, by simulation.

Simulated studies of S models from different seeds, all scored on the same 2,000 test images: most
images are easy, the others have a chance of their own, which each seed shifts. An interval is
honest if it holds the true accuracy, over all seeds and all images, in 93 to 97 of 100 studies.

    python benchmarks/coverage.py [--studies 1000] [--seeds 3,5,10,30]
"""

import argparse

import numpy as np
from harness import numbers

from kerascw.evaluation.significance import joint_spread

IMAGES = 2000
TRUE = 0.85 * 0.995 + 0.15 * 2 / 3.4
KINDS = ("seeds and images", "bootstrap of both", "seeds only", "images only")


def scores(random: np.random.Generator, seeds: int, deviation: float) -> np.ndarray:
    """Return right (1) or wrong (0) of every model on every image, ``[seeds, images]``."""
    hard = random.random(IMAGES) < 0.15
    chance = np.where(hard, random.beta(2, 1.4, IMAGES), 0.995)
    shift = random.normal(0, deviation, (seeds, 1)) / 0.15 * hard
    right = random.random((seeds, IMAGES)) < np.clip(chance + shift, 0, 1)
    return right.astype(np.float64)


def bootstrap(table: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """Resample seeds, then images, 500 times; return the percentiles of the mean."""
    seeds, images = table.shape
    means = [
        table[random.integers(0, seeds, seeds)].mean(axis=0)[random.integers(0, images, images)]
        for _ in range(500)
    ]
    low, high = np.percentile([each.mean() for each in means], [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """Print a line for every number of seeds and deviation over seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a row")
    parser.add_argument("--seeds", type=numbers, default=(3, 5, 10, 30), help="numbers of seeds")
    given = parser.parse_args()
    random = np.random.default_rng(0)
    print("seeds  deviation over seeds  " + "  ".join(f"{kind:>17}" for kind in KINDS))
    for seeds in given.seeds:
        for deviation in (0.001, 0.003, 0.010):
            held = dict.fromkeys(KINDS, 0)
            for _ in range(given.studies):
                table = scores(random, seeds, deviation)
                found = joint_spread(table, (0, 1))
                both = bootstrap(table, random)
                intervals = found.interval, both, found.over_seeds, found.over_images
                for kind, interval in zip(KINDS, intervals, strict=True):
                    held[kind] += interval is not None and interval[0] <= TRUE <= interval[1]
            shares = "  ".join(f"{held[kind] / given.studies:>17.3f}" for kind in KINDS)
            print(f"{seeds:>5}  {deviation:>20.3f}  {shares}", flush=True)


if __name__ == "__main__":
    main()
