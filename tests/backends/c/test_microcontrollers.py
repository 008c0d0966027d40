"""model.c where there is no operating system: one slot, plain loops, little stack, weights in flash."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from rnn_export.signature.signature import identifier
from tests.support.c_programs import CALLS, build_driver, compile_c, needs_compiler, run_driver
from tests.support.cases import COMPILED, CallCase, ModelCase, sample, the
from tests.support.exports import Exported

# All of a C library that model.c needs.
STRING_H = """#include <stddef.h>
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
"""
ARM, RISCV = "arm-none-eabi-gcc", "riscv64-unknown-elf-gcc"
CORTEX_M = {
    "m3": "-mcpu=cortex-m3 -mthumb",
    "m4f": "-mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard",
    "m7": "-mcpu=cortex-m7 -mthumb -mfpu=fpv5-d16 -mfloat-abi=hard",
    "m55": "-mcpu=cortex-m55 -mthumb -mfloat-abi=hard",
}
CHIPS = {name: (ARM, options.split()) for name, options in CORTEX_M.items()}
CHIPS["rv32imafc"] = RISCV, ["-march=rv32imafc", "-mabi=ilp32f"]
each_chip = pytest.mark.parametrize("chip", sample([*CHIPS], "m55", "rv32imafc"))


def defined(command: str, header: Path, *names: str, options: Sequence[str] = ()) -> list[int]:
    """Ask a compiler what a header defines for it."""
    text = f'#include "{header}"\n' + "\n".join(names)
    line = [command, *options, "-ffreestanding", "-E", "-P", "-x", "c", "-"]
    done = subprocess.run(line, input=text, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.splitlines()[-len(names) :]]


@needs_compiler
@pytest.mark.several(1)
@pytest.mark.parametrize("case", sample(COMPILED, "tagger"))
@pytest.mark.parametrize(
    ("command", "options"),
    [
        pytest.param("gcc", ["-O2", "-DPLAIN_LOOPS"], marks=pytest.mark.needs("gcc"), id="gcc_plain"),
        pytest.param("clang", ["-O1", "-march=native"], marks=pytest.mark.needs("clang"), id="clang"),
    ],
)
def test_one_slot_computes_the_same_in_little_stack(
    case: ModelCase | CallCase, command: str, options: list[str], exported: Exported, tmp_path: Path
) -> None:
    bundle, program = exported(case), tmp_path / "driver"
    name = bundle.manifest.name
    small = f"-D{identifier(name).upper()}_SMALL=1"
    build_driver(bundle.folder, name, program, *options, small, "-DPAINT", command=command)
    run_driver(bundle, program)


@pytest.mark.needs(ARM, RISCV)
@pytest.mark.several(2)
@pytest.mark.parametrize("name", sample(["rnn", "gru", "tagger", "deep_bidirectional"], "tagger"))
@pytest.mark.parametrize("level", sample(["-Os", "-O1", "-O2", "-O3"], "-O2"))
@each_chip
def test_a_chip_has_room_for_it(name: str, level: str, chip: str, exported: Exported, tmp_path: Path) -> None:
    folder, (command, options) = exported(the(name)).folder, CHIPS[chip]
    target, own = tmp_path / "model.o", name.upper()
    (tmp_path / "string.h").write_text(STRING_H)
    told = [
        "-ffreestanding",
        f"-I{tmp_path}",
        *options,
        level,
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fstack-usage",
    ]
    compile_c(command, target, *told, "-c", folder / "model.c")
    stack, small = defined(command, folder / "model.h", f"{own}_STACK_SIZE", f"{own}_SMALL", options=options)
    assert small
    frames = re.findall(r":(\w+)\t(\d+)\t", target.with_suffix(".su").read_text())
    assert sum(int(size) for function, size in frames if "run" in function) <= stack
    table = subprocess.run([command.replace("gcc", "nm"), target], capture_output=True, text=True, check=True)
    symbols = [line.split()[-2:] for line in table.stdout.splitlines()]
    unknown = {symbol for kind, symbol in symbols if kind == "U"}
    assert {symbol for symbol in unknown if not symbol.startswith("__")} <= CALLS  # the others are libgcc's
    assert not [symbol for kind, symbol in symbols if kind in "bBdDC"]  # the weights are constants: in flash


@needs_compiler
@pytest.mark.several(8)
@pytest.mark.parametrize(
    ("command", "options", "small"),
    [
        pytest.param("cc", "", 0, marks=pytest.mark.needs("cc")),
        pytest.param("cc", "-DRNN_SMALL=1", 1, marks=pytest.mark.needs("cc")),
        pytest.param(ARM, CORTEX_M["m4f"], 1, marks=pytest.mark.needs(ARM)),
        pytest.param(ARM, CORTEX_M["m4f"] + " -DRNN_SMALL=0", 0, marks=pytest.mark.needs(ARM)),
        pytest.param(
            ARM, "-mcpu=cortex-a7 -mfpu=neon-vfpv4 -mfloat-abi=hard", 0, marks=pytest.mark.needs(ARM)
        ),
        pytest.param(RISCV, "-march=rv64imafdc -mabi=lp64d", 1, marks=pytest.mark.needs(RISCV)),
        pytest.param("clang", "--target=wasm32", 1, marks=pytest.mark.needs("clang")),
        pytest.param("clang", "--target=wasm32 -msimd128", 0, marks=pytest.mark.needs("clang")),
    ],
)
def test_one_slot_is_for_who_has_neither_vectors_nor_an_operating_system(
    command: str, options: str, small: int, exported: Exported
) -> None:
    header = exported(the("rnn")).folder / "model.h"
    names = ["RNN_SMALL", "RNN_STACK_SIZE"]
    found = defined(command, header, *names, options=options.split())
    sizes = [int(size) for size in re.findall(r"RNN_STACK_SIZE (\d+)", header.read_text())]
    assert found == [small, sizes[0] if small else sizes[1]]
    assert sizes[0] < 4096 < sizes[1]
