"""Spoil files: bits, lengths, JSON, archives, protobuf messages. The same number gives the same mutant."""

import json
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

NUMBERS = (0, 1, -1, 2, 255, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, -(1 << 63))
BYTES = (b"", b"\0" * 8, b"\xff" * 8, b"[" * 2000, b"NaN", b"1e999", b"\\ud800", b"PK\x01\x02", b"PK\x03\x04")
TEXTS = ("", "time", "batch", "../../x", "/etc/passwd", "a\0b", "\x1b[2J", "é" * 300, "com.example", "object")
VALUES: tuple[Any, ...] = (*NUMBERS, *TEXTS, 1 << 64, 0.5, 1e308, None, True, [], {}, [[[]]], {"tuple": []})
SIGNATURES = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07")
SIZED = {
    FieldDescriptor.CPPTYPE_INT32: 32,
    FieldDescriptor.CPPTYPE_INT64: 64,
    FieldDescriptor.CPPTYPE_UINT64: 65,
    FieldDescriptor.CPPTYPE_UINT32: 33,
}


def spoiled_bytes(content: bytes, random: Random) -> bytes:
    """Flip some bits, cut a piece out or off, put one in, or double one."""
    made = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        at, size = random.randrange(len(made) + 1), random.choice((1, 1, 2, 4, 8, 64))
        kind = random.randrange(6)
        if kind <= 1 and at < len(made):
            made[at] ^= 1 << random.randrange(8)
        elif kind == 2:
            del made[at : at + size]
        elif kind == 3:
            del made[at:]
        elif kind == 4:
            made[at:at] = random.choice(BYTES)
        else:
            start = random.randrange(len(made) + 1)
            made[at:at] = made[start : start + size]
    return bytes(made)


def spoiled_json(content: bytes, random: Random) -> bytes:
    """Put an odd value somewhere, take one away, or exchange two."""
    data = json.loads(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        if not data:
            break
        holder, key = _place(data, random)
        kind = random.randrange(4)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            other, place = _place(data, random)
            holder[key] = json.loads(json.dumps(other[place]))
        elif kind == 2 and isinstance(holder, list):
            holder.append(holder[key])
        else:
            holder[key] = random.choice(VALUES)
    return json.dumps(data).encode()


def _place(data: Any, random: Random) -> tuple[Any, Any]:
    """Give a random list or object, and a key of it."""
    found = data, random.choice([*data])
    while random.random() < 0.8:
        inside = found[0][found[1]]
        if not isinstance(inside, dict | list) or not inside:
            break
        found = inside, random.choice(range(len(inside)) if isinstance(inside, list) else [*inside])
    return found


def spoiled_zip(content: bytes, random: Random) -> bytes:
    """Put odd numbers into the records of an archive."""
    made = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        signature, starts = random.choice(SIGNATURES), []
        at = content.find(signature)
        while at >= 0:
            starts.append(at)
            at = content.find(signature, at + 1)
        if starts:
            size = random.choice((1, 2, 4, 8))
            at = random.choice(starts) + random.randrange(4, 56)
            made[at : at + size] = (random.choice(NUMBERS) % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(made)


def spoil_message(message: Message, random: Random) -> None:
    """Change one field of a protobuf message, or of one inside."""
    while True:
        field, value = random.choice(message.ListFields() or [(None, None)])
        if field is None:
            return
        inside = field.message_type is not None
        repeated = not isinstance(value, Message | int | float | str | bytes)
        if not inside or random.random() < 0.15:
            break
        message = random.choice(value) if repeated else value
    if repeated:
        _spoil_list(value, field, random)
    elif inside:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _odd(field, value, random))


def _spoil_list(values: Any, field: Any, random: Random) -> None:
    at, kind = random.randrange(len(values)), random.randrange(3)
    if kind == 0:
        del values[at]
    elif field.message_type is not None:
        values.add().CopyFrom(values[at])
    elif kind == 1:
        values.append(values[at])
    else:
        values[at] = _odd(field, values[at], random)


def _odd(field: Any, value: Any, random: Random) -> Any:
    if field.cpp_type in SIZED:
        bits = SIZED[field.cpp_type]
        low, high = (0, 1 << (bits - 1)) if bits % 2 else (-(1 << (bits - 1)), 1 << (bits - 1))
        return random.choice([number for number in NUMBERS if low <= number < high])
    if isinstance(value, str):
        return random.choice([*TEXTS, value[:-1], value + "_"])
    if isinstance(value, bytes):
        return spoiled_bytes(value, random) if value else b"\0"
    if isinstance(value, int):
        return (
            random.choice([each.number for each in field.enum_type.values]) if field.enum_type else not value
        )
    return random.choice((0.0, -1.0, 1e38, float("inf"), float("nan")))
