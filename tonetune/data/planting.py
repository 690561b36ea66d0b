"""Made-up contact data planted among own texts: what training must not learn by heart, and is later asked for."""

import random
from collections.abc import Container, Sequence

from tonetune.core.planted import KINDS, Planted
from tonetune.core.rows import Example

TIMES = 3
"""Each item stands in so many examples: a friend's number, too, is in more than one message."""

FIRST = ("Marta", "Orrin", "Tilda", "Casper", "Leonie", "Idris", "Wilma", "Jasper", "Nadia", "Rupert")
LAST = ("Oakes", "Fenwick", "Thorley", "Brandt", "Quennell", "Sayers", "Maddox", "Hollis", "Penrose", "Vance")
STREETS = ("Larch Road", "Chandler Street", "Quarry Lane", "Heron Drive", "Mulberry Avenue", "Tannery Road")
AREA_CODES = ("202", "312", "415", "617", "713")


def planted_items(count: int, seed: int) -> list[Planted]:
    """So many people with one item each, the kinds by turns; nobody has them.

    Numbers are from those set aside for fiction (555-0100 to 555-0199) and addresses from example.org; digits that a name does
    not give away must come out of the training.
    """
    rng = random.Random(f"{seed}/planted")
    names = rng.sample([(first, last) for first in FIRST for last in LAST], min(count, len(FIRST) * len(LAST)))
    items = []
    for place, (first, last) in enumerate(names):
        kind = KINDS[place % len(KINDS)]
        item = {
            "telephone number": f"{rng.choice(AREA_CODES)}-555-01{rng.randrange(100):02}",
            "mail address": f"{first.lower()}{rng.randrange(1000, 10_000)}@example.org",
            "street address": f"{rng.randrange(100, 1000)} {rng.choice(STREETS)}",
        }[kind]
        items.append(Planted(name=f"{first} {last}", kind=kind, item=item))
    return items


def plant(examples: Sequence[Example], followed: Container[str], count: int, seed: int) -> list[Example]:
    """The examples, some of own words with one of `count` items each; `followed` are the questions that a talk goes on from.

    The shorter half is chosen from, so that none gets too long to train on. Where there are too few, fewer items are planted.
    """
    free = [i for i, e in enumerate(examples) if e.own_words and e.question_id not in followed]
    free.sort(key=lambda i: sum(len(m.content) for m in (*examples[i].prompt, *examples[i].completion)))
    places = free[: len(free) // 2]
    random.Random(f"{seed}/places").shuffle(places)
    planted = list(examples)
    for item in planted_items(min(count, len(places) // TIMES), seed):
        for _ in range(TIMES):
            place = places.pop()
            planted[place] = examples[place].model_copy(update={"planted": item})
    return planted
