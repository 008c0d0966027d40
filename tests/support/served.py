"""Servers of bundles in processes of their own, and the check of ``examples/`` that all of them pass."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import rnn_export
from tests.support.general_calls import GENERAL
from tests.support.paths import ROOT

CHECK = ROOT / "examples" / "service-cpp"
MACHINE = "machine"  # a bundle of several inputs, outputs and leaves of the state
SECONDS = 60  # to start
LOOPBACK, LISTENS = "0100007F", "0A"  # as Linux writes 127.0.0.1, and that a socket listens
MAPPED = "0000000000000000FFFF0000"  # before an address of IPv4, in a socket of IPv6


def check_of(name: str) -> ModuleType:
    """Import a module of the check, which imports those beside it."""
    if str(CHECK) not in sys.path:
        sys.path.insert(0, str(CHECK))
    return import_module(name)


def models_in(folder: Path) -> list[Any]:
    """Put bundles of numbers, of text, and of several inputs into a folder; give what the check knows."""
    for path in (ROOT / "artifacts").glob("*/manifest.json"):
        (folder / path.parent.name).symlink_to(path.parent)
    torch.manual_seed(0)
    call = GENERAL["a machine"]
    rnn_export.export(call.make().eval(), call.draw(7, 3, 5), folder / MACHINE)
    return [check_of("client").Bundle(path) for path in sorted(folder.iterdir())]


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def started(command: Sequence[str], ports: Sequence[int], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a folder until the end of the block; it stops on SIGTERM, with status 0."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=printed)
        try:
            for port in ports:
                _wait(process, port)
            yield process
            process.terminate()
            assert process.wait(SECONDS) == 0
        except BaseException:
            process.kill()
            process.wait()
            printed.seek(0)
            sys.stderr.write(printed.read().decode()[-4000:])
            raise


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"{process.args}: nobody listens on port {port}; status {process.poll()}")


def addresses_of(process: subprocess.Popen[bytes]) -> set[str]:
    """Give the addresses at which a process listens, in hex digits as Linux lists them."""
    inodes = set()
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            target = os.readlink(entry)
            inodes |= {target[8:-1]} if target.startswith("socket:[") else set()
    tables = [Path(f"/proc/{process.pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()]
    listening = [row for row in rows if len(row) > 9 and row[3] == LISTENS and row[9] in inodes]
    return {row[1].split(":")[0].removeprefix(MAPPED) for row in listening}
