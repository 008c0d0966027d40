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
        "inputs": list(map(tensor, bundle.inputs, bundle.draw(np.random.default_rng(2), 1, 1))),
    }
    url = f"{bundle.path}/infer"
    changed = [
        Bad(what, Request("POST", url, body=json.dumps(change(good, keys, value)).encode()), *answer)
        for what, keys, value, *answer in [*bad_values(bundle, good), *bad_tensors(bundle, good)]
    ]
    raw = [
        Bad(what, Request("POST", url, headers, body), *status)
        for what, headers, body, *status in bad_bodies(good)
    ]
    binary = [
        Bad(what, Request("POST", url, headers, body))
        for at in range(len(bundle.inputs))
        for what, headers, body in bad_binaries(bundle, good, at)
    ]
    binary += [Bad(what, Request("POST", url, headers, body)) for what, headers, body in bad_states(bundle)]
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


def unknown_tokens(spec: dict[str, Any]) -> list[int]:
    """List ids that are not in the vocabulary; where it is not known, any id is let through."""
    vocabulary = spec.get("vocabulary")
    return [-1, vocabulary, 2**31, 2**40] if vocabulary else []


def told_of(spec: dict[str, Any], token: int) -> str:
    """Give what is said of a token id that is not in the vocabulary."""
    return f"{spec['name']}[0]: expected a token id from 0 to {spec['vocabulary'] - 1}, got {token}"


def no_values(spec: dict[str, Any], count: int) -> list[Any]:
    """Give as many values that a tensor of the manifest cannot have."""
    return [{"float32": 1e39, "int64": 0.5, "bool": 2}[spec["dtype"]]] * count


def bad_data(spec: dict[str, Any], data: list[Any]) -> list[tuple[Any, ...]]:
    """List what is no data of a tensor: what, the value, and what is not as in ``Bad``."""
    number = len(data)
    of_type: dict[str, list[tuple[Any, ...]]] = {
        "float32": [
            ("infinity in float32", [1e39] * number),
            ("minus infinity in float32", [-1e39] * number),
        ],
        "int64": [
            ("a fraction for a token id", [0.5] * number),
            *(
                (f"the token id {token}", [token] * number, 400, told_of(spec, token))
                for token in unknown_tokens(spec)
            ),
        ],
        "bool": [("a number that is no truth value", [2] * number)],
    }
    return [
        ("a text for a number", ["1"] * number),
        ("null for a number", [None] * number),
        ("a list for a number", [[[[[1]]]]] * number),
        ("too few numbers", data[:-1]),
        ("too many numbers", [*data, data[0]]),
        ("no list of numbers", "0"),
        *of_type[spec["dtype"]],
    ]


def bad_tensors(bundle: Bundle, good: dict[str, Any]) -> list[tuple[Any, ...]]:
    """List changes to each input of a good request: what, where, the value, and what is not as in ``Bad``."""
    return [
        (f"{spec['name']}: {what}", ("inputs", at, *keys), value, *answer)
        for at, spec in enumerate(bundle.inputs)
        for what, keys, value, *answer in bad_tensor(spec, good["inputs"][at])
    ]


def bad_tensor(spec: dict[str, Any], one: dict[str, Any]) -> list[tuple[Any, ...]]:
    """List changes to one input."""
    shape = one["shape"]
    free = {axis: spec["shape"].index(axis) for axis in ("time", "batch") if axis in spec["shape"]}
    sizes = [-1, 0, 2, 1.5, "1", None, True, 2**31, 2**62, 2**64 + 1, -(2**63)]
    wide = [2**32 if axis in free.values() else size for axis, size in enumerate(shape)]
    return [
        ("no name", ("name",), ABSENT),
        ("another name", ("name",), "input"),
        ("no datatype", ("datatype",), ABSENT),
        ("another datatype", ("datatype",), "FP16"),
        ("a datatype that is a number", ("datatype",), 7),
        ("no shape", ("shape",), ABSENT),
        ("a shape too short", ("shape",), shape[1:]),
        ("a shape too long", ("shape",), [*shape, 1]),
        ("a shape that is a number", ("shape",), 1),
        *((f"{size!r} as {axis}", ("shape", at), size) for axis, at in free.items() for size in sizes),
        *([("sizes whose product is 2**64", ("shape",), wide)] if len(free) > 1 else []),
        ("no data", ("data",), ABSENT),
        *((what, ("data",), value, *answer) for what, value, *answer in bad_data(spec, one["data"])),
        (
            "binary data that is not there",
            (),
            {key: one[key] for key in one if key != "data"} | {"parameters": {"binary_data_size": 8}},
        ),
    ]


