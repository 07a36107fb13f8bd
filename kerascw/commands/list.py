"""The command ``list``: studies with their cost, one study in detail, or the recipes."""

from typing import Any

import click
from rich.table import Table

from kerascw.console import console, next_step
from kerascw.errors import counted
from kerascw.experiment.recipes import RECIPES
from kerascw.lab.pictures import PICTURES
from kerascw.lab.study import BUDGETS
from kerascw.studies import all_studies, study_named


@click.command("list")
@click.argument("study", metavar="[STUDY|FILE.py]", required=False)
@click.option("--recipes", is_flag=True, help="List the recipes that run --recipe takes.")
def command(study: str | None, recipes: bool) -> None:
    """List the studies, or say more about STUDY: variants, cost, what can be set."""
    terminal = console()
    if recipes:
        _recipes(terminal)
    elif study is not None:
        _study(study, terminal)
    else:
        _studies(terminal)
        next_step(terminal, "run", "STUDY")


def _recipes(terminal: Any) -> None:
    table = Table("recipe", "for", "model", "epochs", "measured", box=None)
    for recipe in RECIPES.values():
        epochs = str(recipe.training.get("epochs", "the study's"))
        model = "the study's" if recipe.model is None else "its own"
        table.add_row(recipe.name, recipe.purpose, model, epochs, recipe.measured)
    terminal.print(table)


def _studies(terminal: Any) -> None:
    table = Table(
        "study", "question", "dataset", "runs a seed", "budget", "seeds", "time", box=None
    )
    for study in all_studies().values():
        runs = sum(e.folds or 1 for e in study.variants().values())
        question = study.question
        if study.origin is not None:
            question += f" (from {study.origin['package']})"
        names = (study.name, question, study.dataset, str(runs))
        for number, budget in enumerate(BUDGETS):
            default = " (default)" if budget == study.default_budget else ""
            table.add_row(
                *(names if number == 0 else ("", "", "", "")),
                f"{budget}{default}",
                str(study.seeds(budget)),
                study.expected.get(budget, "not measured"),
            )
    terminal.print(table)


def _study(name: str, terminal: Any) -> None:
    study = study_named(name)
    terminal.print(study.question, style="bold")
    for budget in BUDGETS:
        default = " (default)" if budget == study.default_budget else ""
        seeds = counted(study.seeds(budget), "seed")
        time = study.expected.get(budget)
        takes = f"{time} on 2 cores" if time else "time not measured"
        terminal.print(f"{budget}{default}: {seeds}, {takes}")
    if study.dataset:
        terminal.print(f"dataset: {study.dataset}")
    terminal.print(f"variants: {', '.join(study.variants())}")
    for deviation in study.deviations:
        terminal.print(f"deviates from the published protocol: {deviation}")
    if study.shows is not None:
        table = Table("--set", "default", "what its figures show", box=None)
        for field, info in type(study.shows).model_fields.items():
            if not info.exclude:
                default = getattr(study.shows, field)
                shown = "none" if default is None else str(default)
                table.add_row(f"{PICTURES}.{field}=VALUE", shown, info.description or "")
        terminal.print(table)
    next_step(terminal, "run", name)
