"""Fresh processes export the same nets: every file has the same bytes, and none says where it was made.

Each process has a hash seed, a working directory, HOME, TMPDIR, a cache, a time zone, a locale, a user name
and, where the system lets us, a host name of its own, all of which hold a word that is then looked for in the
files. ``model.pt`` and ``model.pt2`` are compared as they are: their archives are canonical. What is packed
in them is searched too.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.untrusted.files import MANIFEST

WORD = "quokka"  # and a number; in every path and name that a process could betray
SCRIPTED = "variants/loop.onnx"  # in a bundle whose module TorchScript compiles
LANGUAGES = (("C", "UTC"), ("C.UTF-8", "Asia/Kathmandu"), ("POSIX", "America/St_Johns"))
NETS = ("unannotated", "uncompiled", "library")
# What a user writes: without annotations; with what TorchScript cannot compile.
SOURCE = """
import torch
from torch import nn

from rnn_export.models import {cells}


class Unannotated(nn.Module):
    def __init__(self):
        super().__init__()
        self.W_xh = nn.Parameter(torch.randn(4, 6) * 0.3)
        self.W_hh = nn.Parameter(torch.randn(6, 6) * 0.3)

    def forward(self, inputs, state):
        H, = state
        outputs = []
        for X in inputs:
            H = torch.tanh(X @ self.W_xh + H @ self.W_hh)
            outputs.append(H)
        return torch.stack(outputs), (H,)


class Uncompiled(Unannotated):
    def forward(self, inputs, state):
        try:
            return super().forward(inputs, state)
        finally:
            pass


def unannotated():
    torch.manual_seed(0)
    return Unannotated(), (torch.rand(5, 2, 4), (torch.zeros(2, 6),))


def uncompiled():
    torch.manual_seed(0)
    return Uncompiled(), (torch.rand(5, 2, 4), (torch.zeros(2, 6),))


def library():
    torch.manual_seed(0)
    model = Deep(First(4, 6, 5), Second(5, 4, 3))
    return model, (torch.rand(5, 2, 4), model.begin_state(2, torch.device("cpu")))
"""
CELLS = "DeepRNNScratch as Deep, GRUScratch as First, LSTMScratch as Second"


def run(amount: int) -> str:
    """Export in so many processes.

    Raises:
        BrokenPromiseError: a file differs, or says where it was made.
    """
    with tempfile.TemporaryDirectory(prefix="same_bytes.") as folder:
        made = [_export(Path(folder) / f"{WORD}{number}", number) for number in range(amount)]
        first, *others = (digests for _, digests in made)
        for digests in others:
            differing = sorted(name for name in {*first, *digests} if first.get(name) != digests.get(name))
            if differing:
                raise _broken(f"two processes wrote different bytes: {', '.join(differing)}")
        traces = _traces(Path(folder))
        for file in sorted(Path(folder).glob(f"{WORD}*/out/*/**/*")):
            if file.is_file():
                _look_through(file, traces)
    hosts = "and host names of their own" if _alone() else "names of their own, one host"
    return (
        f"{amount} processes with {len({seed for seed, _ in made})} hash seeds, folders, users {hosts}: "
        f"{len(NETS)} nets, {len(first)} files each the same; none holds one of {len(traces)} paths and names"
    )


def _export(place: Path, number: int) -> tuple[int, dict[str, str]]:
    """Export all nets in a process; give the hash of a string there, and the sha256 of each file."""
    for name in ("home", "tmp", "cache", "work", "out"):
        (place / name).mkdir(parents=True)
    (place / "work" / "nets.py").write_text(SOURCE.format(cells=CELLS))
    language, zone = LANGUAGES[number % len(LANGUAGES)]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(number + 1),
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "XDG_CACHE_HOME": str(place / "cache"),
        **dict.fromkeys(("USER", "LOGNAME", "USERNAME"), f"{place.name}-user"),
        "HOSTNAME": f"{place.name}-host",
        "LC_ALL": language,
        "TZ": zone,
    }
    own = [*_alone(), "sh", "-c", f'hostname {place.name}-host && exec "$@"', "sh"] if _alone() else []
    done = subprocess.run(  # noqa: S603
        [*own, sys.executable, str(Path(__file__).resolve()), "work/nets.py", str(place / "out")],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise _broken(f"an export failed: {done.stderr.strip()[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    if own and said["host"] != f"{place.name}-host":
        raise _broken(f"the host's name is {said['host']} for a process")
    return said["hash"], _digests(place / "out")


def _digests(out: Path) -> dict[str, str]:
    """Hash every file, the manifests as well; there has to be a net of either kind."""
    found = {}
    for net in NETS:
        bundle = Bundle.open(out / net)
        if (SCRIPTED in bundle.manifest.files) != (net != "uncompiled"):
            raise _broken(f"the net {net!r} was not exported in the way that it is there for")
        for name in (*bundle.manifest.files, MANIFEST):
            found[f"{net}/{name}"] = hashlib.sha256((out / net / name).read_bytes()).hexdigest()
    return found


def _alone() -> list[str]:
    """Give the command for a process with a host name of its own, if the system lets us."""
    command = ["unshare", "--uts", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    able = shutil.which("unshare") and subprocess.run([*command, "true"], check=False).returncode == 0  # noqa: S603
    return command if able else []


def _traces(folder: Path) -> list[bytes]:
    """List what no file may hold: the word, and the paths and names of this machine that are long enough."""
    root = Path(__file__).resolve().parents[1]
    paths = [folder, Path.home(), root, Path(sys.prefix), Path(sys.base_prefix)]
    names = [socket.gethostname(), os.environ.get("USER", "")]
    return [trace.encode() for trace in {WORD, *map(str, paths), *names} if len(trace) > len("/root")]


def _look_through(file: Path, traces: list[bytes]) -> None:
    contents = [file.read_bytes()]
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            contents += [archive.read(member) for member in archive.namelist()]
    for trace in traces:
        if any(trace in content for content in contents):
            raise _broken(f"{file} holds {trace.decode()!r}")


def _broken(message: str) -> AssertionError:
    from trials import BrokenPromiseError  # noqa: PLC0415 (not in the processes that export)

    return BrokenPromiseError(f"{message}. See it again: python -m trials same_bytes")


def _main(file: str, out: Path) -> None:
    """Export the nets of a user's file."""
    from rnn_export.cli.target import load_target  # noqa: PLC0415
    from rnn_export.exporter import export  # noqa: PLC0415

    for net in NETS:
        model, example, _ = load_target(f"{file}:{net}")
        export(model, example, out / net, pt2=True)
    print(json.dumps({"hash": hash(WORD), "host": socket.gethostname()}))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
