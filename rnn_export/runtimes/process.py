"""Ask a worker: start a fresh process, give it the request, and read what it gives within limits."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

TIME_LIMIT = 1800.0  # seconds for one file in one runtime; a file that hangs has failed
LAST = 1 << 12  # bytes of what a process said before it ended that are looked at
PACKAGE_PARENT = Path(__file__).resolve().parents[2]
BOOT = "import sys; sys.path[:0] = {paths!r}; from rnn_export.runtimes.worker import main; main()"


def ask(request: Mapping[str, Any], limit: int) -> tuple[bytes, str]:
    """Let a fresh process answer a request.

    Args:
        request: what :mod:`rnn_export.runtimes.worker` is to do.
        limit: the number of bytes that the answer may have.

    Returns:
        The answer, and what went wrong if something did.
    """
    paths = [str(PACKAGE_PARENT), *filter(None, sys.path)]
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-c", BOOT.format(paths=paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=PACKAGE_PARENT.anchor,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        timer = Timer(TIME_LIMIT, process.kill)
        timer.start()
        with ThreadPoolExecutor(1) as pool:
            errors = pool.submit(_last, process)
            answer = _answer(process, json.dumps(request).encode(), limit)
        late = timer.finished.is_set()
        timer.cancel()
    if late:
        return b"", f"did not finish within {TIME_LIMIT:.0f} s"
    if len(answer) > limit:
        return b"", f"gave more than the {limit} bytes that its results have"
    if process.returncode:
        last = errors.result().decode(errors="replace").strip().splitlines()[-3:]
        return b"", f"the process ended with status {process.returncode}: {' '.join(last)}"
    return answer, ""


def _answer(process: "subprocess.Popen[bytes]", request: bytes, limit: int) -> bytes:
    """Give a process its request, and read what it gives, up to one byte more than the limit."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError), process.stdin as pipe:  # it ended before it had read all
        pipe.write(request)
    answer = process.stdout.read(limit + 1)
    if len(answer) > limit:
        process.kill()
    return answer


def _last(process: "subprocess.Popen[bytes]") -> bytes:
    """Read what a process says, and keep the last of it: what a model prints may not fill this one."""
    assert process.stderr is not None
    kept = b""
    while part := os.read(process.stderr.fileno(), LAST):
        kept = (kept + part)[-LAST:]
    return kept
