"""The card of a kept model, in Markdown, from what lies beside the model."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerascw.errors import CallError
from kerascw.export.load import EXTRA_FILE, versions_in


def write_card(folder: Path) -> Path:
    """Write README.md for the highest version of a model of the zoo, and return its path."""
    from kerascw.commands.zoo import CARD

    temporary = folder / ".README.md.writing"
    temporary.write_text(card_text(read_document(folder)))
    return temporary.replace(folder / CARD)


def read_document(folder: Path) -> dict[str, Any]:
    """Return kerascw.json of a model's highest version.

    Raises
    ------
    CallError
        There is none, or it is not of the zoo.
    """
    versions = versions_in(folder) if folder.is_dir() else {}
    path = versions[max(versions)] / EXTRA_FILE if versions else folder / EXTRA_FILE
    try:
        document: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        raise CallError(f"{path}: cannot be read; expected what export wrote") from None
    if "zoo" not in document.get("card", {}):
        raise CallError(f"{path}: not a model of the zoo; next: python -m kerascw zoo")
    return document


def card_text(document: Mapping[str, Any]) -> str:
    """Return the card as Markdown; every figure in it is of ``document``."""
    card = document["card"]
    zoo, data = card["zoo"], card["data"]
    height, width, channels = document["input_shape"]
    colours = "grey" if channels == 1 else "colour"
    parts = [
        f"# {zoo['name']}",
        "<!-- written by: python -m kerascw zoo -->",
        f"A {card['experiment']['model']['kind']} of {card['parameters']:,} parameters that tells "
        f"{zoo['shows']} apart, in {colours} pictures of {height} x {width} pixels; predict fits "
        "others into that.",
        _code(f"python -m kerascw predict saved_models/{zoo['name']} PICTURE..."),
        "## Figures",
        _table(("figure", "value", "of"), _figures(card), "lrl"),
        "The model is the seed that did best on validation, trained again on everything; no test "
        "picture had a say in that. The intervals are 95 %: over pictures, Wilson's of the "
        "proportion; over seeds, Student's t of the mean.",
        _table(
            ("seed", "validation accuracy", "epochs on everything", "test accuracy"),
            _seeds(zoo["seeds"]),
            "rrrr",
        ),
        "## Confusion",
        f"Test pictures; a row is what they are, a column what the model says. {_most(document)}",
        _confusion(document),
        "## Limits of use",
        "\n".join(f"- {line}" for line in _limits(document)),
        "## Data",
        f"{data['title']}, from: {data['source']}. SHA-256 of the decoded arrays: "
        f"`{data['fingerprint']}`. Licence of the data: {zoo['licence']}.",
        "## Recipe",
        f"Study {zoo['study']}, {zoo['variant']}:",
        _code(_recipe(card["experiment"]), "text"),
        "## Made by",
        _code(f"{card['command']}\npython -m kerascw zoo {zoo['name']}"),
        f"Run `{card['run']}`, commit {card['commit'] or 'unknown'}. Versions: "
        f"{_versions(document)}.",
    ]
    return "\n\n".join(parts) + "\n"


def _figures(card: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    test, zoo = card["test"], card["zoo"]
    seeds, check = zoo["seeds"], zoo["check"]
    of_test = f"{test['examples']:,} test pictures"
    low, high = test["accuracy_interval_95"]
    rows = [
        ("test accuracy", f"{test['accuracy']:.4f}", of_test),
        ("its interval over pictures", f"{low:.4f} to {high:.4f}", of_test),
        ("test accuracy, mean", f"{seeds['mean']:.4f}", f"{len(seeds['runs'])} seeds"),
    ]
    if seeds["interval_95"]:
        low, high = seeds["interval_95"]
        rows.append(
            ("its interval over seeds", f"{low:.4f} to {high:.4f}", f"{len(seeds['runs'])} seeds")
        )
    return [
        *rows,
        ("test loss, nats", f"{test['loss']:.4f}", of_test),
        ("expected calibration error, 15 bins", f"{test['calibration_error']:.4f}", of_test),
        (
            "check",
            f"{check['accuracy']:.4f}",
            f"{check['correct']:,} of {check['pictures']:,}: {check['words']}",
        ),
    ]


def _seeds(seeds: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            f"**{run['seed']}**" if run["seed"] == seeds["chosen"] else str(run["seed"]),
            f"{run['validation_accuracy']:.4f}",
            str(run["epochs"]),
            f"{run['test_accuracy']:.4f}",
        )
        for run in seeds["runs"]
    ]


def _most(document: Mapping[str, Any], how_many: int = 3) -> str:
    """Return a sentence on the most frequent confusions."""
    names, rows = document["class_names"], document["card"]["test"]["confusion"]
    pairs = sorted(
        ((count, truth, guess) for truth, row in enumerate(rows)
         for guess, count in enumerate(row) if guess != truth and count),
        key=lambda pair: (-pair[0], pair[1:]),
    )  # fmt: skip
    said = [
        f"{names[truth]} for {names[guess]} ({count} of {sum(rows[truth]):,})"
        for count, truth, guess in pairs[:how_many]
    ]
    return f"Taken most often: {', '.join(said)}." if said else "It takes none for another."


def _confusion(document: Mapping[str, Any]) -> str:
    names = document["class_names"]
    rows = [
        (name, *(str(count) for count in row))
        for name, row in zip(names, document["card"]["test"]["confusion"], strict=True)
    ]
    return _table(("", *names), rows, "l" + "r" * len(names))


def _limits(document: Mapping[str, Any]) -> list[str]:
    card = document["card"]
    ground = "light on dark" if card["light_on_dark"] else "as its data has them"
    return [
        *card["zoo"]["limits"],
        f"It names one of its {len(document['class_names'])} classes for every picture, also for "
        "one that shows none of them.",
        f"Pictures are taken to be {ground}; predict inverts those whose corners are light, the "
        "SavedModel by itself does not."
        if card["light_on_dark"]
        else f"Pictures are taken {ground}.",
        "Its probabilities are those of its own data: away from it they are no measure of doubt.",
    ]


def _recipe(experiment: Mapping[str, Any]) -> str:
    """Return the fields as ``--set`` takes them, one a line; without those that are empty."""
    lines: list[str] = []

    def add(path: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                add(f"{path}.{name}" if path else name, inner)
        elif value not in (None, [], ()):
            lines.append(f"{path}={value if isinstance(value, str) else json.dumps(value)}")

    add("", experiment)
    return "\n".join(lines)


def _versions(document: Mapping[str, Any]) -> str:
    """Return the versions of the training, and where it did not note one, of the export."""
    trained = {k: v for k, v in document["card"].get("versions", {}).items() if v}
    return ", ".join(f"{k} {v}" for k, v in (document["check"]["versions"] | trained).items() if v)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    rule = ["---:" if side == "r" else "---" for side in align]
    lines = [header, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str, language: str = "sh") -> str:
    return f"```{language}\n{text}\n```"
