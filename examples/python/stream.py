"""stream.py NAME: read one time step a line, numbers with blanks between, and write the outputs of each."""

import argparse
import sys
from pathlib import Path

import numpy as np

from recurrent import Model, Session, load

MODELS = Path(__file__).parent / "models"


def stream(model: Model) -> None:
    """Feed the lines of standard input to a session, and print what comes out.

    Raises:
        ValueError: a line is not a time step; the message names it.
    """
    session, inputs = Session(model), model.manifest["signature"]["inputs"]
    shape = [size for size in inputs["shape"] if isinstance(size, int)]
    for number, line in enumerate(sys.stdin, 1):
        try:
            step = np.array(line.split(), inputs["dtype"]).reshape([1, *shape])
        except ValueError as error:
            expected = f"{int(np.prod(shape))} of {inputs['dtype']} with blanks between them"
            raise ValueError(f"line {number}: expected {expected}, got {line.strip()!r}") from error
        print(*(f"{value:.9g}" for value in session.step(step).ravel()), flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a bundle in models/")
    parser.add_argument("--runtime", default="onnxruntime", help="onnxruntime or c")
    options = parser.parse_args()
    try:
        stream(load(MODELS / options.name, options.runtime))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
