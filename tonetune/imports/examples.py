"""From messages to what is trained on: whose turn answers what, and what was said before."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tonetune.core.rows import question_id
from tonetune.core.text import spaced_words, word_count
from tonetune.imports.messages import ChatMessage

BURST = timedelta(minutes=5)
"""Messages of one author that follow each other within so long are one turn."""
REPLY = timedelta(hours=12)
"""A turn that comes later than this after the one before it is no answer to it, unless the export says that it is."""
MAIL_REPLY = timedelta(days=60)
MOST_TURNS = 4
"""Of one's own in a talk: a talk is in one split as a whole, and few long ones cannot be split well."""
FEWEST_WORDS = 5  # of a text that answers nothing: shorter ones ("morning!") say too little to ask for them
SUBJECT_WORDS = 3
PLACEHOLDER = re.compile(r"\[[a-z]+\]")  # what personal data became: "number" is no subject
LONE = "Write something of your own about {subject}."
"""The question of a text that answers nothing: a plain wording, made from its rarest words."""
BYTES_PER_TOKEN = 3  # rather too few than too many: the tokenizer is not loaded for this
OVERHEAD = 60  # tokens of the chat template and the system prompt

CHATS, MAILS, POSTS, TEXTS = "chats", "mails", "posts", "texts"
CATEGORIES = {"chat": CHATS, "mail": MAILS, "post": POSTS, "text": TEXTS}


@dataclass(frozen=True)
class OwnExample:
    """A turn of one's own with what it answers; `after` is the id of the example that the talk had come to."""

    id: str
    category: str
    question: str
    answer: str
    after: str | None = None
    plain: str | None = None
    plain_by: str = "import"
    """What wrote the plain answer."""
    made_question: bool = False
    """Whether the question was made from the answer, as nobody had asked."""


@dataclass
class Examples:
    """What was found, and what was left out, by why."""

    kept: list[OwnExample] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    turns: int = 0
    """Of one's own, before anything was left out."""


@dataclass(frozen=True)
class Turn:
    """What one author said in a row."""

    first: ChatMessage
    last: ChatMessage
    text: str
    ids: frozenset[str]
    mine: bool


def make_examples(messages: Sequence[ChatMessage], me: str, max_length: int) -> Examples:
    """Pair the turns of `me` with what they answer; `max_length` is that of a chat in training, in tokens.

    Within a thread an answer follows the turn before it, or the message that it names. As long as two people take turns, each
    example follows the one before it (`after`), until the talk would be too long. What answers nothing is asked for in a
    plain wording. Of examples with the same question and nothing before it the first is kept.
    """
    threads: dict[str, list[ChatMessage]] = defaultdict(list)
    for message in messages:
        threads[message.thread].append(message)
    found = Examples()
    turns = [turn for thread in threads.values() for turn in [_turns(thread, me)]]
    rarity = Counter(word for talk in turns for turn in talk for word in set(spaced_words(turn.text)))
    seen: set[str] = set()
    for talk in turns:
        _from_talk(talk, found, rarity, seen, max_length)
    return found


def _turns(messages: Sequence[ChatMessage], me: str) -> list[Turn]:
    if all(message.time is not None for message in messages):
        messages = sorted(messages, key=lambda message: message.time or datetime.min)
    turns: list[list[ChatMessage]] = []
    for message in messages:
        if turns and _goes_on(turns[-1][-1], message):
            turns[-1].append(message)
        else:
            turns.append([message])
    return [
        Turn(
            first=parts[0],
            last=parts[-1],
            text="\n".join(part.text for part in parts),
            ids=frozenset(part.id for part in parts if part.id),
            mine=parts[0].is_by(me),
        )
        for parts in turns
    ]


def _goes_on(last: ChatMessage, message: ChatMessage) -> bool:
    """Whether the same author goes on, without naming another message as what it answers."""
    if message.kind not in ("chat",) or last.author != message.author or message.reply_to:
        return False
    return last.time is None or message.time is None or message.time - last.time <= BURST


def _from_talk(talk: Sequence[Turn], found: Examples, rarity: Counter[str], seen: set[str], max_length: int) -> None:
    by_id = {identifier: turn for turn in talk for identifier in turn.ids}
    budget = (max_length - OVERHEAD) * BYTES_PER_TOKEN
    before: OwnExample | None = None  # the example that the last turn of one's own became
    spent, turns = 0, 0  # bytes of the talk up to it, and turns of one's own
    for place, turn in enumerate(talk):
        if not turn.mine:
            continue
        found.turns += 1
        previous = talk[place - 1] if place else None
        asked = _answered(turn, previous, by_id)
        follows = asked is previous is not None and place > 1 and _same_talk(talk[place - 2], previous)
        if asked is None:
            before = None
            example = _lone(turn, rarity)
            if example is None:
                found.left_out[f"single turns of fewer than {FEWEST_WORDS} words that answer nothing"] += 1
                continue
        else:
            example = OwnExample(
                id=question_id(asked.text),
                category=CATEGORIES[turn.first.kind],
                question=asked.text,
                answer=turn.text,
                plain=turn.first.plain,
            )
        size = len(example.question.encode()) + len(example.answer.encode())
        if size > budget:
            found.left_out["longer than train.max_length"] += 1
            before = None
            continue
        if follows and before is not None and spent + size <= budget and turns < MOST_TURNS:
            example = replace(example, id=question_id(f"{before.id} {example.question}"), after=before.id)
            spent, turns = spent + size, turns + 1
        else:
            spent, turns = size, 1
        if example.id in seen:
            found.left_out["the same question again"] += 1
            before = None
            continue
        seen.add(example.id)
        found.kept.append(example)
        before = None if example.made_question else example


def _answered(turn: Turn, previous: Turn | None, by_id: dict[str, Turn]) -> Turn | None:
    """The turn of somebody else that this one answers, if there is one."""
    named = by_id.get(turn.first.reply_to)
    if named is not None:
        return None if named.mine else named
    if previous is None or previous.mine or turn.first.kind == "mail":
        return None
    late = (
        turn.first.time is not None and previous.last.time is not None and turn.first.time - previous.last.time > REPLY
    )
    return None if late else previous


def _same_talk(own: Turn, reply: Turn) -> bool:
    """Whether what is answered came right after a turn of one's own, close enough to be said to it."""
    if not own.mine:
        return False
    earlier, later = own.last.time, reply.first.time
    return earlier is None or later is None or later - earlier <= (MAIL_REPLY if reply.first.kind == "mail" else REPLY)


def _lone(turn: Turn, rarity: Counter[str]) -> OwnExample | None:
    """A text that answers nothing, with a question made of its rarest words; None if it is too short for that."""
    if word_count(turn.text) < FEWEST_WORDS:
        return None
    said = spaced_words(PLACEHOLDER.sub(" ", turn.text))
    candidates = dict.fromkeys(word for word in said if len(word) > 3 and word.isalpha())
    rarest = sorted(candidates, key=lambda word: (rarity[word], -len(word)))[:SUBJECT_WORDS]
    subject = listed([word for word in candidates if word in rarest]) or "today"
    question = LONE.format(subject=subject)
    return OwnExample(
        id=question_id(question),
        category=CATEGORIES[turn.first.kind],
        question=question,
        answer=turn.text,
        plain=turn.first.plain,
        made_question=True,
    )


def listed(items: Iterable[str]) -> str:
    """Words as a list in a sentence: a, b and c."""
    *most, last = list(items) or [""]
    return f"{', '.join(most)} and {last}" if most else last
