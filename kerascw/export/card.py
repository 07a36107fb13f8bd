"""What a model's card holds: facts of its run that travel with every export, checked by type.

Not imported by :mod:`kerascw.export.load`: a small model predicts sooner without Pydantic.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kerascw.data.catalogue import CATALOG
from kerascw.runs.store import Run


class Facts(BaseModel):
    """A group of facts; fields that are not known here, as of a later version, are left out."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """Convert to what ``json.dumps`` takes, and what the constructor reads back."""
        return self.model_dump(mode="json", by_alias=True)


class DataFacts(Facts):
    """The dataset that a model was trained on."""

    name: str
    title: str
    source: str
    fingerprint: str  # SHA-256 of the decoded arrays


class ClassScore(Facts):
    """Figures of one class of the test set."""

    name: str = Field(alias="class")
    precision: float
    recall: float
    f1: float
    examples: int


class Score(Facts):
    """Figures of the test set."""

    examples: int
    accuracy: float
    accuracy_interval_95: tuple[float, float] | None = None  # Wilson's, over the images
    loss: float | None = None  # nats
    calibration_error: float | None = None
    confusion: tuple[tuple[int, ...], ...] = ()  # rows: true classes, columns: predicted ones
    per_class: tuple[ClassScore, ...] = ()


class Card(Facts):
    """Facts about a model. Those that come from a run are missing for any other model."""

    run: str | None = None  # its name
    experiment: dict[str, Any] = {}
    data: DataFacts | None = None
    light_on_dark: bool = False  # it learned light things on black
    # how images of another shape were fitted; see kerascw.data.image_files.read_pictures
    fit: Literal["pad", "crop", "stretch"] = "pad"
    parameters: int | None = None
    layers: list[dict[str, Any]] = []  # name, type, output shape, parameters of each
    test: Score | None = None
    command: str | None = None
    commit: str | None = None
    versions: dict[str, str | None] = {}  # of Python and packages, during training


def card_of(run: Run) -> Card:
    """Gather the facts about a run's model."""
    data, environment = run.experiment.data, run.environment
    return Card(
        run=run.name,
        experiment=run.experiment.model_dump(mode="json"),
        data=environment["data"],
        light_on_dark=data.folder is None and CATALOG[data.name].light_on_dark,
        fit="pad" if data.folder is None else data.folder.fit,
        parameters=run.metrics["parameters"],
        layers=run.metrics.get("layers", []),  # older runs have none
        test=run.metrics.get("test"),
        command=environment["command"],
        commit=environment["commit"],
        versions={"python": environment["python"]} | environment["packages"],
    )
