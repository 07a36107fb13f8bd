"""The pages in a real browser: headless Chromium, where there is one, by Selenium."""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.runs.store import Run, Store, write_json
from tuning.records import (
    FINALISTS,
    SEARCH,
    Finalist,
    SearchSpec,
    TrialRecord,
    write_record,
)

LIMIT = 5_000_000
"""Bytes of a page, at most."""

VARIANTS = ("mlp", "convnet")


@pytest.fixture(scope="module")
def runs(kept_digits: Path) -> Path:
    return kept_digits


@pytest.fixture(scope="module")
def study_page(runs: Path) -> Path:
    (page,) = runs.glob("studies/*/report.html")
    return page


@pytest.fixture(scope="module")
def run(runs: Path) -> Run:
    return next(run for run in Store(runs).all() if run.experiment.model.kind == "convnet")


@pytest.fixture(params=["run", "study"])
def page(request: pytest.FixtureRequest, run: Run, study_page: Path) -> Path:
    return study_page if request.param == "study" else run.folder / "report.html"


def opened(browser: Any, page: Path, width: int = 1280) -> None:
    """Open a page as a file, and wait until its charts are drawn."""
    browser.get("about:blank")  # not while the browser's own first page still loads
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # of earlier pages
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.get(page.resolve().as_uri())
    until(browser, "return [...document.querySelectorAll('figure[data-name]')]"
                   ".every(f => !f.querySelector('.panels') || f.dataset.drawn)")  # fmt: skip


