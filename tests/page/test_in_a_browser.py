"""A person's walk through the page in a real Chromium: every mode, small and dark too. Screenshots lie in $SCREENSHOTS, or pytest's folder."""

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripts.conftest import DISCLOSED, make_workplace
from tests.support.workspace import ROOT
from tonetune.core.rows import read_rows
from tonetune.evaluation.names import BASE, TUNED
from tonetune.page.choices import Choice

pytest.importorskip("gradio", reason="`make page` installs it (requirements-page.lock)")
playwright = pytest.importorskip("playwright.sync_api", reason="requirements-page.lock brings Playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: `apt-get install chromium`"),
]
WINDOW_OF_THE_PERSONA = 1024  # tokens
PATIENCE = 120_000  # milliseconds, on a machine that does other things


@pytest.fixture(scope="module")
def place(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place to talk in whose model reads as much as the persona's own prompt is long, with what a run shows and readers rated."""
    place = make_workplace(tmp_path_factory.mktemp("page"), tokenizer_folder, WINDOW_OF_THE_PERSONA)
    reports = place / "reports"
    reports.mkdir()
    (reports / "evaluation.html").write_text("<title>Report</title><p>The report of this run</p>")
    (reports / "samples.md").write_text("Answers of four systems")
    shutil.copytree(ROOT / "data/readers", place / "data/readers")
    return place


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """The page's address, served by the command itself."""
    command = [sys.executable, "-m", "scripts.page", "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield re.match(r"http://127\.0\.0\.1:\d+", line)[0]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, address: str, tmp_path: Path):
    """Open the page in a window of its own; which hosts it asked is in `asked`."""
    contexts = []
    screenshots = Path(os.environ.get("SCREENSHOTS", tmp_path / "screenshots"))
    screenshots.mkdir(parents=True, exist_ok=True)

    def opened(**settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))

        def picture(name: str) -> None:
            page.evaluate(
                "window.scrollTo(0, 0)"
            )  # what is fixed to the window would stand in the middle of the picture
            page.screenshot(path=screenshots / f"{name}.png", full_page=True)

        page.picture = picture
        page.goto(address)
        page.get_by_text("AI imitation.").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()


def filled(page, place: str) -> str:
    """The text of an answer once it stays as it is."""
    box = page.locator(f"{place} textarea")
    playwright.expect(box).not_to_have_value("", timeout=PATIENCE)
    said = None
    while said != (said := box.input_value()):
        page.wait_for_timeout(1500)
    return said


def test_a_talk_by_keyboard_alone_under_a_disclosure_that_stays(visit) -> None:
    page = visit()
    page.get_by_label("Question").first.focus()
    page.keyboard.type("Why is the sky blue?")
    page.keyboard.press("Enter")
    page.locator(".bot.message, .message.bot").first.wait_for()
    playwright.expect(page.locator(".bot.message, .message.bot").first).not_to_have_text("", timeout=PATIENCE)
    playwright.expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=PATIENCE)  # the answer is whole
    page.picture("talk")
    page.mouse.wheel(0, 5000)
    playwright.expect(page.get_by_text(DISCLOSED)).to_be_in_viewport()


def test_a_talk_goes_on_by_the_button_and_an_empty_question_is_none(visit) -> None:
    page = visit()
    said = page.locator(".bot.message, .message.bot")
    for number, question in enumerate(("Why is the sky blue?", "And at night?"), 1):
        page.get_by_label("Question").first.fill(question)
        page.get_by_role("button", name="Send").click()
        page.get_by_text(question, exact=True).wait_for()
        playwright.expect(said).to_have_count(number, timeout=PATIENCE)
        playwright.expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Send").click()
    page.get_by_text("Ask something first.").wait_for()
    playwright.expect(said).to_have_count(2)


def test_side_by_side_answers_differ_and_come_again_from_the_same_seed(visit) -> None:
    page = visit()
    page.get_by_role("tab", name="Side by side").click()
    seen = []
    for _ in range(2):
        page.get_by_label("Question to all three").fill("Why is the sky blue?")
        page.get_by_role("button", name="Ask all three").click()
        page.wait_for_timeout(1000)
        seen.append([filled(page, f"#pane-{name}") for name in (TUNED, BASE, "base_prompted")])
    page.picture("side-by-side")
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 3
    playwright.expect(page.get_by_text(DISCLOSED)).to_be_in_viewport()


def test_a_text_of_ones_own_is_rewritten(visit) -> None:
    page = visit()
    page.get_by_role("tab", name="Rewrite").click()
    page.get_by_label("Your text").fill("The meeting is on Monday.\n\nBring a cup.")
    page.get_by_role("button", name="Rewrite").click()
    first, between, last = filled(page, "#rewritten").split("\n")  # line by line
    assert first
    assert last
    assert between == ""
    page.picture("rewrite")


