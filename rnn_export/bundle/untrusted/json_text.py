"""JSON that anybody may have written: no deeper, larger or odder than the one that we write.

Python's own reader would take ``NaN``, numbers of 4300 digits, the last of two equal keys, and half a
surrogate pair; what is nested too deep ends it in a ``RecursionError``.
"""

import json
import math
import re
from typing import Any

from rnn_export.errors import BundleError

JSON_BYTES = 8 << 20  # read within a quarter of a second; a row of a state's first value is the largest part
DEPTH = 32  # of the manifest, 8 are used, and two more for each level of a nested state
WIDEST = 1 << 63  # whole numbers are read into 64 bits in other languages
# What a terminal could take for a command.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def parse(content: bytes, where: str, free: tuple[str, ...] = ()) -> Any:
    """Read JSON.

    Args:
        content: UTF-8 without a mark.
        where: what it is called in an error.
        free: keys of the object under which strings may hold control characters.

    Raises:
        BundleError: it is not JSON, or none that we would write.
    """
    try:
        data = json.loads(content.decode(), object_pairs_hook=_object, parse_constant=_constant)
        _look(data, DEPTH, free=free)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else error
        raise BundleError(f"{where} cannot be read: {reason}. Export the bundle again.") from error
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("an object has the same key twice")
    return made


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _look(value: Any, depth: int, *, free: tuple[str, ...] = (), printed: bool = True) -> None:
    if depth == 0:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        for key, child in value.items():
            _look(key, depth, printed=printed)
            _look(child, depth - 1, printed=printed and key not in free)
    elif isinstance(value, list):
        for child in value:
            _look(child, depth - 1, printed=printed)
    elif isinstance(value, str):
        value.encode()  # half a surrogate pair cannot be
        if printed and CONTROL.search(value):
            raise ValueError(f"a control character in {ascii(value)[:40]}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that is not finite")
    elif isinstance(value, int) and abs(value) >= WIDEST:
        raise ValueError("a number of more than 64 bits")
