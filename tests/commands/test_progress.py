"""What the progress view prints while a run trains."""

from io import StringIO

import pytest

from kerascw.commands import terminal
from kerascw.commands.terminal import LINE_SECONDS, StudyProgress
from kerascw.console import console
from kerascw.experiment.spec import Experiment

ROW = {"train_loss": 1.0, "train_accuracy": 0.5}


def test_a_log_file_has_a_line_every_ten_seconds(
    small: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    out = StringIO()
    progress = StudyProgress(console(out))
    progress.started(small, 1000, 0)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("Training fashion_mnist convnet, seed 0: 1,000 images, 4 epochs")
    assert lines[1] == "tracing the training step"
    for seconds in range(1, 25):
        now = 100.0 + seconds
        progress.images(0, 40 * seconds)
    progress.epoch({"epoch": 1} | ROW)
    now += LINE_SECONDS - 1
    progress.images(1, 500)
    now += 1
    progress.images(1, 600)
    assert out.getvalue().splitlines()[2:] == [
        "epoch 1/4: 400 of 1,000 images",
        "epoch 1/4: 800 of 1,000 images",
        "epoch 1/4   train loss 1.0000 accuracy 0.5000   24.0 s",
        "epoch 2/4: 600 of 1,000 images",
    ]
