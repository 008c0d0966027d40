"""What the README and the pages of docs/ show is what comes out, and what they link to is there."""

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import typer

import rnn_export
from rnn_export.cli.main import app
from rnn_export.scaffolding.hosts import HOSTS
from tests.support.pages import Reader, blocks, in_text
from tests.support.paths import ROOT
from tests.support.sources import sources

DOCS = sorted((ROOT / "docs").glob("*.md"))
README = (ROOT / "README.md").read_text()
EMBEDDING = (ROOT / "docs" / "embedding.md").read_text()
SHELL = re.compile(r"(?ms)^```sh\n(.*?)^```")
COMMANDS = [
    line
    for path in (ROOT / "README.md", *DOCS)
    for block in SHELL.findall(path.read_text())
    for line in block.splitlines()
    if line.startswith("rnn-export ")
]
CODE = {".c", ".cpp", ".rs", ".go", ".java", ".js", ".mjs", ".py"}

each_page = pytest.mark.parametrize("page", [ROOT / "README.md", *DOCS], ids=lambda path: path.name)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_first_example_prints_what_is_shown(tmp_path: Path) -> None:
    [first, *_] = [block for block in blocks(ROOT / "README.md") if block.language == "python"]
    reader = Reader(tmp_path, {})
    reader.play(first)
    assert reader.ran == ["Python"]
    assert "verify(" in first.text.splitlines()[-1]


@pytest.mark.needs("cc")
def test_the_program_in_c_is_the_one_that_runs(tmp_path: Path) -> None:
    """The bits are those of another file, too; ``tests/test_pages.py`` builds it as the page says."""
    source, bundle = ROOT / "scripts" / "stream.c", ROOT / "artifacts" / "rnn_scratch"
    line = ["cc", "-O2", f"-I{bundle}", source, bundle / "model.c", "-o", tmp_path / "stream"]
    subprocess.run(line, check=True)
    printed = subprocess.run([tmp_path / "stream"], capture_output=True, text=True, check=True).stdout
    [shown] = [block for block in blocks(ROOT / "docs" / "embedding.md") if "./stream" in block.text]
    assert printed == shown.text.partition("\n")[2]
    inputs = (np.arange(5 * 16, dtype=np.float32) % 7 / 7).reshape(5, 1, 16)
    outputs, _ = rnn_export.load(bundle, runtime="onnxruntime")(inputs)
    assert [float(text.split()[0]) for text in printed.splitlines()] == pytest.approx(
        outputs.ravel(), abs=1e-6
    )


@each_page
def test_commands_of_make_are_in_a_makefile(page: Path) -> None:
    makefiles = "".join(path.read_text() for path in (ROOT / "Makefile", *ROOT.glob("examples/*/Makefile")))
    for command in re.findall(r"(?m)(?:^|`)make ([\w-]+)", page.read_text()):
        assert f"\n{command}:" in makefiles


def test_both_commands_are_shown() -> None:
    assert re.findall(r"^make (\w+)", README, re.MULTILINE) == ["artifacts", "test"]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_line_has_the_arguments_that_it_needs(line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app).commands[name]
    command.make_context(name, arguments)


@pytest.mark.parametrize("host", HOSTS)
def test_each_language_shows_an_excerpt_of_its_example(host: str) -> None:
    """A block stands in the example as it does here, but for its indentation; hosts of one block share it."""
    [block] = re.findall(rf"(?ms)^[^\n]*\(\.\./examples/{host}\)[^\n]*:\n\n```\w+\n(.*?)```", EMBEDDING)
    files = sources(ROOT / "examples" / host)
    texts = [content.decode() for name, content in files.items() if Path(name).suffix in CODE]
    assert any(in_text(block, text) for text in texts)


def test_the_readme_links_to_every_example() -> None:
    assert {*re.findall(r"\(examples/([\w-]+)\)", README)} == {*HOSTS}


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)\s#:]*)(?:#([^)\s]+))?\)", page.read_text()):
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text()), f"{target}#{anchor}"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    assert {path.name for path in DOCS} <= {*re.findall(r"[\w-]+\.md", navigation)}


def anchors(text: str) -> set[str]:
    """Name the headings of a page as code hosts and mkdocs do in links."""
    headings = re.findall(r"(?m)^#+ (.*)", re.sub(r"(?ms)^```.*?^```", "", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
