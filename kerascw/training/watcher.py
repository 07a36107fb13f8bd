"""How training tells of its progress. Imports no TensorFlow, so that whoever shows it need not."""

from kerascw.experiment.spec import Experiment


class Watcher:
    """Whoever wants to see training go on; this one shows nothing."""

    def started(self, experiment: Experiment, images: int, epochs_done: int) -> None:
        """Training begins (or goes on, after ``epochs_done`` epochs) on ``images`` an epoch."""

    def images(self, epoch: int, done: int) -> None:
        """``done`` images of this epoch, counted from 0, are behind us."""

    def epoch(self, row: dict[str, float]) -> None:
        """An epoch ended; ``row`` is its line of the history."""
