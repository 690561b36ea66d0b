"""The page: its figures are those of the files, its text is escaped, and it needs nothing else."""

import csv
import json
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from ruamel.yaml import YAML

from tests.report.test_statistics import answers
from tests.support.workspace import ROOT
from tonetune.core.persona import Persona
from tonetune.core.rows import Example, Message
from tonetune.core.tables import read_measures
from tonetune.evaluation.lineup import lineup
from tonetune.report.best_and_worst import ranked
from tonetune.report.originality import originality
from tonetune.report.page import Evaluation, calibration, charts, flat, report_page
from tonetune.report.statistics import compare, intervals
from tonetune.report.system_names import title
from tonetune.scoring.calibration import calibration_bins, calibration_error

VOID = {"meta", "br", "line", "rect", "polyline"}
NASTY = '<script>alert("1")</script> | a || b & “ünï – 漢字” <b>'


class Page(HTMLParser):
    """What a browser would make of a page: elements with their ids, texts and, for each table row, its figures."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.section = self.table = self.row = ""
        self.figures: dict[tuple[str, str, str], list[float]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = found["aria-labelledby"]
        if tag == "table":
            self.table = found.get("data-score", "")
        if tag == "tr":
            self.row = found.get("data-system", "")
        if tag == "data":
            self.figures.setdefault((self.section, self.table, self.row), []).append(float(found["value"]))

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(tiny_workspace) -> Page:
    """The page of the tiny pipeline."""
    return Page((tiny_workspace.root / "reports/evaluation.html").read_text())


def table(space, name: str) -> list[dict[str, str]]:
    with open(space.root / f"metrics/{name}.csv") as file:
        return list(csv.DictReader(file))


def metrics(space, name: str):
    return json.loads((space.root / f"metrics/{name}.json").read_text())


def test_the_scores_on_the_page_are_those_of_the_files(page, tiny_workspace):
    expected: dict[str, list[float]] = {}
    for row in table(tiny_workspace, "intervals"):
        expected.setdefault(row["system"], []).extend(float(row[key]) for key in ("mean", "low", "high"))
    controls = list(metrics(tiny_workspace, "baselines")["controls"])
    shown = [key[2] for key in page.figures if key[0] == "scores"]
    assert shown == [
        "tuned",
        *[name for name in metrics(tiny_workspace, "baselines") if name != "controls"],
        controls[0],
    ]
    for system in shown:
        assert page.figures["scores", "", system] == expected[system]
    for name in controls:
        assert page.figures["controls", "", name] == [*expected[name][:3], *expected[name][3::3]]
    assert expected["tuned"][0] == metrics(tiny_workspace, "evaluate")["joint"]
    assert expected["cut"][0] == metrics(tiny_workspace, "baselines")["controls"]["cut"]["joint"]


def test_the_comparisons_on_the_page_are_those_of_the_file(page, tiny_workspace):
    rows = table(tiny_workspace, "comparison")
    assert len(rows) == 2 * (len(metrics(tiny_workspace, "baselines")) - 1)
    for row in rows:
        shown = page.figures["comparisons", row["score"], row["system"]]
        assert shown == [float(row[key]) for key in ("difference", "low", "high", "p")]


def test_originality_perplexity_and_calibration_on_the_page_are_those_of_the_files(page, tiny_workspace):
    originals = read_measures(tiny_workspace.root / "metrics/originality.csv")
    assert {"tuned", "base", "teacher_persona"} <= originals.keys()
    for system, figures in originals.items():
        assert page.figures["originality", "", system] == list(figures.values())
    retention = read_measures(tiny_workspace.root / "metrics/retention.csv")
    base = metrics(tiny_workspace, "baselines")["base"] | retention["base"]
    expected = [value for name, value in base.items() if name.startswith(("perplexity", "bits"))]
    assert page.figures["perplexity", "", "base"] == expected
    assert retention["tuned"]["says_it_is_an_ai"] == page.figures["probes", "", "says_it_is_an_ai"][0]
    errors = page.figures["calibration", "", ""][:1]
    assert errors == pytest.approx([metrics(tiny_workspace, "tone_classifier")["calibration_error"]], abs=1e-6)


def test_the_page_needs_no_network_and_no_script_and_is_small(page, tiny_workspace):
    html = (tiny_workspace.root / "reports/evaluation.html").read_text()
    assert len(html.encode()) < 300_000
    style = html.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "use"}
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")


def test_the_page_can_be_used_without_seeing_it(page):
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert len(ids) == sum("id" in attributes for _, attributes in page.tags)
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in {"row", "col"}
        for reference in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(reference, next(iter(ids))) in ids
        assert (attributes.get("href") or "#")[1:] in ids | {""}


def test_the_disclosure_stands_before_the_first_figure(tiny_workspace):
    html = (tiny_workspace.root / "reports/evaluation.html").read_text()
    assert 0 < html.index("An unofficial AI imitation") < html.index("<data")


def test_the_page_shows_the_params_that_decide_it_and_a_change_of_any_reruns_evaluate(page):
    from stages.evaluate import REPORTED

    evaluate = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]["evaluate"]
    assert sorted(REPORTED) == sorted(evaluate["params"])
    assert {"tonetune/report/template.html.j2", "tonetune/report/style.css"} <= set(evaluate["deps"])
    values = {"train": {"lora": {"r": 4}, "epochs": 1.0}, "trainer": 1, "seed": 17}
    assert flat(values, ["train", "seed"]) == {"train.lora.r": 4, "train.epochs": 1.0, "seed": 17}
    for name in ("train.lora.r", "evaluate.temperature", "split.train_size"):
        assert name in page.texts


@cache
def evaluation() -> Evaluation:
    """A small one, made by hand: the tuned system beats one other, loses to another and ties with a third."""
    good = np.linspace(0.5, 0.9, 9)
    scores = {"tuned": good, "base": good - 0.4, "<rival>": good + 0.05, "twin": good}
    controls = {"teacher_persona": np.full(9, 0.7), "cut": np.full(9, 0.1)}
    rows = [row for name, values in (scores | controls).items() for row in answers(name, values)]
    rows = [row.model_copy(update={"text": f"{row.system}: {NASTY}"}) for row in rows]
    asked = [Message(role="system", content="Be brief."), Message(role="user", content=f"Why {NASTY}?")]
    examples = [
        Example(question_id=f"q{i:03}", category="c", prompt=asked, completion=asked[1:], plain="Yes.")
        for i in range(9)
    ]
    return Evaluation(
        persona=Persona(name=NASTY, disclosure="An AI.", system="Speak."),
        params={"evaluate.note": NASTY},
        tuned="tuned",
        lineup=lineup({"base": {"bits_per_byte_neutral": 1.5}, "<rival>": {}, "twin": {}, "controls": controls}),
        examples=examples,
        generations=rows,
        intervals=intervals(rows, [*scores, *controls], 1),
        comparisons=compare(rows, "tuned", list(scores)[1:], 1),
        calibrations=[calibration("Tone", np.array([0.1, 0.9]), np.array([0, 1]))],
        originality={name: originality(rows, name, ["Yes."]) for name in scores},
        metrics={"joint": 0.5, "perplexity_persona": 12.345},
        retention={},
        judged={},
        ranks=ranked(rows, "tuned", 2),
    )


def test_whatever_the_text_it_is_shown_and_never_run():
    page = Page(report_page(evaluation()))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "b" not in {tag for tag, _ in page.tags}
    assert f"tuned: {NASTY}" in page.texts
    assert f"Why {NASTY}?" in page.texts
    assert NASTY in page.texts
    assert "<rival>" in page.texts
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert any(label.startswith("<rival>: joint 0.75") for label in labels)


def test_verdicts_and_bounds_in_words():
    text = " ".join(" ".join(Page(report_page(evaluation())).texts).split())
    assert "In joint it wins against: Base. It loses to: <rival>. It is undecided against: twin." in text
    assert "<rival> wins" in text
    assert (
        "1 of 2 controls keep their bounds. These do not: Teacher's persona answers ( 0.700 , should be at least 0.75)"
        in text
    )
    assert "There are 6 comparisons, so each interval is a paired bootstrap interval at 99.17" in text


def test_a_page_without_rivals_and_without_a_broken_control():
    alone = replace(evaluation(), lineup=lineup({"controls": {"cut": {}}}), comparisons=[], originality={})
    text = " ".join(Page(report_page(alone)).texts)
    assert "No other system was run." in text
    assert "All 1 controls keep their bounds." in " ".join(text.split())


def test_a_figure_that_was_not_measured_is_a_dash():
    html = report_page(evaluation())
    rows = html.split('<section aria-labelledby="perplexity">')[1].split("</section>")[0].split("<tr")[2:]
    assert [row.count("–") for row in rows] == [1, 1]
    assert "bits per byte, neutral" in html


def test_rivals_ceilings_and_failures_have_their_places():
    entered = lineup(
        {
            "base": {"joint": 0.1},
            "rivals": {
                "hub:a/b": {"prompted": {"joint": 0.2}, "fewshot": {"joint": 0.3}},
                "path:x": {"error": "no file"},
            },
            "ceiling": {"teacher": {"prompted": {"joint": 0.8}}},
            "controls": {"cut": {"joint": 0.0}},
        }
    )
    assert entered.others == ["base", "hub:a/b prompted", "hub:a/b fewshot"]
    assert entered.ceilings == ["teacher prompted"]
    assert entered.controls == ["cut"]
    assert entered.metrics["hub:a/b fewshot"] == {"joint": 0.3}
    assert title("hub:a/b fewshot") == "hub:a/b, told, with examples"
    failed = replace(evaluation(), lineup=replace(evaluation().lineup, failed=entered.failed))
    assert "Not run: path:x (no file)." in " ".join(Page(report_page(failed)).texts)


def test_probes_and_neutral_text_are_shown_where_they_were_run():
    figures = {"tone_drop_the_act": 0.9, "reported_tone_drop_the_act": 0.8, "says_it_is_an_ai": 0.5}
    run = {"tuned": figures | {"perplexity_neutral": 20.5}, "base": dict.fromkeys(figures, 0.1)}
    page = Page(report_page(replace(evaluation(), retention=run)))
    assert page.figures["probes", "", "drop_the_act"] == [0.9, 0.8, 0.1, 0.1]
    assert page.figures["probes", "", "says_it_is_an_ai"] == [0.5, 0.1]
    assert page.figures["perplexity", "", "tuned"] == [12.345, 20.5]
    assert not [key for key in Page(report_page(evaluation())).figures if key[0] == "probes"]


def test_a_judge_is_shown_where_there_was_one():
    judged = {"base": {"wins": 0.5, "losses": 0.2, "ties": 0.3}}
    asked = replace(evaluation(), judged=judged, params={"evaluate.judge": "endpoint:<m>"})
    page = Page(report_page(asked))
    assert page.figures["comparisons", "judge", "base"] == [0.5, 0.3, 0.2]
    assert "endpoint:<m>, finds nearer" in " ".join(page.texts)
    assert "finds nearer" not in report_page(evaluation())


def test_samples_are_chosen_by_rank():
    rows = answers("tuned", [0.3, 0.9, 0.1, 0.5, 0.9, 0.2, 0.4, 0.7, 0.8]) + answers("tuned", [1.0] * 9, seed=2)
    chosen = {
        group: [(rank.question_id, rank.place) for rank in ranks] for group, ranks in ranked(rows, "tuned", 2).items()
    }
    assert chosen == {
        "best": [("q001", 1), ("q004", 2)],
        "median": [("q007", 4), ("q003", 5)],
        "worst": [("q005", 8), ("q002", 9)],
    }
    few = ranked(answers("tuned", [0.1, 0.9]), "tuned", 3)
    assert [[rank.question_id for rank in ranks] for ranks in few.values()] == [["q001"], [], ["q000"]]
    one = ranked(answers("tuned", [0.1]), "tuned", 3)
    assert [len(ranks) for ranks in one.values()] == [1, 0, 0]


def test_drawings_by_hand():
    assert charts.shares([0.0, 0.04, 0.5, 1.0])[0] == 0.5
    assert charts.shares([0.0, 0.04, 0.5, 1.0])[10] == charts.shares([0.0, 0.04, 0.5, 1.0])[-1] == 0.25
    bar = charts.interval_bar(-0.5, 0.0, 0.25, (-1, 1), (0,), "tuned", "a & b")
    assert 'class="range" x1="25.00" x2="62.50"' in bar
    assert 'class="dot" x1="50.00" x2="50.00"' in bar
    assert 'aria-label="a &amp; b"' in bar


def test_calibration_by_hand():
    """Two bins: 0.2 said of two texts, one of them the persona's; 0.9 of two, both the persona's."""
    probabilities, labels = np.array([0.15, 0.19, 0.85, 0.89]), np.array([0, 1, 1, 1])
    low, high = calibration_bins(probabilities, labels)
    assert (low.count, low.observed) == (2, 0.5)
    assert low.predicted == pytest.approx(0.17)
    assert (high.count, high.observed) == (2, 1.0)
    assert calibration_error(probabilities, labels) == pytest.approx((0.33 + 0.13) / 2)
    assert len(calibration_bins(np.array([1.0, 0.0]), np.array([1, 0]))) == 2
