"""What a server tells of a model, and all golden vectors of it, whole and streamed, over any protocol."""

import time
from collections.abc import Iterator, Sequence
from itertools import count
from statistics import median
from typing import Any

import numpy as np
from client import DATATYPES, Bundle, CheckError, Comparison, compare, expect
from protocols import Answer, Connection, Named

from recurrent import Array, State, time_axis

ROUNDS, STEPS = 11, 100
SEQUENCE_IDS = count(1)


def described(bundle: Bundle) -> dict[str, list[dict[str, Any]]]:
    """Give what a server should tell of a model's tensors."""
    inputs = [
        describe(spec, role=spec["role"], **{key: spec[key] for key in ("vocabulary",) if key in spec})
        for spec in bundle.inputs
    ]
    outputs = [describe(spec, role="output") for spec in bundle.model.outputs]
    for leaf in bundle.state:
        initial = {"initial": leaf["initial"]} if isinstance(leaf["initial"], int | float) else {}
        inputs.append(describe(leaf, role="state", output_name=leaf["output_name"], **initial))
        outputs.append(describe(leaf | {"name": leaf["output_name"]}, role="state", input_name=leaf["name"]))
    return {"inputs": inputs, "outputs": outputs}


def describe(spec: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """Describe a tensor of the manifest as the protocol does, with what its axes are."""
    shape = [-1 if isinstance(axis, str) else axis for axis in spec["shape"]]
    axes = {f"{name}_axis": spec["shape"].index(name) for name in ("time", "batch") if name in spec["shape"]}
    told = {"name": spec["name"], "datatype": DATATYPES[spec["dtype"]], "shape": shape}
    return {**told, "parameters": {**axes, **parameters}}


def check_metadata(server: Connection, bundle: Bundle) -> None:
    """Compare what a server tells of a model with the manifest.

    Raises:
        CheckError: it is something else.
    """
    told = server.metadata(bundle.name)
    expect("the model's name", bundle.name, told["name"])
    keys = ["name", "datatype", "shape", *(["parameters"] if server.protocol.axes else [])]
    for part, expected in described(bundle).items():
        wanted, got = ([{key: one[key] for key in keys} for one in each] for each in (expected, told[part]))
        expect(f"metadata of {bundle.name}: {part}", wanted, got)


def named(bundle: Bundle, values: Sequence[Array]) -> Named:
    """Give inputs, or inputs and all leaves of the state, with their names."""
    return [
        (spec["name"], array) for spec, array in zip([*bundle.inputs, *bundle.state], values, strict=False)
    ]


def whole(server: Connection, bundle: Bundle, values: Sequence[Array], *, binary: bool) -> list[Array]:
    """Run whole sequences."""
    return server.infer(bundle.name, named(bundle, values), bundle.names, binary=binary).outputs


def cuts(steps: int, singles: int | None) -> list[slice]:
    """Cut a sequence into single time steps, and the rest if there are more than so many."""
    ends = [*range(1, min(steps, singles or steps) + 1)]
    ends += [steps] if ends[-1] < steps else []
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def streamed(server: Connection, bundle: Bundle, inputs: Sequence[Array], state: State) -> list[Array]:
    """Run sequences in single steps: with a state handed on, or in a sequence. The forms take turns."""
    outputs: list[list[Array]] = []
    steps, sequence_id = bundle.steps(inputs), 0 if state else next(SEQUENCE_IDS)
    forms = server.protocol.forms
    for at, piece in enumerate(cuts(steps, server.protocol.singles)):
        last = piece.stop == steps
        names = bundle.names if state or last else bundle.outputs
        answer = server.infer(
            bundle.name,
            named(bundle, [*bundle.cut(inputs, time=piece), *state]),
            names,
            binary=forms[at % len(forms)],
            sequence_id=sequence_id,
            sequence_start=at == 0,
            sequence_end=last,
        )
        outputs.append(answer.outputs[: len(bundle.outputs)])
        after = answer.outputs[len(bundle.outputs) :]
        state = tuple(after) if state else ()
        if sequence_id:
            expect_steps(bundle, answer, str(sequence_id), piece.stop)
    several = zip(bundle.model.outputs, zip(*outputs, strict=True), strict=True)
    return [*(joined(spec, parts) for spec, parts in several), *after]


def expect_steps(bundle: Bundle, answer: Answer, sequence_id: str, steps: int) -> None:
    """Compare the parameters of an answer with what its sequence was fed.

    Raises:
        CheckError: they are something else.
    """
    told = {"sequence_id": sequence_id, "steps": steps}
    expect(f"{bundle.name}: parameters of an answer", told, {key: answer.parameters.get(key) for key in told})


def joined(spec: dict[str, Any], parts: Sequence[Array]) -> Array:
    """Put the parts of an output together; one without a time axis is that of the last step."""
    axis = time_axis(spec)
    return parts[-1] if axis is None else np.concatenate(parts, axis)


def streamed_rows(server: Connection, bundle: Bundle, inputs: Sequence[Array], state: State) -> list[Array]:
    """Run sequences in single steps, each row in a sequence if they begin with such a state."""
    rows = inputs[0].shape[bundle.inputs[0]["shape"].index("batch")]
    initial = bundle.model.initial_state(rows)
    if not all(map(np.array_equal, state, initial)):
        return streamed(server, bundle, inputs, state)
    parts = [
        streamed(server, bundle, bundle.cut(inputs, batch=slice(row, row + 1)), ()) for row in range(rows)
    ]
    return [
        np.concatenate(results, spec["shape"].index("batch"))
        for spec, results in zip(bundle.results, zip(*parts, strict=True), strict=True)
    ]


def compared(
    bundle: Bundle, case: dict[str, Any], how: str, results: Sequence[Array]
) -> Iterator[Comparison]:
    """Compare the results of a golden vector with eager's in float64."""
    for name, result in zip(bundle.names, results, strict=True):
        expected, decided = bundle.golden.tensor(case["float64"][name]), bundle.golden.decided(case, name)
        yield compare(f"{case['name']} {how}", name, result, expected, case["tolerance"][name], decided)


def expect_bits(where: str, bundle: Bundle, expected: Sequence[Array], got: Sequence[Array]) -> None:
    """Compare results with what recurrent.py gives for the same call.

    Raises:
        CheckError: a bit is another.
    """
    for name, one, other in zip(bundle.names, expected, got, strict=False):
        if one.dtype != other.dtype or one.tobytes() != np.ascontiguousarray(other).tobytes():
            raise CheckError(f"{where}: {name}: expected the bits of recurrent.py, got others")


def time_step(server: Connection, bundle: Bundle) -> float:
    """Measure the microseconds of a round trip of a sequence's step: the median of some rounds."""
    inputs = named(bundle, bundle.draw(np.random.default_rng(0), 1, 1))
    how: dict[str, Any] = {"binary": server.protocol.forms[0], "sequence_id": next(SEQUENCE_IDS)}
    server.infer(bundle.name, inputs, bundle.outputs, sequence_start=True, **how)
    step = server.request(bundle.name, inputs, bundle.outputs, **how)
    rounds = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        for _ in range(STEPS):
            step()
        rounds.append((time.perf_counter() - start) / STEPS * 1e6)
    server.infer(bundle.name, inputs, bundle.outputs, sequence_end=True, **how)
    return median(rounds[1:])


def check_golden(server: Connection, bundle: Bundle) -> str:
    """Run the golden vectors of a bundle; give the line that tells of it.

    Raises:
        CheckError: a result is off, or there are no vectors.
    """
    found: list[Comparison] = []
    runs = 0
    for case in bundle.golden.cases:
        given, state = bundle.golden.call(bundle.model, case)
        inputs = list(given.values())
        for binary in server.protocol.forms:
            how = "whole" if binary else "whole as JSON"
            results = whole(server, bundle, [*inputs, *state], binary=binary)
            if server.protocol.same_bits:
                outputs, after = bundle.run(inputs, state)
                expect_bits(f"{case['name']} {how}", bundle, [*outputs, *after], results)
            found += compared(bundle, case, how, results)
        if case["kind"] == "run":
            found += compared(bundle, case, "streamed", streamed_rows(server, bundle, inputs, state))
            runs += 1
        if problem := next((one.problem for one in found if one.problem), ""):
            raise CheckError(problem)
    if not found:
        raise CheckError("expected golden vectors, got none")
    error, share = max(one.error for one in found), max(one.share for one in found)
    vectors = f"{len(bundle.golden.cases)} vectors whole, {runs} streamed"
    errors = f"worst error {error:.1e} ({share:.0%} of allowed)"
    return f"{vectors}, {errors}, {time_step(server, bundle):.2f} us per step"
