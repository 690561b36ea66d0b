"""Of Markdown the prose is left, without what only looks like it."""

from tonetune.imports.formats import read_chat_export

PAGE = """Geese
=====

They are *well*, and [eat](https://example.org) `corn`. ![a goose](goose.jpg)

~~~python
code = 1

~~~

    indented = 2

| who | eats |
| --- | --- |
| goose | corn |

<div class="note">
not her words
</div>

- first one
- second one
  goes on

> Somebody else's words.

Lamps
-----

The last paragraph.
"""


def test_marks_code_tables_and_html_go_and_lists_keep_their_lines(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    _, export = read_chat_export(path)
    assert [message.text for message in export.messages] == [
        "Write about this: Geese",
        "They are well, and eat corn.\n\nfirst one\nsecond one goes on",
        "Write about this: Lamps",
        "The last paragraph.",
    ]
    assert export.left_out == {"code": 2, "tables": 1, "HTML": 1, "quotations": 1}


def test_an_indented_paragraph_of_plain_text_is_no_code(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear Bob,\n\n    the goose is well.\n\n<3\n\nAda\n---\n")
    _, export = read_chat_export(path)
    assert [message.text for message in export.messages] == ["Dear Bob,\n\nthe goose is well.\n\n<3\n\nAda"]
