"""stream.py NAME: read one time step a line, numbers with blanks between, and write the outputs of each.

Of several inputs the numbers stand one after another, in the manifest's order; truth values are 0 and 1.
"""

import argparse
import sys
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from recurrent import Array, Model, Session, alone, by_name, load

MODELS = Path(__file__).parent / "models"


def stream(model: Model) -> None:
    """Feed the lines of standard input to a session, and print what comes out.

    Raises:
        ValueError: a line is not a time step; the message names it.
    """
    session = Session(model)
    for number, line in enumerate(sys.stdin, 1):
        try:
            outputs = by_name(model.outputs, session.step(alone(read(line, model.inputs))))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        print(*(f"{value:.9g}" for array in outputs.values() for value in array.ravel()), flush=True)


def read(line: str, inputs: list[dict[str, Any]]) -> dict[str, Array]:
    """Read a time step of one row; ``inputs`` is what the manifest tells of it.

    Raises:
        ValueError: the line has other numbers, or more or fewer.
    """
    shapes = [one_step(spec) for spec in inputs]
    ends = np.cumsum([prod(shape) for shape in shapes])
    words = line.split()
    try:
        pieces = np.split(np.array(words, object), ends[:-1])
        return {
            spec["name"]: numbers(list(piece), spec["dtype"]).reshape(shape)
            for spec, piece, shape in zip(inputs, pieces, shapes, strict=True)
        }
    except (ValueError, OverflowError) as error:
        several = zip(shapes, inputs, strict=True)
        expected = " and ".join(f"{prod(shape)} of {spec['dtype']}" for shape, spec in several)
        raise ValueError(f"expected {expected} with blanks between them, got {line.strip()!r}") from error


def numbers(words: list[str], dtype: str) -> Array:
    """Read numbers of a dtype; truth values are 0 and 1.

    Raises:
        ValueError: one is none.
        OverflowError: one is too large.
    """
    if dtype != "bool":
        return np.array(words, dtype)
    return np.array([("0", "1").index(word) for word in words], bool)


def one_step(spec: dict[str, Any]) -> list[int]:
    """Give the shape of a tensor of the manifest in one step of one row; another free size is 1."""
    return [1 if isinstance(size, str) else size for size in spec["shape"] if size != "time"]


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
