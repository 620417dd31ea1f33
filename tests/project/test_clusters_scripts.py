"""The scripts of clusters/, run in bash with stand-ins for the commands of a cluster."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

STUBS = {
    "scontrol": 'if [ "$1" = show ]; then echo node1; else echo "$@" >>"$WORK/scontrol"; fi',
    # As srun does, it hands the signals it gets to what it runs: it becomes that.
    "srun": """
        if [ "${*: -2:1}" = hostname ]; then echo "${NODE_ADDRESS:-10.0.0.7 fe80::1}"; exit; fi
        [ -z "${DEAF:-}" ] || trap '' TERM
        shift; exec "$@"
    """,
    "ray": """
        echo "$RAY_ADDRESS $(stat -c %a "$RAY_AUTH_TOKEN_PATH") $*" >"$WORK/ray"
        [ -z "${NO_RAY:-}" ] || exit 0
        while [ "$1" != -- ]; do shift; done
        shift; exec "$@"
    """,
    "dvc": """
        touch "$WORK/started"
        until [ -e "$WORK/go" ]; do kill -0 $PPID 2>/dev/null || exit 143; sleep 0.02; done
        exit "${DVC_EXIT:-0}"
    """,
}


class Job:
    """The batch script in a clone of its own, with the commands it calls replaced."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.script, self.folder = root / "clusters/slurm.sbatch", folder
        commands = folder / "venv/bin"
        commands.mkdir(parents=True)
        for name, text in STUBS.items():
            (commands / name).write_text(f"#!/bin/bash\n{text}\n")
            (commands / name).chmod(0o755)
        (commands / "python").symlink_to(sys.executable)
        (commands / "activate").write_text(f"PATH='{commands}':$PATH\n")

    def start(self, **environment: str) -> subprocess.Popen[str]:
        slurm = {"SUBMIT_DIR": str(self.folder), "JOB_ID": "42", "JOB_NODELIST": "node[1-4]"}
        slurm |= {"NNODES": "4", "CPUS_PER_TASK": "8"}
        path = f"{self.folder / 'venv/bin'}:{os.environ['PATH']}"
        return subprocess.Popen(
            ["bash", str(self.script)],
            env={
                **{f"SLURM_{name}": value for name, value in slurm.items()},
                **{"PATH": path, "VENV": str(self.folder / "venv"), "WORK": str(self.folder)},
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, name: str) -> None:
        end = time.monotonic() + 60
        while not (self.folder / name).exists():
            assert time.monotonic() < end, f"no {name}"
            time.sleep(0.02)

    def run(self, number: signal.Signals | None, **environment: str) -> tuple[int, str]:
        """Run the job, with a signal while the study is under way; return its code and output."""
        process = self.start(**environment)
        try:
            if number is None:
                (self.folder / "go").touch()
            else:
                self.wait_for("started")
                process.send_signal(number)
            # What does not hear the signal holds the output open: it is read after its end.
            code = process.wait(60)
            (self.folder / "go").touch()
            return code, process.communicate(timeout=60)[0]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    @property
    def requeued(self) -> list[str]:
        log = self.folder / "scontrol"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def job(root: Path, tmp_path: Path) -> Job:
    return Job(root, tmp_path)


@pytest.mark.parametrize(
    ("number", "environment", "code", "requeued"),
    [
        (None, {}, 0, False),
        (None, {"DVC_EXIT": "3"}, 3, False),
        (None, {"NO_RAY": "1"}, 1, False),
        (signal.SIGTERM, {}, 1, False),
        (signal.SIGUSR1, {}, 1, True),
        (signal.SIGUSR1, {"SLURM_RESTART_COUNT": "19"}, 1, True),
        (signal.SIGUSR1, {"SLURM_RESTART_COUNT": "20"}, 1, False),
        (signal.SIGUSR1, {"GSA_RESTARTS": "0"}, 1, False),
        (signal.SIGUSR1, {"DEAF": "1", "GSA_GRACE": "0"}, 1, True),
    ],
    ids=[
        "finished", "failed", "Ray did not start", "preempted", "time limit", "one restart left",
        "no restart left", "no restart wanted", "does not stop in time",
    ],
)  # fmt: skip
def test_a_job_is_queued_again_at_its_time_limit_alone(
    job: Job, number: signal.Signals | None, environment: dict[str, str], code: int, requeued: bool
) -> None:
    found, output = job.run(number, **environment)
    assert found == code, output
    assert job.requeued == (["requeue 42"] if requeued else []), output
    refused = number is signal.SIGUSR1 and not requeued
    assert ("error: queued again" in output) == refused
    assert not list((job.folder / ".state").glob("token-*")), "the token is left behind"


def test_a_study_that_ends_well_while_it_is_warned_is_finished(job: Job) -> None:
    process = job.start(DEAF="1")
    job.wait_for("started")
    process.send_signal(signal.SIGUSR1)
    time.sleep(0.1)
    (job.folder / "go").touch()
    assert process.wait(60) == 0
    process.communicate()
    assert not job.requeued


def test_the_driver_is_told_its_cluster_and_a_token_of_its_owner(job: Job) -> None:
    job.run(None)
    address, mode, *arguments = (job.folder / "ray").read_text().split()
    assert (address, mode) == ("10.0.0.7:6379", "600")
    assert arguments[:5] == ["symmetric-run", "--address", address, "--min-nodes", "4"]


@pytest.mark.parametrize("address", ["127.0.1.1", "::1", " "])
def test_an_address_that_other_nodes_cannot_reach_is_refused(job: Job, address: str) -> None:
    code, output = job.run(None, NODE_ADDRESS=address)
    assert code == 2
    assert output.startswith("error: node1 calls itself '") and output.count("\n") == 1
    assert not (job.folder / "started").exists()


def git(folder: Path, *arguments: str) -> str:
    """Run git as nobody in particular."""
    user = ["-c", "user.name=t", "-c", "user.email=t@t"]
    command = ["git", "-C", str(folder), *user, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """A clone that holds a file of every kind, and a `ray` that writes down its arguments."""
    for name in ("clusters/submit.sh", ".gitignore", "data/.gitignore"):
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, tmp_path / "clone" / name)
    for name in ("pipeline/report/a.py", "reports/a.html", "dvc.lock", "tests/a.py"):
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / name).write_text("1")
    git(tmp_path, "init", "-q", "clone")
    git(tmp_path / "clone", "add", "-A")
    git(tmp_path / "clone", "commit", "-qm", "a")
    (tmp_path / "bin").mkdir()
    program = '#!/bin/bash\nprintf "%s\\0" "$@" >"$WORK/ray"\nenv >"$WORK/environment"\n'
    (tmp_path / "bin/ray").write_text(program)
    (tmp_path / "bin/ray").chmod(0o755)
    return tmp_path / "clone"


