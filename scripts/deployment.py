"""Check what deploys the service in C++: image, manifest, unit, proxy; and the images of other servers.

python scripts/deployment.py

``scaffold`` writes the service for the committed bundles, as for a user. The image is built by ``buildah``
from the Dockerfile, upon a Debian that ``debootstrap`` makes, since no registry is asked for one. What is in
it then runs as its user, alone in its folder, and answers the golden vectors; so do the images of ``deploy/``
for KServe and MLServer, with a bundle mounted. The other files are read by what reads them at work, or by
what knows their schema. Debian packages are installed where that is possible;
a tool that is missing is "not checked", and with CI set a failure. So is an image where this process may
neither mount nor make devices, which debootstrap and buildah do; that is no failure.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import server_images
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import rnn_export

ROOT = Path(__file__).resolve().parents[1]
ARTIFACTS = ROOT / "artifacts"
PACKAGES = ("buildah", "debootstrap", "nginx-light", "openssl", "systemd")
RELEASE = "bookworm"  # which the Dockerfile begins with
USER = "65532:65532"  # whose the image is
MOST = 16 << 20  # bytes of an image
IMAGE = "recurrent-service"


class DeploymentError(Exception):
    """A file is wrong, or what is built from it."""


class MissingError(Exception):
    """A tool is missing."""


class ForbiddenError(Exception):
    """The machine does not let this process do it."""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command; give what it prints.

    Raises:
        MissingError: there is no such command.
        DeploymentError: it fails.
    """
    line = [str(part) for part in command]
    if not shutil.which(line[0]):
        raise MissingError(f"needs {Path(line[0]).name}")
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=cwd)  # noqa: S603
    if done.returncode:
        printed = (done.stdout + done.stderr).strip()[-4000:]
        raise DeploymentError(f"{' '.join(line)} exits with {done.returncode}:\n{printed}")
    return done.stdout + done.stderr


def tool(name: str) -> Path:
    """Name a program that pip has installed."""
    return Path(sys.executable).parent / name


def check_dockerfile(service: Path) -> str:
    """Let hadolint read the Dockerfile."""
    files = [service / "deploy/Dockerfile", *sorted(ROOT.glob("deploy/*/Dockerfile"))]
    for file in files:
        run(tool("hadolint"), "--failure-threshold", "info", file)
    return f"hadolint finds nothing in {len(files)}"


def check_manifest(service: Path) -> str:
    """Compare the manifest with the schemas of Kubernetes."""
    said = run(tool("kubernetes-validate"), "--strict", service / "deploy/kubernetes.yaml")
    kinds = re.findall(r"^kind: (\w+)", (service / "deploy/kubernetes.yaml").read_text(), re.MULTILINE)
    if said.count(" passed for ") != len(kinds):
        raise DeploymentError(f"expected {len(kinds)} objects that pass, got:\n{said}")
    return f"valid: {', '.join(kinds)}"


def check_unit(service: Path) -> str:
    """Let systemd read the unit, and tell how much of the system it is kept from."""
    unit = service / "deploy/recurrent-service.service"
    own = service / unit.name  # with a program that is there
    own.write_text(unit.read_text().replace("/opt/recurrent-service/build/service", "/bin/true"))
    said = run("systemd-analyze", "verify", "--man=no", own)
    if own.name in said:
        raise DeploymentError(said)
    said = run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", own)
    exposure = said.rpartition(":")[2].split()[0]
    return f"systemd takes it; exposure {exposure} of 10"


def check_proxy(service: Path) -> str:
    """Let nginx read its part, with a certificate and users."""
    with tempfile.TemporaryDirectory() as folder:
        key, certificate, users = (Path(folder) / name for name in ("key", "crt", "users"))
        made = "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"
        run("openssl", *made, "-keyout", key, "-out", certificate)
        users.write_text("")
        part = (service / "deploy/nginx.conf").read_text()
        for kind, path in (("crt", certificate), ("key", key), ("users", users)):
            part = part.replace(f"/etc/nginx/recurrent-service.{kind}", str(path))
        whole = Path(folder) / "nginx.conf"
        around = f"pid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        whole.write_text(f"{around}http {{\naccess_log off;\n{part}}}\n")
        run("nginx", "-t", "-q", "-c", whole)
    return "nginx takes it"


def check_image(service: Path) -> str:
    """Build the image, and let what is in it answer the golden vectors as its user.

    Raises:
        DeploymentError: it is larger than it should be, or a vector is off.
        ForbiddenError: no image can be built here.
    """
    with built(service, service, "deploy/Dockerfile") as (found, _):
        size = size_of(found)
        if size > MOST:
            raise DeploymentError(f"expected an image of at most {MOST >> 20} MB, got {size >> 20} MB")
        return f"{size / (1 << 20):.1f} MB; {answered(service, found)}"


