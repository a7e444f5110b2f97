"""The page in a headless Chromium: typing, clicking, keys, hostile words, phone width.

X2STATIC_CHROMIUM names the browser's executable; without it, or without the package playwright, these are skipped.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.pipeline.explore.conftest import HOSTILE, IMAGE, SCRIPT, Served, make_vectors, serving
from x2static.pipeline.explore.answers import Searchable

CHROMIUM = os.environ.get("X2STATIC_CHROMIUM")
if not CHROMIUM:
    pytest.skip("X2STATIC_CHROMIUM does not name a Chromium to test the page in", allow_module_level=True)
api = pytest.importorskip("playwright.sync_api", reason="the page is tested through the package playwright")

ARGUMENTS = "--no-sandbox --single-process --no-zygote --disable-gpu --disable-dev-shm-usage --in-process-gpu".split()
PHONE = {"width": 390, "height": 844}


@contextmanager
def opened(served: Served, view: str = "", **options: Any) -> Iterator[Any]:
    """Show the page in a browser of its own; whatever runs that should not, or fails, fails the test."""
    problems: list[str] = []
    asked: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=20_000)
        page = browser.new_context(**options).new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"http://127.0.0.1:{served.port}/{view}")
        page.wait_for_selector("nav a[aria-current]")
        yield page
        browser.close()
    assert problems == []
    assert [url for url in asked if not url.startswith((f"http://127.0.0.1:{served.port}/", "data:"))] == []


def until(page: Any, expression: str) -> None:
    """Wait until an expression is true; Playwright's own way needs eval, which the page's policy forbids."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise TimeoutError(expression)


def texts(page: Any, selector: str) -> list[str]:
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def test_neighbours_appear_as_one_types_and_a_click_goes_on(served):
    with opened(served) as page:
        page.keyboard.type("king")  # the field has the focus from the start
        page.wait_for_selector("#neighbours .near li")
        assert page.locator("#neighbours .sets > section").count() == 2
        nearest = served.answer("neighbours", word="king", n=20)["sets"][1]["nearest"]
        assert texts(page, "#neighbours section:last-child .near li a") == [near["word"] for near in nearest]
        page.click("#neighbours .near a >> text=queen >> nth=0")
        until(page, "document.querySelector('#neighbours input').value === 'queen'")
        assert page.url.endswith("#/neighbours/queen")
        page.go_back()
        until(page, "document.querySelector('#neighbours input').value === 'king'")


def test_completions_are_chosen_with_the_keyboard(served):
    with opened(served) as page:
        page.keyboard.type("k")
        page.wait_for_selector("#neighbours .choices li >> text=kings")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        assert page.input_value("#neighbours input") == "kings"
        page.wait_for_selector("#neighbours bdi >> text=kings")
        assert page.locator("#neighbours .choices li").count() == 0
        page.keyboard.press("Alt+Digit2")
        page.wait_for_selector("#analogy:visible")
        page.keyboard.press("Escape")
        page.locator("nav a").first.focus()
        page.keyboard.press("/")
        page.keyboard.type("king")
        assert page.input_value("#analogy [name=a]") == "king"


def test_an_unknown_word_is_answered_with_near_ones_to_click(served):
    with opened(served, "#/similarity/king/quen") as page:
        page.wait_for_selector("#similarity .unknown")
        assert "quen is not among these words; near it:" in texts(page, "#similarity .unknown p")
        page.click("#similarity .unknown button >> text=queen >> nth=0")
        page.wait_for_selector("#similarity .big")
        cosine = served.answer("similarity", a="king", b="queen")["sets"][0]["cosine"]
        assert texts(page, "#similarity .big")[0] == f"{cosine:.3f}".replace("-", "−")


def test_an_analogy_and_sentences_are_answered(served):
    with opened(served, "#/analogy/king/man/woman") as page:
        page.wait_for_selector("#analogy .near")
        assert "woman is not among these words" in " ".join(texts(page, "#analogy .unknown p"))
        page.click("nav >> text=Sentences")
        page.fill("#sentences textarea", "the king\nqueen man\nnowhere")
        page.wait_for_selector("#sentences table")
        cosine = served.answer("sentences", ["the king", "queen man"])["sets"][0]["cosines"][0][1]
        assert texts(page, "#sentences tbody tr:first-child td")[2] == f"{cosine:.3f}".replace("-", "−")
        assert texts(page, "#sentences tbody tr:nth-child(3) td")[1:4] == ["–", "–", "–"]
        assert "nowhere" in texts(page, "#sentences .missing")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["neighbours/king", f"similarity/king/{SCRIPT}", "map", "run", "sentences"])
