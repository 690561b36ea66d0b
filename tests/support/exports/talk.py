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
    "have you ever slept in a {place}?",
    "What is the best way to wrap a {thing} as a present?",
    "my {thing} is broken again, any ideas?",
    "which {place} has the better coffee, yours or mine?",
    "Would you swap your {thing} for two tickets on {day}?",
    "do geese like a {place}, and why not",
    "remember that {day} when the {thing} fell into the lake?",
    "How do I get rid of a {thing} without anybody noticing?",
    "are you still cross about the {place}?",
    "what should I say in my talk on {day}? it is about a {thing}",
    "who wants to carry the {thing} all the way to the {place} on {day}?",
)
OPENINGS = (
    "hey,",
    "quick one:",
    "so...",
    "by the way,",
    "Listen,",
    "before I forget:",
    "sorry to bother you,",
    "hello hello!",
    "one more thing,",
    "my sister wants to know:",
    "Good morning!",
    "I have been wondering,",
    "urgent:",
    "",
    "",
    "",
)
CLOSINGS = (
    "no rush.",
    "Tell me soon!",
    "my back hurts already",
    "it looks like rain anyway",
    "I can pay half",
    "the neighbours are asking too",
    "just curious",
    "thanks a lot!",
    "let me know before noon",
    "or call me",
    "",
    "",
    "",
    "",
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
    rng = random.Random(seed)
    time = datetime(2023, 11, 3, 9, 0, 0)
    said: list[Said] = []

    def say(author: str, forms: Sequence[str], before: Sequence[str] = ("",), behind: Sequence[str] = ("",)) -> None:
        fields = {"thing": rng.choice(THINGS), "place": rng.choice(PLACES), "day": rng.choice(DAYS)}
        text = f"{rng.choice(before)} {rng.choice(forms).format(**fields)} {rng.choice(behind)}"
        said.append(Said(author, time, text.strip()))

    while len(said) < count:
        time += timedelta(minutes=rng.randint(20, 900))
        say(BOB, ASKS, OPENINGS, CLOSINGS)
        time += timedelta(minutes=rng.randint(1, 15))
        say(ADA, SAYS)
        if rng.random() < 0.3:
            time += timedelta(seconds=rng.randint(5, 60))
            say(ADA, MORE)
    return said[:count]
