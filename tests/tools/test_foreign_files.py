"""Files of somebody else's study choose no place to write to, and run nothing."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.common.errors import UserError
from pipeline.execution import stage_inputs
from pipeline.execution.checkpoints import checkpoints_of, storage_named
from pipeline.prepare.fetch.download import download
from pipeline.prepare.sources import open_source as own
from pipeline.prepare.splits import group_pattern as patterns
from pipeline.study.params import load_params
from pipeline.study.schema import OwnSource, Params, Prepare
from pipeline.tools import use
from pipeline.tools.compare import code_differences, parameter_differences
from pipeline.tools.support import history


def study(root: Path, folder: Path, addition: str) -> Params:
    """Read the project's own study with lines added to its last section."""
    (folder / "params.yaml").write_text((root / "studies/digits.yaml").read_text() + addition)
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


GOOD = "a" * 32


def lock_of(md5: str = GOOD, path: str = "data/confirm", key: str = "outs") -> str:
    """The text of a dvc.lock with one entry."""
    return f"schema: '2.0'\nstages:\n  confirm:\n    {key}:\n    - path: {path}\n      md5: {md5}\n"


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], history.Version]:
    """A version whose `dvc.lock` and `params.yaml` have a text that somebody else wrote."""
    texts: dict[str, str] = {}
    monkeypatch.setattr(history.Version, "text", lambda self, path: texts[self.commit])

    def make(text: str) -> history.Version:
        texts[str(len(texts))] = text
        return history.Version("theirs", str(len(texts) - 1), tmp_path)

    return make


@pytest.mark.parametrize(
    "md5",
    ["xx/etc/hostname", "../../../etc/hostname", "/etc/hostname", GOOD[:31], GOOD.upper(), "null",
     "12", "[a]", "{a: b}", f"{GOOD}.dir.dir", f"'{GOOD}\\n'", "~"],
)  # fmt: skip
def test_a_checksum_of_another_shape_is_one_sentence(md5: str, version: Any) -> None:
    with pytest.raises(UserError, match="is no checksum of DVC") as refusal:
        version(lock_of(md5)).outputs("data/confirm")
    assert "theirs: dvc.lock: confirm: data/confirm" in str(refusal.value)
    with pytest.raises(UserError, match="is no checksum of DVC"):
        code_differences(version(lock_of(md5, key="deps")), version(lock_of()))


@pytest.mark.parametrize("path", ["/etc", "../x", "data/../../x", "[x]", "null", "7"])
def test_a_path_outside_the_project_is_one_sentence(path: str, version: Any) -> None:
    with pytest.raises(UserError, match="no path within the project"):
        version(lock_of(path=path)).outputs("data/confirm")


BOMB = "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "stages: 3", "stages: {a: 3}", "stages: {a: {outs: 3}}", "stages: {a: {outs: [3]}}",
     "a: [", BOMB, "!!python/object/apply:os.system [id]", "[" * 2000, "a: {" * 50, "x" * (9 << 20),
     "\x00", "stages: {a: {outs: [{}]}}"],
    ids=range(14),
)  # fmt: skip
def test_a_lock_of_any_other_form_is_one_sentence(text: str, version: Any) -> None:
    with pytest.raises(UserError):
        version(text).outputs("data/confirm")


@pytest.mark.parametrize("text", [BOMB, "a: [", "!!python/name:os.system", "[" * 2000, "\x00"])
def test_parameters_of_another_version_are_read_as_strictly_as_ones_own(
    text: str, version: Any
) -> None:
    with pytest.raises(UserError, match=r"theirs: params\.yaml"):
        parameter_differences(version(text), version("a: 1"))


@pytest.mark.parametrize(
    "listing",
    ["{}", "[3]", "[{}]", '[{"relpath": "x", "md5": "../../x"}]', "[" * 100_000, "nul", "NaN",
     '[{"relpath": "../x", "md5": "' + GOOD + '"}]'],
)  # fmt: skip
def test_a_list_of_files_of_any_other_form_is_one_sentence(
    listing: str, version: Any, tmp_path: Path
) -> None:
    place = tmp_path / "files/md5" / GOOD[:2] / f"{GOOD[2:]}.dir"
    place.parent.mkdir(parents=True)
    place.write_text(listing)
    with pytest.raises(UserError):
        version(lock_of(f"{GOOD}.dir")).outputs("data/confirm")


@pytest.mark.parametrize("content", ["[]", "3", "{", "[" * 100_000])
def test_a_card_of_no_mapping_is_one_sentence_before_a_stage(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("data/prepare/digits/card.json")
    path.parent.mkdir(parents=True)
    path.write_text(content)
    settings = prepared("x").model_copy(update={"datasets": ("digits",), "sources": {}})
    with pytest.raises(UserError, match=r"card\.json"):
        stage_inputs.read_card(settings, "digits")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "^(a*)*b", "(.*a){20}$"])
def test_a_pattern_that_takes_for_ever_is_ended(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 0.5)
    with pytest.raises(UserError, match="repeats inside repeats"):
        patterns.groups_found(pattern, ["a" * 60 + "!"])


@pytest.mark.parametrize(
    "pattern, found",
    [(r"^(\d\d)", "01"), ("p[0-9]", "p7"), ("(?:x)?(p)(7)", "p"), ("(x)?p7", None)],
)
def test_a_plain_pattern_finds_its_first_group(pattern: str, found: str | None) -> None:
    assert patterns.groups_found(pattern, ["01-p7.png"] * 3) == [found] * 3


def test_a_name_without_the_pattern_is_named() -> None:
    with pytest.raises(UserError, match=r"'slide-\(' is not found|cannot be used"):
        patterns.groups_found("slide-(", ["a"])
    with pytest.raises(UserError, match=r"group_pattern 'q' is not found in 'b'"):
        patterns.groups_found("q", ["q", "b"])


@pytest.mark.parametrize("content", [b"", b"\xff", b"# \x1b[2J title\n"])
def test_titles_of_studies_are_text(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(use, "FOLDER", tmp_path)
    (tmp_path / "a.yaml").write_bytes(content)
    if content == b"\xff":
        with pytest.raises(UserError, match="not UTF-8"):
            use.use(None)
    else:
        use.use(None)
        assert "\x1b" not in capsys.readouterr().out
