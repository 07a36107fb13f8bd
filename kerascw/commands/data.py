"""``python -m kerascw data``: what datasets there are, where they are, what is in them."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from kerascw.commands import options as shared
from kerascw.console import command_text, console, next_step
from kerascw.data import CATALOG, Dataset, data_named, load_for, mean_and_deviation, pixel_histogram
from kerascw.data.layout import sides
from kerascw.data.sources import locate, remedies
from kerascw.errors import DataError, KerascwError, first_of, printable
from kerascw.experiment.settings import augmentation_named
from kerascw.lab.out_of_fold import kept_predictions
from kerascw.quiet import import_tensorflow
from kerascw.report.data_check import (
    FILE,
    check_images,
    class_table,
    sentences,
    summary_table,
    write_findings,
)
from kerascw.report.tables import Cell, Table, count, print_table
from kerascw.runs.store import Store, check_writable


@click.group("data")
def command() -> None:
    """Show the datasets: what is there, from where, and whether it is unaltered."""


@command.command("list")
@shared.data_dir_option
def list_datasets(data_dir: Path | None) -> None:
    """List the known datasets and where copies of them are; the first one serves.

    Looks at names of files only, so it is quick and downloads nothing.
    """
    known: list[tuple[str | Cell, ...]] = [
        (entry.name, entry.title, *map(count, (len(entry.class_names), *entry.counts)),
         sides(entry.shape))
        for entry in CATALOG.values()
    ]  # fmt: skip
    places: list[tuple[str, ...]] = []
    for entry in CATALOG.values():
        copies = locate(entry, data_dir)
        if all(kind == "sample" for kind, _ in copies):
            places.append((entry.name, "not found", f"any of these helps: {remedies(entry)}"))
        for kind, place in copies:
            if kind == "sample":
                kind, place = "--sample", f"bundled {place}"
            places.append((entry.name, kind, place))
    terminal, columns = console(), ("name", "title", "classes", "training", "test", "image")
    print_table(Table("datasets", columns, known, text=(0, 1, 5)), terminal)
    terminal.print()
    print_table(Table("copies", ("name", "source", "where"), places, text=(0, 1, 2)), terminal)
    next_step(terminal, "data", "show", "NAME")


_name_argument = click.argument("name", metavar="NAME|PATH|tfds:NAME")


@command.command()
@_name_argument
@shared.dataset_options
@shared.file_option(
    "--output", None, "Where the grid of images goes.  [default: runs/data/NAME.png]"
)
@click.option(
    "--image",
    type=int,
    help="Draw this training image too, from 0, with a colour bar of its values.",
)
@click.option(
    "--augment",
    metavar=shared.AUGMENT_SYNTAX,
    help=f"Draw augmented images too, beside the grid; {shared.AUGMENT_HELP}",
)
def show(
    name: str, output: Path | None, image: int | None, augment: str | None, **options: Any
) -> None:
    """Print figures of a dataset, and draw ten images of every class."""
    # here and not above: it imports Matplotlib
    from kerascw.report import figures

    specs = None if augment is None else augmentation_named(augment)
    dataset = _loaded(name, options)
    file = output or Path("runs", "data", f"{_stem(name, dataset)}.png")
    drawn = {"images": (file, figures.first_images(dataset))}
    if image is not None:
        place = file.with_name(f"{file.stem}-{image}.png")
        drawn[f"image {image}"] = place, figures.image_with_bar(dataset, image)
    if specs is not None:
        import_tensorflow()
        place = file.with_name(f"{file.stem}-augmented.png")
        drawn["augmented images"] = place, figures.augmented(dataset, specs)
    terminal = console()  # from here on, for an image that is not there is refused by now
    terminal.print(_heading(dataset))
    terminal.print(_standing(dataset)[1])
    for table in _tables(dataset):
        terminal.print()
        print_table(table, terminal)
    terminal.print()
    for what, (place, figure) in drawn.items():
        try:
            figures.save_png(figure, place)
        except OSError as error:
            raise KerascwError(f"--output: {place} cannot be written ({error.strerror})") from None
        terminal.print(f"{what}: {place}")
    next_step(terminal, "data", "check", *_again(name, options))


def _tables(dataset: Dataset) -> tuple[Table, Table, Table]:
    """Tabulate a dataset's figures, the balance of its classes, and its hashes."""
    facts = []
    for part in dataset.parts.values():
        values = np.flatnonzero(pixel_histogram(part.images))
        facts.append([
            f"{len(part):,}", sides(part.shape), str(part.images.dtype),
            f"{values[0]} to {values[-1]}",
            *(f"{v:.2f} ({v / 255:.4f} of 255)" for v in mean_and_deviation(part.images)),
        ])  # fmt: skip
    names = ("images", "shape", "type", "pixel range", "mean", "standard deviation")
    rows = list(zip(names, *facts, strict=True))
    hashes = list(dataset.sha256.items())
    return (
        Table("facts", ("", *dataset.parts), rows),
        class_table(dataset),
        Table("hashes", ("array", "sha256"), hashes, text=(0, 1)),
    )


