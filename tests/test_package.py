"""A wheel works without the repository."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.paths import ROOT

USE = """
import pathlib, sys, torch, rnn_export
from rnn_export.models import DeepRNNScratch, LSTMScratch, RNNScratch
assert "site-packages" in rnn_export.__file__ and sys.prefix in rnn_export.__file__, rnn_export.__file__
assert (pathlib.Path(rnn_export.__file__).parent / "py.typed").is_file()
net = DeepRNNScratch(LSTMScratch(4, 6, 3), RNNScratch(3, 5, 2)).eval()
example = torch.randn(9, 2, 4), net.begin_state(2, torch.device("cpu"))
rnn_export.export(net, example, "bundle")
written = rnn_export.scaffold(["bundle"], "c", "scaffolded")
assert (written / "models" / "bundle" / "model.c").is_file() and (written / "ci.sh").stat().st_mode & 0o100
print(rnn_export.verify("bundle").passed, rnn_export.load("bundle")(example[0].numpy())[0].shape)
"""


@pytest.mark.exhaustive
def test_a_wheel_works_in_a_fresh_environment(tmp_path: Path) -> None:
    def python(executable: Path | str, *arguments: object) -> str:
        command = [str(executable), *map(str, arguments)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    python(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT)
    [wheel] = tmp_path.glob("rnn_export-*.whl")
    python(sys.executable, "-m", "venv", tmp_path / "venv")
    fresh = tmp_path / "venv" / "bin" / "python"
    python(fresh, "-m", "pip", "install", "--no-deps", wheel)
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(
        sysconfig.get_path("purelib")
    )  # torch and the rest, not this project
    assert python(fresh, "-c", USE) == "True (9, 2, 2)\n"
    assert "Usage: rnn-export" in python(tmp_path / "venv" / "bin" / "rnn-export", "--help")
