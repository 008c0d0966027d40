"""What lies in a ``.pt`` or a ``.pt2``: an archive as PyTorch writes it, which every reader reads alike.

A ``.pt`` is a program. That it is one of the right form says nothing about what it does when it is loaded and
run; see that its hash is one that you got from somebody whom you trust. Nothing here unpickles.
"""

import io
import re
import struct
import zipfile
import zlib

from rnn_export.errors import BundleError, mismatch

MEMBERS = 1 << 14  # two for each tensor and class; central directories are read within a tenth of a second
# What ends an archive of PyTorch's, always in the form for more than 4 GB (APPNOTE.TXT, 4.3.14 to 4.3.16).
TAIL = struct.Struct("<4sQHHIIQQQQ 4sIQI 4sHHHHIIH")
LOCAL = struct.Struct("<4sHHHHHIIIHH")  # APPNOTE.TXT, 4.3.7
DESCRIPTOR = 24  # bytes behind a member's content, at most
FLAGS = {0, 0x800, 0x808}  # names in UTF-8, a descriptor behind; another says that it is encrypted
WIDE = 0xFFFF, 0xFFFFFFFF  # "see the longer record"
RECORD = re.compile(
    r"([A-Za-z0-9_.-]+)/(?:(?:data|constants|traced_inputs)(?:\.pkl|/\d{1,9})|(?:\.data/)?version"
    r"|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id"
    r"|code/(?:[A-Za-z0-9_]+/)*[A-Za-z0-9_.]+\.py)"
)
VERSION = re.compile(rb"\d{1,3}\n?")  # of the operators, in one record: .data/version from 6 on
LITTLE = b"little"
BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, KeyError, EOFError, OSError,
    NotImplementedError, RuntimeError, OverflowError,
)  # fmt: skip


def check(content: bytes, where: str, records: re.Pattern[str] = RECORD, kind: str = "TorchScript") -> None:
    """Check that an archive is one as PyTorch writes it for TorchScript, or for another ``kind`` of program.

    Every member lies there once, uncompressed, behind the one before it, under a name that is among the
    ``records`` of this kind, and its checksum is right.

    Raises:
        BundleError: it is not.
    """
    try:
        _check(content, records, kind)
    except BROKEN as error:
        expected, remedy = f"a {kind} archive as PyTorch writes it", "Do not open it."
        raise BundleError(mismatch(where, expected, str(error) or repr(error), remedy)) from error


def _check(content: bytes, records: re.Pattern[str], kind: str) -> None:
    count, start = _directory(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if len(members) != count or archive.comment:
            raise ValueError(f"{len(members)} members, of which {count} are announced")
        names = [member.filename for member in members]
        if len({*names}) < len(names):
            raise ValueError("a member that is there twice")
        found = [records.fullmatch(name) for name in names]
        if len({match[1] for match in found if match}) != 1 or not all(found):
            odd = [name for name in names if not records.fullmatch(name)] or ["several folders"]
            raise ValueError(f"a member that {kind} has not: {ascii(odd[0])[:80]}")
        _check_layout(content, members, start)
        broken = archive.testzip()
        if broken:
            raise ValueError(f"another checksum of {broken}")
        order = [name for name in names if name.endswith("/byteorder")]
        if any(archive.read(name) != LITTLE for name in order):
            raise ValueError("another byte order than little")
        versions = [name for name in names if name.endswith("/version")]
        if len(versions) > 1 or not all(VERSION.fullmatch(archive.read(name)) for name in versions):
            raise ValueError("another version than one number")


def _directory(content: bytes) -> tuple[int, int]:
    """Read the records at the end: the number of members, and where their directory starts."""
    if len(content) < TAIL.size:
        raise ValueError("a file that is too short")
    # fmt: off
    (mark, size, _, _, disk, directory_disk, here, count, length, start,
     locator, locator_disk, longer, disks,
     end, short_disk, short_directory_disk, short_here, short_count, short_length, short_start, comment,
     ) = TAIL.unpack(content[-TAIL.size :])
    # fmt: on
    at = len(content) - TAIL.size
    right = (
        (mark, locator, end) == (b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x06")
        and (size, longer, disks, comment) == (44, at, 1, 0)
        and not any((disk, directory_disk, locator_disk, short_disk, short_directory_disk))
        and here == count
        and start + length == at
        and (short_here, short_count) in {(count, count), (WIDE[0], WIDE[0])}
        and short_length in {length, WIDE[1]}
        and short_start in {start, WIDE[1]}
    )
    if not right or not 0 < count <= MEMBERS:
        raise ValueError("other records at its end")
    return count, start


def _check_layout(content: bytes, members: list[zipfile.ZipInfo], end: int) -> None:
    """Check that the members lie one behind another: none in another, nothing before, between or behind."""
    at = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < at or member.header_offset > at + DESCRIPTOR * bool(at):
            raise ValueError("members that do not lie one behind another")
        mark, _, flags, method, _, _, _, _, _, name, extra = LOCAL.unpack_from(content, member.header_offset)
        if mark != b"PK\x03\x04" or {flags, member.flag_bits} - FLAGS:
            raise ValueError("a member with other flags, such as encryption")
        if (method, member.compress_type) != (0, 0) or member.compress_size != member.file_size:
            raise ValueError("a member that is compressed")
        if member.extra or member.comment:
            raise ValueError("a member with more than a name")
        at = member.header_offset + LOCAL.size + name + extra + member.file_size
    if not at <= end <= at + DESCRIPTOR:
        raise ValueError("members that do not lie one behind another")
