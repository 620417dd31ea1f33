"""Files of somebody else's study choose no place to write to, and run nothing."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.commands import use
from pipeline.datasets import own
from pipeline.datasets.download import download
from pipeline.errors import UserError
from pipeline.execution.checkpoints import checkpoints_of, storage_named
from pipeline.params import OwnSource, Params, Prepare, load_params


def study(root: Path, folder: Path, addition: str) -> Params:
    """Read the project's own study with lines added to its last section."""
    (folder / "params.yaml").write_text((root / "params.yaml").read_text() + addition)
    return load_params(folder / "params.yaml")


OUTSIDE = [
    "/tmp/x",
    "~/.ssh",
    "../x",
    "a/../../x",
    "s3://bucket/folder",
    "file:///tmp/x",
    "C:\\\\x",
]


@pytest.mark.parametrize("place", OUTSIDE)
def test_a_file_names_no_place_outside_the_project_to_write_to(
    place: str, root: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"resources\.storage: got .*set GSA_STORAGE"):
        study(root, tmp_path, f'  storage: "{place}"\n')


def test_the_environment_names_any_place_and_a_file_one_inside(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = study(root, tmp_path, "  storage: kept/here\n").resources.storage
    assert storage_named(asked, {}) == "kept/here"
    assert checkpoints_of(asked, Path(".state/sweep/0")).folder == f"{tmp_path}/kept/here/sweep/0"
    assert storage_named(asked, {"GSA_STORAGE": "s3://mine/x"}) == "s3://mine/x"
    assert storage_named(None, {"GSA_STORAGE": " "}) is None


def test_a_link_does_not_lead_checkpoints_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, private = tmp_path / "project", tmp_path / "private"
    project.mkdir(), private.mkdir()
    monkeypatch.chdir(project)
    Path("kept").symlink_to(private)
    for place in ("kept", "kept/deeper"):
        with pytest.raises(UserError, match=r"is a link to .*private.*set GSA_STORAGE"):
            storage_named(place, {})


def prepared(path: str, kind: str = "arrays") -> Prepare:
    """The section of a study of own data."""
    source = OwnSource(kind=kind, path=path, size=8, fit="resize", channels=1)
    return Prepare(
        datasets=("mine",),
        seed=0,
        validation_fraction=0.2,
        test_fraction=0.2,
        sources={"mine": source},
    )


def test_data_outside_the_project_are_read_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    data = {"images": np.random.rand(4, 8, 8), "labels": np.array([0, 1, 0, 1])}
    np.savez(tmp_path / "away.npz", **data)
    np.savez("here.npz", **data)
    Path("link.npz").symlink_to(tmp_path / "away.npz")
    assert own.open_source("mine", prepared("here.npz"), Path()).outside is None
    for path in ("../away.npz", str(tmp_path / "away.npz"), "link.npz"):
        opened = own.open_source("mine", prepared(path), Path())
        assert opened.outside == tmp_path / "away.npz"
        assert str(tmp_path) not in str(opened.facts) + opened.source.address


@pytest.mark.parametrize("kind", ["arrays", "folder", "parquet"])
@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "~nobody-of-this-name/x", "$HOME/x", "x" * 900, "/dev/zero"],
)
def test_what_is_no_data_is_one_sentence(kind: str, path: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        own.open_source("mine", prepared(path, kind), tmp_path)
    assert len(refusal.value.problems) == 1 and "root:" not in str(refusal.value)


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "studies/x", "", ".", "x.yaml", "-x"])
def test_use_takes_names_of_the_list_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "write_bytes", lambda *_: pytest.fail("something was written"))
    with pytest.raises(UserError, match="accepts"):
        use.use(name)


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Sends whoever asks to a file of their own machine."""

    def __init__(self, target: str, *arguments: Any) -> None:
        self.target = target
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.target)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def redirecting(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that redirects to the parameter."""
    handler = functools.partial(Elsewhere, request.param)
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/x"
        server.shutdown()


@pytest.mark.parametrize("redirecting", ["file:///etc/hostname", "data:,x"], indirect=True)
def test_a_redirect_to_a_file_is_refused(redirecting: str, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        download(redirecting, tmp_path / "x", size=None, checksum="0" * 64)
    assert not (tmp_path / "x").exists()
