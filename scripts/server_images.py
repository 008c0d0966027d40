"""Build the images of ``deploy/`` for KServe and MLServer, and let what is in them answer: for deployment.py.

The server runs alone in its folder as its user, with what the image says: entry point, environment and health
check. It listens on loopback here; in a container it listens on all addresses of that.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOPBACK, HTTP, GRPC = "127.0.0.1", 8080, 8081
SECONDS = 120  # to be ready
MODELS = "mnt/models"
BUNDLE = "rnn_scratch"
# What the image is told here: arguments, and its environment. It listens on loopback, for one bundle.
TOLD: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "kserve": (("--host", LOOPBACK), {}),
    "mlserver": ((), {"MLSERVER_HOST": LOOPBACK, "MLSERVER_MODEL_NAME": BUNDLE}),
}
# Gives what follows the image, its first argument, the devices and processes that a container has.
AS_A_CONTAINER = (
    'mkdir -p "$0/proc" "$0/dev"; mount --bind /proc "$0/proc"; mount --bind /dev "$0/dev"; exec "$@"'
)
# Whether REST takes binary tensors.
BINARY = {"kserve": True, "mlserver": False}
ASK = f"""
import sys
from pathlib import Path
from client import Bundle
from protocols import Connection, Protocol
from vectors import check_golden
forms = (True, False) if sys.argv[2] == "True" else (False,)
protocol = Protocol(forms=forms, singles=2)
with Connection(protocol, "{LOOPBACK}:{HTTP}") as server:
    print(check_golden(server, Bundle(Path(sys.argv[1]))))
"""


class ServerError(Exception):
    """A server of an image does not start, or is not healthy."""


@dataclass(frozen=True)
class Config:
    """What an image says of itself."""

    command: list[str]
    environment: dict[str, str]
    user: str
    health: list[str]


def config_of(inspected: str) -> Config:
    """Read what ``buildah inspect`` prints of an image."""
    said: dict[str, Any] = json.loads(inspected)["Docker"]["config"]
    environment = dict(line.split("=", 1) for line in said["Env"])
    command = [*said["Entrypoint"], *said["Cmd"]]
    return Config(command, environment, said["User"], said["Healthcheck"]["Test"][1:])


def pip_options(folder: Path) -> list[str]:
    """Give what pip needs in a build to trust the certificate that it trusts on this machine."""
    certificate = os.environ.get("PIP_CERT")
    if not certificate:
        return []
    settings = folder / "pip.conf"
    settings.write_text("[global]\ncert = /etc/machine.crt\n")
    return ["--volume", f"{certificate}:/etc/machine.crt:ro", "--volume", f"{settings}:/etc/pip.conf:ro"]


@contextmanager
def started(name: str, image: Path, config: Config) -> Iterator[Callable[[], int]]:
    """Run the server of an image; give what runs its health check, which gives a status.

    Raises:
        ServerError: it does not become ready, or does not stop.
    """
    arguments, environment = TOLD[name]
    with tempfile.TemporaryFile() as printed:
        line = [*inside(image, config, environment), *config.command, *arguments]
        process = subprocess.Popen(line, stdout=printed, stderr=printed)  # noqa: S603
        healthy = [*inside(image, config, environment), *config.health]

        def check() -> int:
            return subprocess.run(healthy, capture_output=True, check=False).returncode  # noqa: S603

        try:
            end = time.monotonic() + SECONDS
            while process.poll() is None and time.monotonic() < end and (not listens() or check()):
                time.sleep(0.5)
            if process.poll() is not None or check():
                printed.seek(0)
                raise ServerError(
                    f"{name}: expected it to be healthy, got:\n{printed.read().decode()[-2000:]}"
                )
            yield check
        finally:
            process.terminate()
            process.wait(SECONDS)


def inside(image: Path, config: Config, environment: dict[str, str]) -> list[str]:
    """Give how a command begins that sees nothing but an image, as its user."""
    own = [f"{key}={value}" for key, value in (config.environment | environment).items()]
    alone = ["unshare", "--mount", "sh", "-ec", AS_A_CONTAINER, str(image)]
    return [*alone, "env", "-i", *own, "chroot", f"--userspec={config.user}", str(image)]


def listens() -> bool:
    """Tell whether anybody listens at the port of REST."""
    with socket.socket() as one:
        return one.connect_ex((LOOPBACK, HTTP)) == 0


def answered(name: str, image: Path, inspected: str, bundles: Path, client: Path, checks: Path) -> str:
    """Let the server of an image answer the golden vectors of its bundle; give the line that tells of it.

    Args:
        name: of the server.
        image: where it is mounted.
        inspected: what ``buildah inspect`` prints of it.
        bundles: the folder of that which is put where a container has it mounted.
        client: a Python with what the check needs.
        checks: the folder of the check.

    Raises:
        ServerError: it is not healthy, has a shell or torch in it, or a vector is off.
    """
    config = config_of(inspected)
    if not config.user.startswith("65532"):
        raise ServerError(f"{name}: expected the user 65532, got {config.user!r}")
    found = [
        str(path) for what in ("bin/sh", "usr/bin/sh", "**/site-packages/torch") for path in image.glob(what)
    ]
    if found:
        raise ServerError(f"{name}: expected neither a shell nor torch, got {', '.join(found)}")
    bundle = bundles / BUNDLE
    shutil.copytree(bundle, image / MODELS, dirs_exist_ok=True)
    with started(name, image, config):
        line = [str(client), "-c", ASK, str(bundle), str(BINARY[name])]
        done = subprocess.run(line, cwd=checks, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ServerError(f"{name}: {done.stderr[-2000:]}")
    return f"healthy; {bundle.name}: {done.stdout.split(', worst')[0]}"
