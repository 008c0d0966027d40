"""A ``.pt2`` holds an example, which is a pickle."""

from pathlib import Path

from rnn_export.bundle.untrusted.exported import EXAMPLE
from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*a pickle of an example"


def attack(folder: Path) -> None:
    put_pt2(folder, {EXAMPLE: b"\x80\x02."})
