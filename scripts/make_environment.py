"""Make the project's virtual environment from the pinned constraints; standard library only.

Quick when nothing changed: a stamp holds the hash of everything that decides the environment, and
is written last. Without a matching stamp the environment is made from the start, so an interrupted
installation is never trusted. `uv` does it where it is installed, venv and pip otherwise.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from contextlib import suppress
from importlib import metadata
from pathlib import Path

with suppress(ImportError):  # an older Python has none, and main refuses it in a sentence
    import tomllib

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".state"
LOG = STATE / "environment.log"
NEEDED_GIB = 4  # the environment takes about 2, a download and a study's results the rest
OLDEST, NEWEST = (3, 11), (3, 13)  # for which the packages of constraints.txt are made
# Whether lines can be written over one another.
LIVE = sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
PULSE_SECONDS = 5 if LIVE else 15

NETWORK_SIGNS = (
    "NewConnectionError",
    "Temporary failure in name resolution",
    "No matching distribution found",
    "Network is unreachable",
    "Connection refused",
    "ReadTimeoutError",
    "ConnectTimeoutError",
    "ProxyError",
    "error sending request",
    "Failed to fetch",
)


def stop(sentence: str) -> None:
    """End with one sentence on standard error."""
    sys.exit(f"error: {sentence}")


def fingerprint(folder: Path) -> str:
    """Hash what decides the environment: requirements, pins and place."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    decides = {key: project[key] for key in ("project", "build-system")}
    decides["packages"] = project["tool"]["setuptools"]
    decides["pins"] = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    decides["folder"] = str(folder)  # an environment cannot be moved
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def is_ready(folder: Path) -> bool:
    """Say whether the environment is whole and made from today's requirements."""
    stamp = folder / ".stamp"
    return (
        os.access(folder / "bin" / "python", os.X_OK)
        and stamp.is_file()
        and stamp.read_text(encoding="utf-8").strip() == fingerprint(folder)
    )


def check_packages(extras: list[str]) -> None:
    """Refuse the environment of the running Python where it lacks what the project needs."""
    place = Path(sys.executable).parents[1]
    if sys.version_info < OLDEST:
        stop(f"{place}: is of Python {sys.version.split()[0]}; the project needs 3.11 or later")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"]]
    for extra in extras:
        asked += project["optional-dependencies"][extra]
    names = [re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in asked]
    missing = [name for name in names if not any(metadata.distributions(name=name))]
    if missing:
        stop(
            f"{place}: lacks {', '.join(missing)}; install them with {place}/bin/python -m pip "
            f"install -c constraints.txt -e '.[{','.join(extras)}]', or leave VENV out"
        )


def check_machine(folder: Path) -> None:
    """Refuse early and in a sentence what would otherwise fail late and in tracebacks."""
    if shutil.which("git") is None:
        stop("needs git (DVC keeps a study's history in it); install git and run this again")
    if folder.is_symlink():  # it would be emptied, and may be somebody else's
        stop(
            f"{folder} is a link to {os.readlink(folder)}: remove it, or use that environment as "
            f"it is: make VENV={os.readlink(folder)}"
        )
    free = shutil.disk_usage(folder.parent).free / 2**30
    if free < NEEDED_GIB:
        stop(
            f"needs {NEEDED_GIB} GiB of free disk under {folder.parent}, which has {free:.1f} GiB; "
            "make room and run this again"
        )


def commands(folder: Path, uv: str | None) -> list[list[str]]:
    """Return the commands that install into a folder, the first of which makes it where uv does."""
    python, project = str(folder / "bin" / "python"), ["--editable", ".[study,dev]"]
    if uv:
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--python", python, *project],
        ]
    return [
        [python, "-m", "pip", "install", "--no-input", "--retries", "2",
         "--disable-pip-version-check", "--progress-bar", "off", *project]
    ]  # fmt: skip


