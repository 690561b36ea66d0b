"""Personal data goes, whoever wrote it, and words that only look like it stay."""

import random

import pytest

from tonetune.core.text import contact
from tonetune.imports.messages import ChatMessage
from tonetune.imports.privacy import Redactor, findings, write_found


def clean(text: str, **options: object) -> str:
    return Redactor(**options).redact([ChatMessage("Ada", text)]).messages[0].text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ada.quill+x@mail.example.org, ok?", "write to [mail], ok?"),
        ("see https://example.org/a?b=c#d and www.example.com/x.", "see [link] and [link]."),
        ("it is on example.de now", "it is on [link] now"),
        ("call +49 170 1234567 or +1 415-555-2671!", "call [number] or [number]!"),
        ("call 030 1234567 today", "call [number] today"),
        ("card 4111 1111 1111 1111, gone", "card [card], gone"),
        ("to DE89 3704 0044 0532 0130 00 PLEASE", "to [account] PLEASE"),
        ("she lives at 12 Abbey Road now", "she lives at [address] now"),
        ("she lives at 12 abbey road now", "she lives at [address] now"),
        ("post to Hauptstraße 12, 10115 Berlin.", "post to [address]."),
        ("in der hauptstr. 12 a, da", "in der [address], da"),
        ("Berliner Straße 5 und Rosenweg 7", "[address] und [address]"),
        ("de89 3704 0044 0532 0130 00 please", "[account] please"),
        ("ring 415.555.2671.", "ring [number]."),
        ("@bobm did it", "[name] did it"),
    ],
)
def test_it_is_replaced(text, expected):
    assert clean(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "in 2023 there were 1204 geese, i.e. 3.5 % more",
        "at 10:30 on 2023-10-10 e.g. or 31.12.2023",
        "i mean.so what, u.s. style",
        "version 1.2.3 costs 1,000,000",
        "1234567812345678 is no card, its sum is wrong",
        "wait...what",
        "5 minutes down the road, and 3 main street",
        "Parkplatz 12 und Umweg 3, straße 4",
        "10.000.000 or 192.168.1.10",
    ],
)
def test_what_only_looks_like_it_stays(text):
    assert clean(text) == text


def test_a_local_number_is_told_by_the_country():
    assert clean("ring 0171 2345678", region="DE") == "ring [number]"


def test_names_go_in_any_case_whole_or_in_parts_and_never_within_words():
    text = "Bob Marlow met bob's sister Ann-Marie; bobbing marlows stay"
    assert clean(text, names=["Bob Marlow", "Ann-Marie"]) == "[name] met [name]'s sister [name]; bobbing marlows stay"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Tom from Work", "yes from noon at work, says tom", "yes from noon at work, says [name]"),
        ("Tom from Work", "ask tom from work", "ask [name]"),
        ("Will May", "hey will you come in may? Will you?", "hey will you come in may? Will you?"),
        ("Will May", "hey Will, it is will may", "hey [name], it is [name]"),
        ("Will", "i will ask Will.", "i will ask [name]."),
        ("Anna Gym", "Gym today, anna?", "[name] today, [name]?"),
        ("bobm77", "BobM77 was here, bob was not", "[name] was here, bob was not"),
    ],
)
def test_a_part_of_a_name_that_is_an_ordinary_word_goes_only_where_it_must_be_the_name(name, text, expected):
    assert clean(text, names=[name]) == expected


def test_a_handle_before_a_name_goes_as_well():
    assert clean("@zed ask Bob, @zed", names=["Bob"]) == "[name] ask [name], [name]"


def test_what_was_found_is_listed_by_kind_with_its_counts():
    messages = [ChatMessage("Ada", f"mail {name}@example.org") for name in "abcab"]
    assert findings(Redactor().redact(messages), 2) == [
        "[mail] 5: a@example.org (2), b@example.org (2), and 1 more (--found FILE)"
    ]


def test_all_that_was_found_can_be_written_to_a_file(tmp_path):
    messages = [ChatMessage("Ada", f"mail {name}@example.org") for name in "aba"]
    write_found(tmp_path / "found.txt", Redactor().redact(messages))
    assert (tmp_path / "found.txt").read_text() == "[mail]\t2\ta@example.org\n[mail]\t1\tb@example.org\n"


@pytest.mark.parametrize("seed", range(30))
def test_nothing_planted_among_words_comes_through(seed):
    rng = random.Random(seed)
    planted = [
        f"{rng.choice('abc')}.{rng.randint(1, 99)}@mail{rng.randint(1, 9)}.example.com",
        f"https://host{rng.randint(1, 99)}.example.org/p/{rng.randint(1, 10**6)}",
        f"+44 20 7946 {rng.randint(0, 999):04d}",
        f"+4917{rng.randint(0, 9)}{rng.randint(10**6, 10**7 - 1)}",
        "5500 0000 0000 0004",
        "GB33BUKB20201555555555",
        "Zebulon Quirk",
    ]
    filler = [
        "so",
        "anyway",
        "the",
        "goose",
        "said",
        "nothing",
        "and",
        "we",
        "went",
        "on",
        "to",
        "the",
        "lake",
        "with",
        "lamps",
    ]
    pieces = [piece for item in rng.sample(planted, len(planted)) for piece in (*rng.sample(filler, 4), item)]
    text = clean(" ".join(pieces), names=["Zebulon Quirk"])
    assert [item for item in planted if item in text] == []
    assert contact(text) is None
    assert sum(word in filler for word in text.split()) == 4 * len(planted)