def test_blind_tells_whose_is_whose_only_after_the_choice_which_is_saved(visit, place: Path) -> None:
    page = visit()
    page.get_by_role("tab", name="Blind").click()
    page.get_by_label("Your name or initials").fill("ab")
    page.get_by_label("Question (empty: one by chance)").fill("Why is the sky blue?")
    page.get_by_role("button", name="New pair").click()
    left, right = filled(page, "#left"), filled(page, "#right")
    assert left != right
    assert "Left was" not in page.content()
    page.picture("blind-before")
    page.get_by_role("button", name="Save my choice").click()  # without one: told, and nothing is saved
    page.get_by_text("both choices are needed").wait_for()
    page.locator("#persona").get_by_label("Left").check()
    page.locator("#sense").get_by_label("I can't tell").check()
    page.get_by_role("button", name="Save my choice").click()
    page.get_by_text("Left was").wait_for()
    page.picture("blind-after")
    (choice,) = [c for c in read_rows(place / "reports/choices.jsonl", Choice) if c.reader == "ab"]
    assert (choice.reader, choice.persona, choice.sense, choice.other) == ("ab", "left", "neither", BASE)
    assert [text.split() for text in choice.shown] == [left.split(), right.split()]  # a browser has its own line ends
    said = page.locator("#outcome").inner_text()
    assert f"Left was {'Tuned' if choice.left == TUNED else 'Untuned base'}" in said
    assert ("100%" if choice.left == TUNED else "0%") in said
    # The way on, into what is committed beside the ratings.
    command = [sys.executable, "-m", "scripts.readers", "take", "reports/choices.jsonl"]
    subprocess.run(command, cwd=place, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    with open(place / "metrics/readers.csv", encoding="utf-8") as file:
        counted = [row for row in csv.DictReader(file) if row["figure"] == "taken for the persona's, beside base"]
    every = [c for c in read_rows(place / "reports/choices.jsonl", Choice) if c.persona != "neither"]
    share = sum((c.persona == "left") == (c.left == TUNED) for c in every) / len(every)
    assert [(row["system"], float(row["mean"]), int(row["answers"])) for row in counted] == [(TUNED, share, len(every))]


def test_blind_by_keyboard_alone(visit, place: Path) -> None:
    page = visit()

    def reach(css: str, text: str = "") -> None:
        """Press Tab until the focus is on what this selects and says."""
        found = (
            "([css, text]) => document.activeElement.matches(css) && document.activeElement.innerText.startsWith(text)"
        )
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate(found, [css, text]):
                return
        raise AssertionError(f"Tab does not reach {css} {text}")

    reach("[role=tab]", "Blind")
    page.keyboard.press("Enter")
    page.get_by_label("Your name or initials").wait_for()
    reach("#reader *")
    page.keyboard.type("keys")
    reach("#blind-question *")
    page.keyboard.type("Why is the sky blue?")
    reach("button", "New pair")
    page.keyboard.press("Enter")
    assert filled(page, "#left") != filled(page, "#right")
    for side in ("#persona", "#sense"):
        reach(f"{side} input")
        page.keyboard.press("Space")
    reach("button", "Save my choice")
    page.keyboard.press("Enter")
    page.get_by_text("Left was").wait_for()
    (choice,) = [c for c in read_rows(place / "reports/choices.jsonl", Choice) if c.reader == "keys"]
    assert (choice.persona, choice.sense) == ("left", "left")


def test_the_run_is_one_click_away(visit) -> None:
    page = visit()
    for name, text in (("report", "The report of this run"), ("sample answers", "Answers of four systems")):
        with page.context.expect_page() as opened:
            page.locator("#disclosure").get_by_role("link", name=name).click()
        opened.value.get_by_text(text).wait_for()
    assert page.locator("#disclosure").get_by_role("link", name="experiments").get_attribute("href") == "/experiments"


def test_a_small_dark_screen_shows_everything_within_its_width(visit) -> None:
    page = visit(viewport={"width": 360, "height": 640}, color_scheme="dark")
    disclosure, tabs = (page.locator(css).first.bounding_box() for css in ("#disclosure", "[role=tab]:visible"))
    assert disclosure["y"] + disclosure["height"] <= tabs["y"]  # it covers nothing that one has to press
    for tab in ("Talk", "Side by side", "Rewrite", "Blind"):
        found = page.get_by_role("tab", name=tab)
        if not found.is_visible():  # Gradio folds what has no room into a menu
            page.locator(".overflow-menu > button").click()
            found = page.locator(".overflow-dropdown").get_by_text(tab)
        found.click()
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, tab
        page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        playwright.expect(page.get_by_text(DISCLOSED)).to_be_in_viewport()
        scrolled = page.evaluate("window.scrollY")
        page.picture(f"small-dark-{tab.lower().replace(' ', '-')}")
    assert scrolled > 200  # there was something to scroll
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", background)[:3])) < 100, background


def test_it_asks_no_other_machine_for_anything(visit, address: str) -> None:
    page = visit()
    page.wait_for_timeout(2000)
    assert page.asked
    assert [url for url in page.asked if not url.startswith((address, "data:", "blob:"))] == []
