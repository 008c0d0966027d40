"""Requests that a service has to refuse, as data."""

import copy
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from client import DATATYPES, HEADER_LENGTH, Bundle, Request, infer, sized

from recurrent import Array

MAX_BODY = 100_000  # of the service that is asked
ABSENT: Any = object()


class Bad(NamedTuple):
    """A request that is refused."""

    what: str
    request: Request
    status: int = 400
    told: str = ""  # in the message


def tensor(spec: dict[str, Any], values: Array, **other: Any) -> dict[str, Any]:
    """Describe a tensor as JSON, or one that is not what it says."""
    described = {"name": spec["name"], "datatype": DATATYPES[spec["dtype"]], "shape": list(values.shape)}
    return described | {"data": values.ravel().tolist()} | other


def bad_requests(bundle: Bundle, sequence_id: str) -> list[Bad]:
    """List what is refused; all that names a session names a good one."""
    good = {
        "parameters": {"sequence_id": sequence_id},
        "inputs": [tensor(bundle.inputs, bundle.draw(np.random.default_rng(2), 1, 1))],
    }
    url = f"{bundle.path}/infer"
    changed = [
        Bad(what, Request("POST", url, body=json.dumps(change(good, keys, value)).encode()), *answer)
        for what, keys, value, *answer in bad_values(bundle, good)
    ]
    raw = [
        Bad(what, Request("POST", url, headers, body), *status)
        for what, headers, body, *status in bad_bodies(good)
    ]
    binary = [
        Bad(what, Request("POST", url, headers, body)) for what, headers, body in bad_binaries(bundle, good)
    ]
    return [*changed, *raw, *binary, *bad_places(bundle, json.dumps(good).encode())]


def change(request: Any, keys: Sequence[Any], value: Any) -> Any:
    """Put a value somewhere into a copy of a request, or in place of all of it."""
    if not keys:
        return value
    changed = copy.deepcopy(request)
    *path, last = keys
    place = changed
    for key in path:
        place = place[key]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return changed


def unknown_tokens(bundle: Bundle) -> list[int]:
    """List ids that are not in the vocabulary; where it is not known, any id is let through."""
    vocabulary = bundle.inputs.get("vocabulary")
    return [-1, vocabulary, 2**31, 2**40] if vocabulary else []


def told_of(bundle: Bundle, token: int) -> str:
    """Give what is said of a token id that is not in the vocabulary."""
    last = bundle.inputs["vocabulary"] - 1
    return f"{bundle.inputs['name']}[0]: expected a token id from 0 to {last}, got {token}"


