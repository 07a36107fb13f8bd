"""The page at / in a real browser: headless Chromium, where there is one, by Selenium."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Points = Sequence[tuple[int, int]]
MNIST = Path(__file__).parents[2] / "saved_models" / "mnist"
ONE: Points = [(145, 45), (142, 120), (138, 235)]
SEVEN: Points = [(70, 60), (200, 60), (150, 140), (115, 235)]
"""Strokes on a paper of 280 x 280."""


def until(browser: Any, script: str, seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not (found := browser.execute_script(script)):
        assert time.monotonic() < end, script
        time.sleep(0.02)
    return found


def opened(browser: Any, url: str, width: int = 1280, theme: str = "light") -> None:
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # of earlier pages
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    theme_of = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", theme_of)
    browser.get(url)


@pytest.fixture
def page(browser: Any, running: Any) -> Iterator[Any]:
    opened(browser, running.url)
    yield browser
    errors = [entry["message"] for entry in browser.get_log("browser")]
    assert errors == []


def draw(browser: Any, points: Points, kind: str = "mouse", *, lift: bool = True) -> None:
    """Draw a stroke by pointer events, in the steps of a hand."""
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    canvas = browser.find_element("css selector", "canvas")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    box = browser.execute_script("return arguments[0].getBoundingClientRect()", canvas)
    actions = ActionBuilder(browser, mouse=PointerInput(kind, kind), duration=10)
    path = np.concatenate([np.linspace(a, b, 6) for a, b in pairwise(points)])
    for at, point in enumerate(path):
        x, y = (
            int(box[side] + place * box["width"] / 280)
            for side, place in zip(("x", "y"), point, strict=True)
        )
        actions.pointer_action.move_to_location(x, y)
        if at == 0:
            actions.pointer_action.pointer_down()
    if lift:
        actions.pointer_action.pointer_up()
    actions.perform()


ANSWER = (
    "const text = document.querySelector('#answer').textContent; return /^{},/.test(text) && text"
)
BARS = (
    "return [...document.querySelectorAll('#bars tr')].map(row => "
    "[row.cells[0].textContent, row.cells[2].textContent, "
    "row.cells[1].firstChild.getBoundingClientRect().width])"
)


@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_a_drawn_one_is_a_one(page: Any, kind: str) -> None:
    draw(page, ONE, kind)
    answer = until(page, ANSWER.replace("{}", "1"))
    share = float(answer.removeprefix("1, ").removesuffix(" %"))
    assert share > 80
    rows = page.execute_script(BARS)
    assert [name for name, *_ in rows] == list("0123456789")
    assert rows[1][1] == f"{share:.1f} %"
    assert max(rows, key=lambda row: row[2])[0] == "1"
    looked = until(
        page,
        "const [shown, map] = ['looked', 'map'].map(id => document.getElementById(id));"
        "return !shown.hidden && map.naturalWidth === 28 && shown",
    )
    assert "when a patch is covered" in looked.text
    page.find_element("css selector", "#clear").click()
    assert page.execute_script(BARS) == []
    assert not looked.is_displayed()
    draw(page, SEVEN, kind)
    until(page, ANSWER.replace("{}", "7"))


def test_probabilities_are_shown_while_drawing_and_read_out_after(page: Any) -> None:
    draw(page, ONE, lift=False)
    until(page, "return document.querySelectorAll('#bars tr').length === 10")
    status = page.find_element("css selector", "#answer")
    assert status.text == "Nothing yet."
    assert status.get_attribute("aria-live") == "polite"
    draw(page, ONE)
    until(page, ANSWER.replace("{}", "1"))


def seen(browser: Any) -> np.ndarray:
    """Return the grey levels of the image that the page says the model saw."""
    script = """
        const image = document.querySelector('#seen'), canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        return [...data].filter((_, at) => at % 4 === 0)"""
    values = np.array(browser.execute_script(script))
    return values.reshape(28, -1)


def test_a_drawing_is_made_as_mnists_digits_were(page: Any) -> None:
    assert "20 x 20" in page.find_element("css selector", "figure.seen").text
    small_in_a_corner = [(20 + x // 5, 15 + y // 5) for x, y in SEVEN]
    for strokes in (SEVEN, small_in_a_corner):
        draw(page, strokes)
        until(page, ANSWER.replace("{}", "[0-9]"))
        digit = seen(page).astype(float)
        assert digit.shape == (28, 28)
        down, across = np.nonzero(digit > 60)
        assert 18 <= max(np.ptp(down), np.ptp(across)) + 1 <= 21
        places = np.arange(28) + 0.5
        centre = [(digit.sum(axis=axis) * places).sum() / digit.sum() for axis in (0, 1)]
        np.testing.assert_allclose(centre, 14, atol=0.35)
        page.find_element("css selector", "#clear").click()


def test_it_is_drawn_by_keyboard(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    canvas = page.find_element("css selector", "canvas")
    canvas.send_keys(*[Keys.ARROW_UP] * 7, Keys.SPACE, *[Keys.ARROW_DOWN] * 14, Keys.SPACE)
    until(page, ANSWER.replace("{}", "1"))
    page.find_element("css selector", "#undo").click()
    assert page.find_element("css selector", "#answer").text == "Nothing yet."


def test_an_image_is_chosen_dropped_and_pasted(
    page: Any, digits: np.ndarray, file_of: Callable[..., bytes], mnist: Any, tmp_path: Path
) -> None:
    labels = mnist.predict(digits).labels
    for at, way in enumerate(("choose", "drop", "paste")):
        png = file_of(digits[at])
        if way == "choose":
            (tmp_path / "digit.png").write_bytes(png)
            chooser = page.find_element("css selector", "#file")
            assert chooser.accessible_name == "Choose an image"
            chooser.send_keys(str(tmp_path / "digit.png"))
        else:
            page.execute_script(
                """
                const bytes = Uint8Array.from(atob(arguments[0]), each => each.charCodeAt(0));
                const data = new DataTransfer();
                data.items.add(new File([bytes], 'digit.png', {type: 'image/png'}));
                dispatchEvent(arguments[1] === 'drop' ? new DragEvent('drop', {dataTransfer: data})
                    : new ClipboardEvent('paste', {clipboardData: data}))""",
                base64.b64encode(png).decode(),
                way,
            )
        until(page, ANSWER.replace("{}", labels[at]))
        np.testing.assert_array_equal(seen(page), digits[at].squeeze())


def test_what_is_no_image_is_said(page: Any, tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("no image")
    page.find_element("css selector", "#file").send_keys(str(tmp_path / "words.png"))
    said = until(page, "return document.querySelector('#answer.wrong')?.textContent")
    assert said.startswith("no PNG, JPEG")
    # the browser logs the answer 400 itself
    assert [
        entry for entry in page.get_log("browser") if "status of 400" not in entry["message"]
    ] == []


def test_it_loads_nothing_from_elsewhere_and_nothing_foreign_runs(page: Any, running: Any) -> None:
    draw(page, ONE)
    until(page, ANSWER.replace("{}", "1"))
    urls = [
        message["params"]["request"]["url"]
        for entry in page.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    assert f"{running.url}predict?image=1&invert=no" in urls
    assert all(url.startswith((running.url, "data:", "blob:")) for url in urls)
    policy = running.client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    # Selenium's own script is past the policy; an element that it adds is not
    page.execute_script(
        "const added = document.createElement('script'); added.textContent = 'window.foreign = 1';"
        "document.body.append(added)"
    )
    assert page.execute_script("return window.foreign") is None
    assert any("Content Security Policy" in entry["message"] for entry in page.get_log("browser"))


@pytest.fixture(scope="module")
def garments(serving: Any) -> Iterator[Any]:
    with serving(MNIST.with_name("fashion")) as started:
        yield started


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_phone_and_both_themes(
    browser: Any, garments: Any, width: int, theme: str
) -> None:
    opened(browser, garments.url, width, theme)
    draw(browser, SEVEN, "touch" if width == 390 else "mouse")
    until(browser, ANSWER.replace("{}", "[A-Z].*"))
    wide, there = browser.execute_script(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    )
    assert wide == there <= width
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 27)"}[theme]
    # what was drawn fills the frame: no centre of mass for garments
    down, across = np.nonzero(seen(browser) > 20)
    assert (np.ptp(down) + 1, np.ptp(across) + 1) == pytest.approx((28, 23), abs=2)
    # on a phone that is 844 pixels high the most probable class is seen while drawing
    assert browser.execute_script("return document.querySelector('#bars').offsetTop") < 700


def test_everything_has_a_name_and_the_card_is_there(page: Any, mnist: Any) -> None:
    for element in page.find_elements("css selector", "button, input, canvas, img, table"):
        name = element.accessible_name or element.get_attribute("alt")  # what is hidden has no name
        assert name or element.tag_name == "table", element.get_attribute("outerHTML")
    facts = page.find_element("css selector", "table.facts").text
    test = mnist.card["test"]
    assert f"{test['accuracy']:.2%}".replace("%", " %") in facts
    assert "10,000 test images of MNIST" in facts
    assert "1, SavedModel" in facts
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in facts


def test_names_are_escaped(serving: Any, tmp_path: Path, monkeypatch: Any, mnist: Any) -> None:
    from dataclasses import replace

    nasty = "</script><script>alert(1)</script>"
    loaded = replace(mnist, class_names=(nasty, *"123456789"), path=tmp_path / "<b>" / "1")
    monkeypatch.setattr("kerascw.serving.shelf.load_model", lambda _: loaded)
    with serving(tmp_path / "<b>" / "1") as server:
        page = server.client.get("/").text
    assert nasty not in page
    assert "<b>" not in page
    assert page.count("<script>") == 1
