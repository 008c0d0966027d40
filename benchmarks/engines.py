"""Which engines run which form of a bundle, and which do so wrong without a word: prints a table.

    .venv/bin/pip install --group engines
    .venv/bin/python benchmarks/engines.py [--write]

Each file is run by each engine in a process of its own, with calls of golden vectors: several numbers of time
steps and rows. "Right" means within 1e-4 of the largest value of eager PyTorch in float64, in all of them. A
file of one time step is called step by step. With ``--write`` the table goes into docs/embedding.md.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.golden import ORDINARY, RUN, Case, read
from rnn_export.bundle.layout import STEP_ONNX
from rnn_export.models import LSTMScratch
from rnn_export.runtimes.one_step import looped
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import Array

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "embedding.md"
BEGIN, END = "<!-- python benchmarks/engines.py --write -->\n", "<!-- end -->\n"
CLOSE = 1e-4
MOST = 12, 5  # time steps and rows of a call
LONGEST = 160  # characters of a reason
TIME_LIMIT = 60.0  # seconds for one file in one engine
FORMS = {
    "model.onnx": "operator",
    "variants/scan.onnx": "`Scan`",
    "variants/loop.onnx": "`Loop`",
    STEP_ONNX: "`step.onnx`",
}
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def openvino(path: Path, signature: Signature) -> Run:
    """Load a file in OpenVINO."""
    import openvino  # noqa: PLC0415 (of the group)

    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.Core().read_model(path), "CPU", precise)

    def run(given: Mapping[str, Array]) -> dict[str, Array]:
        found = compiled(dict(given))
        return {name: found[name] for name in signature.output_names}

    return run


def tract(path: Path, signature: Signature) -> Run:
    """Load a file in tract."""
    import tract  # noqa: PLC0415 (of the group)

    def run(given: Mapping[str, Array]) -> dict[str, Array]:
        model = tract.onnx().load(path).into_model()
        arrays = [np.asarray(given[name]) for name in signature.input_names]
        sizes = signature.sizes(arrays[: len(signature.inputs)])
        model.transform(tract.SetSymbols({k: v for k, v in sizes.items() if k in ("time", "batch")}))
        results = (
            model.into_runnable().spawn_state().run([tract.Tensor.from_numpy(array) for array in arrays])
        )
        return dict(zip(signature.output_names, (each.to_numpy() for each in results), strict=True))

    return run


def opencv(path: Path, signature: Signature) -> Run:
    """Load a file in OpenCV's module dnn."""
    import cv2  # noqa: PLC0415 (of the group)

    net = cv2.dnn.readNetFromONNX(str(path))

    def run(given: Mapping[str, Array]) -> dict[str, Array]:
        for name, array in given.items():
            net.setInput(array, name)
        return dict(zip(signature.output_names, net.forward([*signature.output_names]), strict=True))

    return run


def iree(path: Path, signature: Signature) -> Run:
    """Compile a file by IREE, for this processor."""
    from iree import compiler, runtime  # noqa: PLC0415 (of the group)

    code = path.with_suffix(".mlir")
    importing = [sys.executable, "-m", "iree.compiler.tools.import_onnx", str(path), "-o", str(code)]
    subprocess.run(importing, check=True, capture_output=True, text=True)  # noqa: S603
    options = ["--iree-llvmcpu-target-cpu=host"]
    made = compiler.compile_file(
        str(code), input_type="onnx", target_backends=["llvm-cpu"], extra_args=options
    )
    module = runtime.load_vm_flatbuffer(made, driver="local-sync")
    names = module.vm_module.function_names
    [name] = [each for each in names if not each.startswith("__") and "$" not in each]

    def run(given: Mapping[str, Array]) -> dict[str, Array]:
        results = module[name](*(given[each] for each in signature.input_names))
        results = results if isinstance(results, list | tuple) else [results]
        return dict(zip(signature.output_names, map(np.asarray, results), strict=True))

    return run


def mnn(path: Path, signature: Signature) -> Run:
    """Convert a file for MNN."""
    import MNN  # noqa: PLC0415 (of the group)

    made = path.with_suffix(".mnn")
    converting = ["mnnconvert", "-f", "ONNX", "--modelFile", path, "--MNNModel", made, "--bizCode", "x"]
    program = Path(sys.executable).parent / "mnnconvert"
    known = str(program) if program.exists() else "mnnconvert"
    subprocess.run([known, *map(str, converting[1:])], check=True, capture_output=True, text=True)  # noqa: S603
    net = MNN.nn.load_module_from_file(str(made), [*signature.input_names], [*signature.output_names])

    def run(given: Mapping[str, Array]) -> dict[str, Array]:
        values = []
        for name in signature.input_names:
            array = np.asarray(given[name])
            array = array.astype(np.int32) if array.dtype == np.int64 else array
            kind = MNN.numpy.int32 if array.dtype == np.int32 else MNN.numpy.float32
            value = MNN.expr.const(array, [*array.shape], MNN.expr.NCHW, kind)
            values.append(value)
        results = net.onForward(values)
        return {
            name: np.array(MNN.expr.convert(each, MNN.expr.NCHW).read())
            for name, each in zip(signature.output_names, results, strict=True)
        }

    return run


def tinygrad(path: Path, signature: Signature) -> Run:
    """Load a file in tinygrad."""
    from tinygrad import Tensor  # noqa: PLC0415 (of the group)
    from tinygrad.nn.onnx import OnnxRunner  # noqa: PLC0415

    def run(given: Mapping[str, Array]) -> dict[str, Array]:
        found = OnnxRunner(path)(  # one for each call: the sizes of the first one stay
            {name: Tensor(array) for name, array in given.items()}
        )
        return {name: found[name].numpy() for name in signature.output_names}

    return run