def bad_values(bundle: Bundle, good: dict[str, Any]) -> list[tuple[Any, ...]]:
    """List changes to a good request: what, where, the value, and what is not as in ``Bad``."""
    spec, one = bundle.inputs, good["inputs"][0]
    data, shape, end = one["data"], one["shape"], {"sequence_id": good["parameters"]["sequence_id"]}
    time, batch, number = spec["shape"].index("time"), spec["shape"].index("batch"), len(one["data"])
    state = [
        tensor(leaf, value) for leaf, value in zip(bundle.state, bundle.model.initial_state(1), strict=True)
    ]
    wide = [
        tensor(leaf, value) for leaf, value in zip(bundle.state, bundle.model.initial_state(2), strict=True)
    ]
    two_rows = tensor(spec, bundle.draw(np.random.default_rng(3), 1, 2))
    no_steps = one | {"shape": sized(spec, time=0, batch=1), "data": []}
    inputs, first = ("inputs",), ("inputs", 0)
    numbers = [
        ("a text for a number", ["1"] * number),
        ("null for a number", [None] * number),
        ("a list for a number", [[[[[1]]]]] * number),
        ("too few numbers", data[:-1]),
        ("too many numbers", [*data, data[0]]),
        ("no list of numbers", "0"),
        *(
            [("infinity in float32", [1e39] * number), ("minus infinity in float32", [-1e39] * number)]
            if spec["dtype"] == "float32"
            else [
                ("a fraction for a token id", [0.5]),
                *(
                    (f"the token id {token}", [token], 400, told_of(bundle, token))
                    for token in unknown_tokens(bundle)
                ),
            ]
        ),
    ]
    sizes = [-1, 0, 2, 1.5, "1", None, True, 2**31, 2**62, 2**64 + 1, -(2**63)]
    return [
        ("no inputs", inputs, ABSENT),
        ("inputs that are a number", inputs, 7),
        ("inputs that are empty", inputs, []),
        ("an input that is a text", inputs, ["inputs"]),
        ("an input twice", inputs, [one, one]),
        ("zero steps", inputs, [no_steps]),
        ("two rows in a session", inputs, [two_rows]),
        ("a state in a session", inputs, [one, *state]),
        ("an input without name", (*first, "name"), ABSENT),
        ("an input of another name", (*first, "name"), "input"),
        ("an input without datatype", (*first, "datatype"), ABSENT),
        ("an input of another datatype", (*first, "datatype"), "FP16"),
        ("a datatype that is a number", (*first, "datatype"), 7),
        ("an input without shape", (*first, "shape"), ABSENT),
        ("a shape too short", (*first, "shape"), shape[1:]),
        ("a shape too long", (*first, "shape"), [*shape, 1]),
        ("a shape that is a number", (*first, "shape"), 1),
        *((f"{size!r} steps", (*first, "shape", time), size) for size in sizes),
        *((f"{size!r} rows", (*first, "shape", batch), size) for size in sizes),
        (
            "sizes whose product is 2**64",
            (*first, "shape"),
            [2**32 if axis in (time, batch) else size for axis, size in enumerate(shape)],
        ),
        ("an input without data", (*first, "data"), ABSENT),
        *((what, (*first, "data"), value, *answer) for what, value, *answer in numbers),
        (
            "binary data that is not there",
            first,
            {key: one[key] for key in one if key != "data"} | {"parameters": {"binary_data_size": 8}},
        ),
        ("parameters that are a list", ("parameters",), []),
        ("an empty sequence_id", ("parameters", "sequence_id"), ""),
        ("a sequence_id that is a fraction", ("parameters", "sequence_id"), 1.5),
        ("a sequence_id that is a list", ("parameters", "sequence_id"), [1]),
        ("a session that is not there", ("parameters", "sequence_id"), "nobody", 404),
        ("sequence_start that is a text", ("parameters", "sequence_start"), "yes"),
        ("sequence_end that is a number", ("parameters", "sequence_end"), 1),
        ("sequence_start without sequence_id", ("parameters",), {"sequence_start": True}),
        (
            "sequence_start, and then nothing",
            (),
            {"parameters": end | {"sequence_start": True}, "inputs": []},
        ),
        ("sequence_end, and then nothing", (), {"parameters": end | {"sequence_end": True}, "inputs": []}),
        (
            "sequence_start, and a number that is none",
            (),
            {
                "parameters": end | {"sequence_start": True},
                "inputs": [one | {"data": [1e39 if spec["dtype"] == "float32" else 0.5] * number}],
            },
        ),
        (
            "sequence_start, and no steps",
            (),
            {"parameters": end | {"sequence_start": True}, "inputs": [no_steps]},
        ),
        ("outputs that are a text", ("outputs",), "outputs"),
        ("an output that is not there", ("outputs",), [{"name": "nothing"}]),
        ("an output twice", ("outputs",), [{"name": bundle.names[0]}] * 2),
        ("an output without name", ("outputs",), [{}]),
        ("a state of two rows for one", (), {"inputs": [one, *wide]}),
        ("one row of state for two", (), {"inputs": [two_rows, *state]}),
        ("a state without inputs", (), {"inputs": state}),
        *([("a part of the state", (), {"inputs": [one, *state[1:]]})] if state[1:] else []),
    ]


