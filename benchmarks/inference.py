"""Exported models on many images and on single ones, beside Keras and PyTorch.

    python benchmarks/inference.py [--rounds 9]

The model is LeNet's variant 4 with initial weights, without its auxiliary heads. All take the same
random uint8 images and give probabilities; scaling to [0, 1] is in the time. kerascw is
``load_model(...).predict``, as ``python -m kerascw predict`` uses it, Keras is ``model.predict``,
PyTorch is eager with contiguous tensors, 100 images at a time. Each has a process of its own.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from harness import Tasks, contenders, in_turn, machine, markdown, options, save, spread
from throughput import architectures, random_images, torch_model

from kerascw.export.runtimes import Format
from kerascw.quiet import import_tensorflow

OURS: dict[str, Format] = {"kerascw": "saved_model", "kerascw, LiteRT": "litert"}
CONTENDERS = (*OURS, "Keras", "PyTorch")
NAME = "LeNet v4"


def keras_model() -> Any:
    """Build the model that all have, in Keras."""
    from kerascw.models import build_model

    import_tensorflow()
    experiment, shape, classes = architectures()[NAME]
    return build_model(experiment.model, shape, classes, seed=0)


def answering(who: str, folder: Path) -> Callable[[np.ndarray], Any]:
    """Make the function of a contender from uint8 images to probabilities."""
    if who in OURS:
        from kerascw.export.load import load_model

        return load_model(folder / OURS[who]).predict
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


def images_of(count: int) -> np.ndarray:
    """Return so many images, the same in every process."""
    return random_images((28, 28, 1), 10, count)[0]


def contender(who: str, folder: Path, many: int, single: int) -> Tasks:
    """Be a contender: on many images at once, and on single ones."""
    answer, batch, singles = answering(who, folder), images_of(many), images_of(single)
    return {"many": lambda: answer(batch), "single": lambda: [answer(i[None]) for i in singles]}


def table(found: dict[str, Any]) -> str:
    many, single = ([s["median"] for s in found[what].values()] for what in ("many", "single"))
    names = {"kerascw": "kerascw, SavedModel"}
    return markdown(
        (f"inference, {NAME}", *(names.get(who, who) for who in found["many"])),
        [
            ("10,000 images, images/s", *(f"{1 / seconds:,.0f}" for seconds in many)),
            ("single images, ms", *(f"{seconds * 1e3:.2f}" for seconds in single)),
        ],
    )


def main() -> None:
    from kerascw.export.write import export

    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--many", type=int, default=10_000, help="images at once")
    parser.add_argument("--single", type=int, default=200, help="images one at a time")
    parser.add_argument("--only", default=";".join(CONTENDERS), help="contenders, by semicolon")
    given = parser.parse_args()
    print(f"{machine()}, {given.rounds} rounds", flush=True)
    counts, found = {"many": given.many, "single": given.single}, {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, only = Path(temporary), given.only.split(";")
        for form in (OURS[who] for who in only if who in OURS):
            export(
                keras_model(),
                folder / form,
                class_names=[str(number) for number in range(10)],
                check_images=images_of(8),
                form=form,
            )
        own = {who: (who, folder, given.many, given.single) for who in only}
        with contenders(contender, own) as started:
            for what, count in counts.items():
                turns = {who: partial(seconds, what) for who, seconds in started.items()}
                found[what] = {
                    who: spread([seconds / count for seconds in taken])
                    for who, taken in in_turn(turns, given.rounds).items()
                }
    print(table(found))
    save(given.results, "inference", found)


if __name__ == "__main__":
    main()
