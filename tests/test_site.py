"docs/ as committed: whatever a page points at is there, nothing is asked of the network, and no page is heavy."
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.html"))
HEAVY = {DOCS / "gallery.html": 3_000_000, DOCS / "index.html": 800_000}     # bytes, with all it loads; other pages 1.5 MB
URL = re.compile(r"url\(\s*['\"]?(?!data:)([^'\")]+)|@import\s+['\"]([^'\"]+)")


class Page(HTMLParser):
    "What a page has (`names`), points at (`links`) and loads by itself (`loads`)."
    def __init__(self, path: Path):
        super().__init__()
        self.names, self.links, self.loads = set(), set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.names |= {attrs.get("id"), attrs.get("name")}
        if tag == "a" and attrs.get("href"): self.links.add(attrs["href"])
        if tag == "link": self.loads.add(attrs["href"])
        self.loads |= {attrs[key] for key in ("src", "poster", "data") if attrs.get(key)}

    def handle_data(self, data):
        if self.lasttag == "style": self.loads |= {a or b for a, b in URL.findall(data)}


page = cache(Page)
def inside(url): return not urlsplit(url).scheme and not urlsplit(url).netloc
def target(path, url): return (path.parent / unquote(urlsplit(url).path)).resolve() if urlsplit(url).path else path


@cache
def loaded(path: Path) -> frozenset[Path]:
    "The files that a page or a style sheet loads."
    urls = page(path).loads if path.suffix == ".html" else {a or b for a, b in URL.findall(path.read_text())}
    files = {target(path, url) for url in urls if inside(url)}
    return frozenset(files.union(*(loaded(file) for file in files if file.suffix == ".css")))


def test_no_broken_link():
    broken = []
    for path in PAGES:
        for url in filter(inside, page(path).links | page(path).loads):
            file, name = target(path, url), unquote(urlsplit(url).fragment)
            if not file.exists() or name and file.suffix == ".html" and name not in page(file).names: broken.append(f"{path.relative_to(DOCS)}: {url}")
    assert len(PAGES) > 50 and not broken, "\n".join(broken)


def test_nothing_is_asked_of_the_network():
    asked = [f"{path.relative_to(DOCS)}: {url}" for path in PAGES for url in page(path).loads if not inside(url) and not url.startswith("data:")]
    asked += [f"{path.relative_to(DOCS)}: {a or b}" for path in DOCS.rglob("*.css") for a, b in URL.findall(path.read_text()) if not inside(a or b)]
    assert not asked, "\n".join(asked)


def test_no_page_is_heavy():
    weight = {path: sum(file.stat().st_size for file in loaded(path) | {path}) for path in PAGES}
    print(*(f"{path.relative_to(DOCS)}: {weight[path] // 1000} KB" for path in sorted(weight, key=weight.get)[-5:]), f"home: {weight[DOCS / 'index.html'] // 1000} KB", sep="\n")
    assert not [f"{path.relative_to(DOCS)}: {n} bytes" for path, n in weight.items() if n > HEAVY.get(path, 1_500_000)]


@pytest.mark.parametrize("html, urls", [('<img src="http://a.b/c.png">', {"http://a.b/c.png"}), ('<link href="x.css">', {"x.css"}),
    ('<style>p { background: url("//a.b/c") }</style>', {"//a.b/c"}), ('<a href="http://a.b">a link is free to lead anywhere</a>', set())])
def test_the_reader_of_pages(tmp_path, html, urls):
    (tmp_path / "page.html").write_text(html)
    assert Page(tmp_path / "page.html").loads == urls
