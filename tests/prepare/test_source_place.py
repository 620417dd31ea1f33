"""Own data lie where DVC notices their changes; everything else is refused with a command."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from images import fill, own

from pipeline.common.errors import UserError
from pipeline.prepare.sources.location import check_locations


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which the test runs in."""
    folder = tmp_path / "my project"
    (folder / "data/raw").mkdir(parents=True)
    (folder / ".dvc").mkdir()
    monkeypatch.chdir(folder)
    return folder


def refusal(path: Path | str, kind: str = "folder") -> str:
    with pytest.raises(UserError) as error:
        check_locations(own(Path(path), kind))
    assert all("\n" not in problem for problem in error.value.problems)
    return error.value.problems[0]


def follow(problem: str) -> None:
    """Run the command of a refusal."""
    match = re.search("`(.+)`", problem)
    assert match
    subprocess.run(match[1], shell=True, check=True)


@pytest.mark.parametrize("where", ["{}/pets", "../pets", "data/raw/../../../pets"])
def test_a_folder_elsewhere_is_linked_by_the_command(where: str, tmp_path: Path) -> None:
    fill(tmp_path / "pets", 2)
    problem = refusal(where.format(tmp_path))
    assert "is outside data/raw" in problem and "set path: data/raw/mine" in problem
    follow(problem)
    check_locations(own(Path("data/raw/mine")))
    assert len(list(Path("data/raw/mine").rglob("*.png"))) == 4


def test_a_file_elsewhere_is_linked_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "a b.npz").write_bytes(b"x")
    follow(refusal(tmp_path / "a b.npz", "arrays"))
    assert Path("data/raw/mine").read_bytes() == b"x"


@pytest.mark.parametrize("link", ["data/raw/mine", "data/raw/mine/cat", "data/raw/mine/cat/x"])
def test_links_to_folders_are_replaced_by_the_command(link: str, tmp_path: Path) -> None:
    fill(tmp_path / "pets", 2)
    Path(link).parent.mkdir(parents=True, exist_ok=True)
    Path(link).symlink_to(tmp_path / "pets")
    problem = refusal("data/raw/mine")
    assert problem.startswith(f"{link}: is a link to a folder, behind which DVC does not look")
    follow(problem)
    check_locations(own(Path("data/raw/mine")))
    assert len(list(Path(link).rglob("*.png"))) == 4


def test_links_to_files_are_used_and_links_to_nothing_refused(tmp_path: Path) -> None:
    fill(Path("data/raw/mine"), 2)
    (tmp_path / "x.png").touch()
    Path("data/raw/mine/cat/x.png").symlink_to(tmp_path / "x.png")
    check_locations(own(Path("data/raw/mine")))
    (tmp_path / "x.png").unlink()
    assert "cat/x.png: is a link to nothing" in refusal("data/raw/mine")


def test_the_whole_folder_of_own_data_may_lie_elsewhere(tmp_path: Path) -> None:
    fill(tmp_path / "disk/pets", 2)
    Path("data/raw").rmdir()
    Path("data/raw").symlink_to(tmp_path / "disk")
    check_locations(own(Path("data/raw/pets")))


@pytest.mark.parametrize("path", ["data/raw/mnist", "data/raw/cifar10/pets"])
def test_folders_that_dvc_does_not_look_at_are_refused(path: str) -> None:
    assert "is for a published data set and not looked at by DVC" in refusal(path)


@pytest.mark.parametrize("folder", ["tmp1", "standalone/tmp1"])
def test_a_copy_of_an_experiment_says_what_it_lacks(
    folder: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = project / ".dvc/tmp/exps" / folder
    (copy / ".dvc").mkdir(parents=True)
    check_locations(own(Path("data/raw/mine")))  # said when it is opened
    monkeypatch.chdir(copy)
    assert "run the experiment without --temp and --queue" in refusal("data/raw/mine")


def test_where_nothing_looks_for_changes_any_place_will_do(tmp_path: Path) -> None:
    Path(".dvc").rmdir()
    check_locations(own(tmp_path))


def test_data_sets_that_are_not_prepared_are_not_looked_at(tmp_path: Path) -> None:
    check_locations(own(tmp_path).model_copy(update={"datasets": ("digits",)}))
    assert "is outside" in refusal(tmp_path)
    with pytest.raises(UserError, match="is outside"):
        check_locations(own(tmp_path).model_copy(update={"datasets": ("mine-4",)}))
