"""Every printed setting is where docs/fidelity.toml says; nothing printed is called unprinted."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerascw.commands.fidelity import FILE, Setting, markdown, read_settings, values
from kerascw.commands.main import main
from kerascw.studies import all_studies

ROOT = Path(__file__).parents[2]
SETTINGS = read_settings(ROOT / FILE)
NOT_PRINTED = re.compile(r"not printed|not print\b|does not say|prints (no|neither)|names no")


@pytest.mark.parametrize(
    "setting",
    [s for s in SETTINGS if s.field],
    ids=lambda s: f"{s.study}: {s.setting}",
)
def test_an_experiment_has_the_value_that_the_table_states(setting: Setting) -> None:
    for variant, ours, stated in values(setting):
        assert ours == stated, variant


def test_a_row_without_a_field_names_code_that_is_there() -> None:
    for setting in SETTINGS:
        assert setting.field or setting.place, setting
        if setting.place:
            resolve(setting.place)


def resolve(place: str) -> object:
    """Return what a dotted name stands for."""
    module = place.split(".")
    names: list[str] = []
    while True:
        try:
            found: object = importlib.import_module(".".join(module))
            break
        except ModuleNotFoundError:
            names.insert(0, module.pop())
    for name in names:
        found = getattr(found, name)
    return found


def test_a_deviation_has_a_reason_and_another_value_a_reason_or_a_note() -> None:
    for setting in SETTINGS:
        if setting.why:
            assert setting.ours is not None, setting
        if setting.ours is not None:
            assert setting.why or setting.note, setting


def test_every_study_of_a_report_is_in_the_table() -> None:
    named = {setting.study for setting in SETTINGS}
    of_reports = {name for name, study in all_studies().items() if study.published()}
    # the same experiments as these others
    assert of_reports - named == {"lenet-auxiliary", "lenet-embedding", "svhn"}


def test_nothing_is_called_unprinted_that_was_not_searched_for() -> None:
    searched = tomllib.loads((ROOT / FILE).read_text())["unprinted"]["claims"]
    claimed = [
        deviation
        for study in all_studies().values()
        for deviation in study.deviations
        if NOT_PRINTED.search(deviation)
    ]
    assert set(claimed) == set(searched)
    page = (ROOT / "docs" / "results.md").read_text()
    assert "not printed" not in page


def test_the_page_is_what_the_command_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(main, ["fidelity"])
    assert result.exit_code == 0, result.output
    assert result.stdout == (ROOT / "docs" / "fidelity.md").read_text() == markdown(SETTINGS)
    into = tmp_path / "page.md"
    assert CliRunner().invoke(main, ["fidelity", "--into", str(into)]).exit_code == 0
    assert into.read_text() == result.stdout


def test_a_setting_that_differs_fails_and_names_it(tmp_path: Path) -> None:
    file = tmp_path / "table.toml"
    file.write_text(
        '[[part]]\nreport = "a"\nsection = "b"\nstudy = "bag-cnn"\n'
        'rows = [{ setting = "epochs", printed = 30, field = "training.epochs" }]\n'
    )
    result = CliRunner().invoke(main, ["fidelity", "--file", str(file)])
    assert result.exit_code == 2
    assert "bag-cnn, bag-cnn: training.epochs is 31, stated: 30 (epochs)" in result.stderr
    result = CliRunner().invoke(main, ["fidelity", "--file", str(tmp_path / "none.toml")])
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
