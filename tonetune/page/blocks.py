"""The page itself, of Gradio's parts: talk, side by side, rewrite, blind."""

import html
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from tonetune.core.errors import UserError
from tonetune.core.rows import Message
from tonetune.evaluation.names import BASE, TUNED
from tonetune.page.choices import Choice, Pair, Side, pair, save, shares
from tonetune.page.speakers import BASE_PROMPTED, LABELS, Speakers

STYLE = Path(__file__).with_name("style.css")
LINKS = {"/report": "report", "/samples": "sample answers", "/experiments": "experiments"}
SIDES: dict[str, Side] = {"Left": "left", "Right": "right", "I can't tell": "neither"}
LARGEST_SEED = 2**31 - 1
# A second answer at the same time would only make both slow.
ALONE: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model", "api_visibility": "private"}


def page(speakers: Speakers, questions: Sequence[str], choices: Path) -> gr.Blocks:
    """The page; `questions` are drawn from in the blind mode, whose choices go into the file `choices`."""
    with gr.Blocks(analytics_enabled=False, title=f"tonetune: {speakers.persona}") as blocks:
        links = " · ".join(f'<a href="{path}" target="_blank">{name}</a>' for path, name in LINKS.items())
        gr.HTML(
            f"<p><strong>AI imitation.</strong> {html.escape(speakers.disclosure)}</p><p>This run: {links}</p>",
            elem_id="disclosure",
        )
        with gr.Tab("Talk"):
            _talk(speakers)
        with gr.Tab("Side by side"):
            _side_by_side(speakers)
        with gr.Tab("Rewrite"):
            _rewrite(speakers)
        with gr.Tab("Blind"):
            _blind(speakers, questions, choices)
    return blocks


def _shown_error(error: UserError) -> gr.Error:
    return gr.Error(html.escape(str(error)), print_exception=False)


def _text(content: Any) -> str:
    """The text of a message as Gradio keeps it: a string, or parts."""
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else str(part.get("text", "")) for part in content)


def _talk(speakers: Speakers) -> None:
    def respond(question: str, history: list[dict[str, Any]]) -> Iterator[str]:
        if not question.strip():
            raise gr.Error("Ask something first.", print_exception=False)
        turns = [Message(role=turn["role"], content=_text(turn["content"])) for turn in history]
        try:
            yield from speakers.answer(TUNED, question, random.randrange(LARGEST_SEED), turns)
        except UserError as error:
            raise _shown_error(error) from None

    gr.ChatInterface(
        respond,
        chatbot=gr.Chatbot(
            label=LABELS[TUNED], render_markdown=False, height="55vh", feedback_options=None, buttons=["copy_all"]
        ),
        textbox=gr.Textbox(
            placeholder="Ask something; Enter sends",
            label="Question",
            autofocus=True,
            submit_btn="Send",  # ChatInterface gives buttons to no textbox but its own
            stop_btn="Stop",
        ),
        analytics_enabled=False,
        concurrency_limit=1,
        show_progress="hidden",
        api_visibility="private",
    )


def _side_by_side(speakers: Speakers) -> None:
    names = (TUNED, BASE, BASE_PROMPTED)

    def respond(question: str, seed: float) -> Iterator[tuple[str, ...]]:
        if not question.strip():
            raise gr.Error("Ask something first.", print_exception=False)
        said = dict.fromkeys(names, "")
        try:
            for name in names:
                for text in speakers.answer(name, question.strip(), int(seed)):
                    said[name] = text
                    yield tuple(said.values())
        except UserError as error:
            raise _shown_error(error) from None

    question = gr.Textbox(label="Question to all three", placeholder="Enter asks", elem_id="beside-question")
    seed = gr.Number(speakers.seed, label="Seed, the same for all", precision=0, minimum=0, maximum=LARGEST_SEED)
    ask = gr.Button("Ask all three", variant="primary")
    with gr.Row():
        panes = [gr.Textbox(label=LABELS[name], lines=7, interactive=False, elem_id=f"pane-{name}") for name in names]
    gr.on([ask.click, question.submit], respond, [question, seed], panes, **ALONE)


