"""Where the compiler is told to round in another way, ``model.c`` does not compile, and says why."""

import subprocess

import pytest

from tests.support.cases import the
from tests.support.exports import Exported

EXCESS, FAST = "model.c needs floats that are rounded to floats", "model.c is not right with -ffast-math"


def said(command: str, options: str, exported: Exported) -> str:
    """Compile nothing, and give what the compiler says; the headers of 32-bit systems may be missing."""
    source = exported(the("rnn")).folder / "model.c"
    line = [command, "-fsyntax-only", *options.split(), str(source)]
    return subprocess.run(line, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("gcc", "clang")]
)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("-m32 -march=i686", EXCESS),
        ("-m32 -mfpmath=387", EXCESS),
        ("-ffast-math", FAST),
        ("-Ofast -march=native", FAST),
        ("-ffinite-math-only", FAST),
    ],
)
def test_other_arithmetic_is_refused(command: str, options: str, message: str, exported: Exported) -> None:
    if command == "clang" and "387" in options:
        options = "-m32 -mno-sse"
    assert f"error: {message}" in said(command, options, exported).replace('error "', "error: ").replace(
        '"', ""
    )


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("gcc", "clang")]
)
@pytest.mark.parametrize(
    "options",
    [
        "",
        "-O3 -march=native",
        "-m32 -msse2 -mfpmath=sse",
        "-march=sapphirerapids",
        "-std=c11",
        "-O1 -fno-math-errno",
    ],
)
def test_what_rounds_as_it_should_is_taken(command: str, options: str, exported: Exported) -> None:
    text = said(command, options, exported)
    assert EXCESS not in text
    assert FAST not in text
    assert not text or "-m32" in options
