"""The page: its figures are those of the files, its text is escaped, and it needs nothing else."""

import csv
import json
from pathlib import Path

import pytest

from tests.support.html_page import Page
from tests.support.workspace import ROOT
from tonetune.core.params import load_params
from tonetune.core.pipeline import stage
from tonetune.core.tables import read_measures
from tonetune.report.page import flat


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
        "tuned_best",
        controls[0],
    ]
    for system in shown:
        assert page.figures["scores", "", system] == expected[system]
    for name in controls:
        assert page.figures["controls", "", name] == [*expected[name][:3], *expected[name][3::3]]
    assert expected["tuned"][0] == pytest.approx(metrics(tiny_workspace, "evaluate")["joint"], abs=2e-6)
    # Rounded after a mean of another order: the last of six digits may differ.
    cut = metrics(tiny_workspace, "baselines")["controls"]["cut"]["joint"]
    assert expected["cut"][0] == pytest.approx(cut, abs=2e-6)


def test_the_comparisons_on_the_page_are_those_of_the_file(page, tiny_workspace):
    rows = table(tiny_workspace, "comparison")
    assert len(rows) == 2 * len(metrics(tiny_workspace, "baselines"))  # all but the controls, and the best of several
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
    for measure in ("says_it_is_an_ai", "says_it_unasked"):
        assert retention["tuned"][measure] == page.figures["probes", "", measure][0]
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


def test_the_page_shows_the_params_that_decide_it_and_a_change_of_any_reruns_evaluate(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    evaluate = stage("evaluate")
    assert {Path("tonetune/report/template.html.j2"), Path("tonetune/report/style.css")} <= set(evaluate.code)
    reported = flat(load_params().model_dump(), evaluate.params)
    assert {name.split(".")[0] for name in evaluate.params} == {name.split(".")[0] for name in reported}
    assert not [name for name in reported if name not in page.texts]
    values = {"train": {"lora": {"r": 4}, "epochs": 1.0}, "trainer": 1, "seed": 17}
    assert flat(values, ["train", "seed"]) == {"train.lora.r": 4, "train.epochs": 1.0, "seed": 17}
    for name in ("train.lora.r", "evaluate.temperature", "split.train_size"):
        assert name in page.texts
