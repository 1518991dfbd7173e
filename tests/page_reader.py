"""A page read as strictly as a browser does not."""

import html.parser
import re

VOID = {"meta", "img", "br"}
JPEG = "data:image/jpeg;base64,"
# Fetches or runs something.
FORBIDDEN = {"iframe", "object", "embed", "link", "base", "form", "video", "audio", "source"}


class Page(html.parser.HTMLParser):
    """The elements of a page: ``tags`` [(name, {attribute: value})], ``text``, ``scripts``."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.open, self.text, self.scripts = [], [], "", []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not (self.open and self.open[-1] == "style"):
            self.text += data

    def of(self, name):
        """The attributes of each element of this name."""
        return [attributes for tag, attributes in self.tags if tag == name]


def check_alone(content):
    """Reads a page, and checks that it needs and runs nothing but itself."""
    page = Page(content)
    assert not {tag for tag, _ in page.tags} & FORBIDDEN
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/jpeg;base64,").startswith(
            "data:image/jpeg;base64,"
        )
        assert "url(" not in (attributes.get("style") or "")
    assert len(page.scripts) == 1
    assert not re.search(r"https?://|@import|url\(|fetch|XMLHttp", content.split("<body>")[0])
    return page
