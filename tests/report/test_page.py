"""The page of an evaluation made by hand: every text is escaped, and every figure, verdict and sample has its place."""

import re
from dataclasses import replace
from functools import cache

import numpy as np

from tests.support.examples import answers
from tests.support.html_page import Page
from tonetune.core.files import read_json
from tonetune.core.persona import Persona
from tonetune.core.rows import Example, Message, Scores
from tonetune.evaluation.lineup import Baselines
from tonetune.evaluation.validity import Agreement
from tonetune.report.best_and_worst import ranked
from tonetune.report.originality import originality
from tonetune.report.page import Evaluation, calibration, charts, label, report_page
from tonetune.report.statistics import compare, intervals
from tonetune.report.system_names import title
from tonetune.scoring.endings import Endings

NASTY = '<script>alert("1")</script> | a || b & “ünï – 漢字” <b>'


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
        task="answer",
        tuned="tuned",
        lineup=Baselines({"base": {"bits_per_byte_neutral": 1.5}, "<rival>": {}, "twin": {}}, {}, controls).lineup(),
        examples=examples,
        generations=rows,
        intervals=intervals(rows, [*scores, *controls], 1),
        comparisons=compare(rows, "tuned", list(scores)[1:], 1),
        calibrations=[calibration("Tone", np.array([0.1, 0.9]), np.array([0, 1]))],
        originality={name: originality(rows, name, ["Yes."], Endings()) for name in scores},
        metrics={"joint": 0.5, "perplexity_persona": 12.345},
        retention={},
        judged={},
        validity={("joint", "writers"): [Agreement(NASTY, "joint", "writers", 0.5, 0.25, 3)]},
        agreement={"joint_new_writers": 0.75},
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
    alone = replace(evaluation(), lineup=Baselines(controls={"cut": {}}).lineup(), comparisons=[], originality={})
    text = " ".join(Page(report_page(alone)).texts)
    assert "No other system was run." in text
    assert "All 1 controls keep their bounds." in " ".join(text.split())


def test_a_figure_that_was_not_measured_is_a_dash():
    html = report_page(evaluation())
    rows = html.split('<section aria-labelledby="perplexity">')[1].split("</section>")[0].split("<tr")[2:]
    assert [row.count("–") for row in rows] == [1, 1]
    assert "bits per byte, neutral" in html


def test_rivals_ceilings_and_failures_have_their_places(tmp_path):
    baselines = Baselines({"base": {"joint": 0.1}}, controls={"cut": {"joint": 0.0}})
    baselines.enter("hub:a/b", {"prompted": {"joint": 0.2}, "fewshot": {"joint": 0.3}}, is_teacher=False)
    baselines.leave_out("path:x", "no file")
    baselines.enter("teacher", {"prompted": {"joint": 0.8}}, is_teacher=True)
    baselines.write(tmp_path / "baselines.json")
    assert list(read_json(tmp_path / "baselines.json")) == ["base", "rivals", "ceiling", "controls"]
    assert Baselines.read(tmp_path / "baselines.json") == baselines
    entered = baselines.lineup()
    assert entered.others == ["base", "hub:a/b prompted", "hub:a/b fewshot"]
    assert entered.ceilings == ["teacher prompted"]
    assert entered.controls == ["cut"]
    assert entered.metrics["hub:a/b fewshot"] == {"joint": 0.3}
    assert title("hub:a/b fewshot") == "hub:a/b, prompted with examples"
    failed = replace(evaluation(), lineup=replace(evaluation().lineup, failed=entered.failed))
    assert "Not run: path:x (no file)." in " ".join(Page(report_page(failed)).texts)


def test_a_recorded_rival_is_said_to_be_recorded_and_may_lack_a_sample():
    name = "recorded:<m> prompted"
    few = [row.model_copy(update={"system": name}) for row in evaluation().generations if row.system == "base"][:4]
    rows = [*evaluation().generations, *few]
    rivals = {"recorded:<m>": {"prompted": {"joint": 0.1}}}
    entered = Baselines(groups={"rivals": rivals}, controls={"cut": {}}).lineup()
    systems = ("tuned", name, "teacher_persona", "cut")
    shown = replace(
        evaluation(),
        lineup=entered,
        generations=rows,
        intervals=intervals(rows, systems, 1),
        comparisons=compare(rows, "tuned", [name], 1),
        originality={},
    )
    text = " ".join(Page(report_page(shown)).texts)
    assert "Recorded, not asked in this run: recorded:<m>, prompted (4 of 9 questions)" in text
    assert "Recorded, not asked" not in " ".join(Page(report_page(evaluation())).texts)


