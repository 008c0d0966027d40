"""Run what each example checks of itself, and print one table.

python scripts/examples.py [HOST...]
python scripts/examples.py --write

Every ``examples/HOST/ci.sh`` has to pass with the committed bundles, to write the same text as
``scripts/generate.py``, and to fail with bundles of which one golden number is off. Then it is scaffolded
for a net of several inputs and outputs, and has to run that, too. Debian packages are installed where that
is possible. A host whose tools are missing is "not checked", and with CI set a failure.
"""

import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import rnn_export
from rnn_export.scaffolding.scaffold import MODELS, REPOSITORY, WRITTEN
from tests.support.general_calls import GENERAL

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
ARTIFACTS = ROOT / "artifacts"

# What each host needs of Debian, beside a compiler, make, cmake, rustc, javac and node.
PACKAGES: dict[str, tuple[str, ...]] = {
    "c": (),
    "cpp-libtorch": ("nlohmann-json3-dev",),
    "cpp-onnxruntime": ("nlohmann-json3-dev",),
    "rust": (),
    "go": (),
    "java": ("libjna-java", "libgoogle-gson-java"),
    "node": (),
    "browser": ("clang", "lld", "chromium"),
    "wasm": ("clang", "lld", "chromium"),
    "python": (),
    "mcu": ("gcc-arm-none-eabi", "gcc-riscv64-unknown-elf", "qemu-system-arm", "qemu-system-misc"),
    "service-cpp": (
        "libcpp-httplib-dev",
        "nlohmann-json3-dev",
        "prometheus-cpp-dev",
        "libcli11-dev",
        "pkg-config",
    ),
    "service-node": (),
    "triton": (),
}
NO_TOOL = 77  # what a ci.sh exits with where a tool is missing; automake's number for a test that is skipped
PROMPT, LENGTH, SEED = "The ", 100, 1  # of the text that every ci.sh writes
TIMED = "rnn_scratch"  # the net whose microseconds are shown
SEVERAL = "a machine"  # the net of several inputs and outputs
INSTALLED = ("node_modules", "build/venv", "build/installed")  # by ci.sh, and not a second time

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not checked"
MARKS = {PASSED: "[green]✓ passed", FAILED: "[bold red]✗ failed", NOT_CHECKED: "[yellow]- not checked"}
BUILT = re.compile(r"^built with: (.*)$", re.MULTILINE)
GOLDEN = re.compile(
    r"^(?P<model>\w+)(?: \((?P<runtime>[\w.-]+)\))?: "
    r"(?P<whole>\d+) vectors whole, (?P<streamed>\d+) streamed, "
    r"worst error (?P<error>\S+) \((?P<share>\d+)% of allowed\), "
    r"(?:(?P<step>[\d.]+) us|\d+ instructions) per step$",
    re.MULTILINE,
)


