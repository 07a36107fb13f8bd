"""What ``data check`` finds in a dataset's images: a page of pairs to look at, and a CSV file.

The file lists each image that might be left out, once; its user deletes the lines of those that
stay, and gives it to ``run --exclude`` (:mod:`kerascw.data.exclude`).
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from kerascw.data.dataset import Dataset
from kerascw.data.exclude import COLUMNS, image_digest
from kerascw.data.folder import sizes_of
from kerascw.errors import counted, printable
from kerascw.evaluation.duplicates import embedded, exact_pairs, near_pairs
from kerascw.evaluation.label_errors import confident_errors, out_of_fold
from kerascw.lab.sheet import sheet
from kerascw.report.page import write_page
from kerascw.report.tables import Cell, Table, count, percent
from kerascw.runs.summary import replace_text

SHOWN = 48
"""Pairs or images of each kind that the page shows, at most."""

FILE = "findings.csv"

BLANK = 2
"""Pixels of a blank image are no further apart than this, of 255."""

ODD = 2.0
"""Aspect ratios that differ by this factor are odd: half of the image, or more, is cut off."""

IMBALANCED = 3.0
"""From this ratio of the largest class to the smallest on, the classes are called imbalanced."""

TRUSTED = 0.8
"""Label errors are told only by a model that is right about this share of images out of fold."""

ORDER = ("test", "validation", "train")
"""Of a pair across splits the training image is the one to leave out: the test set stays whole."""

At = tuple[str, int]
"""An image: its split, and its position there from 0."""


@dataclass(frozen=True)
class Finding:
    """An image that might be left out, why, and the image to look at beside it."""

    image: At
    reason: str
    beside: At | None = None
    agree: bool = True  # whether both have the same class


@dataclass(frozen=True)
class Findings:
    """What was found in a dataset."""

    dataset: Dataset
    kinds: dict[str, list[Finding]]  # in the order of the page
    doubt: str  # how probable label errors were found, or why none

    def label_of(self, at: At) -> str:
        split, position = at
        return self.dataset.entry.class_names[self.dataset.parts[split].labels[position]]


def check_images(
    dataset: Dataset, predicted: tuple[np.ndarray, np.ndarray, str] | None = None
) -> Findings:
    """Look for duplicates, probable label errors and odd images.

    ``predicted`` are probabilities of the training images out of fold, float ``[n, classes]``,
    those of the test images, and by what; else :func:`out_of_fold` predicts them.
    """
    parts = {name: dataset.parts[name] for name in ORDER if name in dataset.parts}
    images = [part.images for part in parts.values()]
    labels = np.concatenate([part.labels for part in parts.values()])
    places = [(name, at) for name, part in parts.items() for at in range(len(part))]

    def finding(pair: np.ndarray, text: str) -> Finding:
        first, second = places[pair[0]], places[pair[1]]
        agree = bool(labels[pair[0]] == labels[pair[1]])
        said = f"{text.format(name_of(first))}{'' if agree else ', of another class'}"
        return Finding(second, said, first, agree)

    same = exact_pairs(images)
    # of copies only the first is compared: the others are as similar to all
    again = np.zeros(len(labels), bool)
    again[same[:, 1]] = True
    alike, similarity = near_pairs(embedded(images))
    near = [
        finding(pair, f"near duplicate of {{}} ({value:.4f})")
        for pair, value in zip(alike, similarity, strict=True)
        if not again[pair].any()
    ]
    label_errors, doubt = _label_errors(dataset, predicted)
    kinds = {
        "copies": [finding(pair, "copy of {}") for pair in same],
        "near duplicates": near,
        "probable label errors": label_errors,
        "odd images": _odd(dataset),
    }
    return Findings(dataset, kinds, doubt)


def _label_errors(
    dataset: Dataset, predicted: tuple[np.ndarray, np.ndarray, str] | None
) -> tuple[list[Finding], str]:
    """Choose probable label errors of training and test set, and say how far to trust them."""
    train, test, names = dataset.train, dataset.test, dataset.entry.class_names
    if predicted is None:
        found = out_of_fold(train.images, train.labels, test.images, len(names))
        if found is None:
            return [], "not looked for, a class has fewer than two training images."
        predicted = (*found, "a perceptron on principal components")
    errors = {
        "train": confident_errors(predicted[0], train.labels),
        "test": confident_errors(predicted[1], test.labels),
    }
    right = errors["train"].accuracy
    said = f"{predicted[2]} is right about {right:.1%} of the training images out of fold"
    if right < TRUSTED:
        return [], (
            f"{said}, too few to tell errors from what it does not understand. Cross-validate a "
            "better model on this dataset first, such as by run fashion --data ... --folds 5."
        )
    doubts = [
        (margin, Finding((split, int(row)), f"label: probably {names[guess]} (by {margin:.2f})"))
        for split, own in errors.items()
        for row, guess, margin in zip(own.rows, own.suggested, own.margin, strict=True)
    ]
    doubts.sort(key=lambda doubt: -doubt[0])
    return [finding for _, finding in doubts], (
        f"by confident learning (Northcutt et al., 2021); {said}. What it does not understand it "
        "takes for errors too, so look before leaving any out. A test set without what a model "
        "gets wrong is an easier one."
    )


def name_of(at: At) -> str:
    """Name an image: its split and position."""
    return f"{at[0]} {at[1]}"


def _odd(dataset: Dataset) -> list[Finding]:
    """Find images that are blank, tiny, or of another aspect ratio than they are read at."""
    found = []
    for split, part in dataset.parts.items():
        for start in range(0, len(part), 1000):
            reach = np.ptp(part.images[start : start + 1000], axis=(1, 2, 3))
            blank = np.flatnonzero(reach <= BLANK) + start
            found += [Finding((split, int(at)), "blank") for at in blank]
    height, width, _ = dataset.entry.shape
    for split, sizes in sizes_of(dataset).items():
        for at, (h, w) in enumerate(sizes):
            ratio = max(w * height, h * width) / max(min(w * height, h * width), 1)
            if h and (2 * h < height or 2 * w < width):
                found.append(Finding((split, at), f"tiny: {w} x {h} pixels"))
            elif h and ratio > ODD:
                found.append(Finding((split, at), f"odd ratio: {w} x {h} pixels"))
    return found


# --- words ----------------------------------------------------------------------------------


def summary_table(findings: Findings) -> Table:
    """Count the findings of each kind, within the splits and across, and unlike classes."""
    rows: list[list[str | Cell]] = []
    for kind, own in findings.kinds.items():
        spans: dict[str, list[Finding]] = {}
        for each in own:
            splits = {each.image[0], (each.beside or each.image)[0]}
            span = " and ".join(sorted(splits, key=ORDER.index, reverse=True))
            spans.setdefault(span, []).append(each)
        if not own:
            rows.append([kind, "-", count(0), "-", "-"])
        for span, several in sorted(spans.items()):
            paired = several[0].beside is not None
            unlike = count(sum(not each.agree for each in several)) if paired else Cell("-")
            left_out = len({each.image for each in several})
            rows.append([kind, span, count(len(several)), unlike, count(left_out)])
    columns = ("found", "in", "how many", "of unlike class", "images in the file")
    return Table("summary", columns, rows, text=(0, 1))


def sentences(findings: Findings) -> list[str]:
    """Say how the findings were made and what to think of them."""
    names = findings.dataset.entry.class_names
    counts = np.bincount(findings.dataset.train.labels, minlength=len(names))
    ratio = counts.max() / max(counts.min(), 1)
    word = "imbalanced" if ratio >= IMBALANCED else "balanced" if ratio < 1.2 else "of unlike size"
    most, least = (counted(int(n), "training image") for n in (counts.max(), counts.min()))
    sizes = f"{most} of {names[counts.argmax()]}, {least} of {names[counts.argmin()]}"
    return [
        "Near duplicates: a similarity of 0.98 or more (cosine of at most 16 x 16 grey values, "
        "mean subtracted), and ten times closer than either image is to its tenth most similar "
        "one. Shifted, cropped or mirrored copies are not found so.",
        f"Probable label errors: {findings.doubt}",
        f"Classes: {word}; {most + ' of each' if ratio == 1 else sizes} ({ratio:.3g} to 1).",
    ]


# --- files ----------------------------------------------------------------------------------


def write_findings(findings: Findings, folder: Path, command: str) -> Path:
    """Write report.html, findings.csv and tables into ``folder``; return the page.

    ``command`` is a command that takes the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / FILE, _csv_of(findings))
    tables = {"summary": summary_table(findings), "classes": class_table(findings.dataset)}
    return write_page(
        folder,
        "data_check.html",
        None,
        tables.values(),
        findings=findings,
        tables=tables,
        sentences=sentences(findings),
        shown={kind: _cards(findings, own[:SHOWN]) for kind, own in findings.kinds.items()},
        file=FILE,
        command=command,
    )


def _csv_of(findings: Findings) -> str:
    reasons: dict[At, list[str]] = {}
    for own in findings.kinds.values():
        for each in own:
            reasons.setdefault(each.image, []).append(each.reason)
    dataset, rows = findings.dataset, []
    for (split, at), said in reasons.items():
        file = dataset.files[split][at] if dataset.files else None
        digest = image_digest(dataset.parts[split].images[at])
        rows.append([split, at, file, findings.label_of((split, at)), digest, "; ".join(said)])
    return sheet([COLUMNS, *rows])


def class_table(dataset: Dataset) -> Table:
    """Count the images of each class, split by split."""
    names = {"train": "training"}
    columns = [column for part in dataset.parts for column in (names.get(part, part), "share")]
    rows: list[list[str | Cell]] = []
    for label, name in enumerate(dataset.entry.class_names):
        row: list[str | Cell] = [name]
        for part in dataset.parts.values():
            n = int((part.labels == label).sum())
            row += [count(n), percent(n / len(part))]
        rows.append(row)
    return Table("classes", ("class", *columns), rows, caption="Images of each class")


def _cards(findings: Findings, own: Sequence[Finding]) -> list[dict[str, object]]:
    """Return what the page shows of each finding: its images, their names and classes."""
    return [
        {
            "images": [
                (_data_uri(findings.dataset, at), name_of(at), printable(findings.label_of(at)))
                for at in filter(None, (each.image, each.beside))
            ],
            "reason": printable(each.reason),
            "agree": each.agree,
        }
        for each in own
    ]


def _data_uri(dataset: Dataset, at: At) -> str:
    image = np.asarray(dataset.parts[at[0]].images[at[1]])
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.thumbnail((96, 96))
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
