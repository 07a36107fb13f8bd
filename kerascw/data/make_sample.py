"""Make the bundled sample: ``python -m kerascw.data.make_sample`` (needs the system package).

The first 600 training and 100 test pictures of each class, in their original order.
"""

from pathlib import Path

import numpy as np

from kerascw.data import load_data
from kerascw.data.idx import FILES, write_idx


def main() -> None:
    """Write the four IDX files of the sample beside this module."""
    data = load_data("fashion_mnist")
    folder = data.entry.sample
    assert isinstance(folder, Path), "the catalogue names the sample's folder"
    for part, per_class, prefix in ((data.train, 600, "train"), (data.test, 100, "test")):
        first = [np.flatnonzero(part.labels == label)[:per_class] for label in range(10)]
        chosen = part.take(np.sort(np.concatenate(first)))
        write_idx(folder / f"{FILES[f'{prefix} images'][0]}.gz", chosen.images[..., 0])
        write_idx(folder / f"{FILES[f'{prefix} labels'][0]}.gz", chosen.labels)


if __name__ == "__main__":
    main()