def onnxruntime(path: Path, signature: Signature) -> Run:
    """Load a file in ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415 (as the others)

    session = onnxruntime.InferenceSession(str(path))
    names = [*signature.output_names]
    return lambda given: dict(zip(names, session.run(names, dict(given)), strict=True))


# What installs an engine, and how it loads a file.
ENGINES: dict[str, tuple[str, str, Callable[[Path, Signature], Run]]] = {
    "ONNX Runtime": ("onnxruntime", "onnxruntime", onnxruntime),
    "OpenVINO": ("openvino", "openvino", openvino),
    "tract": ("tract", "tract", tract),
    "OpenCV": ("opencv-python-headless", "cv2", opencv),
    "IREE": ("iree-base-compiler", "iree", iree),
    "MNN": ("MNN", "MNN", mnn),
    "tinygrad": ("tinygrad", "tinygrad", tinygrad),
}


def cases_of(bundle: Bundle) -> list[Case]:
    """Give small calls of a bundle's golden vectors, the smallest first."""
    cases = read(bundle.folder, bundle.signature).cases
    small = [
        case
        for case in cases
        if (case.kind, case.values) == (RUN, ORDINARY) and case.time <= MOST[0] and case.batch <= MOST[1]
    ]
    return sorted(small, key=lambda case: (case.time * case.batch, case.name))


def verdict(engine: str, bundle: Bundle, file: str) -> str:
    """Say what an engine makes of a file: right, wrong without a word, or why it does not run it."""
    signature = bundle.signature
    call_of = signature.one_step if file == STEP_ONNX else signature
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(file).name
        path.write_bytes((bundle.folder / file).read_bytes())
        try:
            run = ENGINES[engine][2](path, call_of)
        except Exception as error:  # whatever an engine raises is its answer
            return f"no: {_reason(error)}"

        def call(*arguments: Array) -> list[Array]:
            found = run(dict(zip(call_of.input_names, arguments, strict=True)))
            return [np.asarray(found[name]) for name in call_of.output_names]

        ways = looped(call, signature) if file == STEP_ONNX else call
        told = dict[str, list[str]]()
        for case in cases_of(bundle):
            told.setdefault(_of(case, ways), []).append(f"T={case.time} B={case.batch}")
    return _summed(told)


def _of(case: Case, call: Callable[..., list[Array]]) -> str:
    try:
        results = call(*case.arguments)
    except Exception as error:  # the same
        return f"no: {_reason(error)}"
    pairs = [(got, want) for got, want in zip(results, case.float64, strict=True)]
    alike = all(
        got.shape == want.shape and np.abs(got - want).max(initial=0) <= CLOSE * max(1.0, np.abs(want).max())
        for got, want in pairs
    )
    return "right" if alike else "wrong"


def _summed(told: Mapping[str, list[str]]) -> str:
    if [*told] == ["right"]:
        return "right"
    if "wrong" in told:
        return f"**silently wrong** ({told['wrong'][0]})"
    failed = next(each for each in told if each != "right")
    return failed if "right" not in told else f"{failed} ({told[failed][0]})"


def _reason(error: Exception) -> str:
    said = str(error.stderr if isinstance(error, subprocess.CalledProcessError) else error)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line] or lines or [type(error).__name__]
    return telling[0][:LONGEST]


def _answer(pipe: Connection, engine: str, folder: Path, file: str) -> None:
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (for what an engine prints)
    pipe.send(verdict(engine, Bundle.open(folder), file))


def asked(engine: str, folder: Path, file: str) -> str:
    """Ask an engine in a process of its own, which may end by a signal."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, engine, folder, file))
    process.start()
    theirs.close()
    try:
        said = str(ours.recv()) if ours.poll(TIME_LIMIT) else f"no: nothing within {TIME_LIMIT:.0f} s"
    except EOFError:
        process.join()
        said = f"no: its process ends with {process.exitcode}"
    finally:
        process.kill()
        process.join()
    return said


def table(bundles: Mapping[str, Bundle]) -> tuple[str, list[str]]:
    """Ask all; give the table, and the reasons behind what does not run."""
    rows, notes = [f"| engine | net | {' | '.join(FORMS.values())} |", "|---|---|" + "---|" * len(FORMS)], []
    for engine, (package, _, _) in ENGINES.items():
        for name, bundle in bundles.items():
            found = []
            for file in FORMS:
                if file not in bundle.manifest.files:
                    found.append("")
                    continue
                said = asked(engine, bundle.folder, file)
                print(f"{engine}, {name}, {file}: {said}", file=sys.stderr, flush=True)
                found.append(said.partition(":")[0])
                if said.startswith("no:"):
                    notes.append(f"{engine}, {name}, {file}: {said[4:]}")
            rows.append(f"| {engine} {version(package)} | {name} | {' | '.join(found)} |")
    return "\n".join(rows) + "\n", notes


def main(
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/embedding.md.")] = False,
) -> None:
    """Print the table, and write it."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        net = LSTMScratch(8, 16, 4).eval()
        lstm = rnn_export.export(net, torch.randn(7, 3, 8), Path(folder) / "lstm", progress=False)
        bundles = {
            "`rnn_scratch`": Bundle.open(ROOT / "artifacts" / "rnn_scratch"),
            "`char_rnn`": Bundle.open(ROOT / "artifacts" / "char_rnn"),
            "an LSTM": lstm,
        }
        found, notes = table(bundles)
    print(found, *notes, sep="\n")
    if write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + found + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
