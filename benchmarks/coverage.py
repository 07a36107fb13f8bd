"""How often 95 % intervals of a test accuracy hold the truth, by simulation.

Simulated studies of S models from different seeds, all scored on the same 2,000 test images: most
images are easy, the others have a chance of their own, which each seed shifts. An interval is
honest if it holds the true accuracy, over all seeds and all images, in 93 to 97 of 100 studies.

    python benchmarks/coverage.py --studies 1000
"""

import argparse
from collections.abc import Callable

import numpy as np

from kerascw.evaluation.significance import joint_spread

IMAGES = 2000
TRUE = 0.85 * 0.995 + 0.15 * 2 / 3.4
Interval = tuple[float, float] | None


def scores(random: np.random.Generator, seeds: int, deviation: float) -> np.ndarray:
    """Return right (1) or wrong (0) of every model on every image, ``[seeds, images]``."""
    hard = random.random(IMAGES) < 0.15
    chance = np.where(hard, random.beta(2, 1.4, IMAGES), 0.995)
    shift = random.normal(0, deviation, (seeds, 1)) / 0.15 * hard
    right = random.random((seeds, IMAGES)) < np.clip(chance + shift, 0, 1)
    return right.astype(np.float64)


def bootstrap(table: np.ndarray, random: np.random.Generator) -> Interval:
    """Resample seeds, then images, 500 times; return the percentiles of the mean."""
    seeds, images = table.shape
    means = [
        table[random.integers(0, seeds, seeds)].mean(axis=0)[random.integers(0, images, images)]
        for _ in range(500)
    ]
    low, high = np.percentile([each.mean() for each in means], [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a row")
    parser.add_argument("--seeds", default="3,5,10,30", help="numbers of seeds")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    kinds: dict[str, Callable[[np.ndarray], Interval]] = {
        "seeds and images": lambda table: joint_spread(table, (0, 1)).interval,
        "bootstrap of both": lambda table: bootstrap(table, random),
        "seeds only": lambda table: joint_spread(table, (0, 1)).over_seeds,
        "images only": lambda table: joint_spread(table, (0, 1)).over_images,
    }
    print("seeds  deviation over seeds  " + "  ".join(f"{kind:>17}" for kind in kinds))
    for seeds in map(int, arguments.seeds.split(",")):
        for deviation in (0.001, 0.003, 0.010):
            held = dict.fromkeys(kinds, 0)
            for _ in range(arguments.studies):
                table = scores(random, seeds, deviation)
                for kind, interval_of in kinds.items():
                    interval = interval_of(table)
                    held[kind] += interval is not None and interval[0] <= TRUE <= interval[1]
            shares = "  ".join(f"{held[kind] / arguments.studies:>17.3f}" for kind in kinds)
            print(f"{seeds:>5}  {deviation:>20.3f}  {shares}", flush=True)


if __name__ == "__main__":
    main()
