"""Check a service: python check.py [--models models] [--sessions 3000] [--golden] -- COMMAND...

COMMAND starts it and gets --port, --models and other options. First all golden vectors: whole, as JSON and as
binary data, and in single steps, through a session for each row or, where they begin with a state that no
session begins with, with the state handed on. Then what every server of bundles has to do (conformance.py),
and what a service does beyond the protocol: bad requests, limits, and many sessions at once.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import conformance
from client import Bundle, CheckError, Service, expect
from described import check_description
from details import check_details
from limits import check_limits
from load import check_load
from logs import check_log
from protocols import Connection, Protocol, RefusedError
from tritonclient.utils import InferenceServerException
from vectors import check_golden

HTTP = Protocol()
SECONDS = 1.0  # until a session is idle for too long


def check_metadata(client: Any, bundle: Bundle) -> None:
    """Compare what the service tells of itself, and of a model's versions.

    Raises:
        CheckError: it is something else.
    """
    expect("the server is live and ready", (True, True), (client.is_server_live(), client.is_server_ready()))
    ready = [client.is_model_ready(bundle.name, version) for version in ("", "1")]
    expect(f"{bundle.name} is ready, with and without its version", [True, True], ready)
    expect(
        "what GET /v2 tells",
        {"name", "version", "extensions"},
        {*client.get_server_metadata()} & {"name", "version", "extensions"},
    )
    for version in ("", "1"):
        told = client.get_model_metadata(bundle.name, version)
        expect("the model's name and versions", (bundle.name, ["1"]), (told["name"], told["versions"]))


def connected(service: Service) -> Connection:
    """Open a connection to a service."""
    return Connection(HTTP, service.url.removeprefix("http://"))


def check_bundles(service: Service, bundles: Sequence[Bundle]) -> bool:
    """Check metadata and golden vectors of all bundles; print what was found, and tell if all is well."""
    good = True
    with connected(service) as server:
        for bundle in bundles:
            try:
                check_metadata(server.client, bundle)
                print(f"{bundle.name}: {check_golden(server, bundle)}", flush=True)
            except (CheckError, RefusedError, InferenceServerException) as error:
                print(f"{bundle.name}: {error}", file=sys.stderr)
                good = False
    return good


def check_conformance(command: Sequence[str], models: Path, bundles: Sequence[Bundle]) -> None:
    """Check what every server of bundles has to do.

    Raises:
        CheckError: something is not as it should be.
    """

    @contextmanager
    def start(*options: str) -> Iterator[Connection]:
        with Service(command, models, *options) as service, connected(service) as server:
            yield server

    with start() as server:
        conformance.check(server, bundles)
    with start("--max-sessions", "2", "--idle-seconds", f"{SECONDS:.0f}") as server:
        conformance.check_bounds(server, bundles[0], 2, SECONDS)
    conformance.check_restart(start, bundles[0])


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [--models models] [--sessions 3000] [--golden] -- COMMAND..."
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="the folder of the bundles")
    parser.add_argument("--sessions", type=int, default=3000, help="of the load test")
    parser.add_argument("--golden", action="store_true", help="run the golden vectors alone")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="what starts the service")
    return parser.parse_args()


def check(arguments: argparse.Namespace) -> bool:
    """Check everything; tell if all is well."""
    bundles = [Bundle(path.parent) for path in sorted(arguments.models.glob("*/manifest.json"))]
    if not bundles:
        raise CheckError(
            f"{arguments.models}: expected bundles in it, got none: --models says where they are"
        )
    with Service(arguments.command, arguments.models) as service:
        if not check_bundles(service, bundles):
            return False
    if arguments.golden:
        return True
    check_conformance(arguments.command, arguments.models, bundles)
    check_limits(arguments.command, arguments.models, bundles)
    check_details(arguments.command, arguments.models, bundles)
    check_log(arguments.command, arguments.models, bundles)
    check_description(arguments.command, arguments.models, bundles)
    return check_load(arguments.command, arguments.models, bundles, arguments.sessions)


def main() -> None:
    """Check a service; exit with 1 if something is wrong."""
    arguments = parse_arguments()
    try:
        sys.exit(not check(arguments))
    except (CheckError, RefusedError, InferenceServerException, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
