"""No cluster beyond this machine is joined without a token."""

from __future__ import annotations

import os
import socket
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import fake_study
import pytest

from pipeline.common.errors import UserError
from pipeline.execution import run_stage as stage
from pipeline.execution.cluster_address import answers, check_address
from pipeline.execution.engine import make_engine
from pipeline.study.params import load_params
from pipeline.study.schema import Resources

AWAY = {"RAY_ADDRESS": "10.0.0.7:6379"}


@pytest.mark.parametrize("address", ["10.0.0.7:6379", "head:6379", "[fd00::7]:6379"])
def test_another_machine_without_a_token_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no token"):
        check_address({"RAY_ADDRESS": address}, tmp_path)


def test_a_token_lets_it_through(tmp_path: Path) -> None:
    check_address({**AWAY, "RAY_AUTH_TOKEN": "secret"}, tmp_path)
    (tmp_path / "token").write_text("secret")
    check_address({**AWAY, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}, tmp_path)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("secret")
    check_address(AWAY, tmp_path)


def test_a_token_counts_for_nothing_where_tokens_are_off(tmp_path: Path) -> None:
    off = {**AWAY, "RAY_AUTH_TOKEN": "secret", "RAY_AUTH_MODE": "disabled"}
    with pytest.raises(UserError, match="RAY_AUTH_MODE") as refusal:
        check_address(off, tmp_path)
    assert "secret" not in str(refusal.value)


def test_whether_somebody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert answers(f"127.0.0.1:{port}") and answers(f"ray://localhost:{port}")
    assert not answers(f"127.0.0.1:{port}", 1)
    assert answers("auto") and not answers("127.0.0.1:99999999999", 1)


OTHER = ["127.0.0.1", "head", "ray://head:10001", "http://127.0.0.1:8265", "127.0.0.1:99999",
         "head:", ":6379", "::1", "127.0.0.1:0", "head:port"]  # fmt: skip


@pytest.mark.parametrize("address", OTHER)
def test_an_address_that_is_no_host_and_port_is_refused_at_once(address: str) -> None:
    with pytest.raises(UserError, match=r"^RAY_ADDRESS: got .*; accepts HOST:PORT"):
        check_address({"RAY_ADDRESS": address, "RAY_AUTH_TOKEN": "x"})


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """What RAY_ADDRESS is when the engine of a stage is made."""
    asked: list[str | None] = []
    monkeypatch.setattr(stage, "stage_lock", lambda name: nullcontext())
    monkeypatch.setattr(stage, "ending_on_signals", nullcontext)
    monkeypatch.setattr(
        stage, "make_engine", lambda *_: asked.append(os.environ.get("RAY_ADDRESS"))
    )
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("GSA_ENGINE", raising=False)
    return asked


def run_stage(address: str | None) -> None:
    """Run a stage of a study whose file says so."""
    resources: dict[str, Any] = {"address": address, "gpus_per_trial": 0, "workers": 1}
    with stage.running_stage("sweep", Resources.model_construct(**resources), fake_study.no_share):
        pass


def test_a_study_that_asks_for_a_cluster_runs_only_on_that_of_the_environment(
    joined: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="wants a cluster; set RAY_ADDRESS"):
        run_stage("cluster")
    assert not joined
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.7:6379")
    run_stage("cluster")
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setenv("GSA_ENGINE", "in-process")
    run_stage("cluster")
    assert joined == ["10.0.0.7:6379", None]


ADDRESSES = ["ray://host:10001", "10.0.0.7:6379", "127.0.0.1:6379", "auto", "local", "http://h:1",
             "Cluster", "cluster:6379"]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_in_a_file_is_an_error_and_never_joined(
    address: str, root: Path, tmp_path: Path
) -> None:
    text = (root / "params.yaml").read_text() + f'  address: "{address}"\n'
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"resources\.address: got .*set RAY_ADDRESS; a file never"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("address", ["", "  ", None])
def test_an_empty_address_is_this_machine(address: str | None) -> None:
    environment = {} if address is None else {"RAY_ADDRESS": address}
    assert check_address(environment) == "local"


def started(folder: Path, address: str) -> dict[str, str]:
    """Pretend that `ray start` has left an address."""
    (folder / "ray").mkdir()
    (folder / "ray/ray_current_cluster").write_text(address + "\n")
    return {"RAY_ADDRESS": "auto", "RAY_TMPDIR": str(folder)}


def test_auto_is_what_was_started_here(tmp_path: Path) -> None:
    environment = started(tmp_path, "127.0.0.1:6379")
    assert check_address(environment) == "127.0.0.1:6379"


def test_auto_needs_a_token_where_it_leads_away(tmp_path: Path) -> None:
    environment = started(tmp_path, "10.0.0.7:6379")
    with pytest.raises(UserError, match="there is no token"):
        check_address(environment, tmp_path)
    assert check_address({**environment, "RAY_AUTH_TOKEN": "x"}, tmp_path) == "10.0.0.7:6379"


def test_auto_without_a_cluster_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names no cluster of this machine"):
        check_address({"RAY_ADDRESS": "auto", "RAY_TMPDIR": str(tmp_path)})


def test_auto_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = started(tmp_path, "127.0.0.1:6379")
    if os.getuid() == 0:
        os.chown(tmp_path / "ray/ray_current_cluster", 12345, 12345)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(UserError, match="belongs to another user"):
        check_address(environment)


@pytest.mark.parametrize("environment", [{}, {"RAY_ADDRESS": "127.0.0.1:6379"}])
def test_this_machine_needs_none(environment: dict[str, str], tmp_path: Path) -> None:
    check_address(environment, tmp_path)


def test_it_is_refused_before_ray_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.7:6379")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GSA_ENGINE", raising=False)
    monkeypatch.setitem(__import__("sys").modules, "pipeline.execution.ray_engine", None)
    with pytest.raises(UserError, match="there is no token"):
        make_engine(SimpleNamespace(trial_timeout_seconds=1), tmp_path)


@pytest.mark.parametrize(
    ("mode", "asked"),
    [(None, "ask for a token (set RAY_AUTH_MODE=token)?"), ("token", "with this token?")],
)
def test_a_cluster_that_refuses_names_the_token_that_is_missing(
    mode: str | None, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.execution.ray_engine import RayTune

    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    engine = SimpleNamespace(local=False, address="127.0.0.1:6379")
    said = RayTune.why_not(cast("RayTune", engine), RuntimeError("no"))
    assert said.startswith("cannot connect to Ray at 127.0.0.1:6379 (no)") and said.endswith(asked)