@command.command()
@_name_argument
@shared.dataset_options
@shared.folder_option(
    "--output", None, "The folder of the page and of findings.csv.  [default: runs/data/NAME-check]"
)
@shared.runs_option
def check(name: str, output: Path | None, runs: Path, **options: Any) -> None:
    """Compare a dataset with the published one, and look for images that should not be in it.

    The SHA-256 of the decoded arrays says whether they are the published ones, or the same
    examples in another order (as TFDS has them).

    Then it looks for copies and near duplicates within and across training and test set,
    probable label errors, imbalanced classes, and images that are blank, tiny or of odd shape. A
    page shows them; findings.csv lists them, to be edited and given to ``run --exclude``.
    Probabilities for the label errors come from a cross-validated run on this dataset, if RUNS
    has one, else from scikit-learn.

    Exit code 1 if anything differs from the published dataset.
    """
    dataset = _loaded(name, options)
    folder = output or Path("runs", "data", f"{_stem(name, dataset)}-check")
    check_writable(folder, "--output")
    published = _published(dataset) or {}
    otherwise = "DIFFERENT" if published else ""
    hashes = [
        (array, "ok" if published.get(array) == digest else otherwise, digest)
        for array, digest in dataset.sha256.items()
    ]
    terminal = console()
    terminal.print(_heading(dataset))
    terminal.print()
    print_table(Table("hashes", ("array", "", "sha256"), hashes, text=(0, 1, 2)), terminal)
    terminal.print()
    whole, standing = _standing(dataset)
    if whole:
        terminal.print(standing)
    began = time.monotonic()
    findings = check_images(dataset, kept_predictions(dataset, Store(runs)))
    training = ["train", *_again(name, options), "--exclude", str(folder / FILE)]
    written = write_findings(findings, folder, command_text(*training))
    terminal.print()
    print_table(summary_table(findings), terminal)
    for sentence in sentences(findings):
        terminal.print(sentence)
    terminal.print(f"{time.monotonic() - began:.0f} s")
    terminal.print(f"page: {written}")
    terminal.print(f"findings: {folder / FILE}; delete the lines of images that stay")
    if not whole:
        raise DataError(f"{printable(dataset.location)}: {standing}")
    next_step(terminal, *training)


def _stem(name: str, dataset: Dataset) -> str:
    """Return the dataset's name as a file can have it."""
    suffix = "-sample" if dataset.source == "sample" else ""
    stem = re.sub(r"[^\w.]+", "_", dataset.title) if dataset.entry.name == "folder" else name
    return f"{stem}{suffix}"


def _loaded(name: str, options: Mapping[str, Any]) -> Dataset:
    spec = data_named(name, **options["reading"])
    return load_for(spec, data_dir=options["data_dir"], sample=options["sample"])


def _again(name: str, options: Mapping[str, Any]) -> list[str]:
    """Return a dataset and its options as words of another command."""
    size, fit, bad_files = options["reading"].values()
    flags = {"data-dir": options["data_dir"], "size": size and size[0], "fit": fit,
             "bad-files": None if bad_files == "fail" else bad_files}  # fmt: skip
    words = [name] + ["--sample"] * options["sample"]
    for flag, value in flags.items():
        words += [f"--{flag}", str(value)] if value else []
    return words


def _published(dataset: Dataset) -> dict[str, str] | None:
    """Return the published SHA-256 of each array, or that of the sample's; None: not known."""
    known = dataset.entry.sample_sha256 if dataset.source == "sample" else dataset.entry.sha256
    return None if known is None else dict(zip(dataset.sha256, known, strict=True))


def _standing(dataset: Dataset) -> tuple[bool, str]:
    """Return whether these may be the published images, and a line that says what they are."""
    title, left_out, published = dataset.entry.title, dataset.left_out, _published(dataset)
    is_sample = dataset.source == "sample"
    if dataset.entry.name == "folder":
        named = f"{len(left_out):,} left out: {first_of(left_out, 10)}"
        return True, f"your own images{f'; {named}' if left_out else ', none left out'}"
    if published is None and dataset.official_files:
        return True, f"the published {title}, by the MD5 of its files"
    if published is None:
        return True, f"whole; no published hashes of {title} are known to compare these with"
    what = f"bundled sample of {title}" if is_sample else f"published {title}"
    different = [array for array, digest in dataset.sha256.items() if digest != published[array]]
    if not different:
        return True, f"the {what}, {'unaltered' if is_sample else 'byte for byte'}"
    if dataset.is_reordered:
        return True, f"the published {title}: same images and labels, other order"
    counts = f"{len(dataset.train):,} and {len(dataset.test):,} images"
    return False, f"not the {what} ({', '.join(different)} differ; {counts})"


def _heading(dataset: Dataset) -> str:
    if dataset.source == "sample":
        return f"{dataset.title}: {dataset.location}"
    return f"{dataset.title}, {dataset.source}: {printable(dataset.location)}"
