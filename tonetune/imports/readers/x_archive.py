"""The archive of an account of X (Twitter): data/tweets.js."""

import html
import json
import re
from datetime import datetime
from typing import Any

from tonetune.imports.messages import OWNER, ChatExport, ChatMessage, Source
from tonetune.imports.readers.json_files import mapping, oddity

NAME = "x"
TITLE = "X (Twitter), the account's archive (.zip or data/tweets.js)"

START = re.compile(r"^\s*window\.YTD\.\w+\.part\d+\s*=\s*")
MENTIONS = re.compile(r"^(?:@\w+\s+)+")
MEDIA_LINK = re.compile(r"\s*https://t\.co/\w+\s*$")


def looks_like(source: Source) -> bool:
    """Whether it is one of the archive's scripts with posts."""
    return re.match(r"^\s*window\.YTD\.(?:tweets?|community_tweet)\.part", source.head(200)) is not None


def read(source: Source) -> ChatExport:
    """The account's posts. What they answer is not in the archive, so each stands alone."""
    text = source.text()
    body = START.sub("", text, count=1)
    try:
        items = json.loads(body)
    except json.JSONDecodeError as error:
        raise source.error(f"not a script of an X archive ({error.msg})", error.lineno) from None
    except (ValueError, RecursionError) as error:
        raise source.error(f"not a script of an X archive ({oddity(error)})") from None
    if not isinstance(items, list):
        raise source.error("not a script of an X archive: it holds no list of posts")
    export = ChatExport()
    for item in items:
        _post(source, export, item)
    return export


def _post(source: Source, export: ChatExport, item: Any) -> None:
    post = item.get("tweet", item) if isinstance(item, dict) else {}
    if not isinstance(post, dict) or "full_text" not in post:
        raise source.error(f"{str(item)[:40]!r} is no post of an X archive: it has no full_text")
    text = html.unescape(str(post["full_text"]))
    if text.startswith("RT @"):
        return export.leave_out("posts of others")
    if mapping(post.get("entities")).get("media") or post.get("extended_entities"):
        text = MEDIA_LINK.sub("", text)
    text = MENTIONS.sub("", text).strip()
    if not text:
        return export.leave_out("media, calls and deleted messages")
    try:
        time = datetime.strptime(str(post.get("created_at")), "%a %b %d %H:%M:%S %z %Y").replace(tzinfo=None)
    except ValueError:
        raise source.error(f"{str(post.get('created_at'))[:40]!r} is no date of an X archive") from None
    identifier = str(post.get("id_str") or post.get("id") or "")
    export.messages.append(ChatMessage(OWNER, text, kind="post", time=time, thread=identifier, id=identifier))
    return None
