"""What TorchScript says of a module that it cannot compile: the module, the line, and what to change."""

import inspect
import re

from torch import nn

from rnn_export.errors import ScriptError

# What a message of the TorchScript compiler asks the user to change.
REMEDIES = {
    r"range cannot be used as a value": "Write range(T - 1, -1, -1) in the place of reversed(range(T)).",
    r"variable number of arguments|keyword-only": "Give it a fixed list of positional parameters.",
    r"aren't supported": "Write it with plain statements; TorchScript compiles a subset of Python.",
    r"failed to convert Python type": "Keep tensors, numbers, and lists or dicts of one type in attributes.",
    r"previously had type": "Give the variable one type: start it with a tensor instead of None, say.",
    r"closed over global variable": "Make it an attribute of the module, or a number inside the function.",
    r"cannot be used as a tuple|'Any' object|is not iterable": (
        "Annotate the parameters of this function: no single type was found for them."
    ),
    r"weak reference|builtin": "Call functions of torch instead of numpy or other extensions in forward().",
}


def first_line(error: Exception) -> str:
    """Give what an error says first."""
    return str(error).strip().partition("\n")[0].rstrip(".: ")


def explained(model: nn.Module, error: Exception) -> ScriptError:
    """Say which module and line TorchScript stumbled over, and what to change."""
    text = str(error).strip()
    problem = text.partition("\n")[0].rstrip(".: ")
    place = place_in(text)
    remedy = next(
        (change for pattern, change in REMEDIES.items() if re.search(pattern, text)),
        "Rewrite it in the subset of Python that TorchScript compiles.",
    )
    if place is None:
        refused, name = "TorchScript cannot compile", type(model).__qualname__
        message = f"{refused} {name} ({file_of(type(model))}): {problem}. {remedy}"
        return ScriptError(message, reason=f"{refused} {name}: {problem}")
    file, line, source = place
    reason = f"TorchScript cannot compile {_owner(model, file, line)}: {problem}"
    return ScriptError(f"{reason}.\n  {file}:{line}\n    {source}\n{remedy}", reason=reason)


def place_in(text: str) -> tuple[str, int, str] | None:
    """Read the file, the number of the line and its text, where TorchScript points at a line."""
    place = re.search(
        r'File "(?P<file>[^"]+)", line (?P<line>\d+)\n(?P<source>(?:.*\n)*?)\s*~+ <--- HERE', text
    )
    if place is None:
        return None
    return place["file"], int(place["line"]), place["source"].rstrip("\n").rpartition("\n")[2].strip()


def _owner(model: nn.Module, file: str, line: int) -> str:
    """Find the submodule whose class is defined around a line."""
    for path, module in model.named_modules():
        for cls in type(module).__mro__:
            if file_of(cls) == file:
                try:
                    source, start = inspect.getsourcelines(cls)
                except OSError:  # a class that was made by type() has no lines of its own
                    continue
                if start <= line < start + len(source):
                    return f"{cls.__qualname__} (submodule {path!r})" if path else cls.__qualname__
    return f"{type(model).__qualname__} (in a function that it calls)"


def file_of(cls: type) -> str:
    """Name the file that a class is defined in."""
    try:
        return inspect.getsourcefile(cls) or "source unknown"
    except (TypeError, OSError):
        return "source unknown"
