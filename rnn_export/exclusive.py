"""What belongs to the whole process: changed by one thread at a time, and always put back.

Warning filters, levels of loggers, the number of PyTorch's threads, its random generator, the memory of the
TorchScript compiler. What can be kept to a thread is not changed here: the default dtype, ``sys.stdout``.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOCK = threading.RLock()  # whoever changes one of these holds it until it is put back


@contextmanager
def without_warnings(category: type[Warning] = Warning) -> Iterator[None]:
    """Drop warnings, while no other export can warn of anything."""
    with LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield
