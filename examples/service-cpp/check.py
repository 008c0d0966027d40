"""Check a service: python check.py [--models models] [--sessions 3000] [--golden] -- COMMAND...

COMMAND starts it and gets --port, --models and other options. First all golden vectors: whole, as JSON and as
binary data, and in single steps, through a session for each row or, where they begin with a state that no
session begins with, with the state handed on. Then bad requests, limits, and many sessions at once.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from client import (
    DATATYPES,
    Bundle,
    CheckError,
    Comparison,
    Service,
    compare,
    expect,
    read,
    tensors,
    wanted,
)
from described import check_description
from details import check_details
from limits import check_limits
from load import check_load
from logs import check_log
from tritonclient.http import InferenceServerClient
from tritonclient.utils import InferenceServerException

from recurrent import Array, time_axis

ROUNDS, STEPS = 11, 100
SEQUENCE_IDS = count(1)


def check_metadata(client: Any, bundle: Bundle) -> None:
    """Compare what the service tells of itself and of a model with the manifest.

    Raises:
        CheckError: it is something else.
    """
    expect("the server is live and ready", (True, True), (client.is_server_live(), client.is_server_ready()))
    ready = [client.is_model_ready(bundle.name, version) for version in ("", "1")]
    expect(f"{bundle.name} is ready, with and without its version", [True, True], ready)
    expect(
        "what GET /v2 tells",
        {"name", "version", "extensions"},
        {*client.get_server_metadata()} & {"name", "version", "extensions"},
    )
    for version in ("", "1"):
        told = client.get_model_metadata(bundle.name, version)
        expect("the model's name and versions", (bundle.name, ["1"]), (told["name"], told["versions"]))
        for part, expected in described(bundle).items():
            expect(f"metadata of {bundle.name}: {part}", expected, told[part])


def described(bundle: Bundle) -> dict[str, list[dict[str, Any]]]:
    """Give what the service should tell of a model's tensors."""
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


def whole(client: Any, bundle: Bundle, values: Sequence[Array], *, binary: bool) -> list[Array]:
    """Run whole sequences; as binary data with tritonclient's defaults."""
    outputs = None if binary else wanted(bundle.names, binary=False)
    answer = client.infer(bundle.name, tensors(bundle, values, binary=binary), outputs=outputs)
    return list(read(bundle, answer, bundle.names))


