"""A Program by hand that is written as C, and built."""

from pathlib import Path

from rnn_export.backends.c.write.model import compile_program
from rnn_export.program.program import Program
from rnn_export.runtimes import c
from rnn_export.signature.signature import Call, Signature


class WrittenInC:
    """What has a Program and its signature."""

    @property
    def signature(self) -> Signature:
        """What a call looks like."""
        raise NotImplementedError

    def program(self) -> Program:
        """Make the Program."""
        raise NotImplementedError

    def call(self, folder: Path) -> Call:
        """Write it as C, and build that."""
        self.write(folder)
        return c.start(folder / "model.c", self.signature)

    def write(self, folder: Path) -> None:
        """Write it as C."""
        files = compile_program(self.program(), self.signature, "net")
        (folder / "model.c").write_text(files.source)
        (folder / "model.h").write_text(files.header)
