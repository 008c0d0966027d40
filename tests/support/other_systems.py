"""Python as other systems have it: without the modules and names that Windows, or macOS, lacks."""

import subprocess
import sys

from tests.support.paths import ROOT

MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "crypt", "spwd", "posix")
NAMES = {
    "os": """fork getuid geteuid getgid killpg setsid setpgid sched_getaffinity sched_setaffinity WNOHANG
        uname chown mkfifo nice getloadavg wait3 wait4""",
    "signal": """SIGKILL SIGCHLD SIGHUP SIGALRM SIGUSR1 SIGUSR2 SIG_BLOCK SIG_UNBLOCK pthread_sigmask alarm
        setitimer""",
    "socket": "send_fds recv_fds AF_UNIX",
}
# Standard modules choose by the system when they are imported: they are, before it seems to be another one.
BEFORE = """
import asyncio, ctypes.util, importlib.metadata, json, multiprocessing, socket, subprocess, tempfile, uuid
import concurrent.futures, logging.handlers, email, http.client, webbrowser, platform, getpass
import zipfile, ssl, ctypes
import filelock, networkx, msgspec, numpy, rich.console, typer, jinja2, sysconfig
sysconfig.get_paths()
{others}
"""
HIDDEN = """
import os, signal, socket, sys
for name in {modules!r}:
    sys.modules[name] = None
for module, names in {names!r}.items():
    for name in names.split():
        vars(sys.modules[module]).pop(name, None)
sys.platform = {platform!r}
if {platform!r} == "win32":
    _CDLL = ctypes.CDLL
    class CDLL(_CDLL):
        def __init__(self, name, *arguments, **options):
            if name is None:
                raise TypeError("LoadLibrary() argument 1 must be str, not None")
            super().__init__(name, *arguments, **options)
    ctypes.CDLL = CDLL
"""


def run_as(platform: str, program: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run a program in Python where ``sys.platform`` is another one, and what is of POSIX alone is not there.

    Args:
        platform: ``win32`` or ``darwin``, which has all names of POSIX.
        program: lines of Python.
        before: packages that are imported first, as they are on this system.
    """
    hidden = (MODULES, NAMES) if platform == "win32" else ((), {})
    others = "".join(f"import {name}\n" for name in before)
    lines = BEFORE.format(others=others) + HIDDEN.format(
        platform=platform, modules=hidden[0], names=hidden[1]
    )
    command = [sys.executable, "-c", f"{lines}\n{program}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
