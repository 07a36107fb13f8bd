"""What a study's further figures show: a spec of the study, changed by ``--set pictures.FIELD``."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from kerascw.data import Splits
from kerascw.data.load import splits_for
from kerascw.experiment.spec import Spec
from kerascw.runs.store import Run

PICTURES = "pictures"
"""Settings of a study's pictures begin with this word."""


class PictureSpec(Spec):
    """What to draw; a field that is None leaves the choice to the figure."""

    # a folder with the dataset's files; no setting, so it is left out of what can be set
    data_dir: str | None = Field(default=None, exclude=True)


class FeatureMaps(PictureSpec):
    """Feature maps of a convnet."""

    layer: int | None = Field(default=None, ge=1, description="only this conv layer, from 1")
    channels: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None, description="only these channels, from 0, such as 0,3,5"
    )
    image: int | None = Field(default=None, ge=0, description="only this training image, from 0")


class EmbeddingMap(PictureSpec):
    """A map of the test images, made from the layer before the output by t-SNE."""

    perplexity: float | None = Field(default=None, gt=0, description="of t-SNE; none: 30")
    points: int | None = Field(default=None, ge=1, description="so many test images; none: all")


def data_dir_of(run: Run, data_dir: str | Path | None = None) -> str | Path | None:
    """Return where the run's data is: the folder it was trained from, if none is named."""
    data = run.environment["data"]
    if data_dir is None and data["source"] == "directory" and Path(data["location"]).is_dir():
        return data["location"]
    return data_dir


def splits_of(run: Run, pictures: PictureSpec | None = None) -> Splits:
    """Return the run's splits, of the data in the folder that ``pictures`` names, if any."""
    data_dir = None if pictures is None else pictures.data_dir
    return splits_for(run.experiment.data, data_dir_of(run, data_dir))
