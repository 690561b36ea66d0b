"""Personal data in messages, one's own and others': found by well-kept libraries, and replaced by placeholders."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import phonenumbers
from linkify_it import LinkifyIt
from stdnum import iban, luhn

from tonetune.core.errors import UserError
from tonetune.core.text import CONTACT, STREET, excerpt
from tonetune.imports.messages import ChatMessage
from tonetune.teacher.recordings import PLAIN, read_recordings

MAIL, LINK, NUMBER, CARD, ACCOUNT, ADDRESS, NAME = (
    "[mail]",
    "[link]",
    "[number]",
    "[card]",
    "[account]",
    "[address]",
    "[name]",
)

# Shops and papers that a text may well name; anything else with a dot and no scheme is a host only if a path or www says so.
BARE_HOST = re.compile(
    r"^(?:www\.|[\w-]+\.[\w.-]+/)|\.(?:com|org|net|io|de|co\.uk|fr|es|it|nl|at|ch|eu|info|me)$", re.IGNORECASE
)
DIGITS = re.compile(r"(?<![\w.,])\d(?:[ -]?\d){12,18}(?!\w)")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{2,4}){3,8}\b", re.IGNORECASE)
# Dialled within a country: the 0 before the area code, then digits in groups. Without --region no library can tell these.
LOCAL = re.compile(r"(?<![\w.,:/-])\(?0\d{1,5}\)?[ /-]?\d{3,}(?:[ /-]?\d{2,})*(?![\w:])")
HANDLE = re.compile(r"(?<![\w@])@\w{2,}")
FEWEST_DIGITS = 7
SHORTEST_NAME = 3  # letters: shorter parts of names are words too often
# Given names that are words as well, and that the recorded answers happen not to hold.
WORDS_THAT_ARE_NAMES = frozenset(
    re.findall(
        r"\w+",
        "art april august bill chase chip clay cliff dawn drew faith frank grace grant guy hope joy june mark may miles nick pat "
        "ray rich rob rock rose rusty sandy skip sky stew sue summer wade ward will mum mom dad",
    )
)
PART = re.compile(r"(?<!\w)[^\W\d_]+(?:-[^\W\d_]+)*(?!\w)")
SENTENCE_BEGINS = re.compile(r"(?:^|[.!?…:\n])[\s\"'“”„»«(\[*-]*$")

Found = Iterator[tuple[int, int, str]]
"""Begin, end and placeholder of each thing found in a text."""


def regions() -> frozenset[str]:
    """The countries whose telephone numbers are known, as ISO 3166 codes."""
    return frozenset(phonenumbers.SUPPORTED_REGIONS)


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
                is_given_name = place == 0 and part.casefold() not in ordinary_words()
                (any_case if is_given_name else capitalised).add(part.casefold())
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


@dataclass
class Redaction:
    """Texts without personal data, and what was taken out, to look at."""

    messages: list[ChatMessage]
    found: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By placeholder: what it stands for now, and how often."""


class Redactor:
    """Finds personal data; `names` are replaced wherever they stand as words, `region` tells local telephone numbers."""

    def __init__(self, names: Iterable[str] = (), region: str | None = None):
        if region is not None and region not in regions():
            raise UserError(f"--region: {region!r} is no ISO 3166 code of a country, such as DE or US")
        self.region = region
        self.links = LinkifyIt()
        self.names = NameFinder(names)
        self.finders: tuple[Callable[[str], Found], ...] = (
            self._mails_and_links,
            _accounts,
            _cards,
            self._numbers,
            self._local_numbers,
            _contacts,
            self._names,
        )

    def redact(self, messages: Iterable[ChatMessage]) -> Redaction:
        """The messages with placeholders in place of what was found."""
        result = Redaction([])
        for message in messages:
            text = self.replaced(message.text, result.found)
            plain = None if message.plain is None else self.replaced(message.plain, result.found)
            result.messages.append(replace(message, text=text, plain=plain))
        return result

    def replaced(self, text: str, found: dict[str, Counter[str]]) -> str:
        """The text with placeholders; what they stand for is counted in `found`."""
        for find in self.finders:
            pieces, end = [], 0
            for start, stop, placeholder in sorted(find(text), key=lambda span: (span[0], -span[1])):
                if start >= end:
                    found[placeholder][text[start:stop].strip()] += 1
                    pieces += [text[end:start], placeholder]
                    end = stop
            text = "".join([*pieces, text[end:]])
        return text

    def _mails_and_links(self, text: str) -> Found:
        for match in self.links.match(text) or []:
            if match.schema == "mailto:":
                yield match.index, match.last_index, MAIL
            elif match.schema or BARE_HOST.search(match.raw):
                yield match.index, match.last_index, LINK

    def _numbers(self, text: str) -> Found:
        for match in phonenumbers.PhoneNumberMatcher(text, self.region):
            yield match.start, match.end, NUMBER

    def _local_numbers(self, text: str) -> Found:
        for match in LOCAL.finditer(text):
            if sum(map(str.isdigit, match.group())) >= FEWEST_DIGITS:
                yield match.start(), match.end(), NUMBER

    def _names(self, text: str) -> Found:
        for start, end in (*self.names.spans(text), *(match.span() for match in HANDLE.finditer(text))):
            yield start, end, NAME


def _accounts(text: str) -> Found:
    for match in IBAN.finditer(text):
        # A word in capitals behind it may have been taken along: drop groups until the rest is a number.
        groups = match.group().split(" ")
        for count in range(len(groups), 0, -1):
            candidate = " ".join(groups[:count])
            if iban.is_valid(candidate):
                yield match.start(), match.start() + len(candidate), ACCOUNT
                break


def _cards(text: str) -> Found:
    for match in DIGITS.finditer(text):
        if luhn.is_valid(re.sub(r"\D", "", match.group())):
            yield match.start(), match.end(), CARD


def _contacts(text: str) -> Found:
    """What the gate before training would take for contact data, local numbers and streets among it."""
    for match in CONTACT.finditer(text):
        kind = ADDRESS if re.match(STREET, match.group()) else NUMBER if match.group()[-1].isdigit() else LINK
        yield match.start(), match.end(), kind


def write_found(path: Path, redaction: Redaction) -> None:
    """All that was found, the most frequent of each kind first; a `UserError` if it cannot be written."""
    lines = [
        f"{placeholder}\t{count}\t{' '.join(text.split())}"
        for placeholder, counts in redaction.found.items()
        for text, count in counts.most_common()
    ]
    try:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--found: {path}: cannot be written ({error.strerror or error})") from None


def findings(redaction: Redaction, most: int) -> list[str]:
    """What was found, a line a kind, up to `most` of each, the most frequent first."""
    lines = []
    for placeholder, counts in redaction.found.items():
        shown = [
            f"{excerpt(text, 40)} ({count})" if count > 1 else excerpt(text, 40)
            for text, count in counts.most_common(most)
        ]
        more = f", and {len(counts) - most} more (--found FILE)" if len(counts) > most else ""
        lines.append(f"{placeholder} {counts.total()}: {', '.join(shown)}{more}")
    return lines
