"""The files of clusters/ against what their tools accept, as far as that can be asked here."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
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


TRAVEL = (
    "pipeline/sweep/stage.py",
    ".git/HEAD",
    ".dvc/config",
    "data/raw/mine/a.png",
    "reports/a.html",
)
STAY = (
    ".venv/bin/python", ".state/sweep/a", "pipeline/__pycache__/a.pyc", ".mypy_cache/a",
    ".pytest_cache/a", ".ruff_cache/a", ".hypothesis/a", "a.egg-info/a", ".dvc/config.local",
    ".dvc/tmp/a",
)  # fmt: skip


@pytest.mark.skipif(shutil.which("rsync") is None, reason="no rsync")
@pytest.mark.parametrize("name", ["machines", "cloud"])
def test_neither_the_environment_nor_secrets_travel(root: Path, name: str, tmp_path: Path) -> None:
    config = written(root / "clusters" / f"{name}.yaml")
    for file in (*TRAVEL, *STAY):
        (tmp_path / "clone" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / file).touch()
    # As Ray's command runner writes them.
    options = [option for one in config["rsync_exclude"] for option in ("--exclude", one)]
    subprocess.run(["rsync", "-a", *options, "clone/", "there"], cwd=tmp_path, check=True)
    there = {
        path.relative_to(tmp_path / "there").as_posix()
        for path in (tmp_path / "there").rglob("*")
        if path.is_file()
    }
    assert there == set(TRAVEL)


def test_nodes_of_a_cloud_install_what_the_project_asks_for(root: Path, tmp_path: Path) -> None:
    config = written(root / "clusters/cloud.yaml")
    for name in ("pyproject.toml", "constraints.txt"):
        assert config["file_mounts"][f"~/{name}"] == name
        shutil.copy(root / name, tmp_path / name)
    _, ask, install = config["setup_commands"]
    subprocess.run(
        ["bash", "-ec", ask.replace("~/venv/bin/python", shlex.quote(sys.executable))],
        cwd=tmp_path,
        check=True,
    )
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["study"]]
    assert (tmp_path / "requirements.txt").read_text().splitlines() == wanted
    assert "--constraint constraints.txt --requirement requirements.txt" in install


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


def test_all_that_a_study_writes_on_kubernetes_is_on_the_volume(root: Path) -> None:
    spec = written(root / "clusters/kubernetes.yaml")["spec"]
    pod = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    volumes = {one["name"] for one in pod["volumes"] if "persistentVolumeClaim" in one}
    folder = re.match(r"cd (\S+) && dvc repro$", spec["entrypoint"]).group(1)
    for container in (*pod["initContainers"], *pod["containers"]):
        [mount] = container["volumeMounts"]
        assert mount["mountPath"] == folder and mount["name"] in volumes
        # Without it neither git nor DVC takes a folder of another user for a clone.
        variables = {one["name"]: one["value"] for one in container["env"]}
        assert variables["GIT_CONFIG_KEY_0"] == "safe.directory"
        assert variables["GIT_CONFIG_VALUE_0"] == folder
    assert f"git clone written {folder}" in pod["initContainers"][0]["command"][-1]


@pytest.mark.parametrize("name", ["slurm.sbatch", "submit.sh"])
def test_the_shell_can_read_it(root: Path, name: str) -> None:
    path = root / "clusters" / name
    subprocess.run(["bash", "-n", str(path)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(path)], check=True)


SECRET = re.compile(
    r"(?i)AKIA[0-9A-Z]{12}|BEGIN [A-Z ]*PRIVATE KEY|\b[0-9a-f]{32,}\b|password\s*[:=]|0\.0\.0\.0"
)


def test_no_file_holds_a_secret_or_listens_everywhere(root: Path) -> None:
    for path in (root / "clusters").iterdir():
        text = path.read_text()
        assert not SECRET.findall(text), path
        assert "Checked: " in text.partition("\n\n")[0] + text[:900], path
        if "symmetric-run" in text or "ray start" in text:
            assert "--include-dashboard=false" in text and "RAY_AUTH_MODE=token" in text


def test_a_secret_would_be_found() -> None:
    for text in ("AKIA" + 16 * "A", "-----BEGIN RSA PRIVATE KEY", "token: " + 32 * "a", "0.0.0.0"):
        assert SECRET.search(text)


def commands_of_ray(page: str) -> list[list[str]]:
    """The calls of `ray` in a page's blocks of code, as lists of arguments."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line, comments=True) for text in blocks for line in text.splitlines()]
    return [line[1:] for line in lines if line[:1] == ["ray"]]


def test_ray_knows_the_commands_of_the_page(root: Path, tmp_path: Path) -> None:
    from ray.scripts.scripts import cli

    pages = [root / "docs" / name for name in ("clusters.md", "tutorial-cluster.md")]
    calls = commands_of_ray("".join(page.read_text() for page in pages))
    assert {name for name, *_ in calls} >= {"up", "down", "attach", "rsync-up", "rsync-down"}
    for name, *arguments in calls:
        assert not [
            one for one in arguments if one.startswith("clusters/") and not (root / one).exists()
        ]
        cli.commands[name].make_context(name, arguments)


def test_every_file_has_its_page(root: Path) -> None:
    page = (root / "docs/clusters.md").read_text()
    for path in (root / "clusters").iterdir():
        assert f"clusters/{path.name}" in page
