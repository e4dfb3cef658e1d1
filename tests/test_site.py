"""The documentation site: it builds without a warning, and all of it can be reached from its first page."""

import functools
import http.server
import inspect
import os
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

import dashdeploy

ROOT = Path(__file__).parent.parent


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = set(), {""}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.add(attributes.get("id"))
        for name in ("href", "src"):
            if attributes.get(name) and tag != "base":
                self.links.add(attributes[name])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def target_of(page, link):
    """The file and the anchor that a link within the site leads to, or None for one that leaves it."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    return path / "index.html" if path.is_dir() else path, unquote(parts.fragment)


def test_every_link_leads_somewhere(pages):
    broken = []
    for page, content in pages.items():
        for link in content.links - {"."}:
            target = target_of(page, link)
            if page.name == "404.html" or target is None:
                continue
            path, anchor = target
            if not path.exists() or (path in pages and anchor not in pages[path].anchors | {"__top"}):
                broken.append(f"{page.name}: {link}")
    assert broken == []


def test_every_page_is_reached_from_the_first(site, pages):
    first = site / "index.html"
    reached, waiting = {first}, [first]
    while waiting:
        page = waiting.pop()
        for target in filter(None, (target_of(page, link) for link in pages[page].links)):
            if target[0] in pages and target[0] not in reached:
                reached.add(target[0])
                waiting.append(target[0])
    assert set(pages) - reached == {site / "404.html"}


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link)[^>]+(?:src|href)=\"?(https?:[^\s\">]+)", page.read_text("utf-8")
        )
        assert loaded == [], page


def test_every_public_name_has_its_entry(pages, site):
    anchors = pages[site / "python.html"].anchors
    names = [
        name for name in (*dashdeploy.__all__, *dashdeploy._OF_EXTRAS) if name not in ("bench", "__version__")
    ]
    assert [name for name in names if f"dashdeploy.{name}" not in anchors] == []
    members = {
        f"dashdeploy.{name}.{member}"
        for name in names
        for member, found in inspect.getmembers(getattr(dashdeploy, name), inspect.isroutine)
        if not member.startswith("_") and (getattr(found, "__module__", None) or "").startswith("dashdeploy")
    }
    assert {"dashdeploy.DASHClassifier.save", "dashdeploy.Run.load"} <= members
    assert members - anchors == set()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(site):
    """The address of a server of the site's files; a browser runs no search worker from `file://`."""
    handler = functools.partial(QuietHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


IN_PAGE = """() => ({
    ids: [...document.querySelectorAll("[id]")].map(each => each.id),
    links: [...document.querySelectorAll("a[href]")].map(each => each.href),
    pictures: [...document.images].filter(each => !each.naturalWidth).map(each => each.src),
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
})"""


@pytest.mark.slow
def test_chromium_finds_no_broken_link_and_no_error(browser, address, site, pages):
    faults, requested, seen = [], set(), {}
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.on(
        "console", lambda each: faults.append(f"{page.url}: {each.text}") if each.type == "error" else None
    )
    page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
    page.on("requestfailed", lambda each: faults.append(f"{page.url}: {each.url} failed"))
    page.on("request", lambda each: requested.add(each.url))
    for path in sorted(set(pages) - {site / "404.html"}):
        url = f"{address}/{path.relative_to(site).as_posix()}"
        answer = page.goto(url, wait_until="networkidle")
        assert answer.status == 200
        seen[url] = page.evaluate(IN_PAGE)
    page.close()
    assert len(seen) > 25
    assert faults == []
    assert {url for url in requested if not url.startswith((address, "data:", "blob:"))} == set()

    wide = {url: found["wide"] for url, found in seen.items() if found["wide"] > 0}
    assert wide == {}, "a phone would scroll these pages sideways"
    broken = [f"{url}: {picture}" for url, found in seen.items() for picture in found["pictures"]]
    request = browser.new_context().request
    status = functools.cache(lambda url: request.get(url).status)
    for url, found in seen.items():
        for link in found["links"]:
            target, anchor = urldefrag(link)
            if not target.startswith(address):
                continue
            target = target + "index.html" if target.endswith("/") else target
            if target in seen:
                good = not anchor or unquote(anchor) in {*seen[target]["ids"], "__top"}
            else:
                good = status(target) == 200
            if not good:
                broken.append(f"{url}: {link}")
    assert broken == []
