"""The memory of a shared library that outlives a call: what a C file must not write to.

Two calls that share memory are right one after the other and wrong side by side, so that no comparison of
results shows it. The loader says where the segments are that may be written to; whoever looks at them before
a call and after it sees every change. Where there is no ``dl_iterate_phdr``, as on macOS and Windows, none
is looked at.

Source: System V ABI, chapter 5, program header; dl_iterate_phdr(3).
"""

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass

LOADED, WRITABLE = 1, 2  # PT_LOAD, PF_W


class _ProgramHeader(ctypes.Structure):
    """``Elf64_Phdr``."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("physical", ctypes.c_uint64),
        ("stored", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("alignment", ctypes.c_uint64),
    ]


class _Object(ctypes.Structure):
    """``struct dl_phdr_info``, its first members."""

    _fields_ = [
        ("base", ctypes.c_uint64),
        ("path", ctypes.c_char_p),
        ("headers", ctypes.POINTER(_ProgramHeader)),
        ("count", ctypes.c_uint16),
    ]


_VISIT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Object), ctypes.c_size_t, ctypes.c_void_p)


@dataclass(frozen=True)
class Segment:
    """Some bytes of this process."""

    address: int
    size: int


def writable(library: ctypes.CDLL) -> list[Segment]:
    """Give the segments of a loaded library that may be written to, as far as the system says."""
    process = None if sys.platform == "win32" else ctypes.CDLL(None)
    loader = getattr(process, "dl_iterate_phdr", None)
    if loader is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        return []
    found: list[Segment] = []

    def visit(described: "ctypes._Pointer[_Object]", size: int, data: object) -> int:
        if described.contents.path == library._name.encode():
            found.extend(_segments(described.contents))
        return 0

    loader(_VISIT(visit), None)
    return found


def _segments(described: _Object) -> Iterator[Segment]:
    for number in range(described.count):
        header = described.headers[number]
        if header.type == LOADED and header.flags & WRITABLE:
            yield Segment(described.base + header.address, header.size)


def held(segment: Segment) -> bytes:
    """Give the bytes that a segment has now."""
    return ctypes.string_at(segment.address, segment.size)
