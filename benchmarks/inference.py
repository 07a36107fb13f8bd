"""The exported SavedModel on 10,000 pictures and on single ones, beside Keras and PyTorch.

    python benchmarks/inference.py [--rounds 9]

The model is LeNet's variant 4 with initial weights, without its auxiliary heads. All take the same
random uint8 pictures and give probabilities; scaling to [0, 1] is in the time. ``kerascw`` is
``kerascw.export.load.load_model(...).predict``, as ``python -m kerascw predict`` uses it, Keras is
``model.predict``, PyTorch is eager with contiguous tensors, 100 pictures at a time. Each is a
process of its own, measured in turn.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS, Contender, answers, serve, spread
from throughput import architectures, torch_model

from kerascw.runs.environment import processor
from kerascw.runs.store import write_json
from kerascw.training.devices import cores

CONTENDERS = ("kerascw", "Keras", "PyTorch")
MANY, SINGLE = 10_000, 200
NAME = "LeNet v4"


def pictures() -> np.ndarray:
    """Return the pictures, the same in every process."""
    return np.random.default_rng(0).integers(0, 256, (MANY, 28, 28, 1), np.uint8)


def model() -> Any:
    """Return the model that all have, in Keras."""
    from kerascw.models import build_model
    from kerascw.quiet import import_tensorflow

    import_tensorflow()
    experiment, shape, classes = architectures()[NAME]
    return build_model(experiment.model, shape, classes, seed=0)


def answering(who: str, folder: str) -> Callable[[np.ndarray], Any]:
    """Return what takes uint8 pictures and gives probabilities."""
    if who == "kerascw":
        from kerascw.export.load import load_model

        return load_model(folder).predict
    if who == "Keras":
        built = model()
        return lambda images: built.predict(images, verbose=0)
    import torch

    experiment, shape, classes = architectures()[NAME]
    net = torch_model(experiment.model, shape, classes).eval()

    def answer(images: np.ndarray) -> Any:
        with torch.inference_mode():
            batches = torch.from_numpy(images).permute(0, 3, 1, 2).split(100)
            return torch.cat([net(batch.float() / 255).softmax(1) for batch in batches]).numpy()

    return answer


def main() -> None:
    """Measure, print and write, or be one of the contenders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--contender", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        to = answers()
        who, folder, what = options.contender
        answer, images = answering(who, folder), pictures()
        if what == "many":
            serve(lambda: answer(images), to)
        else:
            serve(lambda: [answer(images[at : at + 1]) for at in range(SINGLE)], to)
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        from kerascw.export.write import export

        classes = [str(number) for number in range(10)]
        folder = Path(temporary) / "model"
        export(model(), folder, class_names=classes, card={}, check_images=pictures()[:8])
        print(f"{processor()}, {cores()} cores, {options.rounds} rounds; {NAME}")
        for what, count in (("many", MANY), ("single", SINGLE)):
            several = {who: Contender(__file__, who, str(folder), what) for who in CONTENDERS}
            taken: dict[str, list[float]] = {who: [] for who in CONTENDERS}
            for _ in range(options.rounds):
                for who, contender in several.items():
                    taken[who].append(contender.seconds() / count)
            for contender in several.values():
                contender.close()
            found[what] = {who: spread(values) for who, values in taken.items()}
            for who, seconds in found[what].items():
                said = (
                    f"{1 / seconds['median']:>9,.0f} images/s"
                    if what == "many"
                    else f"{seconds['median'] * 1e3:>9.2f} ms a picture"
                )
                print(f"  {what:<7} {who:<8} {said}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "inference.json", found)


if __name__ == "__main__":
    main()
