"""A ``.pt`` is a program for the shell as well."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt

REFUSED = "model.pt: .* got other records at its end"


def attack(folder: Path) -> None:
    put_pt(folder, b"#!/bin/sh\n" + (folder / "model.pt").read_bytes())
