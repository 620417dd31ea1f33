"""Checkpoints in a bucket: a local S3 server, a driver killed in a trial, and the trial goes on.

The server is moto, in an environment of its own under .state/, since its packages and DVC's clash.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from driver_processes import until

from pipeline.results import records, schemas

pytestmark = [pytest.mark.deep, pytest.mark.timeout(1200)]

Witness = Callable[[int, str, str], None]
EPOCHS = 12
KEYS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[str]:
    """The address of an S3 server of this machine, with one bucket."""
    folder = root / ".state/chaos/moto"
    command = folder / "bin/moto_server"
    if not command.exists():
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "moto[server,s3]>=5.2.5"]
        if subprocess.run(pip).returncode:
            pytest.skip("moto cannot be installed here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [str(command), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    address = f"127.0.0.1:{port}"

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(answers, 120, "the S3 server does not answer")
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**KEYS, "OMP_NUM_THREADS": "1"}.items():
                patch.setenv(name, value)
            bucket(address).create_dir("checkpoints")
            yield address
    finally:
        process.kill()
        process.wait()


def bucket(address: str) -> Any:
    """Open the file system of the server."""
    from pyarrow.fs import S3FileSystem

    return S3FileSystem(endpoint_override=address, scheme="http", allow_bucket_creation=True)


def start(folder: Path, root: Path, storage: str | None) -> subprocess.Popen[bytes]:
    """Sweep one trial of digits."""
    values = yaml.safe_load((root / "studies/digits.yaml").read_text())
    values["sweep"] |= {"group": ["C4"], "positional": ["absolute"], "depth": [1],
                        "trials_per_cell": 1, "epochs": EPOCHS}  # fmt: skip
    values["report"]["baseline"]["group"] = "C4"
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "GSA_ENGINE": "in-process",
        "OMP_NUM_THREADS": "1",
        "GSA_STORAGE": storage or "",
    }
    if not (folder / "data").exists():
        prepare = [sys.executable, "-m", "pipeline.prepare"]
        subprocess.run(prepare, cwd=folder, env=environment, check=True)
    return subprocess.Popen([sys.executable, "-m", "pipeline.sweep"], cwd=folder, env=environment)


def epochs(folder: Path) -> pd.DataFrame:
    """The epochs of the trial, but for their times."""
    table = records.read(folder / "data/sweep/digits/epochs.parquet", schemas.EPOCHS)
    return table.drop(columns=["seconds", "training_seconds"])


def test_a_trial_goes_on_from_a_bucket(
    server: str, root: Path, tmp_path: Path, witness: Witness
) -> None:
    from pyarrow.fs import FileSelector

    assert start(tmp_path / "whole", root, None).wait(600) == 0
    files = bucket(server)

    def kept() -> list[str]:
        found = files.get_file_info(FileSelector("checkpoints", recursive=True))
        return [one.path for one in found if one.is_file]

    storage = f"s3://checkpoints/study?endpoint_override={server}&scheme=http"
    driver = start(tmp_path / "killed", root, storage)
    until(kept, 300, "no checkpoint in the bucket")
    driver.kill()
    driver.wait()
    assert start(tmp_path / "killed", root, storage).wait(600) == 0
    pd.testing.assert_frame_equal(epochs(tmp_path / "killed"), epochs(tmp_path / "whole"))
    assert not kept(), "the checkpoint of a finished trial stays"
    witness(
        1,
        f"a driver killed in a trial of {EPOCHS} epochs whose checkpoints lie in a bucket (moto)",
        "went on from the last of them; its epochs equal to the last bit; the bucket empty after",
    )
