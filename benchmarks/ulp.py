"""Measure the functions of the C backend against libm in double precision, over all floats of a range.

    python benchmarks/ulp.py                every 97th float
    python benchmarks/ulp.py --every 1      all of them: minutes for each function
    python benchmarks/ulp.py --lanes 16     as on a processor with AVX-512

The functions, and how large their errors may be, are in ``rnn_export/backends/c/trace/elementwise.py``.
Prints, for each one, the largest error in units in the last place of the right result, where it is, and
whether NaN, the infinities and zeros come out as they should.
"""

import argparse
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rnn_export.backends.c.trace.elementwise import kernels
from rnn_export.backends.c.write.source import kernel_text
from rnn_export.runtimes.compiler import OPTIONS, compiler

DRIVER = """
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) && LANES > 1
#include <immintrin.h>
#endif
#define TARGET
#define ALIGNED
#define REGISTERS 8
#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL
{kernels}
static vec call(vec x) {{ return {call}; }}
static double right(double x) {{ return {expression}; }}
int main(int argc, char **argv)
{{
    const uint64_t every = argc > 1 ? strtoull(argv[1], 0, 10) : 1;
    double worst = 0;
    float at = 0, wrong = 0;
    int bad = 0;
    for (uint64_t first = 0; first >> 32 == 0; first += LANES * every) {{
        float x[LANES], y[LANES];
        for (int i = 0; i < LANES; i++) {{
            const uint32_t word = (uint32_t)(first + i * every);
            memcpy(&x[i], &word, 4);
        }}
        store(y, call(load(x)));
        for (int i = 0; i < LANES; i++) {{
            if (x[i] < {low} || x[i] > {high}) continue;
            const double want = right(x[i]);
            const float near = (float)want;
            if (near != near || isinf(near) || near == 0) {{
                const int exact = x[i] == 0 || isinf(near), tiny = fabsf(y[i]) < 1e-37f;
                if (near != near ? y[i] == y[i] : exact ? y[i] != near : !tiny) {{
                    bad++;
                    wrong = x[i];
                }}
                continue;
            }}
            int exponent;
            frexp(want, &exponent);
            const double unit = ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
            const double error = fabs(y[i] - want) / unit;
            if (!(error <= worst)) worst = error, at = x[i];
        }}
    }}
    printf("%.3f %.9g %d %.9g\\n", worst, at, bad, wrong);
    return 0;
}}
"""


@dataclass(frozen=True)
class Error:
    """The largest error of a function, in units in the last place, and how many special values are wrong."""

    worst: float
    at: float
    wrong: int
    example: float


def measure(name: str, every: int, lanes: int) -> Error:
    """Measure a function at every so many floats, in vectors of so many numbers."""
    kernel = kernels()[name]
    measured = kernel.measured[name]
    sections = re.sub(r"^#define LANES.*", "", "\n".join(kernel_text({kernel.name})), flags=re.MULTILINE)
    text = DRIVER.format(
        kernels=sections, expression=measured.exact, low=measured.low, high=measured.high, call=measured.call
    )
    command = compiler()
    if command is None:
        raise SystemExit("a C compiler is needed")
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "ulp.c", Path(folder) / "ulp"
        source.write_text(text)
        options = [*OPTIONS, "-ffp-contract=off", "-march=native", f"-DLANES={lanes}"]
        subprocess.run([*command, *options, str(source), "-o", str(program), "-lm"], check=True)  # noqa: S603
        done = subprocess.run([str(program), str(every)], capture_output=True, text=True, check=True)  # noqa: S603
    worst, at, wrong, example = done.stdout.split()
    return Error(float(worst), float(at), int(wrong), float(example))


def main() -> None:
    """Print a line for each function."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=int, default=97)
    parser.add_argument(
        "--lanes", type=int, default=8, help="16 where there is AVX-512: tanh is another there"
    )
    parser.add_argument("functions", nargs="*", default=list(kernels()))
    arguments = parser.parse_args()
    os.environ.pop("CFLAGS", None)
    for name in arguments.functions:
        error = measure(name, arguments.every, arguments.lanes)
        wrong = f"{error.wrong} ({error.example:.9g})" if error.wrong else "none"
        print(f"{name:9} {error.worst:8.3f} ulp at {error.at:.9g}; special values that are wrong: {wrong}")


if __name__ == "__main__":
    main()