def test_hostile_words_are_text_and_no_view_is_wider_than_a_phone(served, view, scheme):
    with opened(served, f"#/{view}", viewport=PHONE, color_scheme=scheme) as page:
        page.wait_for_timeout(500)
        if view == "sentences":
            page.fill("#sentences textarea", "\n".join([SCRIPT, IMAGE, "x" * 3000]))
            page.wait_for_selector("#sentences table")
        if view.startswith("neighbours"):
            page.wait_for_selector("#neighbours .near")
            shown = texts(page, "#neighbours .near a")
            assert {SCRIPT, IMAGE, "\\u202eturned", "a\\u000ab"} <= set(shown)
        if view == "run":
            page.wait_for_selector("#settings td")
            assert SCRIPT in texts(page, "#settings td")
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_map_is_drawn_zooms_and_opens_words(served):
    with opened(served, "#/map") as page:
        drawn = "new Set(document.querySelector('#canvas').getContext('2d').getImageData(0, 0, 900, 400).data).size > 5"
        until(page, f"map.points && {drawn}")
        for act, factor in (
            (lambda: page.click("#map button >> text=+"), 1.4),
            (lambda: page.press("#canvas", "+"), 1.4),
            (lambda: page.press("#canvas", "-"), 1 / 1.4),
            (lambda: page.press("#canvas", "0"), None),
        ):
            before = page.evaluate("map.zoom")
            act()
            assert page.evaluate("map.zoom") == pytest.approx(before * factor if factor else 1)
        page.hover("#canvas")
        page.mouse.wheel(0, -300)
        until(page, "map.zoom > 1.2")
        page.fill("#map [name=find]", "queen")
        until(page, "document.querySelector('#under').textContent.startsWith('queen, ')")
        page.click("#canvas", position=page.evaluate("(([x, y]) => ({ x, y }))(onScreen(map.over))"))
        until(page, "location.hash === '#/neighbours/queen'")


def test_a_word_that_is_typed_while_the_map_is_computed_is_found(served):
    with opened(served) as page:
        page.click("nav >> text=Map")
        page.type("#map [name=find]", "queen", delay=0)
        until(page, "document.querySelector('#under').textContent.startsWith('queen, ')")


def test_what_differs_is_shown_alone(served):
    with opened(served, "#/run") as page:
        page.wait_for_selector("#settings td")
        before = page.locator("#settings tbody tr").count()
        page.check("#only input")
        assert 0 < page.locator("#settings tbody tr").count() < before


def test_a_server_that_has_ended_is_said():
    with serving(Searchable("one", make_vectors(["king", *HOSTILE]))) as served, api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=20_000)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{served.port}/")
        page.wait_for_selector("nav a[aria-current]")
        page.route("**/api/**", lambda route: route.abort())
        page.type("#neighbours input", "king")
        page.wait_for_selector("#problem >> text=has x2static explore ended?")
        browser.close()


def test_two_fingers_zoom_the_map(served):
    with opened(served, "#/map", viewport=PHONE, has_touch=True) as page:
        until(page, "map.points !== null")
        box = page.locator("#canvas").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        fingers = page.context.new_cdp_session(page)
        for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 60), ("touchEnd", None)):
            points = [] if apart is None else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        assert page.evaluate("map.zoom") == pytest.approx(3, rel=0.05)


@pytest.mark.exhaustive
def test_three_quarters_of_a_million_words_are_searched_as_one_types():
    words = ["king", "queen", *(f"w{i}" for i in range(750_000 - 2))]
    one = Searchable("large", make_vectors(words, dim=16)).prepare()
    with serving(one) as served, opened(served) as page:
        page.keyboard.type("king", delay=0)
        page.wait_for_selector("#neighbours .near li")
        expected = [word for word, _ in one.vectors.most_similar("king", topn=20)]
        assert texts(page, "#neighbours .near a") == expected
        assert "rank 1 of 750,000" in texts(page, "#neighbours .sets p")[0]
