"""``python -m kerascw data``: what datasets there are, where they are, what is in them."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerascw.commands.options import (
    AUGMENT_HELP,
    AUGMENT_SYNTAX,
    bad_files_option,
    data_dir_option,
    sample_option,
    size_option,
)
from kerascw.errors import DataError, KerascwError

if TYPE_CHECKING:
    from rich.table import Table

    from kerascw.data import Dataset


@click.group()
def data() -> None:
    """Show the datasets: what is there, from where, and whether it is unaltered."""


@data.command("list")
@data_dir_option
def list_datasets(data_dir: Path | None) -> None:
    """List the known datasets and where copies of them are; the first one serves.

    Looks at names of files only, so it is quick and downloads nothing.
    """
    from kerascw.data.catalogue import CATALOG
    from kerascw.data.sources import locate, remedies

    known = _table("name", "title", "classes", "training", "test", "picture")
    places = _table("name", "source", "where")
    for entry in CATALOG.values():
        known.add_row(
            entry.name,
            entry.title,
            str(len(entry.class_names)),
            *(f"{count:,}" for count in entry.counts),
            _size(entry.shape),
        )
        copies = locate(entry, data_dir)
        if all(kind == "sample" for kind, _ in copies):
            places.add_row(entry.name, "not found", f"any of these helps: {remedies(entry)}")
        for kind, place in copies:
            places.add_row(
                entry.name,
                *(("--sample", f"bundled {place}") if kind == "sample" else (kind, place)),
            )
    from kerascw.console import console, next_step

    terminal = console()
    terminal.print(known)
    terminal.print()
    terminal.print(places)
    next_step(terminal, "data show NAME")


@data.command()
@click.argument("name")
@data_dir_option
@sample_option
@size_option
@bad_files_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the picture grid goes.  [default: runs/data/NAME.png]",
)
@click.option(
    "--augment",
    metavar=AUGMENT_SYNTAX,
    help=f"Draw augmented pictures too, beside the grid; {AUGMENT_HELP}",
)
def show(
    name: str,
    data_dir: Path | None,
    sample: bool,
    size: int | None,
    bad_files: str,
    output: Path | None,
    augment: str | None,
) -> None:
    """Print figures of the dataset NAME, and draw ten pictures of every class."""
    from kerascw.experiment.settings import augmentation_named
    from kerascw.report.overview import draw_augmented, draw_grid, summarize

    specs = None if augment is None else augmentation_named(augment)
    dataset = _loaded(name, data_dir, sample, size, bad_files)
    class_names = dataset.entry.class_names
    parts = {"training": dataset.train, "test": dataset.test}
    summaries = {label: summarize(part, len(class_names)) for label, part in parts.items()}

    facts = _table("", *parts)
    for row, values in {
        "pictures": [f"{len(part):,}" for part in parts.values()],
        "shape": [_size(part.images.shape[1:]) for part in parts.values()],
        "type": [str(part.images.dtype) for part in parts.values()],
        "pixel range": [f"{part.lowest} to {part.highest}" for part in summaries.values()],
        "mean": [_of_255(part.mean) for part in summaries.values()],
        "standard deviation": [_of_255(part.standard_deviation) for part in summaries.values()],
    }.items():
        facts.add_row(row, *values)

    balance = _table("class", "name", *parts)
    for label, class_name in enumerate(class_names):
        counts = [
            f"{summary.class_counts[label]:,} ({summary.class_counts[label] / len(part):.1%})"
            for summary, part in zip(summaries.values(), parts.values(), strict=True)
        ]
        balance.add_row(str(label), class_name, *counts)

    hashes = _table("array", "sha256")
    for array, digest in dataset.sha256.items():
        hashes.add_row(array, digest)

    from kerascw.console import console, next_step

    terminal = console()
    terminal.print(_heading(dataset))
    terminal.print(_standing(dataset)[1])
    for table in (facts, balance, hashes):
        terminal.print()
        terminal.print(table)
    terminal.print()
    suffix = "-sample" if dataset.source == "sample" else ""
    stem = dataset.entry.title if dataset.source == "folder" else name
    file = output or Path("runs", "data", f"{stem}{suffix}.png")
    augmented = file.with_name(f"{file.stem}-augmented.png")
    try:
        draw_grid(dataset, file)
        if specs is not None:
            from kerascw.quiet import import_tensorflow

            import_tensorflow()
            draw_augmented(dataset, specs, augmented)
    except OSError as error:
        raise KerascwError(f"--output: {file} cannot be written ({error.strerror})") from None
    terminal.print(f"pictures: {file}")
    if specs is not None:
        terminal.print(f"augmented pictures: {augmented}")
    option = " --sample" if sample else ""
    next_step(terminal, f"data check {shlex.quote(name)}{option}")


@data.command()
@click.argument("name")
@data_dir_option
@sample_option
@size_option
@bad_files_option
def check(name: str, data_dir: Path | None, sample: bool, size: int | None, bad_files: str) -> None:
    """Compare the dataset NAME with the published one, by SHA-256 of the decoded arrays.

    Exit code 0 if they are the same, or the same examples in another order (as TFDS has them);
    1 if anything differs.
    """
    dataset = _loaded(name, data_dir, sample, size, bad_files)
    expected = _expected(dataset)
    table = _table("array", "", "sha256")
    for number, (array, digest) in enumerate(dataset.sha256.items()):
        same = digest in expected[number : number + 1]
        table.add_row(array, "ok" if same else "DIFFERENT" if expected else "", digest)
    from kerascw.console import console, next_step

    terminal = console()
    terminal.print(_heading(dataset))
    terminal.print()
    terminal.print(table)
    terminal.print()
    whole, standing = _standing(dataset)
    if not whole:
        raise DataError(f"{dataset.location}: {standing}")
    terminal.print(standing)
    option = " --sample" if sample else ""
    next_step(terminal, f"run fashion --data {shlex.quote(name)}{option}")


def _loaded(
    name: str, data_dir: Path | None, sample: bool, size: int | None, bad_files: str
) -> "Dataset":
    from kerascw.data import data_named, load_for

    spec = data_named(name, size=(size, size) if size else None, bad_files=bad_files)
    return load_for(spec, data_dir=data_dir, sample=sample)


def _expected(dataset: "Dataset") -> tuple[str, ...]:
    is_sample = dataset.source == "sample"
    entry = dataset.entry
    return (entry.sample_sha256 if is_sample else entry.sha256) or ()


def _standing(dataset: "Dataset") -> tuple[bool, str]:
    """Return whether these are the published pictures, and a line that says so."""
    title = dataset.entry.title
    expected = _expected(dataset)
    if not expected:
        return dataset.official_files is not False, _standing_of_files(dataset)
    if tuple(dataset.sha256.values()) == expected:
        if dataset.source == "sample":
            return True, f"the bundled sample of {title}, unaltered"
        return True, f"the published {title}, byte for byte"
    if dataset.is_reordered:
        return True, f"the published {title}: same pictures and labels, other order"
    different = [
        array
        for (array, digest), published in zip(dataset.sha256.items(), expected, strict=True)
        if digest != published
    ]
    what = f"bundled sample of {title}" if dataset.source == "sample" else f"published {title}"
    counts = f"{len(dataset.train):,} and {len(dataset.test):,} pictures"
    return False, f"not the {what} ({', '.join(different)} differ; {counts})"


def _standing_of_files(dataset: "Dataset") -> str:
    title = dataset.entry.title
    if dataset.source == "folder":
        return "a folder of pictures, all of them readable"
    match dataset.official_files:
        case True:
            return f"the published {title}, by the MD5 of its files"
        case False:
            return f"not the published {title}, by the MD5 of its files"
        case None:
            return f"whole; no published hashes of {title} are known to compare these with"


def _heading(dataset: "Dataset") -> str:
    if dataset.source == "sample":
        return f"{dataset.title}: {dataset.location}"
    return f"{dataset.title}, {dataset.source}: {dataset.location}"


def _of_255(value: float) -> str:
    return f"{value:.2f} ({value / 255:.4f} of 255)"


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in ("classes", "training", "test") else "left",
            no_wrap=name in ("name", "title"),
            overflow="fold",  # rich would cut a path or a hash that does not fit
        )
    return table