def make_folder(folder: Path) -> None:
    """Make an empty virtual environment."""
    try:
        venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        stop(
            f"could not make {folder} ({error}); on Debian and Ubuntu install "
            f"python3.{sys.version_info[1]}-venv, elsewhere check that the folder can be written"
        )


def install(folder: Path, lock: int) -> None:
    """Install the project with all extras; what the installer says goes to the log."""
    if uv := shutil.which("uv"):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        make_folder(folder)
    # As a variable, not an option, the pins also hold where a package is built.
    foreign = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    pins = dict.fromkeys(
        ("PIP_CONSTRAINT", "UV_CONSTRAINT", "UV_BUILD_CONSTRAINT"), "constraints.txt"
    )
    environment |= {**pins, "PYTHONNOUSERSITE": "1"}
    total = sum(
        "==" in line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    )
    name = "uv" if uv else "pip"
    print(
        f"[setup] installing {total} pinned packages into {folder.name} with {name}; "
        f"log: {shown(LOG)}", flush=True,
    )  # fmt: skip
    with LOG.open("w", encoding="utf-8") as log:
        for command in commands(folder, uv):
            # The child inherits the lock: should this process be killed, no other installs.
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, pass_fds=(lock,)
            )
            try:
                watch(process, total)
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                stop("interrupted; the same command starts the installation again")
            if process.returncode != 0:
                stop(explain(LOG.read_text(encoding="utf-8", errors="replace"), name))


def watch(process: subprocess.Popen[bytes], total: int) -> None:
    """Say every few seconds how far the installation is."""
    start = time.monotonic()
    end = "\r" if LIVE else "\n"
    while True:
        try:
            process.wait(PULSE_SECONDS)
            return
        except subprocess.TimeoutExpired:
            text = LOG.read_text(encoding="utf-8", errors="replace")
        names = {line.split()[1] for line in text.splitlines() if line.startswith("Collecting ")}
        unpacking = "Installing collected packages" in text
        step = "unpacking" if unpacking else f"found {len(names)} of {total}"
        step = step if "Collecting " in text else "working"  # uv does not say
        print(f"[setup] {step} ({time.monotonic() - start:.0f} s)  ", end=end, flush=True)


def explain(text: str, name: str = "pip") -> str:
    """Turn the log of an installer into one sentence."""
    where = f"the log is {shown(LOG)}"
    if "No space left on device" in text:
        return f"the disk filled up while unpacking; make room and run this again ({where})"
    if any(sign in text for sign in NETWORK_SIGNS):
        return f"the packages could not be fetched; check the network and run this again ({where})"
    errors = [line for line in text.splitlines() if re.match(r"ERROR:|error:|\s+×", line)]
    reason = re.sub(r"^(ERROR:|error:|\s+×)", "", (errors or ["no reason given"])[-1]).strip()
    return f"{name} failed: {reason} ({where})"


def shown(path: Path) -> str:
    """Shorten a path for the terminal."""
    return os.path.relpath(path)


def main() -> None:
    """Make the environment unless it is ready."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=".venv", help="where to make it")
    parser.add_argument(
        "--check",
        nargs="+",
        metavar="EXTRA",
        help="make nothing; say what the Python that runs this lacks of these lists of packages",
    )
    asked = parser.parse_args()
    if asked.check:
        check_packages(asked.check)
        return
    folder = ROOT / asked.folder
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        stop(
            "needs Python 3.11, 3.12 or 3.13, for which the packages of constraints.txt are made, "
            f"not {sys.version.split()[0]}"
        )
    if is_ready(folder):
        return
    check_machine(folder)
    STATE.mkdir(exist_ok=True)
    with (STATE / "environment.lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("[setup] another installation is running here; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_ready(folder):
            return
        install(folder, lock.fileno())
        (folder / ".stamp").write_text(fingerprint(folder) + "\n", encoding="utf-8")
    print(f"[setup] {folder.name} is ready")


if __name__ == "__main__":
    main()