def bad_values(bundle: Bundle, good: dict[str, Any]) -> list[tuple[Any, ...]]:
    """List changes to a good request: what, where, the value, and what is not as in ``Bad``."""
    everything, end = good["inputs"], {"sequence_id": good["parameters"]["sequence_id"]}
    state = list(map(tensor, bundle.state, bundle.model.initial_state(1)))
    wide = list(map(tensor, bundle.state, bundle.model.initial_state(2)))
    two_rows = list(map(tensor, bundle.inputs, bundle.draw(np.random.default_rng(3), 1, 2)))
    no_steps = [
        one | {"shape": sized(spec, time=0, batch=1), "data": []} if "time" in spec["shape"] else one
        for spec, one in zip(bundle.inputs, everything, strict=True)
    ]
    *others, last = everything
    none = last | {"data": no_values(bundle.inputs[-1], len(last["data"]))}
    inputs = ("inputs",)
    return [
        ("no inputs", inputs, ABSENT),
        ("inputs that are a number", inputs, 7),
        ("inputs that are empty", inputs, []),
        ("an input that is a text", inputs, ["inputs"]),
        ("an input twice", inputs, [*everything, last]),
        ("an input too few", inputs, others),
        ("zero steps", inputs, no_steps),
        ("two rows in a session", inputs, two_rows),
        ("a state in a session", inputs, [*everything, *state]),
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
            {"parameters": end | {"sequence_start": True}, "inputs": [*others, none]},
        ),
        (
            "sequence_start, and no steps",
            (),
            {"parameters": end | {"sequence_start": True}, "inputs": no_steps},
        ),
        ("outputs that are a text", ("outputs",), "outputs"),
        ("an output that is not there", ("outputs",), [{"name": "nothing"}]),
        ("an output twice", ("outputs",), [{"name": bundle.names[0]}] * 2),
        ("an output without name", ("outputs",), [{}]),
        ("a state of two rows for one", (), {"inputs": [*everything, *wide]}),
        ("one row of state for two", (), {"inputs": [*two_rows, *state]}),
        ("a state without inputs", (), {"inputs": state}),
        *([("a part of the state", (), {"inputs": [*everything, *state[1:]]})] if state[1:] else []),
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
            body.replace(b'"data": [', b'"data": [' + b"[" * 40_000 + b"]" * 40_000 + b",", 1),
        ),
        ("a body too large", {}, body + b" " * MAX_BODY, 413),
        ("a length of JSON beyond the body", {HEADER_LENGTH: str(len(body) + 1)}, body),
        ("a length of JSON that is negative", {HEADER_LENGTH: "-1"}, body),
        ("a length of JSON that is a text", {HEADER_LENGTH: "all"}, body),
        ("a length of JSON of 2**64", {HEADER_LENGTH: str(2**64 + len(body))}, body),
        ("bytes behind the JSON", {HEADER_LENGTH: str(len(body))}, body + b"1234"),
        ("no bytes before the JSON's end", {HEADER_LENGTH: "0"}, body),
    ]


def bad_binaries(bundle: Bundle, good: dict[str, Any], at: int) -> list[tuple[str, dict[str, str], bytes]]:
    """List requests with an input as binary data that is not what they say."""
    spec, given = bundle.inputs[at], good["inputs"][at]
    one = {key: value for key, value in given.items() if key != "data"}
    values = np.array(given["data"], spec["dtype"])
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
        *((what, len(raw), data) for what, data in bad_numbers(spec, values)),
    ]
    made = []
    for what, size, data in cases:
        tensors = [*good["inputs"]]
        tensors[at] = one | {"parameters": {"binary_data_size": size}}
        body = json.dumps({**good, "inputs": tensors}).encode()
        made.append((f"{spec['name']}: {what}", {HEADER_LENGTH: str(len(body))}, body + data))
    return made


def bad_numbers(spec: dict[str, Any], values: Array) -> list[tuple[str, bytes]]:
    """List binary data of the right length with a number at its end that is none."""
    if spec["dtype"] == "bool":
        return [("a byte that is no truth value", values.tobytes()[1:] + b"\2")]
    numbers: list[Any] = [np.nan, np.inf, -np.inf]
    if spec["dtype"] == "int64":
        tokens = unknown_tokens(spec)
        numbers = [
            *tokens,
            *([-(2**63), 2**63 - 1] if tokens else []),
        ]  # not every reader of JSON has 64 bits
    return [
        (f"{number} as bytes", np.append(values[1:], np.array(number, spec["dtype"])).tobytes())
        for number in numbers
    ]


def bad_states(bundle: Bundle) -> list[tuple[str, dict[str, str], bytes]]:
    """List requests whose state has numbers that are none."""
    made = []
    inputs = bundle.draw(np.random.default_rng(2), 1, 1)
    for at, leaf in enumerate(bundle.state):
        for number in (np.nan, np.inf) if leaf["dtype"] == "float32" else ():
            state = [np.copy(value) for value in bundle.model.initial_state(1)]
            state[at].flat[-1] = number
            request = infer(bundle, [*inputs, *state], bundle.names, binary=True)
            made.append((f"{number} in {leaf['name']}", request.headers, request.body))
    return made


def bad_places(bundle: Bundle, body: bytes) -> list[Bad]:
    """List requests for what is not there, or with another method."""
    model = bundle.path
    unknown = [
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
