"""A ``.pt`` unpacks to a thousand times its size."""

import zipfile
from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt, zipped

REFUSED = "model.pt: .* got a member that is compressed"


def attack(folder: Path) -> None:
    bomb = ("model/data/0", b"\0" * (10 << 20))
    put_pt(folder, zipped(bomb, method=zipfile.ZIP_DEFLATED))