@dataclass
class Outcome:
    """What became of one host: the lines its ``ci.sh`` printed, and what is wrong with them."""

    host: str
    verdict: str
    seconds: float = 0.0
    built: str = ""
    golden: list[re.Match[str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def ci(host: str, models: Path) -> subprocess.CompletedProcess[str]:
    """Run a host's ``ci.sh`` on the bundles of a folder."""
    return run(EXAMPLES / host / "ci.sh", models)


def run(*command: Path) -> subprocess.CompletedProcess[str]:
    """Run a ``ci.sh``."""
    environment = {**os.environ, "PYTHON": sys.executable}
    line = [str(part) for part in command]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=environment)  # noqa: S603


def check(host: str, expected: Sequence[str], text: str, tampered: Path) -> Outcome:
    """Run one host with the right bundles, and with wrong ones."""
    start = monotonic()
    done = ci(host, ARTIFACTS)
    outcome = Outcome(host, PASSED)
    if done.returncode == NO_TOOL:
        outcome.problems = [done.stderr.strip()]
        outcome.verdict = FAILED if os.environ.get("CI") else NOT_CHECKED
        return outcome
    built = BUILT.search(done.stdout)
    outcome.built = built[1] if built else ""
    outcome.golden = list(GOLDEN.finditer(done.stdout))
    outcome.problems = list(_problems(done, outcome.golden, expected, text))
    if not outcome.problems:
        outcome.problems = list(_blind(ci(host, tampered)))
    outcome.verdict = FAILED if outcome.problems else PASSED
    outcome.seconds = monotonic() - start
    return outcome


def _problems(
    done: subprocess.CompletedProcess[str], golden: list[re.Match[str]], expected: Sequence[str], text: str
) -> Iterator[str]:
    """Name what is wrong with what a ``ci.sh`` printed."""
    if done.returncode:
        yield f"ci.sh exits with {done.returncode}:\n{(done.stdout + done.stderr).strip()[-4000:]}"
        return
    for model in sorted({*expected} - {match["model"] for match in golden}):
        yield f"no golden vectors of {model}:\n{done.stdout[-4000:]}"
    if any(int(match["whole"]) == 0 or int(match["streamed"]) == 0 for match in golden):
        yield f"no vectors were run:\n{done.stdout[-4000:]}"
    if f"text: {text}" not in done.stdout:
        yield f"expected the text {text!r}, got:\n{done.stdout[-4000:]}"


def _blind(done: subprocess.CompletedProcess[str]) -> Iterator[str]:
    """Say so if a ``ci.sh`` passes a wrong number, or fails for another reason."""
    printed = done.stdout + done.stderr
    if done.returncode == 0:
        yield f"ci.sh passes bundles whose golden vectors were changed:\n{printed[-4000:]}"
    elif "off by" not in printed:
        yield f"with changed golden vectors, ci.sh fails for another reason:\n{printed[-4000:]}"


def export_several(folder: Path) -> Path:
    """Export a net with inputs, outputs and a state of every dtype, in an order of its own, and a context."""
    torch.manual_seed(0)
    call = GENERAL[SEVERAL]
    return rnn_export.export(call.make().eval(), call.draw(7, 3, 5), folder).folder


def check_several(host: str, bundle: Path, folder: Path) -> Iterator[str]:
    """Scaffold a host for a net of several inputs and outputs; name what is wrong with its ``ci.sh``."""
    new = rnn_export.scaffold([bundle], host, folder / host)
    for name in INSTALLED:
        if (EXAMPLES / host / name).exists():
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).symlink_to(EXAMPLES / host / name)
    done = run(new / "ci.sh")
    if done.returncode or bundle.name not in {match["model"] for match in GOLDEN.finditer(done.stdout)}:
        yield f"{SEVERAL}: ci.sh exits with {done.returncode}:\n{(done.stdout + done.stderr).strip()[-4000:]}"
        return
    if not (folder / "tampered").exists():
        tamper([bundle], folder / "tampered")
    yield from _blind(run(new / "ci.sh", folder / "tampered"))


def committed() -> list[Path]:
    """List the bundles of the repository."""
    return sorted(path.parent for path in ARTIFACTS.glob("*/manifest.json"))


def tamper(bundles: Sequence[Path], folder: Path) -> None:
    """Copy bundles, with one golden number of each off by a thousandth."""
    for source in bundles:
        bundle = folder / source.name
        shutil.copytree(source, bundle)
        case = json.loads((bundle / "golden" / "index.json").read_text())["cases"][-2]
        at = next(iter(case["float64"].values()))["offset"]
        tensors = bundle / "golden" / "tensors.bin"
        blob = bytearray(tensors.read_bytes())
        struct.pack_into("<d", blob, at, struct.unpack_from("<d", blob, at)[0] + 1e-3)
        tensors.write_bytes(blob)


