"""stream.py NAME: read one time step a line, numbers with blanks between, and write the outputs of each."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from recurrent import Array, Model, Session, load

MODELS = Path(__file__).parent / "models"


def stream(model: Model) -> None:
    """Feed the lines of standard input to a session, and print what comes out.

    Raises:
        ValueError: a line is not a time step; the message names it.
    """
    session = Session(model)
    for number, line in enumerate(sys.stdin, 1):
        try:
            outputs = session.step(read(line, model.inputs))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        print(*(f"{value:.9g}" for value in outputs.ravel()), flush=True)


def read(line: str, inputs: dict[str, Any]) -> Array:
    """Read a time step of one row; ``inputs`` is what the manifest tells of it.

    Raises:
        ValueError: the line has other numbers, or more or fewer.
    """
    shape = [size for size in inputs["shape"] if isinstance(size, int)]
    try:
        return np.array(line.split(), inputs["dtype"]).reshape([1, *shape])
    except (ValueError, OverflowError) as error:
        expected = f"{int(np.prod(shape))} of {inputs['dtype']} with blanks between them"
        raise ValueError(f"expected {expected}, got {line.strip()!r}") from error


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a bundle in models/")
    parser.add_argument("--runtime", default="onnxruntime", choices=["onnxruntime", "c"])
    options = parser.parse_args()
    try:
        stream(load(MODELS / options.name, options.runtime))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
