"""``model.pt``: the scripted module in a canonical archive."""

import io
from itertools import groupby
from pathlib import Path

import torch

VERSIONS = "version", ".data/version"  # the record of the operators' version, whose name depends on it
# Records that the archive writer adds by itself.
WRITTEN_BY_TORCH = {
    *VERSIONS, "byteorder", ".data/serialization_id", ".format_version", ".storage_alignment",
}  # fmt: skip


def write(scripted: torch.jit.ScriptModule, path: Path) -> None:
    """Save a scripted module, without the debug records.

    Those hold the path of the user's source. Without them the same module gives the same bytes in every
    process and folder, and errors of the TorchScript interpreter quote the compiled code instead. The archive
    is made in memory: upstream's writer ends the whole process when a disk is full. The version of the
    operators stays: whoever reads the archive gives those of an older version their older meaning.
    """
    archive = io.BytesIO()
    reader = torch._C.PyTorchFileReader(io.BytesIO(scripted.save_to_buffer()))
    writer = torch._C.PyTorchFileWriter(archive)
    records = reader.get_all_records()
    [version] = {*VERSIONS} & {*records}
    writer.set_min_version(int(reader.get_record(version)))
    for name in records:
        if name not in WRITTEN_BY_TORCH and not name.endswith(".debug_pkl"):
            record = (
                _sort_constants(reader.get_record(name)) if name.endswith(".py") else reader.get_record(name)
            )
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    path.write_bytes(archive.getvalue())


def _sort_constants(code: bytes) -> bytes:
    """Sort the constants of each class, which upstream lists in the order of a Python set."""
    groups = groupby(code.splitlines(keepends=True), key=lambda line: b" : Final[" in line)
    return b"".join(line for constant, lines in groups for line in (sorted(lines) if constant else lines))
