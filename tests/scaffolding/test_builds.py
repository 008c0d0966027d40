"""Who builds a scaffolded program sees what is being compiled, and everything if that fails."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

CMAKE = """#!/bin/sh
[ "$1" = --build ] || exit 0
echo "[  8%] Building C object CMakeFiles/bundles.dir/models/lstm/model.c.o"
echo "/usr/include/odd.h: a warning"
echo "[ 50%] Building CXX object CMakeFiles/app.dir/request.cpp.o" >&2
echo "[100%] Linking CXX executable app"
echo "[100%] Built target app"
exit STATUS
"""
SHOWN = ["[  8%] models/lstm/model.c", "[ 50%] request.cpp", "[100%] app"]


def built(host: str, folder: Path, status: int) -> subprocess.CompletedProcess[str]:
    """Run a host's ``build.sh`` with a cmake, and a compiler, that do nothing."""
    shutil.copy(ROOT / "examples" / host / "build.sh", folder)
    for tool, text in {
        "cmake": CMAKE.replace("STATUS", str(status)),
        "pkg-config": "#!/bin/sh\n",
        "compiler": "#!/bin/sh\ncat > /dev/null\n",
        "python": "#!/bin/sh\necho prefix\n",
    }.items():
        (folder / tool).write_text(text)
        (folder / tool).chmod(0o755)
    (folder / "libonnxruntime.so.1").touch()
    tools = {"CXX": "compiler", "PYTHON": "python", "ORT_LIBRARY": "libonnxruntime.so.1"}
    own = {name: str(folder / file) for name, file in tools.items()}
    environment = {**os.environ, **own, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run([folder / "build.sh"], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("host", ["service-cpp", "cpp-libtorch", "cpp-onnxruntime"])
def test_what_is_compiled_is_shown(host: str, tmp_path: Path) -> None:
    done = built(host, tmp_path, 0)
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (0, "", SHOWN)


@pytest.mark.parametrize("host", ["service-cpp", "cpp-libtorch", "cpp-onnxruntime"])
def test_all_that_was_said_is_shown_where_building_fails(host: str, tmp_path: Path) -> None:
    done = built(host, tmp_path, 2)
    assert (done.returncode, done.stdout) == (1, "")
    assert "/usr/include/odd.h: a warning" in done.stderr
