"""How often 95 % intervals of the learning curve's power law cover the truth, on simulated curves.

    python benchmarks/power_law.py [--curves 40]

Each line: the law, seeds, scatter that all seeds share (relative; 0.03 of their own besides), how
often the interval of b and of the images for one more percentage point of accuracy covered the
truth, by the package's parametric bootstrap and by ``scipy.stats.bootstrap`` over the seeds, and
the 5 % quantile of R².
"""

import argparse

import numpy as np
from scipy.stats import bootstrap

from kerascw.lab.curves import Curve, Point
from kerascw.lab.power_law import PowerLaw, fit, fit_power_law, more_images, standard_errors

NOISE = 0.03
LAWS = {
    (2.0, 0.5, 0.05): (50, 100, 200, 500, 1000),
    (3.0, 0.35, 0.0): (2750, 5500, 11000, 27500, 55000),
}


def main() -> None:
    """Print a line for every law, number of seeds and shared scatter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--curves", type=int, default=40)
    curves = parser.parse_args().curves
    random = np.random.default_rng(1)
    for (a, b, c), images in LAWS.items():
        n = np.array(images, float)
        truth = np.array([b, more_images((a * n[-1] ** -b, b, c), 0.01)])
        for seeds in (2, 3, 5):
            for shared in (0.0, 0.03):
                covered, r_squared = [], []
                for number in range(curves):
                    errors = (a * n**-b + c) * (1 + shared * random.standard_normal(len(n)))
                    values = errors[:, None] * (1 + NOISE * random.standard_normal((len(n), seeds)))
                    law = fitted(values, images, str(number))
                    intervals = [of_package(law), of_seeds(values, n / n[-1])]
                    covered.append([(i[0] <= truth) & (truth <= i[1]) for i in intervals])
                    r_squared.append(law.r_squared)
                ours, by_seeds = np.mean(covered, axis=0)
                print(
                    f"{a} n^-{b} + {c}, {seeds} seeds, shared {shared}: parametric b {ours[0]:.0%} "
                    f"images {ours[1]:.0%}; over seeds b {by_seeds[0]:.0%} images "
                    f"{by_seeds[1]:.0%}; R² {np.quantile(r_squared, 0.05):.3f}",
                    flush=True,
                )


def fitted(values: np.ndarray, images: tuple[int, ...], name: str) -> PowerLaw:
    """Return the package's law for errors, float ``[fractions, seeds]``."""
    points = tuple(
        Point(n / images[-1], n, tuple(range(len(row))), tuple(row))
        for n, row in zip(images, values.tolist(), strict=True)
    )
    law = fit_power_law(Curve(name, "test.error", points))
    assert law is not None
    return law


def of_package(law: PowerLaw) -> np.ndarray:
    """Return the package's intervals, ``[2 ends, 2]``: of b, and of the further images.

    Images are in units of the largest training set.
    """
    b, more = law.interval("b"), law.images_for().interval
    assert b is not None
    assert more is not None
    return np.array([b, np.array(more) / law.largest]).T


def of_seeds(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the same intervals by resampling the seeds, all fractions alike."""
    deviations, _ = standard_errors(list(values))

    def statistic(*resampled: np.ndarray) -> np.ndarray:
        parameters = fit(x, np.array([each.mean() for each in resampled]), deviations)
        if parameters is None:
            return np.full(2, np.nan)
        return np.array([parameters[1], min(more_images(parameters, 0.01), 1e9)])

    drawn = bootstrap(
        list(values), statistic, paired=True, vectorized=False, n_resamples=150,
        method="percentile", rng=np.random.default_rng(0),
    ).bootstrap_distribution  # fmt: skip
    return np.nanquantile(drawn, [0.025, 0.975], axis=1)


if __name__ == "__main__":
    main()
