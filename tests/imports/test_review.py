"""The page shows the data with what the gate says of it; its decisions are what the stages then replay."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.recordings import main
from scripts.review import write_page
from tests.support import exports
from tests.support.exports import ADA, talk
from tonetune.core.errors import UserError
from tonetune.core.rows import UNPAIRED, Answer, Example, Question, read_rows


@pytest.fixture
def own(space):
    """A persona of own texts whose data stages have run."""
    (space.root / "result.json").write_text(exports.telegram(talk(1)), encoding="utf-8")
    main(["import", "result.json", "--me", ADA, "--persona", "ada", "--yes"])
    space.set(persona="ada")
    for stage in ("questions", "answers", "split"):
        space.stage(stage)
    return space


def items():
    page = Path("reports/data.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="items">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)  # works offline
    return {item["id"]: item for item in json.loads(found[1])}


def decide(*decisions):
    with open("decisions.json", "w") as file:
        json.dump(decisions, file)
    main(["apply", "decisions.json"])


def test_every_answer_is_shown_with_its_split_and_nearest_question(own):
    write_page()
    shown = items()
    answers = read_rows("data/answers.jsonl", Answer)
    assert [item["answer"] for item in shown.values()] == [a.text for a in answers if a.style == "persona"]
    trained = {example.question_id for example in read_rows("data/train.jsonl", Example)}
    assert {key.partition("-")[0] for key, item in shown.items() if item["split"] == "train"} == trained
    assert all(item["nearest"] != item["question"] or item["similarity"] == 1 for item in shown.values())


def test_what_the_gate_finds_is_on_the_page_although_the_split_stops(own):
    own.set(split__own_texts__words=[2, 6])
    assert own.stage("split", check=False).returncode == 1
    write_page()
    long = {key for key, item in items().items() if len(item["answer"].split()) > 6}
    assert long
    assert {
        key
        for key, item in items().items()
        if any("words_max" in text and " persona " in f" {text} " for text in item["findings"])
    } == long


def test_a_stand_in_is_not_shown_as_the_plain_answer_and_what_a_reader_writes_is_one(own):
    write_page()
    answers = {a.question_id: a for a in read_rows("data/answers.jsonl", Answer) if a.style == "plain"}
    assert {
        item["plain"] for item in items().values() if answers[item["id"].partition("-")[0]].teacher == UNPAIRED
    } == {""}
    first = next(key for key in items() if answers[key.partition("-")[0]].teacher == UNPAIRED)
    decide({"id": first, "action": "edit", "plain": "It will stay where it is."})
    own.stage("answers")
    plain = {a.question_id: a for a in read_rows("data/answers.jsonl", Answer) if a.style == "plain"}
    mended = plain[first.partition("-")[0]]
    assert (mended.text, mended.teacher) == ("It will stay where it is.", "written by hand")


# A page just real enough for its script: elements by their id, a store, and the keys that are pressed.
BROWSER = """
const elements = {}, pressed = [];
globalThis.document = {
  getElementById: id => elements[id] ??= { value: "", textContent: id === "items" ? ITEMS : "", replaceChildren() {}, focus() {} },
  addEventListener: (_, act) => pressed.push(act), activeElement: { tagName: "BODY", blur() {} }, createElement: () => ({}),
};
globalThis.localStorage = { getItem: () => null, setItem(_, value) { this.kept = value; } };
SCRIPT
elements.answer.value = "Quite another answer.";
elements.answer.oninput();
pressed[0]({ key: "a", preventDefault() {} });
pressed[0]({ key: "a", preventDefault() {} });
console.log(localStorage.kept);
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's script")
def test_accepting_an_edited_answer_keeps_the_edit():
    page = Path("tonetune/imports/review.html.j2").read_text(encoding="utf-8")
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    shown = {
        "question": "?",
        "answer": "An answer.",
        "plain": "",
        "category": "chats",
        "split": "train",
        "findings": [],
    }
    listed = json.dumps(json.dumps([shown | {"id": key, "nearest": "", "similarity": 0} for key in "xy"]))
    program = BROWSER.replace("SCRIPT", script).replace("ITEMS", listed, 1)
    printed = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == {
        "x": {"id": "x", "action": "edit", "answer": "Quite another answer."},
        "y": {"id": "y", "action": "accept"},
    }


def test_edits_and_drops_are_replayed_and_follow_ups_keep_their_answers(own):
    questions = {question.id: question for question in read_rows("data/questions.jsonl", Question)}
    before = {a.question_id: a.text for a in read_rows("data/answers.jsonl", Answer) if a.style == "persona"}
    followed = [question.after for question in questions.values() if question.after and question.category != "basics"]
    first = next(identifier for identifier in followed if questions[identifier].after is None)
    later = [question.id for question in questions.values() if question.after == first]
    single = next(
        q.id for q in questions.values() if q.after is None and q.id not in followed and q.category != "basics"
    )
    decide(
        {"id": f"{first}-0", "action": "edit", "answer": "Quite another answer, says Ada."},
        {"id": f"{single}-0", "action": "drop"},
        {"id": f"{later[0]}-0", "action": "accept"},
    )
    for stage in ("questions", "answers", "split"):
        own.stage(stage)
    after = {a.question_id: a.text for a in read_rows("data/answers.jsonl", Answer) if a.style == "persona"}
    assert after == {key: text for key, text in before.items() if key != single} | {
        first: "Quite another answer, says Ada."
    }
    rows = {
        e.question_id: e for split in ("train", "validation", "test") for e in read_rows(f"data/{split}.jsonl", Example)
    }
    assert rows[later[0]].prompt[2].content == "Quite another answer, says Ada."
    (edit,) = [json.loads(line) for line in Path("data/edits/ada.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (edit["before"], edit["after"]) == (before[first], "Quite another answer, says Ada.")
    assert {key: row.before for key, row in rows.items() if row.before} == {first: before[first]}
    decide({"id": f"{first}-0", "action": "edit", "answer": before[first]})
    for stage in ("answers", "split"):
        own.stage(stage)
    mended = {a.question_id: a.before for a in read_rows("data/answers.jsonl", Answer) if a.before}
    assert mended == {first: "Quite another answer, says Ada."}


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        (
            {"id": "nowhere-0", "action": "drop"},
            "'nowhere-0' is no answer of this data; was the page made from another run?",
        ),
        ({"id": "nowhere-0", "action": "burn"}, "decisions.json: not what the page saves: action: "),
    ],
)
def test_decisions_of_another_run_change_nothing(own, decision, says):
    recordings = (own.root / "data/recordings/ada.jsonl.gz").read_bytes()
    with pytest.raises(UserError) as error:
        decide(decision)
    assert says in str(error.value)
    assert (own.root / "data/recordings/ada.jsonl.gz").read_bytes() == recordings
