"""What a user may ask of a study's pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kerascw.errors import CallError

if TYPE_CHECKING:
    from kerascw.data import Splits
    from kerascw.experiment.spec import Experiment
    from kerascw.lab.study import Study
    from kerascw.runs.store import Run

_OF = {
    "feature maps": ("layer", "channels", "image"),
    "embedding": ("perplexity", "points"),
}
"""Which options belong to which kind of picture (:attr:`kerascw.studies.Study.draws`)."""


@dataclass(frozen=True)
class PictureOptions:
    """What to draw, and where the data is; None leaves it to the picture."""

    data_dir: str | Path | None = None
    # of feature maps: counted from 0 but the layer, from 1
    layer: int | None = None
    channels: tuple[int, ...] | None = None
    image: int | None = None  # position in the training part
    # of an embedding
    perplexity: float | None = None
    points: int | None = None  # how many test pictures; None: all

    def check(self, study: Study, experiment: Experiment) -> None:
        """Raise a :class:`CallError` where the study's pictures cannot be drawn like this."""
        for kind, names in _OF.items():
            given = [name for name in names if getattr(self, name) is not None]
            if given and study.draws != kind:
                raise CallError(f"--{given[0]}: study {study.name} draws no {kind}")
        if study.draws == "feature maps":
            from kerascw.report.features import check_features

            check_features(self, study, experiment)
        if study.draws == "embedding":
            from kerascw.report.embedding import check_embedding

            check_embedding(self, study, experiment)


def data_dir_of(run: Run, data_dir: str | Path | None) -> str | Path | None:
    """Return where the run's data is: in the folder it was trained from, if none is named."""
    data = run.environment["data"]
    if data_dir is None and data["source"] == "directory" and Path(data["location"]).is_dir():
        location: str = data["location"]
        return location
    return data_dir


def splits_of(run: Run, options: PictureOptions) -> Splits:
    """Return the run's parts, from the folder that it was trained from if none is named."""
    from kerascw.data import split
    from kerascw.data.load import dataset_for

    data = run.experiment.data
    return split(dataset_for(data, data_dir_of(run, options.data_dir)), data)
