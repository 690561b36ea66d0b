"""Write an invented export of 400 messages: `python -m tests.support.exports telegram result.json`."""

import sys
from pathlib import Path

from tests.support import exports

said = exports.talk(1)
form, path = sys.argv[1], Path(sys.argv[2])
if form == "mbox":
    exports.mbox(said, path)
else:
    write = {
        "telegram": exports.telegram,
        "discord": exports.discord,
        "x": exports.x_archive,
        "text": lambda said: exports.markdown([*said, *exports.talk(2)]),  # several paragraphs are one text
        "whatsapp": exports.WHATSAPP["android, month first, 12 h"],
        "messages": lambda said: exports.chat_rows(said, "messages"),
        "table": lambda said: exports.table(said, ";", ("question", "answer")),
    }[form]
    path.write_text(write(said), encoding="utf-8")
