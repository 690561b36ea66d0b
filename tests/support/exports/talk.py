"""An invented talk of two people, of which exports are made."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

ADA, BOB = "Ada Quill", "Bob Marlow"
MAIL = {ADA: "ada@quill.example.org", BOB: "bob.marlow@example.com"}

THINGS = [
    "ladder",
    "kettle",
    "goose",
    "piano",
    "bicycle",
    "tent",
    "oven",
    "lamp",
    "garden",
    "boat",
    "sofa",
    "fridge",
    "violin",
    "camera",
    "drill",
    "map",
    "kite",
    "mirror",
]
PLACES = [
    "market",
    "station",
    "library",
    "harbour",
    "museum",
    "bakery",
    "forest",
    "office",
    "cinema",
    "lake",
    "castle",
    "stadium",
]
ASKS = (
    "did you manage to fix the {thing} before the {place} closed on {day}?",
    "should we take the {thing} along to the {place} on {day}, or rather not?",
    "why is there a {thing} in front of the {place} since {day}?",
    "What do you think of the new {thing} I saw at the {place} {day}?",
    "Can you believe somebody left a {thing} at the {place} on {day}?",
    "how much would you pay for the {thing} they sell near the {place}? asking for {day}",
    "Is the {place} open on {day}? I need to return the {thing}.",
    "who wants to carry the {thing} all the way to the {place} on {day}?",
)
SAYS = (
    "haha nope, the {thing} stays where it is \U0001f605",
    "omg yes!! {place} first, {thing} later",
    "honestly idk, {day} is so far away...",
    "lol the {thing} again? you and your {thing}s",
    "ok ok, but only if we get cake at the {place} after",
    "ugh, {day}. can't we just pretend the {thing} never happened",
    "yesss finally someone asks \U0001f389 i'd carry that {thing} anywhere",
    "nah, the {place} smells like wet {thing} tbh",
    "sure thing, {day} works for me",
)
MORE = (
    "also bring snacks pls",
    "brb",
    "and tell me how the {place} was",
    "no wait, i take that back \U0001f602",
    "anyway, miss you loads",
)
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


@dataclass(frozen=True)
class Said:
    author: str
    time: datetime
    text: str


def talk(seed: int, count: int = 400) -> list[Said]:
    """`count` messages of Bob, who asks, and Ada, who answers, some of hers in two parts, over some weeks."""
    draw = random.Random(seed)
    time = datetime(2023, 11, 3, 9, 0, 0)
    said: list[Said] = []

    def say(author: str, forms: Sequence[str]) -> None:
        fields = {"thing": draw.choice(THINGS), "place": draw.choice(PLACES), "day": draw.choice(DAYS)}
        said.append(Said(author, time, draw.choice(forms).format(**fields)))

    while len(said) < count:
        time += timedelta(minutes=draw.randint(20, 900))
        say(BOB, ASKS)
        time += timedelta(minutes=draw.randint(1, 15))
        say(ADA, SAYS)
        if draw.random() < 0.3:
            time += timedelta(seconds=draw.randint(5, 60))
            say(ADA, MORE)
    return said[:count]
