"""Exports are killed at random moments: under the name is a whole bundle, and the next run leaves no litter.

The moments are spread evenly over the whole of an export, every fourth one over the move into place. Half of
the exports have a free name, half replace an old bundle. To be quick, one process imports what an export
needs, and is forked for each; after a kill every fourth next run verifies, the others build the C.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rnn_export.bundle.bundle import Bundle, Manifest
from rnn_export.bundle.untrusted.files import MANIFEST
from rnn_export.errors import BundleError, RnnExportError
from rnn_export.runtimes import compiler
from rnn_export.verification.verify import VerificationReport

SEED = 0
LATE = 4  # every which kill falls into the move
PAUSE = 0.1  # seconds before and after a rename, so that kills fall on both sides
A_WHILE = 10.0  # seconds until what a killed export has started has ended
SOONER = 0.8  # of the time, where an export had ended before it was killed
MOVING = "moving"
# In TMPDIR and in the cache: what torch and ONNX Runtime keep there.
OTHERS = {".ses", "torchinductor_root", "Microsoft"}

Times = tuple[float, float]  # seconds until an export moves its folder, and until it has ended


@dataclass(frozen=True)
class Place:
    """The folders of the trial, and what was exported without being killed: its old and its new content."""

    target: Path
    temporary: Path
    cache: Path
    contents: dict[str, dict[str, Any]]

    def found(self) -> str:
        """Say what is under the name.

        Raises:
            BrokenPromiseError: it is something else than what was verified.
        """
        if not self.target.exists():
            return "nothing"
        try:
            content = _content(self.target)
        except BundleError as error:
            raise _broken(f"what is under the name does not open: {error}") from error
        for name, known in self.contents.items():
            if content == known:
                return name
        raise _broken(f"{self.target} holds something that was never verified")

    def litter(self) -> list[str]:
        """List what should not be there."""
        beside = [path for path in self.target.parent.iterdir() if path != self.target]
        temporary = [path for path in self.temporary.iterdir() if path.name not in OTHERS]
        cached = [path for path in (self.cache / "rnn_export").iterdir() if path.suffix != ".so"]
        others = [path for path in self.cache.iterdir() if path.name not in {*OTHERS, "rnn_export"}]
        return [str(path) for path in (*beside, *temporary, *cached, *others)]


@dataclass(frozen=True)
class Kill:
    """A kill: over an old bundle or not, while the folder moves or not, at which share of the time."""

    over: bool
    late: bool
    share: float


class Server:
    """The process that forks one for each export."""

    def __init__(self, temporary: Path, cache: Path) -> None:
        folders = {"TMPDIR": str(temporary), "XDG_CACHE_HOME": str(cache)}
        single = {
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }  # threads would be missing after a fork
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **folders, **single},
        )

    def tell(self) -> str:
        """Wait for what it says next."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def start(self, target: Path, content: str, verified: str = "") -> int:
        """Start an export, perhaps of what is verified already; give its process, which leads a session."""
        assert self.process.stdin
        request = {"folder": str(target), "content": content, "verified": verified}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        if not (said := self.tell()):
            raise _broken("the process that starts exports has ended")
        return int(said)

    def export(self, target: Path, content: str, verified: str = "") -> Times:
        """Export without a kill.

        Raises:
            BrokenPromiseError: it failed.
        """
        self.start(target, content, verified)
        begun = time.monotonic()
        if self.tell() != MOVING:
            raise _broken(f"an export that nobody killed has failed, to {target}")
        moving = time.monotonic() - begun
        if (status := int(self.tell())) != 0:
            raise _broken(f"an export that nobody killed has ended with {status}, to {target}")
        return moving, time.monotonic() - begun

    def end(self) -> None:
        """End it: it reads to the end of what it is told."""
        self.process.communicate()


