"""Ray nodes that share nothing but a network: own address, own /tmp, no copy of the code.

A node is a network namespace beside the others on one bridge, and a mount namespace with an empty
/tmp and with the project's packages hidden. It needs root and iproute2, and leaves nothing behind.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

NETWORK = "10.77.0."
HEAD = f"{NETWORK}1"
ADDRESS = f"{HEAD}:6379"
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pipeline", "gsa_core")
STARTED = "Ray runtime started"


def permitted() -> bool:
    """Whether this process may make namespaces."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return False
    probe = f"gsa-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True)
    subprocess.run(["ip", "netns", "del", probe], capture_output=True)
    mounts = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"],
                            capture_output=True)  # fmt: skip
    return made.returncode == 0 and mounts.returncode == 0


class Nodes:
    """A head without CPUs, where the driver runs, and nodes that come and go."""

    def __init__(self, folder: Path, more: Mapping[str, str]) -> None:
        self.folder, self.more = folder, dict(more)
        self.token = secrets.token_hex(16)
        self.temp = tempfile.mkdtemp(prefix="gsa-")
        self.spaces: list[str] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        head = self._space(1)
        ip(f"-n {head} link add bridge type bridge")
        ip(f"-n {head} addr add {HEAD}/24 dev bridge")
        ip(f"-n {head} link set bridge up")
        options = f"--head --port=6379 --node-ip-address={HEAD} --num-cpus=0"
        options += f" --include-dashboard=false --temp-dir={self.temp}"
        self._start("head", head, *options.split())

    @property
    def environment(self) -> dict[str, str]:
        """What a process of the cluster has in its environment."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_ADDRESS": ADDRESS}

    def inside(self) -> list[str]:
        """The words before a command that let it run beside the head."""
        return ["ip", "netns", "exec", self.spaces[0]]

    def add(self, number: int, *options: str) -> None:
        """Start node `number`, from 2 on, with one CPU; a node that was killed may return."""
        space = f"{self.spaces[0]}{number}"
        if space not in self.spaces:
            self._space(number)
            ip(f"-n {self.spaces[0]} link add to{number} type veth peer name eth0 netns {space}")
            ip(f"-n {self.spaces[0]} link set to{number} master bridge up")
            ip(f"-n {space} addr add {NETWORK}{number}/24 dev eth0")
            ip(f"-n {space} link set eth0 up")
        hidden = "".join(f"mount -t tmpfs none {shlex.quote(place)} && " for place in places())
        self._start(f"node {number}", space, f"--address={ADDRESS}", "--num-cpus=1",
                    f"--node-ip-address={NETWORK}{number}", *options,
                    before=f"{hidden}{empty_tmp()} && cd /tmp && ")  # fmt: skip

    def kill(self, name: str) -> None:
        """End a node at once and with all that runs on it, as when its power fails."""
        shell = self.processes.pop(name)
        if shell.poll() is not None:
            return
        parent = psutil.Process(shell.pid)
        # Stopped first, so that none of them sees another die.
        family = [parent, *parent.children(recursive=True)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        psutil.wait_procs(family, timeout=20)
        shell.wait()

    def output(self, name: str) -> str:
        """What a node has printed."""
        return (self.folder / f"{name}.out").read_text()

    def end(self) -> None:
        """End every node and take the network down."""
        for name in list(self.processes):
            self.kill(name)
        for space in self.spaces:
            for pid in ip(f"netns pids {space}").split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            ip(f"netns del {space}")
        shutil.rmtree(self.temp, ignore_errors=True)

    def _space(self, number: int) -> str:
        space = f"gsa{os.getpid()}" if number == 1 else f"{self.spaces[0]}{number}"
        ip(f"netns add {space}")
        self.spaces.append(space)
        ip(f"-n {space} link set lo up")
        return space

    def _start(self, name: str, space: str, *options: str, before: str = "") -> None:
        """Start Ray in a namespace and wait until it says that it runs."""
        ray = Path(sys.executable).with_name("ray")
        script = f'{before}exec "$@"'
        command = ["ip", "netns", "exec", space, "unshare", "-m", "--propagation", "private",
                   "sh", "-c", script, "sh", str(ray), "start", "--block", "--disable-usage-stats",
                   "--object-store-memory=100000000", *options]  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
        environment |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            # The work of the fake study is the test's own; the project's packages travel.
            "PYTHONPATH": f"{ROOT / 'tests/helpers'}:{ROOT / 'tests/chaos'}",
            "OMP_NUM_THREADS": "1",
            **self.more,
        }
        told = self.folder / f"{name}.out"
        out = told.open("ab")
        known = told.read_text().count(STARTED)
        end = time.monotonic() + 300
        while told.read_text().count(STARTED) == known:
            assert time.monotonic() < end, self.output(name)
            # Ray gives a node thirty seconds, which a busy machine may not keep.
            if name not in self.processes or self.processes[name].poll() is not None:
                self.processes[name] = subprocess.Popen(
                    command, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                    start_new_session=True, cwd="/",
                )  # fmt: skip
            time.sleep(0.1)


def places() -> list[str]:
    """Where Python would find the project's packages on this machine."""
    found = {ROOT / name for name in PACKAGES}
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            found |= {Path(place) for place in spec.submodule_search_locations}
    code = "import importlib.util as u; print(*[u.find_spec(n).submodule_search_locations[0] "
    code += f"for n in {PACKAGES} if u.find_spec(n)])"
    elsewhere = subprocess.run(
        [sys.executable, "-c", code], cwd="/", env={}, capture_output=True, text=True
    )
    return sorted(str(place) for place in found | {Path(one) for one in elsewhere.stdout.split()})


def empty_tmp() -> str:
    """The commands that put a new /tmp in the old one's place, as for the second life of a node.

    Python and these tests are there again, should this very project lie in /tmp.
    """
    kept = [p for p in (Path(sys.prefix), ROOT / "tests") if p.is_relative_to("/tmp")]
    places = [shlex.quote(str(place)) for place in kept]
    steps = ["mount -t tmpfs none /mnt"] if kept else []
    steps += [f"mkdir /mnt/{i} && mount --bind {place} /mnt/{i}" for i, place in enumerate(places)]
    steps.append("mount -t tmpfs none /tmp")
    steps += [f"mkdir -p {p} && mount --move /mnt/{i} {p}" for i, p in enumerate(places)]
    return " && ".join(steps)


def ip(command: str) -> str:
    """Run iproute2."""
    done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {command}: {done.stderr}"
    return done.stdout
