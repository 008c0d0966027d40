"""Programs around a bundle's ``model.c``: built, run on the golden vectors, compared with eager."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

import rnn_export
from rnn_export.runtimes.c import floats
from rnn_export.runtimes.compiler import compiler, entry
from rnn_export.signature.signature import Signature, identifier
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array, TensorSpec

DRIVER = Path(__file__).with_name("c_driver.c")
STRICT = ("-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# Fills what is on the stack before it is written: numbers that nobody wrote do not look right by chance.
POISON = "-ftrivial-auto-var-init=pattern"
ALLOCATORS = ("malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign")

needs_compiler = pytest.mark.needs((compiler() or ["cc"])[0])


def has_avx512() -> bool:
    """Whether what is compiled for this processor may use AVX-512."""
    line = [*(compiler() or ["false"]), "-march=native", "-dM", "-E", "-x", "c", "/dev/null"]
    return "__AVX512F__" in subprocess.run(line, capture_output=True, text=True, check=False).stdout


def compile_c(command: list[str] | str, target: Path, *arguments: str | Path) -> None:
    """Run a compiler; it may say nothing."""
    line = [*([command] if isinstance(command, str) else command), *map(str, arguments), "-o", str(target)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def build_driver(
    folder: Path, name: str, target: Path, *options: str, command: list[str] | str | None = None
) -> None:
    """Build the program that runs calls from its standard input."""
    header = (folder / "model.h").read_text()
    prefix = identifier(name)
    [stack] = {*re.findall(r"(\w+_STACK_SIZE) \d", header)}
    names = [f"-DRUN={prefix}_run", f"-DSTACK={stack}"]
    names += ["-DWORKSPACE"] if "WORKSPACE_SIZE" in header else []
    names += [f"-Wl,--wrap={allocator}" for allocator in ALLOCATORS]
    everything = [f"-I{folder}", *names, "-O1", *options, folder / "model.c", DRIVER, "-pthread"]
    compile_c(command or compiler() or [], target, *everything)


def run_driver(bundle: rnn_export.Bundle, *line: str | Path) -> None:
    """Run all golden vectors, and compare the results with eager's."""
    rooms = entry(bundle.folder / "model.c").workspaces(())
    calls = b""
    for case in bundle.cases:
        state = b"".join(leaf.tobytes() for leaf in case.state)
        room = 4 * floats(rooms, {TIME: case.time, BATCH: case.batch})
        sizes = np.array(
            [case.time, case.batch, case.inputs[0].nbytes, len(state), case.float32[0].nbytes, room],
            np.uint64,
        )
        calls += sizes.tobytes() + case.inputs[0].tobytes() + state
    done = subprocess.run([str(part) for part in line], input=calls, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr
    at = 0
    for case in bundle.cases:
        results = []
        for want in case.float32:
            results.append(np.frombuffer(done.stdout, want.dtype, want.size, at).reshape(want.shape))
            at += want.nbytes
        for got, want in zip(case.kept(results), case.float32, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
        at += sum(leaf.nbytes for leaf in case.state) if not bundle.signature.returns_state else 0
    assert at == len(done.stdout)


CALLS = {"memcpy", "memmove", "memset", "__cpu_model", "__cpu_indicator_init", "_GLOBAL_OFFSET_TABLE_"}


def as_driver(folder: Path, signature: Signature) -> str:
    """Write a program that runs calls of any signature: sizes and bytes come in, then what a call takes."""
    declared = entry(folder / "model.c")
    sizes, taken = 2 + len(signature.free_sizes), len(signature.inputs) + 1
    given = taken + len(signature.outputs) + 1  # the new state
    arrays = given + bool(declared.workspaces(signature.free_sizes))
    numbers, pointers = (
        ", ".join(f"{array}[{place}]" for place in range(count))
        for array, count in (("s", sizes), ("p", arrays))
    )
    return f"""
#include <stdio.h>
#include <stdlib.h>
#include "model.h"
int main(void)
{{
    size_t s[{sizes}], bytes[{arrays}];
    void *p[{arrays}];
    while (fread(s, sizeof s, 1, stdin) == 1) {{
        if (fread(bytes, sizeof bytes, 1, stdin) != 1) return 2;
        for (int i = 0; i < {arrays}; i++) {{
            p[i] = malloc(bytes[i]); /* of exactly this size: the sanitizer sees every step over its end */
            if (i < {taken} && fread(p[i], 1, bytes[i], stdin) != bytes[i]) return 3;
        }}
        {declared.name}({numbers}, {pointers});
        for (int i = {taken}; i < {given}; i++) fwrite(p[i], 1, bytes[i], stdout);
        for (int i = 0; i < {arrays}; i++) free(p[i]);
    }}
    return 0;
}}
"""


def run_calls(
    folder: Path, signature: Signature, calls: Sequence[tuple[Mapping[str, int], Sequence[Array]]]
) -> list[list[Array]]:
    """Run the program ``driver`` that :func:`as_driver` wrote, on some calls."""
    room, text = entry(folder / "model.c").workspaces(signature.free_sizes), b""
    for sizes, arguments in calls:
        given = [-each.astype(np.int32) if each.dtype == np.bool_ else each for each in arguments]
        parts = [each.tobytes() for each in given[: len(signature.inputs)]]
        parts.append(b"".join(each.tobytes() for each in given[len(signature.inputs) :]))
        results = [_bytes_of(spec, sizes) for spec in signature.outputs]
        counts = [*map(len, parts), *results, len(parts[-1])]
        counts += [4 * floats(room, sizes)] if room else []
        text += np.array([*sizes.values(), *counts], np.uint64).tobytes() + b"".join(parts)
    done = subprocess.run([folder / "driver"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    found, at = [], 0
    for sizes, _ in calls:
        found.append([])
        for spec in signature.results:
            end = at + _bytes_of(spec, sizes)
            found[-1].append(np.frombuffer(done.stdout[at:end], spec.dtype).reshape(spec.sized(**sizes)))
            at = end
    assert at == len(done.stdout)
    return found


def _bytes_of(spec: TensorSpec, sizes: Mapping[str, int]) -> int:
    return int(np.prod(spec.sized(**sizes))) * (8 if spec.dtype == "int64" else 4)
