"""A string holds half of a surrogate pair."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_text

REFUSED = "surrogates not allowed"


def attack(folder: Path) -> None:
    edit_text(folder, '"name": "rnn_scratch"', '"name": "\\ud800"')