def bad_bodies(good: dict[str, Any]) -> list[tuple[Any, ...]]:
    """List bodies that are no request: what, headers, the body, and the status if it is not 400."""
    body = json.dumps(good).encode()
    return [
        ("nothing", {}, b""),
        ("half of a request", {}, body[:-7]),
        ("a request and more", {}, body + b"}"),
        ("a list", {}, b"[]"),
        ("a number", {}, b"7"),
        ("null", {}, b"null"),
        ("bytes that are no UTF-8", {}, body.replace(b'"inputs"', b'"\xff"', 1)),
        ("NaN in JSON", {}, body.replace(b'"data": [', b'"data": [NaN, ')),
        ("a number too large for any type", {}, re.sub(rb'"data": \[[^,\]]*', b'"data": [1e999', body)),
        ("lists in lists, deep", {}, b"[" * (MAX_BODY - 1)),
        ("objects in objects, deep", {}, b'{"inputs":' * (MAX_BODY // 12)),
        (
            "data in lists, deep",
            {},
            body.replace(b'"data": [', b'"data": [' + b"[" * 40_000 + b"]" * 40_000 + b","),
        ),
        ("a body too large", {}, body + b" " * MAX_BODY, 413),
        ("a length of JSON beyond the body", {HEADER_LENGTH: str(len(body) + 1)}, body),
        ("a length of JSON that is negative", {HEADER_LENGTH: "-1"}, body),
        ("a length of JSON that is a text", {HEADER_LENGTH: "all"}, body),
        ("a length of JSON of 2**64", {HEADER_LENGTH: str(2**64 + len(body))}, body),
        ("bytes behind the JSON", {HEADER_LENGTH: str(len(body))}, body + b"1234"),
        ("no bytes before the JSON's end", {HEADER_LENGTH: "0"}, body),
    ]


def bad_binaries(bundle: Bundle, good: dict[str, Any]) -> list[tuple[str, dict[str, str], bytes]]:
    """List requests with binary data that is not what they say."""
    one = {key: value for key, value in good["inputs"][0].items() if key != "data"}
    values = np.array(good["inputs"][0]["data"], bundle.inputs["dtype"])
    raw = values.tobytes()
    cases: list[tuple[str, Any, bytes]] = [
        ("fewer bytes than said", len(raw), raw[:-1]),
        ("more bytes than said", len(raw), raw + b"\0"),
        ("too few bytes for the shape", len(raw) - 1, raw[:-1]),
        ("too many bytes for the shape", len(raw) + 4, raw + b"1234"),
        ("no bytes", 0, b""),
        ("a negative number of bytes", -len(raw), raw),
        ("a fraction of bytes", len(raw) + 0.5, raw),
        ("bytes counted in a text", str(len(raw)), raw),
        ("2**64 bytes", 2**64, raw),
    ]
    if bundle.inputs["dtype"] == "float32":
        for what, number in (("NaN", np.nan), ("infinity", np.inf), ("minus infinity", -np.inf)):
            cases.append(
                (f"{what} in binary data", len(raw), np.append(values[1:], np.float32(number)).tobytes())
            )
    else:
        tokens = unknown_tokens(bundle)
        tokens += [-(2**63), 2**63 - 1] if tokens else []  # not every reader of JSON has 64 bits
        cases += [(f"token {token} as bytes", len(raw), np.array([token]).tobytes()) for token in tokens]
    made = []
    for what, size, data in cases:
        request = {**good, "inputs": [one | {"parameters": {"binary_data_size": size}}]}
        body = json.dumps(request).encode()
        made.append((what, {HEADER_LENGTH: str(len(body))}, body + data))
    return [*made, *bad_states(bundle, good)]


def bad_states(bundle: Bundle, good: dict[str, Any]) -> list[tuple[str, dict[str, str], bytes]]:
    """List requests whose state has numbers that are none."""
    made = []
    for at, leaf in enumerate(bundle.state):
        for number in (np.nan, np.inf) if leaf["dtype"] == "float32" else ():
            state = [np.copy(value) for value in bundle.model.initial_state(1)]
            state[at].flat[-1] = number
            inputs = np.array(good["inputs"][0]["data"], bundle.inputs["dtype"])
            request = infer(
                bundle, [inputs.reshape(good["inputs"][0]["shape"]), *state], bundle.names, binary=True
            )
            made.append((f"{number} in {leaf['name']}", request.headers, request.body))
    return made


def bad_places(bundle: Bundle, body: bytes) -> list[Bad]:
    """List requests for what is not there, or with another method."""
    model = bundle.path
    unknown = [
        ("GET", "/"),
        ("GET", "/v1"),
        ("GET", "/v2/nothing"),
        ("GET", "/v2/models/nothing"),
        ("GET", "/v2/models/nothing/ready"),
        ("POST", "/v2/models/nothing/infer"),
        ("POST", "/v2/models/nothing/sessions"),
        ("POST", "/v2/models/..%2f..%2f/infer"),
        ("GET", f"{model}/nothing"),
        ("GET", f"{model}/versions/2"),
        ("POST", f"{model}/versions/2/infer"),
        ("GET", f"{model}/sessions/nobody"),
        ("DELETE", f"{model}/sessions/nobody"),
    ]
    wrong = [
        ("POST", "/v2/health/live"),
        ("DELETE", "/metrics"),
        ("POST", model),
        ("DELETE", model),
        ("GET", f"{model}/infer"),
        ("PUT", f"{model}/infer"),
        ("GET", f"{model}/sessions"),
        ("POST", f"{model}/sessions/nobody"),
    ]
    return [
        Bad(f"{method} {path}", Request(method, path, body=b"" if method == "GET" else body), status)
        for places, status in ((unknown, 404), (wrong, 405))
        for method, path in places
    ]
