"""Peak resident memory of SVHN with its extra pictures, from the files to the training batches.

    python benchmarks/svhn_memory.py [--scale 1.0] [--compressed] [--folder DIR]

Writes the three .mat files of the official sizes (times --scale) with random pictures into a
folder that is thrown away, and in a fresh process loads them, holds out a random tenth, makes 300
batches of each of two epochs, and passes once over the held-out part. After each step it prints
the seconds it took, the resident memory after it and the highest until then. With --compressed
the files are compressed, as the published ones are: slow to write. --folder takes files that are
there already.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

COUNTS = {"train": 73_257, "test": 26_032, "extra": 531_131}
BATCHES, BATCH_SIZE = 300, 64


def write(folder: Path, scale: float, compressed: bool) -> None:
    """Write the files, each in a process of its own: MATLAB's column order makes copies."""
    for part, count in COUNTS.items():
        arguments = [str(folder / f"{part}_32x32.mat"), str(int(count * scale)), str(compressed)]
        subprocess.run([sys.executable, __file__, "--write", *arguments], check=True)


def write_one(path: Path, count: int, compressed: bool) -> None:
    """Write one file. The pictures have 16 values, which compress to about half."""
    from scipy.io import savemat

    generator = np.random.default_rng(count)
    block = generator.integers(0, 16, (min(count, 10_000), 3, 32, 32), np.uint8) * 16
    pixels = np.empty((count, 3, 32, 32), np.uint8)  # transposed: MATLAB's column order
    for start in range(0, count, len(block)):
        chunk = pixels[start : start + len(block)]
        chunk[:] = block[: len(chunk)]
        chunk[:, 0, 0, 0] = (start // len(block)) % 256
    labels = generator.integers(1, 11, (count, 1), np.uint8)
    savemat(path, {"X": pixels.transpose(3, 2, 1, 0), "y": labels}, do_compression=compressed)


def measure(folder: Path) -> None:
    """Load, split and make batches; print the memory after each step."""
    from kerascw.quiet import import_tensorflow

    started = time.perf_counter()

    def step(name: str) -> None:
        nonlocal started
        seconds, started = time.perf_counter() - started, time.perf_counter()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        now = pages * os.sysconf("SC_PAGE_SIZE") / 1e9
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        print(f"{name:<34} {seconds:>6.1f} s   {now:>5.2f} GB   peak {peak:>5.2f} GB", flush=True)

    from kerascw.data import load_data, split
    from kerascw.experiment.spec import DataSpec, Holdout

    step("import of kerascw.data")
    dataset = load_data("svhn_extra", data_dir=folder)
    step(f"load_data: {len(dataset.train):,} and {len(dataset.test):,}")
    holdout = Holdout(how="random", count=len(dataset.train) // 10)
    parts = split(dataset, DataSpec(name="svhn_extra", holdout=holdout))
    assert parts.validation is not None, "a tenth is held out"
    step(f"split: {len(parts.train):,} and {len(parts.validation):,}")
    import_tensorflow()
    import tensorflow as tf

    from kerascw.data.pipeline import training_batches

    step("import of TensorFlow")
    epoch = tf.Variable(0)
    batches = training_batches(parts.train, classes=10, batch_size=BATCH_SIZE, seed=0, epoch=epoch)
    for number in range(2):
        epoch.assign(number)
        for images, _ in batches.take(BATCHES):
            assert images.shape[1:] == (32, 32, 3), images.shape
        step(f"epoch {number}: {BATCHES} batches of {BATCH_SIZE}")
    seen = sum(
        len(parts.validation.images[at : at + 1000]) for at in range(0, len(parts.validation), 1000)
    )
    step(f"{seen:,} held out, by the thousand")


def main() -> None:
    """Write the files and measure in a process of its own, or be one of these processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--compressed", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        path, count, compressed = options.write
        write_one(Path(path), int(count), compressed == "True")
        return
    if options.measure:
        measure(options.measure)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.folder is None:
            write(folder, options.scale, options.compressed)
        size = sum(file.stat().st_size for file in folder.glob("*_32x32.mat")) / 1e9
        print(f"files: {size:.2f} GB{', compressed' if options.compressed else ''}", flush=True)
        subprocess.run([sys.executable, __file__, "--measure", str(folder)], check=True)


if __name__ == "__main__":
    main()
