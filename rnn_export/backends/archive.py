"""An archive of PyTorch's in one form: the same records give the same bytes in every process and folder."""

import io
from collections.abc import Callable

import torch

VERSIONS = "version", ".data/version"  # the record of the operators' version, whose name depends on it
# Records that the archive writer adds by itself.
WRITTEN_BY_TORCH = {
    *VERSIONS, "byteorder", ".data/serialization_id", ".format_version", ".storage_alignment",
}  # fmt: skip


def canonical(content: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """Write the records of an archive anew.

    The archive is made in memory: upstream's writer ends the whole process when a disk is full. The version
    of the operators stays: whoever reads the archive gives those of an older version their older meaning.

    Args:
        content: the archive.
        change: gives what becomes of a record, by its name and its bytes; ``None`` leaves it out.
    """
    archive = io.BytesIO()
    reader = torch._C.PyTorchFileReader(io.BytesIO(content))
    writer = torch._C.PyTorchFileWriter(archive)
    records = reader.get_all_records()
    [version] = {*VERSIONS} & {*records}
    writer.set_min_version(int(reader.get_record(version)))
    for name in records:
        record = None if name in WRITTEN_BY_TORCH else change(name, reader.get_record(name))
        if record is not None:
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return archive.getvalue()
