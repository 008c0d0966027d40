"""What lies in an ONNX file, found in its bytes before any library that would resolve or run it sees them.

Guarantees, and whose they are. *No file beside the model is read*: this module's; ONNX Runtime 1.32, given
bytes, has no folder to look in and refuses as well. *No operators of others, no functions, no depth without
end*: this module's. *The graph is a right one*: ONNX Runtime's, whose parser and operators are trusted to
refuse what is not; a fault of theirs is not caught here.

An ONNX file is a protobuf message: numbered fields, in any order, again and again. A parser keeps the last of
some and joins others; here every one of them is looked at, so that whatever a parser keeps was seen
(https://protobuf.dev/programming-guides/encoding/, onnx/onnx.proto).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from rnn_export.errors import BundleError, RnnExportError, mismatch

DOMAINS = {"", "ai.onnx"}  # two names of ONNX's own operators; no file that we write has any others
DEPTH = 32  # of messages in one another; two for each loop in a loop
FIELDS = 1 << 20  # looked at within half a second; a graph of 10,000 operators has a tenth of that

# What a message may hold that has to be looked into: number of the field, and message.
INSIDE = {
    "model": {7: "graph", 8: "operators", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 9: "operators", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
DOMAIN = {("operators", 1), ("node", 7), ("function", 10)}
EXTERNAL = ("tensor", 13)  # where the data lies
LOCATION = ("tensor", 14)  # that it lies elsewhere, if it is not zero
LENGTH_DELIMITED, VARINT = 2, 0
FIXED = {1: 8, 5: 4}


class Malformed(ValueError):  # noqa: N818 (it never leaves this file)
    """The bytes are no message."""


@dataclass
class Found:
    """What an ONNX file holds: the domains of its operators, and kinds of things that a bundle's has not."""

    domains: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)

    @property
    def external(self) -> bool:
        """Whether data is to be read from other files."""
        return "external" in self.kinds


def check(content: bytes, where: str) -> None:
    """Check that an ONNX file holds nothing but a graph of ONNX's own operators, and all of its data.

    Raises:
        BundleError: it is not one.
    """
    found = look(content, where, BundleError)
    refused = {
        "external": "data in other files",
        "function": "functions of its own",
        "training": "a graph for training",
        "sparse": "sparse tensors",
    }
    kinds = [name for kind, name in refused.items() if kind in found.kinds]
    kinds += [f"operators of {ascii(domain)[:80]}" for domain in sorted(found.domains - DOMAINS)]
    if kinds or "graph" not in found.kinds:
        expected = "a graph of ONNX's own operators with all of its data"
        raise BundleError(mismatch(where, expected, ", ".join(kinds) or "no graph", "Do not use it."))


def look(content: bytes, where: str, error: type[RnnExportError], fields: int = FIELDS) -> Found:
    """Look through an ONNX file of at most so many fields.

    Raises:
        error: it is not one, or too large or too deep to be looked through.
    """
    try:
        return _look(content, fields)
    except Malformed as reason:
        raise error(mismatch(where, "an ONNX model", str(reason), "Export it again.")) from reason


def _look(content: bytes, fields: int) -> Found:
    found, seen = Found(), 0
    waiting = [("model", 0, len(content), DEPTH)]
    while waiting:
        message, start, end, depth = waiting.pop()
        if depth == 0:
            raise Malformed("messages nested too deep")
        found.kinds.add(message)
        inside = INSIDE.get(message, {})
        for number, wire, value, stop in _fields(content, start, end):
            seen += 1
            if seen > fields:
                raise Malformed(f"more than {fields} fields")
            place = message, number
            if wire == LENGTH_DELIMITED and number in inside:
                waiting.append((inside[number], value, stop, depth - 1))
            elif wire == LENGTH_DELIMITED and place in DOMAIN:
                found.domains.add(content[value:stop].decode(errors="replace"))
            elif place == EXTERNAL or (place == LOCATION and (wire != VARINT or value)):
                found.kinds.add("external")
    return found


def _fields(content: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """List the fields of a message: number, wire type, value or start, and stop."""
    while at < end:
        tag, at = _varint(content, at, end)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise Malformed("a field without a number")
        value = at
        if wire == VARINT:
            value, at = _varint(content, at, end)
        elif wire == LENGTH_DELIMITED:
            length, value = _varint(content, at, end)
            at = value + length
        elif wire in FIXED:
            at += FIXED[wire]
        else:
            raise Malformed(f"a field of wire type {wire}")
        if at > end:
            raise Malformed("a field that is longer than its message")
        yield number, wire, value, at


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise Malformed("a number without an end")