def streamed(client: Any, bundle: Bundle, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
    """Run sequences in single steps: with a state handed on, or in a session. JSON and binary take turns."""
    outputs: list[list[Array]] = []
    steps, sequence_id = bundle.steps(inputs), 0 if state else next(SEQUENCE_IDS)
    for step in range(steps):
        binary, last = step % 2 == 0, step + 1 == steps
        names = bundle.names if state or last else bundle.outputs
        answer = client.infer(
            bundle.name,
            tensors(bundle, [*bundle.cut(inputs, time=slice(step, step + 1)), *state], binary=binary),
            outputs=wanted(names, binary=binary),
            sequence_id=sequence_id,
            sequence_start=step == 0,
            sequence_end=last,
        )
        results = list(read(bundle, answer, names))
        outputs.append(results[: len(bundle.outputs)])
        after = results[len(bundle.outputs) :]
        state = after if state else ()
        if sequence_id:
            told = {"sequence_id": str(sequence_id), "steps": step + 1}
            expect(f"{bundle.name}: parameters of an answer", told, answer.get_response()["parameters"])
    several = zip(bundle.model.outputs, zip(*outputs, strict=True), strict=True)
    return [*(joined(spec, parts) for spec, parts in several), *after]


def joined(spec: dict[str, Any], parts: Sequence[Array]) -> Array:
    """Put the parts of an output together; one without a time axis is that of the last step."""
    axis = time_axis(spec)
    return parts[-1] if axis is None else np.concatenate(parts, axis)


def streamed_rows(
    client: Any, bundle: Bundle, inputs: Sequence[Array], state: Sequence[Array]
) -> list[Array]:
    """Run sequences in single steps, each row in a session if sessions begin with such a state."""
    rows = inputs[0].shape[bundle.inputs[0]["shape"].index("batch")]
    initial = bundle.model.initial_state(rows)
    if not all(map(np.array_equal, state, initial)):
        return streamed(client, bundle, inputs, state)
    parts = [
        streamed(client, bundle, bundle.cut(inputs, batch=slice(row, row + 1)), ()) for row in range(rows)
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


def time_step(client: Any, bundle: Bundle) -> float:
    """Measure the microseconds of a round trip of a session's step: the median of some rounds."""
    sent = tensors(bundle, bundle.draw(np.random.default_rng(0), 1, 1))
    how = {"outputs": wanted(bundle.outputs), "sequence_id": next(SEQUENCE_IDS)}
    client.infer(bundle.name, sent, sequence_start=True, **how)
    rounds = []
    for _ in range(ROUNDS + 1):
        start = perf_counter()
        for _ in range(STEPS):
            client.infer(bundle.name, sent, **how)
        rounds.append((perf_counter() - start) / STEPS * 1e6)
    client.infer(bundle.name, sent, sequence_end=True, **how)
    return median(rounds[1:])


def check_golden(client: Any, bundle: Bundle) -> str:
    """Run the golden vectors of a bundle; give the line that tells of it.

    Raises:
        CheckError: a result is off, or there are no vectors.
    """
    found: list[Comparison] = []
    runs = 0
    for case in bundle.golden.cases:
        given, state = bundle.golden.call(bundle.model, case)
        inputs = list(given.values())
        for binary, how in ((True, "whole"), (False, "whole as JSON")):
            found += compared(bundle, case, how, whole(client, bundle, [*inputs, *state], binary=binary))
        if case["kind"] == "run":
            found += compared(bundle, case, "streamed", streamed_rows(client, bundle, inputs, state))
            runs += 1
        if problem := next((one.problem for one in found if one.problem), ""):
            raise CheckError(problem)
    if not found:
        raise CheckError("expected golden vectors, got none")
    error, share = max(one.error for one in found), max(one.share for one in found)
    vectors = f"{len(bundle.golden.cases)} vectors whole, {runs} streamed"
    errors = f"worst error {error:.1e} ({share:.0%} of allowed)"
    return f"{vectors}, {errors}, {time_step(client, bundle):.2f} us per step"


def check_bundles(service: Service, bundles: Sequence[Bundle]) -> bool:
    """Check metadata and golden vectors of all bundles; print what was found, and tell if all is well."""
    client = InferenceServerClient(service.url.removeprefix("http://"))
    good = True
    for bundle in bundles:
        try:
            check_metadata(client, bundle)
            print(f"{bundle.name}: {check_golden(client, bundle)}", flush=True)
        except (CheckError, InferenceServerException) as error:
            print(f"{bundle.name}: {error}", file=sys.stderr)
            good = False
    client.close()
    return good


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [--models models] [--sessions 3000] [--golden] -- COMMAND..."
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="the folder of the bundles")
    parser.add_argument("--sessions", type=int, default=3000, help="of the load test")
    parser.add_argument("--golden", action="store_true", help="run the golden vectors alone")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="what starts the service")
    return parser.parse_args()


def check(arguments: argparse.Namespace) -> bool:
    """Check everything; tell if all is well."""
    bundles = [Bundle(path.parent) for path in sorted(arguments.models.glob("*/manifest.json"))]
    if not bundles:
        raise CheckError(
            f"{arguments.models}: expected bundles in it, got none: --models says where they are"
        )
    with Service(arguments.command, arguments.models) as service:
        if not check_bundles(service, bundles):
            return False
    if arguments.golden:
        return True
    check_limits(arguments.command, arguments.models, bundles)
    check_details(arguments.command, arguments.models, bundles)
    check_log(arguments.command, arguments.models, bundles)
    check_description(arguments.command, arguments.models, bundles)
    return check_load(arguments.command, arguments.models, bundles, arguments.sessions)


def main() -> None:
    """Check a service; exit with 1 if something is wrong."""
    arguments = parse_arguments()
    try:
        sys.exit(not check(arguments))
    except (CheckError, InferenceServerException, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