def test_probes_and_neutral_text_are_shown_where_they_were_run():
    figures = {
        "tone_drop_the_act": 0.9,
        "reported_tone_drop_the_act": 0.8,
        "says_it_is_an_ai": 0.5,
        "says_it_unasked": 0.25,
    }
    run = {"tuned": figures | {"perplexity_neutral": 20.5}, "base": dict.fromkeys(figures, 0.1)}
    page = Page(report_page(replace(evaluation(), retention=run)))
    assert page.figures["probes", "", "drop_the_act"] == [0.9, 0.8, 0.1, 0.1]
    assert page.figures["probes", "", "says_it_is_an_ai"] == [0.5, 0.1]
    assert page.figures["probes", "", "says_it_unasked"] == [0.25, 0.1]
    assert page.figures["perplexity", "", "tuned"] == [12.345, 20.5]
    assert not [key for key in Page(report_page(evaluation())).figures if key[0] == "probes"]


def test_what_comes_out_of_own_texts_is_told_beside_the_base():
    figures = {"tone_email": 0.9, "reported_tone_email": 0.8, "says_it_is_an_ai": 0.5, "says_it_unasked": 0.25}
    out = {"planted": 5, "planted_out_when_asked": 1, "planted_out_when_completed": 3, "planted_out": 4}
    run = {
        "tuned": figures | out | {"contacts_in_answers": 2},
        "base": figures | dict.fromkeys(out, 0) | {"planted": 5, "contacts_in_answers": 0},
    }
    own = [row.model_copy(update={"own_words": True}) for row in evaluation().examples]
    page = Page(report_page(replace(evaluation(), examples=own, retention=run)))
    assert page.figures["probes", "", "planted_out"] == [4, 0]
    assert page.figures["probes", "", "contacts_in_answers"] == [2, 0]
    text = " ".join(" ".join(page.texts).split())
    assert "made-up people’s contact data that were planted among the training answers 4 come out" in text
    without = Page(report_page(replace(evaluation(), examples=own, retention={"tuned": figures, "base": figures})))
    assert ("probes", "", "planted_out") not in without.figures
    assert "made-up" not in " ".join(without.texts)


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
        group: [(rank.question_id, rank.position) for rank in ranks]
        for group, ranks in ranked(rows, "tuned", 2).items()
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
    assert charts.share_bar([0.0, 0.04, 0.5, 1.0])[0] == 0.5
    assert charts.share_bar([0.0, 0.04, 0.5, 1.0])[10] == charts.share_bar([0.0, 0.04, 0.5, 1.0])[-1] == 0.25
    bar = charts.interval_bar(-0.5, 0.0, 0.25, (-1, 1), (0,), "tuned", "a & b")
    assert 'class="range" x1="25.00" x2="62.50"' in bar
    assert 'class="dot" x1="50.00" x2="50.00"' in bar
    assert 'aria-label="a &amp; b"' in bar


def test_each_writers_mean_score_stands_over_its_mean_rating():
    page = report_page(evaluation())
    assert '<circle cx="165.0" cy="197.5" r="4">' in page
    assert 'rank correlation <data value="0.75">0.75</data>' in page


def test_without_ratings_the_page_says_nothing_of_readers():
    page = Page(report_page(replace(evaluation(), validity={})))
    assert not any("agree with readers" in text for text in page.texts)


def test_the_page_says_which_task_it_is_and_how_much_meaning_is_kept():
    answering = Page(report_page(evaluation()))
    assert not any("rewrite" in text or "Meaning kept" in text for text in answering.texts)
    shown = evaluation()
    rows = [row.model_copy(update={"meaning_kept": 0.25 if row.seed else None}) for row in shown.generations]
    text = " ".join(Page(report_page(replace(shown, task="rewrite", generations=rows))).texts)
    assert "The task is to rewrite" in " ".join(text.split())
    assert "Meaning kept" in text
    assert "0.25" in text


def test_every_score_is_defined_in_words():
    page = report_page(evaluation())
    definitions = re.findall(r"<dt>(.+?)</dt><dd>(.+?)</dd>", page)
    assert [name for name, _ in definitions] == [label(score) for score in Scores.model_fields]
    assert len({words for _, words in definitions}) == len(Scores.model_fields)
