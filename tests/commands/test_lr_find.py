"""``lr-find``: the rates, where the test ends, and what it proposes."""

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kerascw.commands.main import main


def lr_find(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["lr-find", *words, "--runs", str(folder / "runs")])


def test_it_proposes_a_tenth_of_the_best_rate(tmp_path: Path) -> None:
    done = lr_find(tmp_path, "digits", "--steps", "60", "--lowest", "1e-4")
    assert done.exit_code == 0, done.output
    folder = tmp_path / "runs" / "rate_tests" / "digits, mlp, seed 0"
    rows = list(csv.DictReader((folder / "loss.csv").open()))
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[1] / rates[0] == pytest.approx(1e4 ** (1 / 59))
    smoothed = [float(row["smoothed_loss"]) for row in rows]
    assert smoothed[0] == pytest.approx(float(rows[0]["loss"]))
    assert smoothed[1] == pytest.approx(
        (0.9 * 0.1 * smoothed[0] + 0.1 * float(rows[1]["loss"])) / (1 - 0.9**2)
    )
    best = rates[smoothed.index(min(smoothed))]
    assert f"lowest at {best:.2g}; a tenth of it, {best / 10:.2g}" in done.output
    assert (folder / "loss.png").read_bytes()[:4] == b"\x89PNG"


def test_it_ends_where_the_loss_explodes(tmp_path: Path) -> None:
    done = lr_find(tmp_path, "digits", "--variant", "convnet", "--highest", "1e6")
    assert done.exit_code == 0, done.output
    assert "where the loss left all bounds" in done.output
    [file] = (tmp_path / "runs").rglob("loss.csv")
    assert len(file.read_text().splitlines()) < 200


def test_heads_and_autoencoders_are_tested_too(tmp_path: Path) -> None:
    for words in (("lenet-auxiliary", "--sample"), ("bag-pretraining", "--sample")):
        done = lr_find(tmp_path, *words, "--steps", "20")
        assert done.exit_code == 0, done.output
        assert "learning rate" in done.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("digits", "--lowest", "2"), "--lowest 2: must be less than --highest 1"),
        (("digits", "--variant", "cnn"), "--variant cnn: choose mlp or convnet"),
        (("digit",), "did you mean digits?"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    done = lr_find(tmp_path, *words)
    assert done.exit_code == 2
    assert says in done.output
    assert done.output.count("\n") == 1
