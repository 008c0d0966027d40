"""The files that an example is made of."""

from pathlib import Path

from rnn_export.scaffolding.scaffold import BUILT, MODELS


def sources(folder: Path) -> dict[str, bytes]:
    """Read what an example is made of: all but its bundles and what was built."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder): path for path in paths}
    return {
        str(name): path.read_bytes()
        for name, path in names.items()
        if name.parts[0] != MODELS and not {*BUILT} & {*name.parts}
    }
