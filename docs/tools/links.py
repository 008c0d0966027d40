"""Let relative links work on a code host and in the site alike.

A page of ``docs/`` links to files of the repository by their relative paths. The site has a page for each of
:data:`PAGES` and for the README of each example, and links to these are pointed there. Any other file has no
page in the site: the text of the link stays, the link goes.
"""

import re
from os.path import relpath
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Files outside of docs/ that the site has, and what they are called there.
PAGES = {
    "README.md": "start.md",
    "BENCHMARKS.md": "benchmarks.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"\[([^\]\n]+)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def pages() -> dict[str, str]:
    """Name every file of the repository that is a page of the site, and the page."""
    own = {path.relative_to(ROOT).as_posix(): path.name for path in (ROOT / "docs").glob("*.md")}
    examples = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("examples/*/README.md")]
    return {**own, **PAGES, **{path: path.replace("README", "index") for path in examples}}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand outside of ``docs/``."""
    for path, page in pages().items():
        if not path.startswith("docs/"):
            files.append(File.generated(config, page, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page to pages of the site."""
    known = pages()
    [source] = [path for path, name in known.items() if name == page.file.src_uri]

    def pointed(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        path = (ROOT / source).parent.joinpath(target).resolve()
        if not path.exists():
            return link[0]  # to another site, or to nowhere: mkdocs says so
        name = (path / "README.md" if path.is_dir() else path).relative_to(ROOT).as_posix()
        if name not in known:
            return text
        return f"[{text}]({relpath(known[name], Path(page.file.src_uri).parent)}{anchor})"

    return LINK.sub(pointed, markdown)