def expected_text() -> str:
    """Write the text that every host has to write."""
    command = [sys.executable, str(ROOT / "scripts" / "generate.py"), "--prompt", PROMPT]
    command += ["--length", str(LENGTH), "--seed", str(SEED)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603


def install(hosts: Sequence[str]) -> None:
    """Install the Debian packages of some hosts that are missing, where we may."""
    wanted = sorted({package for host in hosts for package in PACKAGES[host]})
    if not shutil.which("dpkg-query") or not wanted:
        return
    missing = [package for package in wanted if not _installed(package)]
    if not missing:
        return
    if os.geteuid():
        typer.echo(f"not installed, which takes root: apt-get install {shlex.join(missing)}", err=True)
        return
    _apt_get("update", "-q")
    _apt_get("install", "-qy", "--no-install-recommends", *missing)


def _apt_get(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)  # noqa: S603, S607


def _installed(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${Status}", package]
    found = subprocess.run(query, capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.endswith(" installed")


def table(outcomes: Sequence[Outcome]) -> Table:
    """Show a row for each host, and one for each runtime of a host that has several."""
    shown = Table("Host", "Built with", box=None, pad_edge=False)
    for heading in ("Vectors", "Streamed", "Worst error", "Of allowed", "us/step", "Seconds"):
        shown.add_column(heading, justify="right")
    shown.add_column("Verdict")
    for outcome in outcomes:
        runtimes = dict.fromkeys(match["runtime"] for match in outcome.golden) or {None: None}
        for runtime in runtimes:
            lines = [match for match in outcome.golden if match["runtime"] == runtime]
            name = f"{outcome.host} ({runtime})" if runtime else outcome.host
            shown.add_row(
                name,
                escape(outcome.built),
                *_numbers(lines),
                f"{outcome.seconds:.0f}",
                MARKS[outcome.verdict],
            )
    return shown


def _numbers(lines: Sequence[re.Match[str]]) -> Sequence[str]:
    if not lines:
        return [""] * 5
    timed = [line["step"] or "" for line in lines if line["model"] == TIMED]
    return [
        str(sum(int(line["whole"]) for line in lines)),
        str(sum(int(line["streamed"]) for line in lines)),
        max((line["error"] for line in lines), key=float),
        f"{max(int(line['share']) for line in lines)}%",
        timed[0] if timed else "",
    ]


def write_generated() -> None:
    """Bring what scaffold writes for the committed bundles into the examples."""
    bundles = committed()
    with tempfile.TemporaryDirectory() as folder:
        for host in PACKAGES:
            new = rnn_export.scaffold(bundles, host, Path(folder) / host)
            for path in new.rglob("*"):
                own = path.relative_to(new)
                if not path.is_file() or own.parts[0] == MODELS:
                    continue
                if own.parts[0] == REPOSITORY or WRITTEN in path.read_bytes():
                    (EXAMPLES / host / own).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, EXAMPLES / host / own)


def main(
    write: Annotated[
        bool, typer.Option("--write", help="Write the files with the committed models' names and sizes anew.")
    ] = False,
    hosts: Annotated[
        list[str] | None, typer.Argument(metavar="[HOST]...", help="All, if none is named.")
    ] = None,
) -> None:
    """Run what each example checks of itself, and print one table."""
    if write:
        write_generated()
        return
    console = Console(width=None if sys.stdout.isatty() else 140)
    wanted = hosts or list(PACKAGES)
    if unknown := sorted({*wanted} - {*PACKAGES}):
        raise typer.BadParameter(f"expected some of {', '.join(PACKAGES)}, got {', '.join(unknown)}")
    install(wanted)
    expected, text = [bundle.name for bundle in committed()], expected_text()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        tampered = Path(folder) / "tampered"
        tamper(committed(), tampered)
        several = export_several(Path(folder) / "several" / "machine")
        for host in wanted:
            outcomes.append(check(host, expected, text, tampered))
            if outcomes[-1].verdict == PASSED:
                outcomes[-1].problems = list(check_several(host, several, Path(folder) / "hosts"))
                outcomes[-1].verdict = FAILED if outcomes[-1].problems else PASSED
            typer.echo(f"{host}: {outcomes[-1].verdict} in {outcomes[-1].seconds:.0f} s", err=True)
    console.print(table(outcomes))
    for outcome in outcomes:
        for problem in outcome.problems:
            console.print(f"[bold]{outcome.host}[/]: {escape(problem)}", highlight=False, soft_wrap=True)
    if any(outcome.verdict == FAILED for outcome in outcomes):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
