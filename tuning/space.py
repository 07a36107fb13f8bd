"""A search space: which hyperparameters there are, and the experiment that they give.

A space is a Python file. The named ones are ``tuning/spaces/<name>.py`` (with ``_`` in the file's
name where the space's has ``-``); any other file works by its path. It has a function, and names
that are optional::

    from kerascw.experiment.settings import override
    from kerascw.experiment.spec import Experiment
    from tuning.space import Budget

    QUESTION = "Which rate and optimiser suit digits?"  # a line for the list and the report
    OBJECTIVE = "validation_loss"  # or "validation_accuracy", the default
    ORACLE = "bayesian"  # or "random", the default, "grid" or "hyperband"
    BUDGETS = {  # 10 trials without it; "quick" is the default of the command
        "quick": Budget(trials=12, epochs=3, fraction=0.2),
        "full": Budget(trials=50),
    }

    def base() -> Experiment:
        ...  # without this function: the recipe of `run fashion`

    def space(hp, base):
        rate = hp.Float("learning_rate", 1e-3, 0.1, sampling="log")
        changes = {"training.optimizer.learning_rate": rate}
        kind = hp.Choice("optimizer", ["adam", "sgd"])
        with hp.conditional_scope("optimizer", ["sgd"]):
            if kind == "sgd":
                changes["training.optimizer.momentum"] = hp.Float("momentum", 0.0, 0.95)
        return override(base, {"training.optimizer.kind": kind} | changes)

``space`` is required. ``hp`` is a ``keras_tuner.HyperParameters``; ``base`` is what ``base()``
gives, with ``--data``, ``--sample``, ``--set`` and the budget's fraction applied. It returns an
:class:`kerascw.experiment.spec.Experiment` with a validation set, whose epochs are cut to the
budget's. It is called often and must be a function of ``hp`` and ``base`` alone. An exception in it
makes a failed trial, so a combination that makes no sense may be refused; one for the default
values ends the command. With ``hyperband`` every trial has the epochs of the default values.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

from kerascw.errors import CallError, choices
from kerascw.experiment.own_file import load_file, place_of, reason_of, sha256_of
from kerascw.experiment.settings import one_line
from kerascw.experiment.spec import Experiment
from kerascw.lab.study import BUDGETS
from kerascw.lab.study import Budget as BudgetName
from kerascw.studies.fashion import recipe

Objective = Literal["validation_accuracy", "validation_loss"]
Oracle = Literal["random", "grid", "bayesian", "hyperband"]
ORACLES: tuple[Oracle, ...] = get_args(Oracle)
DIRECTIONS: dict[Objective, Literal["max", "min"]] = {
    "validation_accuracy": "max",
    "validation_loss": "min",
}


@dataclass(frozen=True)
class Budget:
    """What a search may cost."""

    trials: int | None = 10  # None: all of a grid, or one round of Hyperband
    epochs: int | None = None  # of each trial, at most; None: as the experiment has them
    fraction: float = 1.0  # of the training set, at most


@dataclass(frozen=True)
class Space:
    """A space as its file has it."""

    name: str
    path: Path
    question: str | None
    objective: Objective
    oracle: Oracle
    budgets: dict[BudgetName, Budget]
    source_sha256: str
    _space: Callable[[Any, Experiment], Any]
    _base: Callable[[], Any]

    @property
    def direction(self) -> Literal["max", "min"]:
        return DIRECTIONS[self.objective]

    def base(self) -> Experiment:
        """Return the experiment that the space derives from, before any option changes it."""
        return self._checked("base", self._base)

    def experiment(self, hp: Any, base: Experiment) -> Experiment:
        """Return the experiment of these hyperparameters.

        Raises SpaceError: the function raises, or returns something else.
        """
        return self._checked("space", self._space, hp, base)

    def _checked(self, name: str, function: Callable[..., Any], *arguments: Any) -> Experiment:
        try:
            made = function(*arguments)
        except CallError as error:
            raise SpaceError(f"{self.path}: {name}: {error}") from None
        except Exception as error:
            place = place_of(error) or self.path
            said = one_line(error) if isinstance(error, ValidationError) else reason_of(error)
            raise SpaceError(f"{place}: {name}: {said}") from None
        if not isinstance(made, Experiment):
            raise SpaceError(
                f"{self.path}: {name} returned {type(made).__name__}, not an Experiment"
            )
        return made


class SpaceError(CallError):
    """A space's file, or what it does with some hyperparameters, is wrong."""


def named_spaces() -> dict[str, Path]:
    """Return the files of the spaces that have a name."""
    files = (Path(__file__).parent / "spaces").glob("[!_]*.py")
    return {path.stem.replace("_", "-"): path for path in sorted(files)}


def load_space(text: str) -> Space:
    """Return a space by its name, or from a file.

    Raises SpaceError: there is no such space or file, or the file is wrong: the line says what and
    where.
    """
    if text.endswith(".py"):
        return _read(Path(text).stem, Path(text))
    named = named_spaces()
    if text not in named:
        raise SpaceError(f"no space {text!r}; choose {choices(named)}, or a file that ends in .py")
    return _read(text, named[text])


def _read(name: str, path: Path) -> Space:
    there = vars(load_file(path))
    if not callable(there.get("space")):
        raise SpaceError(f"{path}: no function space(hp, base)")

    def one_of(name: str, default: Any, known: Iterable[str]) -> Any:
        value = there.get(name, default)
        if value not in known:
            raise SpaceError(f"{path}: {name} is {value!r}; choose {choices(known)}")
        return value

    return Space(
        name=name,
        path=path,
        question=there.get("QUESTION"),
        objective=one_of("OBJECTIVE", "validation_accuracy", DIRECTIONS),
        oracle=one_of("ORACLE", "random", ORACLES),
        budgets=_budgets(path, there.get("BUDGETS", {})),
        source_sha256=sha256_of(path),
        _space=there["space"],
        _base=there.get("base", recipe),
    )


def _budgets(path: Path, given: Any) -> dict[BudgetName, Budget]:
    """Check the budgets of a space, and add the one that it leaves out."""
    if not isinstance(given, dict) or not all(isinstance(b, Budget) for b in given.values()):
        raise SpaceError(f"{path}: BUDGETS is no dict of tuning.space.Budget")
    for name in given:
        if name not in BUDGETS:
            raise SpaceError(f"{path}: BUDGETS has {name!r}; choose {choices(BUDGETS)}")
        number = given[name].trials
        if number is not None and (not isinstance(number, int) or number < 1):
            raise SpaceError(f"{path}: {number!r} trials; a number from 1, or None for all")
    return dict.fromkeys(BUDGETS, Budget()) | given