def submit(clone: Path, **environment: str) -> tuple[int, str, dict[str, object]]:
    """Run submit.sh; return its code, what it said, and the runtime environment of the job."""
    ray = clone.parent / "ray"
    ray.unlink(missing_ok=True)
    path = f"{clone.parent / 'bin'}:{os.environ['PATH']}"
    # A repository around the scratch folder must not answer for it.
    kept = {"PATH": path, "WORK": str(clone.parent), "GIT_CEILING_DIRECTORIES": str(clone.parent)}
    command = ["bash", str(clone / "clusters/submit.sh"), "http://head:8265"]
    done = subprocess.run(
        command, env={**kept, **environment}, capture_output=True, text=True, check=False
    )
    if not ray.exists():
        return done.returncode, done.stderr, {}
    arguments = ray.read_text().split("\0")
    found = json.loads(arguments[arguments.index("--runtime-env-json") + 1])
    return done.returncode, done.stderr, found


@pytest.mark.parametrize(
    ("changed", "dirty"), [(None, ""), ("pipeline/report/a.py", "-dirty"), ("dvc.lock", "")]
)
def test_a_submitted_stage_is_told_its_commit(clone: Path, changed: str | None, dirty: str) -> None:
    if changed is not None:
        (clone / changed).write_text("2")
    code, said, sent = submit(clone)
    assert code == 0, said
    assert sent["env_vars"] == {"GSA_COMMIT": git(clone, "rev-parse", "HEAD") + dirty}


@pytest.mark.parametrize("given", ["", "HEAD", "0" * 39, "0" * 40 + '"}'])
def test_a_stage_without_a_commit_is_not_submitted(clone: Path, given: str) -> None:
    shutil.rmtree(clone / ".git")
    code, said, sent = submit(clone, GSA_COMMIT=given)
    assert (code, sent) == (2, {})
    assert said.startswith(f"error: GSA_COMMIT: got '{given}'") and said.count("\n") == 1


def test_a_folder_without_git_may_name_its_commit(clone: Path) -> None:
    shutil.rmtree(clone / ".git")
    assert submit(clone, GSA_COMMIT="0" * 40)[2]["env_vars"] == {"GSA_COMMIT": "0" * 40}


LARGE = (".git/a", ".venv/a", ".state/a", ".dvc/cache/a", "data/raw/a", "a/__pycache__/a")
NEEDED = ("data/prepare/a", "data/sweep/a", "pipeline/report/a.py")


def test_prepared_data_travel_with_a_submitted_stage_and_large_folders_do_not(
    clone: Path, tmp_path: Path
) -> None:
    from ray._private.runtime_env.packaging import create_package

    for name in (*LARGE, *NEEDED):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text("1")
    sent = submit(clone)[2]
    environment = (clone.parent / "environment").read_text().splitlines()
    follows = "RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1" not in environment
    create_package(
        str(clone), tmp_path / "a.zip", follows, excludes=sent["excludes"],
        logger=logging.getLogger(__name__),
    )  # fmt: skip
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        names = {name for name in file.namelist() if not name.endswith("/")}
    assert set(NEEDED) <= names
    assert not names & {*LARGE, "reports/a.html", "tests/a.py"}
