"""Code of the user's that a command runs: what goes wrong there is shown from the user's own file on."""

import ast
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from rnn_export.errors import TargetError, nearest
from rnn_export.failures import HERE

# What Python and this package put on a traceback before the user's file.
BEFORE = (HERE, "<frozen importlib", importlib.__file__)
SEVERAL = 5  # names in a message


@contextmanager
def users_code(what: str, leaving: str) -> Iterator[None]:
    """Run code of the user's.

    Args:
        what: what runs, such as ``nets.py:factory``.
        leaving: what to do instead of ending the program there.

    Raises:
        TargetError: it raises something, or ends the program; the traceback is in ``shown``.
    """
    try:
        yield
    except SystemExit as error:
        said = f"{what} ends the program by SystemExit: {error.code}. {leaving}"
        raise TargetError(said, shown=_from_the_users_file(error)) from error
    except TargetError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {_first_line(error)}"
        said = f"{what} failed: {reason}. The lines above are yours; --debug shows those of rnn-export too."
        raise TargetError(said, shown=_from_the_users_file(error)) from error


def imported(place: str, name: str) -> ModuleType:
    """Import ``package.module`` or ``path/to/file.py``, in which there should be something of a name.

    Raises:
        TargetError: it is not there, or fails.
    """
    sys.path.insert(0, "")  # as python -m does: modules of the current folder
    leaving = "Put what runs a program under: if __name__ == '__main__'."
    try:
        with users_code(place, leaving):
            try:
                return _import_file(place, name) if place.endswith(".py") else importlib.import_module(place)
            except ImportError as error:
                raise _explained(place, name, error) from error
    finally:
        sys.path.remove("")


def functions_of(path: Path) -> list[str]:
    """Name the functions of a file that need no argument, without running it."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return []
    found = [node for node in body if isinstance(node, ast.FunctionDef)]
    return [node.name for node in found if len(node.args.defaults) == len(node.args.args)]


def _import_file(place: str, name: str) -> ModuleType:
    path = Path(place).resolve()
    if not path.is_file():
        near = [file.name for file in sorted(path.parent.glob("*.py"))]
        remedy = nearest(path.name, near, "Name a module or a .py file.", quoted=False)
        raise TargetError(f"{place}: no such file in {path.parent}. {remedy}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None  # of a file that ends in .py
    assert spec.loader is not None
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) != str(path):
        raise TargetError(f"{place}: a module called {path.stem!r} is loaded already. Rename the file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # TorchScript looks the source up there
    spec.loader.exec_module(module)
    return module


def _explained(place: str, name: str, error: ImportError) -> TargetError:
    """Say why something cannot be imported, and what to do about it."""
    shown = _from_the_users_file(error)
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and (place == missing or place.startswith(f"{missing}.")):
        remedy = _other_place(place, name)
        return TargetError(f"{place}: no module {missing!r} here or among the installed packages. {remedy}")
    reason = f"{place} cannot be imported: {_first_line(error)}."
    if missing is not None:
        remedy = f"Install what holds it where rnn-export runs: {sys.executable} -m pip install ..."
    elif "relative import" in str(error):
        remedy = _as_part_of_a_package(Path(place), name)
    else:
        remedy = "The lines above are yours; --debug shows those of rnn-export too."
    return TargetError(f"{reason} {remedy}", shown=shown)


def _other_place(place: str, name: str) -> str:
    """Say what may have been meant by a module that is not there."""
    if Path(f"{place}.py").is_file():
        return f"Did you mean {place}.py:{name}?"
    here = [*Path().glob("*.py"), *(path.parent for path in Path().glob("*/__init__.py"))]
    return nearest(place, [path.stem for path in here], "Name a module, or a FILE.py.")


def _as_part_of_a_package(path: Path, name: str) -> str:
    """Say how a file is named whose imports are relative ones."""
    folder, parts = path.resolve().parent, [path.stem]
    while (folder / "__init__.py").is_file():
        folder, parts = folder.parent, [folder.name, *parts]
    if len(parts) == 1:
        return "The file is in no package: import without the dot, or put an __init__.py beside it."
    where = "" if folder == Path.cwd() else f" in {folder}"
    return f"Name it as a part of its package{where}: {'.'.join(parts)}:{name}"


def _from_the_users_file(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(BEFORE):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(":.")
