"""A page of HTML as a browser reads it."""

from html.parser import HTMLParser

VOID = {"meta", "br", "line", "rect", "polyline"}


class Page(HTMLParser):
    """What a browser would make of a page: elements with their ids, texts and, for each table row, its figures."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.section = self.table = self.row = ""
        self.figures: dict[tuple[str, str, str], list[float]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = found["aria-labelledby"]
        if tag == "table":
            self.table = found.get("data-score", "")
        if tag == "tr":
            self.row = found.get("data-system", "")
        if tag == "data":
            self.figures.setdefault((self.section, self.table, self.row), []).append(float(found["value"]))

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
