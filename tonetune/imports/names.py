"""The names of people in texts: whole in any case, their parts where they are not some other word."""

import re
from collections.abc import Iterable, Iterator
from functools import cache

from tonetune.teacher.recordings import PLAIN, read_recordings

SHORTEST_NAME = 3  # letters: shorter parts of names are words too often
# Given names that are words as well, and that the recorded answers happen not to hold.
WORDS_THAT_ARE_NAMES = frozenset(
    re.findall(
        r"\w+",
        "art april august bill chase chip clay cliff dawn dean drew earl faith frank gene glen grace grant guy heath herb hope "
        "iris ivy jack jade jean josh joy june lance lily mark may miles misty nick norm olive pat penny pierce ray reed rich "
        "rob robin rock rose ruby rusty sandy skip sky stew sue summer tad violet wade ward will mum mom dad",
    )
)
PART = re.compile(r"(?<!\w)[^\W\d_]+(?:-[^\W\d_]+)*(?!\w)")
SENTENCE_BEGINS = re.compile(r"(?:^|[.!?…:\n])[\s\"'“”„»«(\[*-]*$")


@cache
def ordinary_words() -> frozenset[str]:
    """Words that mean something else: those that the recorded plain answers write in lower case."""
    said = (word for row in read_recordings(PLAIN) for word in re.findall(r"\b[a-z]{3,}\b", row.text))
    return WORDS_THAT_ARE_NAMES.union(said)


class NameFinder:
    """Finds names of people; a part of one that is an ordinary word ("Will", "Work") only where it must be the name."""

    def __init__(self, names: Iterable[str]):
        any_case: set[str] = set()
        capitalised: set[str] = set()
        for name in filter(None, map(str.strip, names)):
            if len(name) >= SHORTEST_NAME and any(map(str.isalpha, name)) and not PART.fullmatch(name):
                any_case.add(name.casefold())  # whole: too particular to be anything else
            parts = PART.findall(name)
            if any(not part.islower() for part in parts):
                parts = [part for part in parts if not part.islower()]  # not the "from" of "Tom from Work"
            for place, part in enumerate(part for part in parts if len(part) >= SHORTEST_NAME):
                # People write a given name in lower case; what stands behind it ("Anna Gym") is as often a word.
                told = place == 0 and part.casefold() not in ordinary_words()
                (any_case if told else capitalised).add(part.casefold())
        self.any_case = any_case
        every = sorted(any_case | capitalised, key=lambda part: (-len(part), part))
        self.pattern = (
            re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, every))})(?!\w)", re.IGNORECASE) if every else None
        )

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Begin and end of each name in the text."""
        for match in self.pattern.finditer(text) if self.pattern else ():
            if match.group().casefold() in self.any_case or _must_be_name(text, match):
                yield match.span()


def _must_be_name(text: str, match: re.Match[str]) -> bool:
    """Whether a word is capitalised, and not because a sentence begins with it."""
    if not match.group()[0].isupper():
        return False
    starts = SENTENCE_BEGINS.search(text[max(0, match.start() - 40) : match.start()]) if match.start() else True
    return not (starts and match.group().casefold() in ordinary_words())