def check_server(name: str, service: Path) -> str:
    """Build the image of a server, and let it answer the golden vectors of a bundle.

    Raises:
        DeploymentError: it is not healthy, or a vector is off.
        ForbiddenError: no image can be built here.
    """
    client = install_client(service)
    with built(service, ROOT, f"deploy/{name}/Dockerfile") as (found, inspected):
        size = size_of(found) >> 20
        try:
            said = server_images.answered(name, found, inspected, ARTIFACTS, client, service)
        except server_images.ServerError as error:
            raise DeploymentError(str(error)) from error
        return f"{size} MB; {said}"


@contextmanager
def built(service: Path, context: Path, dockerfile: str) -> Iterator[tuple[Path, str]]:
    """Build an image upon a Debian, which is made once; give where it is mounted, and what is said of it.

    Raises:
        ForbiddenError: no image can be built here.
    """
    base = service.parent / "base"
    check_privileges(service.parent)
    if not base.exists():
        run("debootstrap", "--variant=minbase", RELEASE, base)
    with tempfile.TemporaryDirectory() as folder, containers(Path(folder)) as buildah:
        begun = buildah("from", "scratch").strip()
        buildah("add", "--quiet", begun, str(base), "/")
        buildah("commit", "--quiet", begun, "localhost/debian")
        own = ["--build-arg", "BASE=localhost/debian", *server_images.pip_options(Path(folder))]
        buildah("build", "--isolation", "chroot", "--format", "docker", *own, "--tag", IMAGE,
                "--file", str(context / dockerfile), str(context))  # fmt: skip
        found = Path(buildah("mount", buildah("from", IMAGE).strip()).strip())
        yield found, buildah("inspect", "--type", "image", IMAGE)


def size_of(image: Path) -> int:
    """Give the bytes of all files of an image."""
    return sum(path.stat().st_size for path in image.rglob("*") if path.is_file() and not path.is_symlink())


def check_privileges(folder: Path) -> None:
    """Check that a file system may be mounted, and a device made, in a folder.

    Raises:
        ForbiddenError: one of them may not.
    """
    null = folder / "null"
    null.unlink(missing_ok=True)
    try:
        run("unshare", "--mount", "mount", "--bind", folder, folder)
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        null.write_bytes(b"")
    except (DeploymentError, OSError) as error:
        said = str(error).splitlines()[-1]
        raise ForbiddenError(f"needs to mount, and to make devices: {said}") from error


@contextmanager
def containers(folder: Path) -> Iterator[Callable[..., str]]:
    """Give buildah with a storage of its own, which goes with its folder."""
    own = ("--storage-driver", "vfs", "--root", folder / "storage", "--runroot", folder / "run")

    def buildah(*arguments: str) -> str:
        return run("buildah", *own, *arguments)

    try:
        yield buildah
    finally:
        buildah("umount", "--all")


def answered(service: Path, image: Path) -> str:
    """Run the golden vectors with the service of an image, which sees nothing but that; give the lines."""
    python = install_client(service)
    inside: list[str | Path] = ["chroot", f"--userspec={USER}", image, "/service"]
    said = run(python, "check.py", "--golden", "--", *inside, cwd=service)
    return "; ".join(line.split(", worst")[0] for line in said.splitlines() if "vectors" in line)


def install_client(service: Path) -> Path:
    """Install what the check needs; give its Python."""
    run(sys.executable, "-m", "venv", service / "build/venv")
    run(service / "build/venv/bin/pip", "install", "-qq", "-r", service / "requirements.txt")
    return service / "build/venv/bin/python"


CHECKS: dict[str, Callable[[Path], str]] = {
    "Dockerfile": check_dockerfile,
    "kubernetes.yaml": check_manifest,
    "recurrent-service.service": check_unit,
    "nginx.conf": check_proxy,
    "the image": check_image,
    "KServe's image": partial(check_server, "kserve"),
    "MLServer's image": partial(check_server, "mlserver"),
}


def install() -> None:
    """Get the tools, as root on Debian."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        run("apt-get", "install", "-qy", "--no-install-recommends", *PACKAGES)


def main() -> None:
    """Check everything, and print one table."""
    install()
    shown, failed = Table("what", "verdict"), False
    with tempfile.TemporaryDirectory() as folder:
        bundles = sorted(path.parent for path in ARTIFACTS.glob("*/manifest.json"))
        service = rnn_export.scaffold(bundles, "service-cpp", Path(folder) / "service")
        for name, check in CHECKS.items():
            try:
                shown.add_row(name, f"[green]✓[/] {escape(check(service))}")
            except MissingError as missing:
                failed |= "CI" in os.environ
                shown.add_row(name, f"[yellow]- not checked: {missing}")
            except ForbiddenError as forbidden:
                shown.add_row(name, f"[yellow]- not checked: {escape(str(forbidden))}")
            except DeploymentError as error:
                failed = True
                shown.add_row(name, f"[bold red]✗[/] {escape(str(error))}")
    Console(width=None if sys.stdout.isatty() else 140).print(shown)
    sys.exit(failed)


if __name__ == "__main__":
    main()
