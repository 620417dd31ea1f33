"""No cluster beyond this machine is joined without a token."""

from __future__ import annotations

import os
import socket
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.errors import UserError
from pipeline.execution import stage
from pipeline.execution.address import answers, check_address
from pipeline.execution.engine import make_engine

AWAY = {"RAY_ADDRESS": "10.0.0.7:6379"}


@pytest.mark.parametrize("address", ["10.0.0.7:6379", "ray://head:10001", "auto", ""])
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


def test_the_parameters_may_name_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    resources = SimpleNamespace(address="10.0.0.7:6379", gpus_per_trial=0)
    monkeypatch.setattr(stage, "load_params", lambda: SimpleNamespace(resources=resources))
    monkeypatch.setattr(stage, "stage_lock", lambda name: nullcontext())
    monkeypatch.setattr(stage, "lifeline", nullcontext)
    monkeypatch.setattr(
        stage, "make_engine", lambda *_: asked.append(os.environ.get("RAY_ADDRESS"))
    )
    monkeypatch.setenv("RAY_ADDRESS", "the environment's")
    stage.run_stage("sweep", lambda *_: None)
    monkeypatch.delenv("RAY_ADDRESS")
    stage.run_stage("sweep", lambda *_: None)
    assert asked == ["the environment's", "10.0.0.7:6379"]


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
