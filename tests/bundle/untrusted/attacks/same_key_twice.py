"""A key comes twice: one reader takes the first, another the last."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_text

REFUSED = "the same key twice"


def attack(folder: Path) -> None:
    edit_text(folder, '"name": "rnn_scratch"', '"name": "other", "name": "rnn_scratch"')
