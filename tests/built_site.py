"""What a built site links to and what it loads, read off its files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADING = {
    "img": ("src", "srcset"), "script": ("src",), "iframe": ("src",), "source": ("src", "srcset"),
    "track": ("src",),
    "video": ("src", "poster"), "audio": ("src",), "embed": ("src",), "object": ("data",), "input": ("src",),
    "image": ("href", "xlink:href"), "use": ("href", "xlink:href"), "body": ("background",),
}  # fmt: skip
"""Attributes of what a browser fetches by itself; of <link> it depends on ``rel``."""

FETCHED_LINKS = {"stylesheet", "icon", "shortcut", "apple-touch-icon", "preload", "prefetch", "modulepreload",
                 "preconnect", "dns-prefetch", "manifest"}  # fmt: skip

STYLE = re.compile(r"url\(\s*['\"]?([^'\")\s]+)|@import\s+['\"]([^'\"]+)")
SCRIPT = re.compile(
    r"""(?:fetch\(|import\(?|importScripts\(|new\s+Worker\(|\.src\s*=|\.href\s*=|\.open\(\s*['"]\w+['"]\s*,)"""
    r"""\s*['"`]((?:https?:)?//[^'"`]+)"""
)


@dataclass
class Page(HTMLParser):
    """One page: the anchors it has, the addresses it links to, those it loads."""

    text: str
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    inside: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.inside = tag
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag in ("a", "area") and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and set(given.get("rel", "").lower().split()) & FETCHED_LINKS:
            self.loads.append(given.get("href", ""))
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self.loads.append(given.get("content", "").partition("=")[2])
        for name in LOADING.get(tag, ()):
            if name in given:
                parts = given[name].split(",") if name == "srcset" else [given[name]]
                self.loads += [part.split()[0] for part in parts if part.split()]
        self.loads += addresses_in_style(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self.inside == "style":
            self.loads += addresses_in_style(data)
        if self.inside == "script":
            self.loads += SCRIPT.findall(data)

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


def addresses_in_style(text: str) -> list[str]:
    """Return what a style sheet loads."""
    return [one or other for one, other in STYLE.findall(text)]


@dataclass
class Site:
    """A folder of pages."""

    folder: Path

    @cached_property
    def pages(self) -> dict[Path, Page]:
        return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(self.folder.rglob("*.html"))}

    def dead_links(self) -> Iterator[str]:
        """Yield every link within the site that leads to no file, or to no anchor of a page."""
        for path, page in self.pages.items():
            for link in page.links + page.loads:
                parts = urlsplit(link)
                if parts.scheme or parts.netloc:
                    continue
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                target = target / "index.html" if target.is_dir() else target
                if not target.is_file() or not target.is_relative_to(self.folder.resolve()):
                    yield f"{path.relative_to(self.folder)}: {link}"
                elif parts.fragment and target in self.pages:
                    anchor = unquote(parts.fragment)
                    if anchor not in self.pages[target].anchors and not anchor.startswith(":~:"):
                        yield f"{path.relative_to(self.folder)}: {link} has no anchor"

    def foreign_loads(self) -> Iterator[str]:
        """Yield everything that a browser would fetch from another host."""
        found = [(path, load) for path, page in self.pages.items() for load in page.loads]
        for path in self.folder.rglob("*.css"):
            found += [(path, load) for load in addresses_in_style(path.read_text(encoding="utf-8"))]
        for path in self.folder.rglob("*.svg"):
            found += [(path, load) for load in Page(path.read_text(encoding="utf-8")).loads]
        for path in self.folder.rglob("*.js"):
            found += [(path, load) for load in SCRIPT.findall(path.read_text(encoding="utf-8"))]
        for path, load in found:
            parts = urlsplit(load)
            if parts.netloc or parts.scheme not in ("", "data", "blob"):
                yield f"{path.relative_to(self.folder)}: {load}"
