"""Manifests that somebody changed, and who knows what a digest is."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnn_export.bundle.bundle import MANIFEST, digest_of, manifest_text

DIGEST = re.compile(r'"digest": "([0-9a-f]{64})"')


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object], target: Path | None = None) -> None:
    """Change what a manifest says, with the digest of what it says then."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    ((target or folder) / MANIFEST).write_text(manifest_text(manifest))


def resealed(text: str) -> str:
    """Give a manifest's text, which may be anything, with its digest put right."""
    found = DIGEST.search(text)
    if found is None:
        return text
    return text.replace(found[1], digest_of(text.encode(), found[1]), 1)
