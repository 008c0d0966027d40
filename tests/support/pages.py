"""Runs what a page of Markdown shows, block after block, in a folder, and compares what comes out.

What a block is follows from its language and from the paragraph in front of it:

    paragraph ends in "`FILE`:"          the block is that file, and is written
    ```sh                                each line is a command
    ```python, ```py                     goes on in the page's own Python session
    ```c, ```cpp                         a program, if it has a ``main``: it is built and run
    a block that stands in an example, or in a file that the paragraph names: an excerpt, which the tests of
        that file run
    ``` after a block of code            what that block prints
    ``` after "`COMMAND` prints"         what that command prints
    four spaces, "$ COMMAND"             a command, and what it prints
"""

import contextlib
import io
import re
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from tests.support.paths import ROOT
from tests.support.sources import sources

# Measured: errors, shares of what is allowed, times; and a form that is left out on some processors.
MEASURED = re.compile(r" *\d\.\d+e-\d\d| *\d+%|left out: variants/operator.onnx in onnxruntime: .*")
SHOWN = re.compile(r"^print\(.*\)  # (.*)$", re.MULTILINE)
FILE = re.compile(r"`([\w./-]+\.\w+)`:$")
NAMED = re.compile(r"`([\w./-]+\.\w+)`|\]\(\.\./(examples/[\w-]+)\)")
PRINTS = re.compile(r"`([^`]+)`[^`]* prints[^`]*:$")
COMPILERS = {"c": "cc", "cpp": "c++"}


@dataclass(frozen=True)
class Block:
    """A block of code: its page and first line, its language, and the paragraph that it stands under."""

    page: str
    line: int
    language: str
    text: str
    before: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Give all blocks of a page in their order; those of four spaces only if they show a command."""
    found, before = [], ""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "inline":
            before = " ".join(token.content.split())
        shows = token.type == "fence" or (token.type == "code_block" and token.content.startswith("$ "))
        if shows:
            assert token.map
            language = token.info.strip() if token.type == "fence" else "console"
            found.append(Block(page.name, token.map[0] + 1, language, token.content, before))
            before = ""
    return found


@dataclass
class Reader:
    """Somebody who does what a page says, in ``folder``, but for ``left_out``: commands and why."""

    folder: Path
    left_out: Mapping[str, str]
    session: dict[str, Any] = field(default_factory=dict)
    printed: str = ""
    ran: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)

    def read(self, page: Path) -> None:
        for block in blocks(page):
            self.play(block)

    def play(self, block: Block) -> None:
        """Do what a block says.

        Raises:
            AssertionError: it does not run as it stands, or something else comes out than is shown.
        """
        if file := FILE.search(block.before):
            (self.folder / file[1]).write_text(block.text)
            self.ran.append(file[1])
        elif block.language in ("sh", "console"):
            self._commands(block)
        elif not block.language:
            self._output(block)
        elif stands_in_a_file(block):
            self.ran.append("an excerpt")
        elif block.language in ("python", "py"):
            self._python(block)
        elif block.language in COMPILERS:
            self._program(block)
        else:
            raise AssertionError(f"{block.place}: nobody knows how to run {block.language}")

    def _commands(self, block: Block) -> None:
        """Run each line of ``sh``; of a console, a line that begins with ``$``: the others are its output."""
        lines = block.text.splitlines()
        if block.language == "sh":
            for line in filter(None, lines):
                self.command(line, block)
            return
        command, output = lines[0].removeprefix("$ "), "\n".join(lines[1:])
        if self.command(command, block):
            same(self.printed, output, block)

    def command(self, line: str, block: Block) -> bool:
        """Run a command as a shell would; ``False`` if it is one of those that are left out.

        Raises:
            AssertionError: it fails, or what it prints says so.
        """
        bare = re.sub(r"\s+# .*$", "", line)
        if bare in self.left_out:
            self.not_run.append(bare)
            return False
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block.place}: {line}\n{done.stdout}{done.stderr}"
        assert not re.search("Traceback|command not found|wrong: ", done.stdout + done.stderr), done
        self.printed = done.stdout
        self.ran.append(bare)
        return True

    def _python(self, block: Block) -> None:
        printed = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            exec(compile(block.text, block.place, "exec"), self.session)
        self.printed = printed.getvalue()
        self.ran.append("Python")
        if shown := SHOWN.findall(block.text):
            same(self.printed, "\n".join(shown), block)

    def _output(self, block: Block) -> None:
        if said := PRINTS.search(block.before):
            command = said[1] if said[1].startswith(("python ", "pytest ")) else f"rnn-export {said[1]}"
            if not self.command(command.removeprefix("rnn-export rnn-export "), block):
                return
        same(self.printed, block.text, block)

    def _program(self, block: Block) -> None:
        """Build a program and run it; one in C++ finds libtorch where Python has it."""
        source, program = self.folder / f"program.{block.language}", self.folder / "program"
        source.write_text(block.text)
        line = [COMPILERS[block.language], source, "-o", program, *(libtorch() * (block.language == "cpp"))]
        built = subprocess.run(line, capture_output=True, text=True, check=False)
        assert built.returncode == 0, f"{block.place}: {built.stderr}"
        self.printed = subprocess.run(
            [program], cwd=self.folder, capture_output=True, text=True, check=True
        ).stdout
        self.ran.append(f"a program in {block.language}")


def libtorch() -> list[str]:
    """Give the compiler's options for libtorch."""
    torch = Path(sysconfig.get_path("purelib")) / "torch"
    include = [f"-I{torch}/include", f"-I{torch}/include/torch/csrc/api/include"]
    libraries = [f"-L{torch}/lib", f"-Wl,-rpath,{torch}/lib", "-ltorch", "-ltorch_cpu", "-lc10"]
    return ["-std=c++17", "-O0", *include, *libraries]


def stands_in_a_file(block: Block) -> bool:
    """Whether a block stands, but for its indentation, in a file or example that the paragraph names."""
    for file, example in NAMED.findall(block.before):
        if example:
            texts = [content for name, content in sources(ROOT / example).items()]
        elif (ROOT / file).is_file():
            texts = [(ROOT / file).read_bytes()]
        else:
            continue
        if any(in_text(block.text, text.decode(errors="replace")) for text in texts):
            return True
    return False


def in_text(block: str, text: str) -> bool:
    """Whether a text holds a block, indented as the block's first line is there."""
    first = re.search(rf"^([ \t]+){re.escape(block.splitlines()[0])}$", text, re.MULTILINE)
    return block in (re.sub(rf"^{first[1]}", "", text, flags=re.MULTILINE) if first else text)


def same(printed: str, shown: str, block: Block) -> None:
    """Compare what came with what the page shows, but for what is measured and spaces at ends of lines."""
    came, told = (masked(text) for text in (printed, shown))
    assert came == told, f"{block.place}: it shows\n{shown}\nand what comes is\n{printed}"


def masked(text: str) -> list[str]:
    return [line.rstrip() for line in MEASURED.sub("#", text).strip().splitlines()]