def until(browser: Any, script: str, *arguments: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not browser.execute_script(script, *arguments):
        assert time.monotonic() < end, script
        time.sleep(0.05)


def elements(browser: Any, selector: str) -> list[Any]:
    found: list[Any] = browser.find_elements("css selector", selector)
    return found


def test_a_page_opens_without_an_error_and_loads_nothing(browser: Any, page: Path) -> None:
    assert page.stat().st_size < LIMIT
    opened(browser, page)
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    requested = [
        message["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    assert {url.split(":", 1)[0] for url in requested} <= {"file", "data", "chrome"}  # its own
    assert [url for url in requested if url.startswith("file")] == [page.resolve().as_uri()]
    resources = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert [n for n in browser.execute_script(resources) if not n.startswith("data:")] == []
    assert elements(browser, "figure .plot svg")
    # every chart has a description with numbers, every picture one at all
    for panels in elements(browser, ".panels"):
        assert any(letter.isdigit() for letter in panels.get_attribute("aria-label"))
    assert all(still.get_attribute("aria-label") for still in elements(browser, ".still"))


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(browser: Any, page: Path, width: int) -> None:
    opened(browser, page, width)
    wide, there = browser.execute_script(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    )
    assert wide == there <= width  # a desktop's scroll bar takes its part
    for svg in elements(browser, "figure .plot svg"):
        box = svg.rect
        assert box["width"] > 150
        assert box["x"] + box["width"] <= there


def test_what_is_wider_than_a_phone_says_that_it_scrolls(browser: Any, study_page: Path) -> None:
    script = """return [...document.querySelectorAll('.scroll')]
        .filter(box => !box.closest('details:not([open])'))
        .map(box => [box.scrollWidth > box.clientWidth + 1, !box.nextElementSibling.hidden])"""
    for width in (1280, 390):
        opened(browser, study_page, width)
        boxes = browser.execute_script(script)
        assert all(wide == said for wide, said in boxes), boxes
        assert any(wide for wide, _ in boxes) == (width == 390)


def column(browser: Any, table: str, number: int) -> list[str]:
    cells = elements(browser, f"table[data-name='{table}'] tbody tr > :nth-child({number})")
    return [cell.get_attribute("dataset").get("value") or cell.text for cell in cells]


def test_a_table_is_sorted_by_click_and_by_keyboard(browser: Any, run: Run) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, run.folder / "report.html")
    recall = [row["recall"] for row in run.metrics["test"]["per_class"]]
    script = (
        "return [...document.querySelectorAll(\"table[data-name='classes'] tbody tr\")]"
        ".map(row => Number(row.cells[2].dataset.value))"
    )
    assert browser.execute_script(script) == recall
    header = elements(browser, "table[data-name='classes'] thead th")[2]
    button = header.find_element("css selector", "button")
    button.click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert browser.execute_script(script) == sorted(recall)
    button.send_keys(Keys.ENTER)
    assert header.get_attribute("aria-sort") == "descending"
    assert browser.execute_script(script) == sorted(recall, reverse=True)
    # words are sorted as words, and one column at a time
    name = elements(browser, "table[data-name='classes'] thead th")[0]
    name.find_element("css selector", "button").click()
    assert header.get_attribute("aria-sort") is None
    names = [cell.text for cell in elements(browser, "table[data-name='classes'] tbody th")]
    assert names == sorted(run.metrics["class_names"])


def lines_drawn(browser: Any, figure: str) -> int:
    """Return how many lines the first panel of a figure has."""
    panel = f"figure[data-name='{figure}'] .panel:first-child"
    return len(elements(browser, f"{panel} .mark-line path"))


def test_a_line_goes_off_and_on(browser: Any, study_page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, study_page)
    assert lines_drawn(browser, "loss") == 2
    first = elements(browser, "figure[data-name='loss'] .switches input")[0]
    assert first.get_attribute("value") in VARIANTS
    hidden = "return document.querySelector(\"figure[data-name='loss']\").dataset.hidden == %d"
    first.click()
    until(browser, hidden % 1)
    assert lines_drawn(browser, "loss") == 1
    first.send_keys(Keys.SPACE)  # the keyboard does it too
    until(browser, hidden % 0)
    assert lines_drawn(browser, "loss") == 2
    assert lines_drawn(browser, "accuracy") == 2  # another figure has its own


def test_pointing_reads_a_value_off(browser: Any, run: Run) -> None:
    from selenium.webdriver import ActionChains

    opened(browser, run.folder / "report.html")
    plot = elements(browser, "figure[data-name='curves'] .panel:first-child .plot svg")[0]
    ActionChains(browser).move_to_element(plot).perform()
    until(browser, "const tip = document.querySelector('#vg-tooltip-element');"
                   "return tip && tip.classList.contains('visible')")  # fmt: skip
    told = elements(browser, "#vg-tooltip-element")[0].text
    losses = {f"{row[name]:.5g}" for row in run.history
              for name in ("train_loss", "validation_loss")}  # fmt: skip
    assert "epoch" in told
    assert "undefined" not in told
    assert any(loss in told for loss in losses), (told, losses)


def test_the_page_follows_light_and_dark(browser: Any, page: Path) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    ink = "return getComputedStyle(document.querySelector('.plot svg text')).fill"
    # of the text of a grid of images, which stands on the page itself
    words = "return getComputedStyle(document.querySelector('.still [id*=text_] g')).fill"
    seen, drawn = {}, {}
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        opened(browser, page)
        seen[scheme] = browser.execute_script(paper), browser.execute_script(ink)
        if elements(browser, ".still"):
            drawn[scheme] = browser.execute_script(words)
            assert not elements(browser, ".still [style*='#ffffff']")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert seen["light"] == ("rgb(255, 255, 255)", "rgb(28, 32, 36)")
    assert seen["dark"] == ("rgb(22, 24, 27)", "rgb(231, 233, 236)")
    assert not drawn or drawn["light"] != drawn["dark"]


# --- a search, a learning curve, the index --------------------------------------------------


@pytest.fixture(scope="module")
def kept(kept_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kept study in a folder of its own, which more comes into."""
    folder = tmp_path_factory.mktemp("more") / "runs"
    return Path(shutil.copytree(kept_digits, folder, symlinks=True))


@pytest.fixture(scope="module")
def search_page(kept: Path) -> Path:
    """The page of a search of nine trials, one of them diverged, with two finalists."""
    spec = SearchSpec(
        space="rates", question="Which rate is best?", objective="validation_accuracy",
        direction="max", oracle="random", seed=0, budget="quick", budget_epochs=3,
        sample=False, base={"data": {"name": "digits"}}, source_sha256="ab" * 32, trials=9,
        finalists=2, command="python -m kerascw tune rates",
        hyperparameters=(
            {"name": "rate", "kind": "Float", "conditions": [], "min_value": 1e-4,
             "max_value": 1e-1, "step": None, "sampling": "log", "default": None},
            {"name": "optimizer", "kind": "Choice", "conditions": [], "values": ["adam", "sgd"],
             "default": None},
            {"name": "momentum", "kind": "Float", "min_value": 0.0, "max_value": 0.9, "step": None,
             "conditions": [{"name": "optimizer", "values": ["sgd"]}], "sampling": "linear",
             "default": None},
        ),
    )  # fmt: skip
    folder = kept / "searches" / "rates-random"
    folder.mkdir(parents=True)
    write_json(folder / SEARCH, asdict(spec))
    for number in range(1, 10):
        settings = {"rate": 1e-4 * 2**number, "optimizer": "adam" if number % 2 else "sgd"}
        settings |= {} if number % 2 else {"momentum": number / 10}
        score, status = 0.5 + number * 11 / 300, "completed"
        if number == 4:
            score, status = None, "diverged"
        record = TrialRecord(f"{number - 1:04}", number, settings, status, score=score)
        write_record(folder, record)
    fresh = [Finalist("0008", (2, 3), ("a", "b"), (0.8, 0.82)),
             Finalist("0007", (2, 3), ("c", "d"), (0.7, 0.75))]  # fmt: skip
    write_json(folder / FINALISTS, [asdict(finalist) for finalist in fresh])
    done = CliRunner().invoke(main, ["report", "rates-random", "--runs", str(kept)])
    assert done.exit_code == 0, done.output
    return folder / "report.html"


@pytest.fixture(scope="module")
def curve_page(kept: Path) -> Path:
    """The page of a learning curve of two fractions and initialisations, trained here."""
    (source,) = (run.name for run in Store(kept).all()
                 if run.experiment.model.kind == "mlp" and run.experiment.seed == 0)  # fmt: skip
    words = ("--dataset", "digits", "--model", "digits", "--fractions", "50%,100%", "--seeds", "2")
    more = ("--epochs", "2", "--init", f"random,{source}", "--runs", str(kept))
    done = CliRunner().invoke(main, ["learning-curve", *words, *more])
    assert done.exit_code == 0, done.output
    (page,) = kept.glob("studies/learning-curve-*/report.html")
    return page


@pytest.fixture(scope="module")
def index_page(kept: Path, search_page: Path, curve_page: Path) -> Path:
    done = CliRunner().invoke(main, ["report", "--all", "--runs", str(kept)])
    assert done.exit_code == 0, done.output
    return kept / "index.html"


@pytest.fixture(params=["search", "curve", "index"])
def further(
    request: pytest.FixtureRequest, search_page: Path, curve_page: Path, index_page: Path
) -> Path:
    return {"search": search_page, "curve": curve_page, "index": index_page}[request.param]


def test_further_pages_open_without_an_error_at_any_width(browser: Any, further: Path) -> None:
    assert further.stat().st_size < LIMIT
    for width in (390, 1280):
        for scheme, paper in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(22, 24, 27)")):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            opened(browser, further, width)
            assert [entry["message"] for entry in browser.get_log("browser")] == []
            script = "return getComputedStyle(document.body).backgroundColor"
            assert browser.execute_script(script) == paper
            wide, there = browser.execute_script(
                "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
            )
            assert wide == there <= width
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    loaded = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert [n for n in browser.execute_script(loaded) if not n.startswith("data:")] == []


def test_the_figures_of_a_search_are_drawn_and_switched(browser: Any, search_page: Path) -> None:
    opened(browser, search_page)
    drawn = {f.get_attribute("data-name") for f in elements(browser, "figure[data-name]")}
    assert drawn == {"history", "hyperparameters"}  # eight trials are too few for importance
    marks = "figure[data-name='history'] .mark-symbol path"
    assert len(elements(browser, marks)) == 9
    figure = "figure[data-name='history']"
    for box in elements(browser, f"{figure} .switches input"):
        if box.get_attribute("value") == "no score":
            box.click()
    until(browser, f'return document.querySelector("{figure}").dataset.hidden == 1')
    assert len(elements(browser, marks)) == 8
    points = "figure[data-name='hyperparameters'] .mark-symbol path"
    assert len(elements(browser, points)) == 8 + 8 + 3  # rate, optimizer, and momentum where it is


def test_pointing_at_a_trial_reads_its_hyperparameters_off(browser: Any, search_page: Path) -> None:
    from selenium.webdriver import ActionChains

    opened(browser, search_page)
    first = elements(browser, "figure[data-name='history'] .mark-symbol path")[0]
    ActionChains(browser).move_to_element(first).perform()
    until(browser, "const tip = document.querySelector('#vg-tooltip-element');"
                   "return tip && tip.classList.contains('visible')")  # fmt: skip
    told = elements(browser, "#vg-tooltip-element")[0].text
    assert "0000" in told
    assert "adam" in told
    assert "not used" in told


def test_the_trials_of_a_search_are_sorted_by_a_hyperparameter(
    browser: Any, search_page: Path
) -> None:
    opened(browser, search_page)
    table = "table[data-name='trials']"
    assert elements(browser, f"{table} tbody th")[0].text == "0008"
    headers = [header.text.strip() for header in elements(browser, f"{table} thead th")]
    at = headers.index("rate")
    elements(browser, f"{table} thead th")[at].find_element("css selector", "button").click()
    names = [cell.text for cell in elements(browser, f"{table} tbody th")]
    assert names == [f"{number:04}" for number in range(9)]


def test_the_lines_of_a_learning_curve_are_switched_in_both_panels(
    browser: Any, curve_page: Path
) -> None:
    opened(browser, curve_page)
    figure = "figure[data-name='learning_curve']"
    assert len(elements(browser, f"{figure} .panel")) == 2
    assert len(elements(browser, f"{figure} .mark-line path")) == 4
    elements(browser, f"{figure} .switches input")[0].click()
    until(browser, f'return document.querySelector("{figure}").dataset.hidden == 1')
    assert len(elements(browser, f"{figure} .mark-line path")) == 2
    # the table beside it, by the name of the variant
    header = elements(browser, "table[data-name='test_accuracy'] thead th")[0]
    header.find_element("css selector", "button").click()
    names = [c.text for c in elements(browser, "table[data-name='test_accuracy'] tbody th")]
    weights = [name.rpartition(", ") for name in names]  # 50% stands before 100%
    assert names == [
        "".join(parts) for parts in sorted(weights, key=lambda p: (p[0], int(p[2].rstrip("%"))))
    ]
    assert len(names) == 4


def test_the_index_is_filtered_by_typing_and_by_kind(browser: Any, index_page: Path) -> None:
    from selenium.webdriver.support.select import Select

    opened(browser, index_page)

    def shown() -> list[str]:
        rows = elements(browser, "table.index tbody tr:not([hidden])")
        return [row.get_attribute("data-kind") for row in rows]

    everything = shown()
    assert set(everything) == {"run", "study", "search"}
    box = elements(browser, "form.filter input")[0]
    box.send_keys("RATES digits")
    assert shown() == ["search"]
    assert elements(browser, "form.filter output")[0].text == f"1 of {len(everything)} shown"
    box.clear()
    box.send_keys("convnet test accuracy")
    assert set(shown()) == {"run", "study"}
    box.clear()
    box.send_keys("no such thing")
    assert shown() == []
    box.clear()
    Select(elements(browser, "form.filter select")[0]).select_by_value("search")
    assert shown() == ["search"]
    # what is shown leads to its page
    elements(browser, "table.index tbody tr:not([hidden]) a")[0].click()
    until(browser, "return document.title.includes('rates')")


def test_the_index_is_sorted_by_what_was_measured(browser: Any, index_page: Path) -> None:
    opened(browser, index_page)
    headers = elements(browser, "table.index thead th")
    names = [header.text.strip() for header in headers]
    headers[names.index("measured")].find_element("css selector", "button").click()
    script = (
        "return [...document.querySelectorAll('table.index tbody tr')]"
        ".map(row => Number(row.cells[arguments[0]].dataset.value))"
    )
    values = browser.execute_script(script, names.index("measured"))
    assert values == sorted(values)
    assert len(values) > 4
