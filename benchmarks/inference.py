"""The exported SavedModel on 10,000 images and on single ones, beside Keras and PyTorch.

    python benchmarks/inference.py [--rounds 9]

The model is LeNet's variant 4 with initial weights, without its auxiliary heads. All take the same
random uint8 images and give probabilities; scaling to [0, 1] is in the time. kerascw is
``load_model(...).predict``, as ``python -m kerascw predict`` uses it, Keras is ``model.predict``,
PyTorch is eager with contiguous tensors, 100 images at a time. Each has a process of its own.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from harness import answers, contenders, in_turn, machine, options, save, serve, spread
from throughput import architectures, random_images, torch_model

from kerascw.quiet import import_tensorflow

CONTENDERS = ("kerascw", "Keras", "PyTorch")
NAME = "LeNet v4"


def keras_model() -> Any:
    """Build the model that all have, in Keras."""
    from kerascw.models import build_model

    import_tensorflow()
    experiment, shape, classes = architectures()[NAME]
    return build_model(experiment.model, shape, classes, seed=0)


def answering(who: str, folder: str) -> Callable[[np.ndarray], Any]:
    """Make the function of a contender from uint8 images to probabilities."""
    if who == "kerascw":
        from kerascw.export.load import load_model

        return load_model(folder).predict
    if who == "Keras":
        return partial(keras_model().predict, verbose=0)
    import torch

    experiment, shape, classes = architectures()[NAME]
    net = torch_model(experiment.model, shape, classes).eval()

    def answer(batch: np.ndarray) -> Any:
        with torch.inference_mode():
            parts = torch.from_numpy(batch).permute(0, 3, 1, 2).split(100)
            return torch.cat([net(part.float() / 255).softmax(1) for part in parts]).numpy()

    return answer


def main() -> None:
    """Measure, print and write, or be one of the contenders."""
    parser = options(__doc__, rounds=9)
    parser.add_argument("--many", type=int, default=10_000, help="images at once")
    parser.add_argument("--single", type=int, default=200, help="images one at a time")
    parser.add_argument("--only", default=",".join(CONTENDERS), help="contenders, by comma")
    parser.add_argument("--contender", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    counts = {"many": given.many, "single": given.single}
    many, single = (random_images((28, 28, 1), 10, count)[0] for count in counts.values())
    if given.contender:
        to = answers()
        answer = answering(*given.contender)
        serve(
            {"many": lambda: answer(many), "single": lambda: [answer(one[None]) for one in single]},
            to,
        )
        return
    from kerascw.export.write import export

    print(f"{machine()}, {given.rounds} rounds; {NAME}")
    sizes = ["--many", str(given.many), "--single", str(given.single)]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = export(
            keras_model(),
            Path(temporary) / "model",
            class_names=[str(number) for number in range(10)],
            check_images=many[:8],
        )
        words = {who: (who, str(folder), *sizes) for who in given.only.split(",")}
        with contenders(__file__, words) as started:
            for what, count in counts.items():
                taken = in_turn(
                    {who: partial(each.seconds, what) for who, each in started.items()},
                    given.rounds,
                )
                found[what] = {
                    who: spread([seconds / count for seconds in values])
                    for who, values in taken.items()
                }
                for who, seconds in found[what].items():
                    print(f"  {what:<7} {who:<8} {seconds['median'] * 1e3:>9.4f} ms an image, "
                          f"{1 / seconds['median']:>9,.0f} images/s", flush=True)  # fmt: skip
    save(given.results, "inference", found)


if __name__ == "__main__":
    main()
