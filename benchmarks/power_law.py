"""How often 95 % intervals of the learning curve's power law hold the truth, on simulated curves.

python benchmarks/power_law.py

Each line: the law, seeds, scatter that all seeds share (relative; 0.03 of their own besides), how
often the interval of b and of the pictures for one more point of accuracy held the truth, by draws
around the fit (as the package has it) and by resampling the seeds, and the 5 % quantile of R².
"""

import numpy as np

from kerascw.lab.curves import (
    Curve,
    Point,
    _best_fit,
    _images,
    _interval,
    _standard_errors,
)
from kerascw.lab.power_law import fit_power_law

CURVES, RESAMPLED, NOISE = 40, 150, 0.03
LAWS = {
    (2.0, 0.5, 0.05): (50, 100, 200, 500, 1000),
    (3.0, 0.35, 0.0): (2750, 5500, 11000, 27500, 55000),
}


def main() -> None:
    """Print a line for every law, number of seeds and shared scatter."""
    random = np.random.default_rng(1)
    for (a, b, c), pictures in LAWS.items():
        for seeds in (2, 3, 5):
            for shared in (0.0, 0.03):
                held, r_squared = [], []
                for number in range(CURVES):
                    n = np.array(pictures, float)
                    errors = (a * n**-b + c) * (1 + shared * random.standard_normal(len(n)))
                    values = errors[:, None] * (1 + NOISE * random.standard_normal((len(n), seeds)))
                    truth = (b, _images((a * n[-1] ** -b, b, c), 0.01))
                    ours, r2 = drawn(values, pictures, str(number))
                    others = resampled(values, n / n[-1], random)
                    r_squared.append(r2)
                    held.append(
                        [
                            low <= true <= high
                            for intervals in (ours, others)
                            for true, (low, high) in zip(truth, intervals, strict=True)
                        ]
                    )
                share = np.mean(held, axis=0)
                print(
                    f"{a} n^-{b} + {c}, {seeds} seeds, shared {shared}: draws b {share[0]:.0%} "
                    f"pictures {share[1]:.0%}; seeds b {share[2]:.0%} pictures {share[3]:.0%}; "
                    f"R² {np.quantile(r_squared, 0.05):.3f}",
                    flush=True,
                )


Intervals = list[tuple[float, float]]
"""Of b, and of the further pictures in units of the largest number."""


def drawn(values: np.ndarray, pictures: tuple[int, ...], name: str) -> tuple[Intervals, float]:
    """Return the package's intervals and R² for errors ``[fractions, seeds]``."""
    points = tuple(
        Point(n / pictures[-1], n, tuple(range(len(row))), tuple(row))
        for n, row in zip(pictures, values.tolist(), strict=True)
    )
    law = fit_power_law(Curve(name, "test.error", points))
    assert law is not None
    b, more = law.interval("b"), law.images_for().interval
    assert b is not None
    assert more is not None
    return [b, (more[0] / law.largest, more[1] / law.largest)], law.r_squared


def resampled(values: np.ndarray, x: np.ndarray, random: np.random.Generator) -> Intervals:
    """Return the intervals by fits to seeds drawn with replacement, all fractions alike."""
    errors = values.mean(axis=1)
    deviations, _ = _standard_errors(list(values), errors)
    first = _best_fit(x, errors, deviations, [(errors[-1] / 2, 0.5, errors[-1] / 2)])
    assert first is not None
    seeds = values.shape[1]
    fits = [
        fit
        for chosen in random.integers(0, seeds, (RESAMPLED, seeds))
        if (fit := _best_fit(x, values[:, chosen].mean(axis=1), deviations, [first]))
    ]
    intervals = _interval([b for _, b, _ in fits]), _interval([_images(f, 0.01) for f in fits])
    return [interval for interval in intervals if interval is not None]


if __name__ == "__main__":
    main()