def _rewrite(speakers: Speakers) -> None:
    def respond(text: str, seed: float) -> Iterator[str]:
        if not text.strip():
            raise gr.Error("Write something first.", print_exception=False)
        try:
            yield from speakers.rewrite(text, int(seed))
        except UserError as error:
            raise _shown_error(error) from None

    learnt = "" if speakers.learnt_rewriting else "The model was trained to answer questions, not to rewrite. "
    gr.Markdown(f"{learnt}It says one part after the other: check that what you meant is still there.")
    with gr.Row():
        text = gr.Textbox(label="Your text", lines=8, elem_id="own-text")
        rewritten = gr.Textbox(label="In the persona's tone", lines=8, interactive=False, elem_id="rewritten")
    seed = gr.Number(speakers.seed, label="Seed", precision=0, minimum=0, maximum=LARGEST_SEED)
    gr.Button("Rewrite", variant="primary").click(respond, [text, seed], rewritten, **ALONE)


def _blind(speakers: Speakers, questions: Sequence[str], choices: Path) -> None:
    chance = random.SystemRandom()

    def ask(question: str, other: str) -> tuple[Any, ...]:
        asked = question.strip() or (chance.choice(questions) if questions else "")
        if not asked:
            raise gr.Error("Type a question; there is no data/validation.jsonl to draw from.", print_exception=False)
        seed = chance.randrange(LARGEST_SEED)
        try:
            ours, theirs = ([*speakers.answer(name, asked, seed)][-1] for name in (TUNED, other))
        except UserError as error:
            raise _shown_error(error) from None
        blind_pair = pair(asked, seed, other, ours, theirs, chance)
        return blind_pair, f"**{html.escape(asked)}**", *blind_pair.shown, None, None, ""

    def keep(blind_pair: Pair | None, reader: str, persona: str | None, sense: str | None) -> tuple[Any, ...]:
        if blind_pair is None:
            raise gr.Error("Ask for a new pair first.", print_exception=False)
        if not reader.strip() or persona is None or sense is None:
            raise gr.Error("Your name and both choices are needed.", print_exception=False)
        said = {"reader": reader.strip(), "persona": SIDES[persona], "sense": SIDES[sense]}
        try:
            every = save(Choice.model_validate(blind_pair.model_dump() | said), choices)
        except UserError as error:
            raise _shown_error(error) from None
        left, right = (TUNED, blind_pair.other) if blind_pair.left == TUNED else (blind_pair.other, TUNED)
        outcome = f"Left was **{LABELS[left]}**, right **{LABELS[right]}**. Saved in `{choices}`.\n\n{table(every)}"
        return None, outcome

    gr.Markdown("Two answers to one question from the same seed. Whose is which is told after you have chosen.")
    with gr.Row():
        reader = gr.Textbox(label="Your name or initials", elem_id="reader")
        question = gr.Textbox(label="Question (empty: one by chance)", elem_id="blind-question")
        other = gr.Radio([(LABELS[name], name) for name in (BASE, BASE_PROMPTED)], value=BASE, label="Tuned, beside")
    new = gr.Button("New pair", variant="primary")
    asked = gr.Markdown(elem_id="asked")
    with gr.Row():
        left = gr.Textbox(label="Left", lines=7, interactive=False, elem_id="left")
        right = gr.Textbox(label="Right", lines=7, interactive=False, elem_id="right")
    persona = gr.Radio(list(SIDES), label="Which is the persona's?", elem_id="persona")
    sense = gr.Radio(list(SIDES), label="Which makes more sense?", elem_id="sense")
    done = gr.Button("Save my choice")
    outcome = gr.Markdown(elem_id="outcome")
    blind_pair = gr.State(None)
    new.click(ask, [question, other], [blind_pair, asked, left, right, persona, sense, outcome], **ALONE)
    done.click(keep, [blind_pair, reader, persona, sense], [blind_pair, outcome], **ALONE)


def table(choices: Sequence[Choice]) -> str:
    """What all choices so far come to, as Markdown."""
    rows = [
        f"| {s.figure}, beside {LABELS.get(s.other, s.other)} | {s.share:.0%} | {s.low:.0%} to {s.high:.0%} | {s.decided} | {s.undecided} |"
        for s in shares(choices)
    ]
    if not rows:
        return "Nobody has chosen one of the two yet."
    head = ["| the tuned answer was | share | 95 % interval | choices | could not tell |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])
