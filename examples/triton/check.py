"""Check the repository without a Triton: python check.py FOLDER_OF_A_BUNDLE...

``config.pbtxt`` is read by tritonclient and compared with the manifest. Then the file runs all golden vectors
in ONNX Runtime: whole, in single steps with the state handed on, and as sequences, as Triton would keep them.
"""

import sys
from pathlib import Path
from typing import Any

import golden
import numpy as np
import onnxruntime
from batches import moved, moved_back, order
from served import DTYPES, StandIn
from tritonclient.grpc import model_config_pb2

from recurrent import Array, OnnxModel, State, alone, by_name

REPOSITORY = Path(__file__).parent / "repository"
SEQUENCES, STEPS = 3, 20


class BatchFirst(OnnxModel):
    """A bundle's model, run by the file of the repository."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.served = StandIn(REPOSITORY / self.name)
        self._session: onnxruntime.InferenceSession = self.served.session

    def _run(
        self, inputs: tuple[Array, ...], state: State, sizes: dict[str, int]
    ) -> tuple[list[Array], State]:
        specs = [*self.inputs, *self.leaves]
        feeds = {
            spec["name"]: moved(array, spec) for spec, array in zip(specs, (*inputs, *state), strict=True)
        }
        found = [*self.outputs, *({**leaf, "name": leaf["output_name"]} for leaf in self.leaves)]
        results = self._session.run([spec["name"] for spec in found], feeds)
        own = [moved_back(array, spec) for array, spec in zip(results, found, strict=True)]
        return own[: len(self.outputs)], tuple(own[len(self.outputs) :])


def check_config(model: BatchFirst) -> None:
    """Compare the configuration with the manifest.

    Raises:
        ValueError: it is of another call, or Triton would not keep the state as it should.
    """
    config, state = model.served.config, {leaf["name"]: leaf for leaf in model.leaves}
    for expected, got in (
        (model.name, config.name),
        (described(model.inputs), told(config.input)),
        (described(model.outputs), told(config.output)),
        (described(model.leaves), told(config.sequence_batching.state, "input_name")),
        ([leaf["output_name"] for leaf in model.leaves], [*model.served.after]),
    ):
        if expected != got:
            raise ValueError(f"{model.name}: config.pbtxt: expected {expected}, got {got}")
    initial = dict(zip(state, model.initial_state(1), strict=True))
    for name, first in model.served.first.items():
        if not np.array_equal(first, moved(initial[name], state[name])):
            raise ValueError(f"{model.name}: {name}: expected the first state of the manifest, got another")


def described(specs: list[dict[str, Any]]) -> list[tuple[str, str, list[int]]]:
    """Give name, dtype and dims of the manifest's tensors, without the batch."""
    shapes = [[spec["shape"][axis] for axis in order(spec)[1:]] or [1] for spec in specs]
    dims = [[-1 if isinstance(size, str) else size for size in shape] for shape in shapes]
    return [(spec["name"], spec["dtype"], own) for spec, own in zip(specs, dims, strict=True)]


def told(tensors: Any, name: str = "name") -> list[tuple[str, str, list[int]]]:
    """Give name, dtype and dims of the configuration's tensors."""
    types = model_config_pb2.DataType
    return [(getattr(one, name), DTYPES[types.Name(one.data_type)], list(one.dims)) for one in tensors]


def check_sequences(model: BatchFirst) -> None:
    """Feed sequences in turns; each gives the bits that its steps give alone.

    Raises:
        ValueError: one does not.
    """
    random = np.random.default_rng(0)
    states = [model.initial_state(1) for _ in range(SEQUENCES)]
    for step in range(STEPS):
        for number in range(SEQUENCES):
            values = {spec["name"]: drawn(spec, random) for spec in model.inputs}
            sent = {spec["name"]: moved(values[spec["name"]], spec) for spec in model.inputs}
            got = model.served.infer(sent, number, step == 0, step + 1 == STEPS)
            outputs, states[number] = model.run(alone(values), states[number])
            for spec in model.outputs:
                expected = by_name(model.outputs, outputs)[spec["name"]]
                if moved_back(got[spec["name"]], spec).tobytes() != expected.tobytes():
                    raise ValueError(f"{model.name}: sequence {number}, step {step}: {spec['name']} differs")


def drawn(spec: dict[str, Any], random: np.random.Generator) -> Array:
    """Draw one time step of one row of an input; another free size is 3."""
    shape = [
        {"time": 1, "batch": 1}.get(size, 3) if isinstance(size, str) else size for size in spec["shape"]
    ]
    if spec["dtype"] == "float32":
        return random.standard_normal(shape, np.float32)
    return random.integers(spec.get("vocabulary", 2), size=shape).astype(spec["dtype"])


def check(folder: Path) -> bool:
    """Check a bundle's model in the repository; print what was found."""
    model, vectors = BatchFirst(folder), golden.Golden(folder)
    check_config(model)
    check_sequences(model)
    found: list[tuple[float, float, str]] = []
    runs = 0
    for case in vectors.cases:
        inputs, state = vectors.call(model, case)
        results = golden.results(model, *model.run(inputs, state))
        found += golden.compared(vectors, case, "whole", results)
        if case["kind"] == "run":
            stepped = golden.results(model, *golden.streamed(model, case, inputs, state))
            found += golden.compared(vectors, case, "streamed", stepped)
            runs += 1
    problems = [problem for *_, problem in found if problem] or ([] if found else ["no golden vectors"])
    if problems:
        print(f"{model.name}: {problems[0]}", file=sys.stderr)
        return False
    error, share = (max(values) for values in list(zip(*found, strict=True))[:2])
    counts = f"{len(vectors.cases)} vectors whole, {runs} streamed"
    errors = f"worst error {error:.1e} ({share:.0%} of allowed)"
    print(f"{model.name}: {counts}, {errors}, {golden.time_step(model):.2f} us per step")
    return True


def main() -> None:
    """Check the repository for every bundle that is named."""
    if len(sys.argv) < 2:
        print(f"usage: {sys.argv[0]} FOLDER_OF_A_BUNDLE...", file=sys.stderr)
        sys.exit(2)
    try:
        checks = [check(Path(name)) for name in sys.argv[1:]]
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    sys.exit(not all(checks))


if __name__ == "__main__":
    main()