def run(amount: int) -> str:
    """Kill so many exports.

    Raises:
        BrokenPromiseError: a bundle is not whole, an old one is lost, something is left, the next run fails.
    """
    draw = random.Random(SEED)  # noqa: S311
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="kills.") as folder:
        place, server = _prepare(Path(folder))
        try:
            times = [server.export(place.target, "new") for _ in range(2)][-1]
            for number in range(amount):
                late = number % LATE == 0
                over = (number // LATE if late else number) % 2 == 1
                kill = Kill(over, late, (number + draw.random()) / amount)
                happened, times = _kill(place, server, kill, times)
                while "killed" not in happened:  # it was quicker than the one before
                    kill = replace(kill, share=kill.share * SOONER)
                    happened, times = _kill(place, server, kill, times)
                outcomes.update(happened)
        finally:
            server.end()
    found = ", ".join(f"{name} {outcomes[name]} times" for name in ("nothing", "old", "new"))
    return (
        f"{outcomes['killed']} exports killed, {outcomes[MOVING]} of them while the folder moved, "
        f"{outcomes['over']} over an old bundle; under the name was {found}; "
        "each next run went well, no file and no process left"
    )


def _prepare(folder: Path) -> tuple[Place, Server]:
    """Make the folders, start the server, and export what is old and what is new."""
    temporary, cache, parent = folder / "tmp", folder / "cache", folder / "parent"
    for made in (temporary, cache, parent):
        made.mkdir()
    server = Server(temporary, cache)
    contents = {}
    for name in ("old", "new"):
        server.export(folder / name / "bundle", name)
        contents[name] = _content(folder / name / "bundle")
    return Place(parent / "bundle", temporary, cache, contents), server


def _kill(place: Place, server: Server, kill: Kill, times: Times) -> tuple[list[str], Times]:
    """Kill one export, look at what is there, and export again.

    Gives what happened, in words, and how long the other export took.
    """
    shutil.rmtree(place.target, ignore_errors=True)
    shutil.rmtree(place.cache / "rnn_export")  # the C is built anew
    if kill.over:
        shutil.copytree(place.temporary.parent / "old" / "bundle", place.target)
    session = server.start(place.target, "new")
    moving, end = times
    if kill.late:
        server.tell()
    time.sleep(kill.share * (end - moving if kill.late else end))
    with suppress(ProcessLookupError):
        os.kill(session, signal.SIGKILL)
    said = server.tell()
    status = int(server.tell() if said == MOVING else said)
    found = place.found()
    if kill.over and found == "nothing":
        raise _broken("the old bundle is lost")
    if kill.late:
        times = server.export(place.target, "new")
    else:
        server.export(place.target, "new", verified=str(place.temporary.parent / "new" / "bundle"))
    if place.found() != "new":
        raise _broken(f"the next run left {place.found()}")
    _wait(lambda: _running(session), "still running")
    _wait(place.litter, "left after the next run")
    ended = "killed" if status == -signal.SIGKILL else "ended"
    return [ended, found, *(["over"] if kill.over else []), *([MOVING] if kill.late else [])], times


def _content(folder: Path) -> dict[str, Any]:
    """Describe every file of a bundle, which has to open."""
    return {**Bundle.open(folder).manifest.files, MANIFEST: (folder / MANIFEST).read_text()}


def _running(session: int) -> list[str]:
    """List the processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            state, _, _, own = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(own) == session and state != "Z":
                found.append((path / "cmdline").read_text().replace("\0", " "))
    return found


def _wait(remaining: Callable[[], list[str]], what: str) -> None:
    begun = time.monotonic()
    while found := remaining():
        if time.monotonic() > begun + A_WHILE:
            raise _broken(f"{what}: {found}")
        time.sleep(0.05)


def _broken(message: str) -> AssertionError:
    from trials import BrokenPromiseError  # noqa: PLC0415 (not when it runs as the server)

    return BrokenPromiseError(f"{message}. See it again: python -m trials kills")


def _serve() -> None:
    """Export what standard input asks for, each in a process of its own."""
    import torch  # noqa: PLC0415

    from rnn_export import exporter  # noqa: PLC0415
    from rnn_export.bundle import staging  # noqa: PLC0415
    from rnn_export.capture import step  # noqa: PLC0415
    from rnn_export.models import RNNScratch  # noqa: PLC0415
    from rnn_export.module.reading import inspect_module  # noqa: PLC0415
    from rnn_export.runtimes.table import RUNTIMES  # noqa: PLC0415
    from rnn_export.verification import verify_export  # noqa: PLC0415

    torch.manual_seed(SEED)
    model = RNNScratch(2, 3, 1, sigma=0.5)  # every form of it is right
    example = torch.rand(3, 2, 2), model.begin_state(2, torch.device("cpu"))

    step.capture(inspect_module(model, example))  # the rest of the imports; what follows could start threads
    del RUNTIMES["reference"]  # half of the processes that verify, and no other kind
    place, rename = staging.place, staging._rename

    def told(*arguments: Any, **options: Any) -> None:
        _say(MOVING)
        place(*arguments, **options)

    def slow(*arguments: Any, **_: Any) -> bool:
        time.sleep(PAUSE)
        done = rename(*arguments)
        time.sleep(PAUSE)
        return done

    staging.place, staging._rename = told, slow

    def work(folder: str, content: str, verified: str) -> None:
        if verified:
            check = _verified_as(Bundle.open(verified).manifest)
            setattr(verify_export, "check_bundle", check)  # noqa: B010 (no name that it exports)
        exporter.export(model, example, folder, name="net", metadata={"content": content}, overwrite=True)

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setsid()
            status = 1
            try:
                work(**json.loads(line))
                status = 0
            except RnnExportError as error:
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
            finally:
                os._exit(status)
        _say(child)
        _say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _verified_as(known: Manifest) -> Callable[..., VerificationReport]:
    """Build the C of a bundle, and report what is known of the same files."""
    report = VerificationReport.stored(known).renamed("model.onnx", f"variants/{known.form}.onnx")

    def check(bundle: Bundle, *_: object) -> VerificationReport:
        compiler.library(bundle.folder / "model.c")
        return report

    return check


def _say(word: object) -> None:
    os.write(1, f"{word}\n".encode())


if __name__ == "__main__":
    _serve()
