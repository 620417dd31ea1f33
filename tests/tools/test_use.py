"""Ready-made studies: each is valid, and using one checks the machine and writes params.yaml."""

from __future__ import annotations

import itertools
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_study
import pytest
import yaml
from images import fill

from pipeline.common.commands import STAGES
from pipeline.common.errors import UserError
from pipeline.execution.parallel_trials import parallel_here
from pipeline.execution.state_folder import stage_lock
from pipeline.study.cells import cells, seeds_of
from pipeline.study.datasets import SOURCES
from pipeline.study.params import load_params
from pipeline.study.tuning import searched
from pipeline.tools.new import new
from pipeline.tools.support import forecast as estimate
from pipeline.tools.support import study_time
from pipeline.tools.support.forecast import Sizes, estimate_seconds
from pipeline.tools.use import _counted, use
from pipeline.training import cost

STUDIES = sorted((Path(__file__).resolve().parents[2] / "studies").glob("*.yaml"))


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the studies, where estimates take no time."""
    shutil.copytree(root / "studies", tmp_path / "studies")
    shutil.copy(root / "tests/study.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GSA_DATA", raising=False)
    monkeypatch.setattr(estimate, "estimate_seconds", lambda *_: 5400.0)
    return tmp_path


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_is_valid_and_named_after_its_file(path: Path) -> None:
    assert load_params(path).study == path.stem
    schema, first, second = path.read_text().splitlines()[:3]
    assert schema == "# yaml-language-server: $schema=../params.schema.json"
    assert first.startswith("# ") and second.startswith(f"# `python -m pipeline use {path.stem}`")


def test_the_studies_that_are_promised_are_there() -> None:
    assert {path.stem for path in STUDIES} >= {
        "digits", "rotated-mnist-quick", "rotated-mnist", "published", "cifar10", "patch-camelyon",
        "own-folder",
    }  # fmt: skip


def test_rotated_mnist_has_the_promised_cells_and_seeds(root: Path) -> None:
    params = load_params(root / "studies/rotated-mnist.yaml")
    found = cells(params)
    assert len(found) == 12
    seeds = {cell.group: len(seeds_of(params, "rotated-mnist", cell)) for cell in found}
    assert seeds == {"C8": 6, "C4": 3, "C1": 3}
    assert [cell.name for cell in searched(params, "rotated-mnist")] == [
        "staged-C4-relative-d2-trunk"
    ]
    assert params.prepare.seed != 0 and params.confirm.keep_runs
    # One point of every domain: the same configuration on every machine.
    assert all(len(domain.choices) == 1 for domain in params.sweep.search_space.values())


def test_using_a_study_writes_it_and_keeps_what_was_there(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (project / "params.yaml").read_text() + "# mine\n"
    before = before.replace("study: ", "study: my-", 1)
    (project / "params.yaml").write_text(before)
    use("digits")
    written = (project / "params.yaml").read_bytes()
    there = (project / "studies/digits.yaml").read_bytes()
    assert written == there.replace(b"../params.schema.json", b"params.schema.json")
    assert (project / "params.before.yaml").read_text() == before
    said = capsys.readouterr().out
    for words in (
        "data: digits comes with",
        "GPU: ",
        "disk: ",
        "memory: ",
        "time: about 1 h 30 min",
    ):
        assert words in said
    (project / "params.before.yaml").unlink()
    use("rotated-mnist-quick")  # what is a study of the project needs no copy
    assert not (project / "params.before.yaml").exists()
    assert "data/raw/mnist" in capsys.readouterr().out


def test_a_report_of_another_study_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "reports").mkdir()
    (project / "reports/index.html").write_text("<title>symmetry: report</title>")
    use("digits")
    assert capsys.readouterr().out.splitlines()[-1] == (
        "digits: reports/index.html is still the report of the study symmetry; `make study` "
        "replaces it by that of digits"
    )
    use("symmetry")
    assert "reports/index.html" not in capsys.readouterr().out


def test_own_images_are_looked_at(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    use("own-folder")
    assert "my-images cannot be used yet: data/raw/my-images: there is no such folder" in (
        capsys.readouterr().out
    )
    fill(project / "data/raw/my-images", 20)
    use("own-folder")
    assert (
        "data: my-images is here: 40 image files, readable or not, in 2 classes"
        in capsys.readouterr().out
    )


def test_studies_are_listed_and_unknown_ones_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(None)
    assert len(capsys.readouterr().out.splitlines()) == len(STUDIES)
    message = r"got 'cifar'; accepts .*cifar10, .*did you mean 'cifar10'"
    with pytest.raises(UserError, match=message):
        use("cifar")


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("digits", {}, (1078, 270, 449)),
        ("mnist", {}, (51_000, 9_000, 10_000)),
        ("rotated-mnist", {}, (10_000, 2_000, 50_000)),
        ("rotated-mnist", {"images_per_class": 5, "test_images": 7}, (50, 2_000, 7)),
        ("cifar10", {"train_fraction": 0.1}, (4_250, 7_500, 10_000)),
    ],
)
def test_images_are_counted_before_they_are_there(
    name: str, change: dict[str, float], expected: tuple[int, int, int], tmp_path: Path, root: Path
) -> None:
    values = yaml.safe_load((root / "studies/digits.yaml").read_text())
    values["prepare"] |= {"validation_fraction": 0.15, "test_fraction": 0.25, **change}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    params = load_params(tmp_path / "params.yaml")
    sizes = _counted(params, Sizes(1, 10, 28, 0), dict(SOURCES[name].given))
    assert (sizes.train, sizes.validation, sizes.test) == expected


def test_more_work_is_estimated_to_take_longer(tmp_path: Path, root: Path) -> None:
    values = yaml.safe_load((root / "studies/digits.yaml").read_text())
    values["sweep"] |= {"group": ["C1"], "positional": ["absolute"], "depth": [1]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    params = load_params(tmp_path / "params.yaml")
    few, many = (
        estimate_seconds(params, {"digits": Sizes(1, 10, 8, 0, n, n, n)}, "cpu")
        for n in (100, 10_000)
    )
    assert 0 < few < many


def test_an_estimate_is_what_a_plan_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """One clock that counts steps instead of seconds: both commands count the same work."""
    ticks = itertools.count()
    monkeypatch.setattr(cost.time, "process_time", lambda: float(next(ticks)))
    monkeypatch.setattr(estimate, "use_threads", lambda count: None)
    monkeypatch.setattr(estimate, "LONGEST", math.inf)
    params = fake_study.study()
    sizes = Sizes(1, 10, 8, 0, train=16, validation=16, test=40)
    planned = sum(
        estimate.forecast(params, fake_study.small_data(), cell).seconds for cell in cells(params)
    )
    told = estimate_seconds(params, {"digits": sizes}, "cpu") * parallel_here(params)
    assert told == pytest.approx(planned)


def test_cells_that_are_not_measured_are_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(cost.time, "process_time", lambda: float(next(ticks)))
    monkeypatch.setattr(estimate, "SECONDS", -1.0)
    monkeypatch.setattr(estimate, "image_flops", lambda *_: 7.0)
    params = fake_study.study()
    sizes = Sizes(1, 10, 8, 0, train=16, validation=16, test=40)
    one = estimate_seconds(fake_study.study(group=["C1"]), {"digits": sizes}, "cpu")
    assert estimate_seconds(params, {"digits": sizes}, "cpu") == pytest.approx(3 * one)


@pytest.mark.parametrize("limit", [0.0, 60.0])
def test_networks_are_measured_once_and_the_nearest_stands_for_others(
    monkeypatch: pytest.MonkeyPatch, limit: float
) -> None:
    """Data sets of one image size share their networks, as do augmentations and sizes."""
    asked = []

    def measured(config: dict[str, Any], data: Any, *_: Any) -> tuple[float, float]:
        asked.append((data.image_size, config["group"]))
        flops = estimate.image_flops(config, data)
        return 3e-9 * flops, 1e-9 * flops

    monkeypatch.setattr(estimate, "image_seconds", measured)
    params = fake_study.study(augment=["none", "turn"], training_images=[None, 10])
    sizes = {name: Sizes(1, 10, side, 0, 16, 16, 40) for name, side in
             (("digits", 8), ("glyphs-half", 16), ("glyphs-pose", 16))}  # fmt: skip
    told = estimate_seconds(params, sizes, "cpu", limit)
    assert len(asked) == len(set(asked)) == (6 if limit else 1)
    # Seconds are proportional to FLOPs here, so that what is not measured is exact.
    asked.clear()
    assert told == pytest.approx(estimate_seconds(params, sizes, "cpu", 60.0))


@pytest.mark.parametrize("section", ["digits", "symmetry", "own-folder"])
def test_a_study_says_how_long_it_will_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path, section: str
) -> None:
    monkeypatch.setattr(study_time, "estimate_seconds", lambda *_: 600.0)
    monkeypatch.setattr(study_time, "parallel_here", lambda *_: 2)
    monkeypatch.delenv("GSA_ENGINE", raising=False)
    params = load_params(root / f"studies/{section}.yaml")
    said = study_time.sentence(params)
    minutes = {"digits": "11 min", "symmetry": "12 min"}.get(section)
    if minutes is None:
        assert said.startswith("time: no estimate before all data are there (my-images cannot")
    else:
        head = f"time: {minutes} or more for the whole study with 2 trials in parallel, by a few"
        assert said.startswith(head) and said.endswith("so that the rest takes less")
        with_ray = study_time._starts()
        monkeypatch.setenv("GSA_ENGINE", "in-process")
        assert study_time._starts() == with_ray - 2 * study_time.RAY


def test_small_and_large_are_written_for_people(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use("digits")
    said = capsys.readouterr().out
    assert re.search(r"memory: \d+\.\d kB of images", said) and "e-0" not in said
    assert re.search(r"disk: [\d.]+ (kB|MB) while preparing, [\d.,]+ [GT]B free", said)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("command", [lambda: use("digits"), lambda: new("pets", Path("raw"))])
def test_params_are_not_changed_under_a_stage(
    stage: str, command: Callable[[], None], project: Path
) -> None:
    fill(project / "raw", 12)
    before = Path("params.yaml").read_bytes()
    with (
        stage_lock(stage),
        pytest.raises(UserError, match=rf"params.yaml: {stage} is running \(pid "),
    ):
        command()
    assert Path("params.yaml").read_bytes() == before
