"""Write a program in another language that runs the user's bundles: a folder to start from.

The programs are the folders of ``examples/``, as they are; they read what they can from the manifest. What a
compiler has to know before, the names and sizes of the models, is written from a template, and so is what a
reader has to know, ``README.md``. Programs that write text are left out where no model is one of text.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from rnn_export.bundle.bundle import Bundle, staged
from rnn_export.errors import ScaffoldError, mismatch, nearest
from rnn_export.scaffolding.hosts import HOSTS, check
from rnn_export.scaffolding.models import Model, described
from rnn_export.scaffolding.render import render
from rnn_export.scaffolding.triton import repository

MODELS = "models"  # where an example has its bundles
REPOSITORY = "repository"  # where one has them in the form that its server wants
BUILT = ("build", "node_modules", "__pycache__")  # what running an example leaves in it
WRITTEN = b"Written by `rnn-export scaffold`"  # in the first line of what comes from a template


def examples() -> Path:
    """Find the examples: inside of the installed package, or beside it in the repository."""
    installed = Path(__file__).parent / "examples"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "examples"


def scaffold(bundles: str | Path | Sequence[str | Path], host: str, folder: str | Path) -> Path:
    """Write the example of a host for some bundles, which are copied into ``models/``.

    Args:
        bundles: the folder of a bundle, or the folders of several.
        host: a key of ``HOSTS``.
        folder: where the example goes.

    Returns:
        The folder.

    Raises:
        BundleError: there is no bundle, or a file is not the one that was written.
        ScaffoldError: there is no such host, a bundle is not one that the examples can run, or the folder
            exists.
        VerificationError: what is made for a server is not equal to eager PyTorch.
    """
    if host not in HOSTS:
        raise ScaffoldError(
            mismatch("host", ", ".join(HOSTS), repr(host), nearest(host, HOSTS, "Name one of them."))
        )
    bundles = [bundles] if isinstance(bundles, str | Path) else bundles
    if not bundles:
        raise ScaffoldError("bundles: expected at least one bundle, got none. Name its folder.")
    opened = [Bundle.open(bundle) for bundle in bundles]
    for bundle in opened:
        check(bundle, HOSTS[host])
    models = [described(bundle) for bundle in opened]
    names = [model.name for model in models]
    if len({*names}) < len(names):
        remedy = "Export one with another --name."
        raise ScaffoldError(mismatch("the bundles", "a name of its own for each", ", ".join(names), remedy))
    if Path(folder).exists():
        raise ScaffoldError(mismatch(str(folder), "no such path", "one that exists", "Name another folder."))
    with staged(Path(folder), overwrite=False) as new:
        _copy(examples() / host, new, left_out(host, models))
        for model, bundle in zip(models, opened, strict=True):
            bundle.copy(new / MODELS / model.name)
            if HOSTS[host].repository:
                write_files(new / REPOSITORY, repository(bundle, model))
        for path, text in generated(host, models).items():
            (new / path).write_text(text, encoding="utf-8")
    return Path(folder)


def generated(host: str, models: Sequence[Model]) -> dict[str, str]:
    """Write the files of a host that hold the models' names and sizes: path and text."""
    texts = [model for model in models if model.vocabulary]
    shown = next((model for model in models if not model.vocabulary), models[0])
    names = {"models": models, "shown": shown, "texts": texts, "fixed": HOSTS[host].fixed}
    files = {file: render(Path(file).name, **names) for file in HOSTS[host].generated}
    for file in HOSTS[host].each:
        for model in models:
            files[file.format(model.name)] = render(f"model{Path(file).suffix}", model=model)
    return files | {"README.md": render(f"readme/{host}.md", **names)}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, and the folders that they are in."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def left_out(host: str, models: Sequence[Model]) -> list[str]:
    """List the programs of a host that none of the models can run: those that write text."""
    return [] if any(model.vocabulary for model in models) else [*HOSTS[host].text]


def _copy(source: Path, target: Path, but: Sequence[str]) -> None:
    others = {source / MODELS, source / REPOSITORY, *(source / path for path in but)}

    def ignored(folder: str, names: list[str]) -> set[str]:
        """Leave out what was built, the bundles of the repository, and what was written for them."""
        paths = {name: Path(folder) / name for name in names}
        return {
            name
            for name, path in paths.items()
            if name in BUILT or path in others or (path.is_file() and WRITTEN in path.read_bytes())
        }

    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
