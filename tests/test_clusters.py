"""The files of clusters/ against what their tools accept, as far as that can be asked here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml


def written(path: Path) -> Any:
    """Read a file with something written where the user is to write."""
    text, count = re.subn(r"<[^<>\n]+>", "written", path.read_text())
    assert count, "nothing is left for the user to write"
    return yaml.safe_load(text)


@pytest.mark.parametrize("name", ["machines", "cloud"])
def test_ray_up_accepts_it(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    # Files that the launcher would copy are looked for, and belong to the user.
    monkeypatch.setattr("ray.autoscaler._private.util.hash_launch_conf", lambda *a: "")
    config = written(root / "clusters" / f"{name}.yaml")
    validate_config(prepare_config(config))
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    starts = [command for command in starts if "ray start" in command]
    assert len(starts) == 2
    for command in starts:
        assert "RAY_AUTH_MODE=token" in command
        assert "--disable-usage-stats" in command
    assert "~/.ray/auth_token" in config["file_mounts"]


def test_a_key_that_ray_up_does_not_know_is_found(root: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = written(root / "clusters/machines.yaml")
    with pytest.raises(Exception, match="maximum_workers"):
        validate_config(prepare_config({**config, "maximum_workers": 8}))


def test_the_job_of_kubernetes_names_tokens_and_the_pinned_ray(root: Path) -> None:
    job = written(root / "clusters/kubernetes.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    pinned = re.search(r"^ray==(.+)$", (root / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned and cluster["rayVersion"] == pinned.group(1)
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for pod in pods:
        [container] = pod["template"]["spec"]["containers"]
        assert set(container["resources"]) == {"requests", "limits"}
    # No trial runs on the head, which must live on when workers are lost.
    assert pods[0]["rayStartParams"]["num-cpus"] == "0"
    volumes = {one["name"] for one in pods[0]["template"]["spec"]["volumes"]}
    mounts = pods[0]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {mount["name"] for mount in mounts} == volumes


@pytest.mark.parametrize("name", ["slurm.sbatch", "submit.sh"])
def test_the_shell_can_read_it(root: Path, name: str) -> None:
    path = root / "clusters" / name
    subprocess.run(["bash", "-n", str(path)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(path)], check=True)


def test_slurm_gives_the_driver_its_address_and_a_token_of_its_owner(root: Path) -> None:
    text = (root / "clusters/slurm.sbatch").read_text()
    assert "export RAY_ADDRESS=" in text and "export RAY_AUTH_MODE=token" in text
    assert text.index("umask 077") < text.index('>"$RAY_AUTH_TOKEN_PATH"')
    assert "-- dvc repro" in text


def test_every_file_has_its_page(root: Path) -> None:
    page = (root / "docs/clusters.md").read_text()
    for path in (root / "clusters").iterdir():
        assert f"clusters/{path.name}" in page
