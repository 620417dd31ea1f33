"""params.yaml: a slip is refused in one line that names the value and what helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_texts import DEFAULT, refused, study

SLIPS = {
    "C0": (study(sweep__group=["C1", "C0"]), "sweep.group[1]: got 'C0'", "did you mean 'C1'?"),
    "E4": (study(sweep__group=["C1", "E4"]), "sweep.group[1]: got 'E4'", "did you mean 'C4'?"),
    "a bare number": (study(sweep__group=["C1", 4]), "sweep.group[1]: got 4", "'C4'"),
    "no group": (study(sweep__group=[]), "sweep.group: got 0 values", "a list of 1 to"),
    "no list": (study(sweep__group="C4"), "sweep.group: got 'C4'", "did you mean '[C4]'?"),
    "a group twice": (study(sweep__group=["C1", "C1"]), "sweep.group[1]: got 'C1' a second", ""),
    "table with C8": (
        study(sweep__group=["C1", "C8"], sweep__architecture__encoding="table"),
        "sweep.group[1]: got 'C8' with sweep.architecture.encoding 'table'",
        "C1, C2, C4, D1, D2, D4 with a table",
    ),
    "window above the image": (
        study(sweep__architecture__window=9, sweep__tokens=["pixel"]),
        "sweep.architecture.window: got 9, but digits has 8x8 pixel tokens",
        "did you mean '7'?",
    ),
    "window above the stem": (
        study(sweep__architecture__window=5),
        "sweep.architecture.window: got 5, but digits has 4x4 stem tokens",
        "did you mean '3'?",
    ),
    "another augmentation": (
        study(sweep__augment=["none", "quarters"]),
        "sweep.augment[1]: got 'quarters'; accepts none, quarter, turn, turn_mirror",
        "did you mean 'quarter'?",
    ),
    "one augmentation, misspelt": (
        study(sweep__augment="turm"),
        "sweep.augment: got 'turm'",
        "did you mean '[turn]'?",
    ),
    "more images than there are": (
        study(sweep__training_images=[None, 5000]),
        "sweep.training_images[1]: got 5000, but digits has about 1,088 training images",
        "from 10 to 1088",
    ),
    "fewer images than classes": (
        study(sweep__training_images=[9]),
        "sweep.training_images[0]: got 9, but digits has 10 classes",
        "from 10",
    ),
    "more images than images_per_class": (
        study(sweep__training_images=[300], prepare__images_per_class=20),
        "sweep.training_images[0]: got 300, but digits has about 200 training images",
        "",
    ),
    "half an image": (
        study(sweep__training_images=[10.5]),
        "sweep.training_images[0]: got 10.5",
        "null",
    ),
    "a baseline of no augmentation": (
        study(report__baseline__augment="turn"),
        "report.baseline: got group C1, positional absolute, augment turn, which together no cell",
        "",
    ),
    "a baseline with other images": (
        study(report__baseline__training_images=100),
        "report.baseline: got group C1, positional absolute, training_images 100, which together",
        "",
    ),
    "even window": (study(sweep__architecture__window=2), "got 2, which has no middle", "'1'"),
    "zero trials": (
        study(sweep__trials_per_cell=0),
        "sweep.trials_per_cell: got 0; accepts a whole number from 1 to 10000",
        "",
    ),
    "a billion trials": (study(sweep__trials_per_cell=10**9), "got 1000000000; accepts", ""),
    "too many trials": (
        study(sweep__trials_per_cell=10_000, sweep__depth=list(range(1, 31))),
        "sweep.trials_per_cell: got 10000 for each of 270 cells, which is 2,700,000 trials",
        "1,000,000",
    ),
    "a typo": (DEFAULT.replace("epochs:", "epoch:"), "sweep.epoch: unknown key", "'epochs'"),
    "the wrong section": (
        study(confirm__trials_per_cell=3),
        "confirm.trials_per_cell: unknown key",
        "did you mean 'sweep.trials_per_cell'?",
    ),
    "a misspelt section": (DEFAULT.replace("\nreport:", "\nreprot:"), "reprot: unknown", "report"),
    "a plain transformer twice": (
        study(sweep__model=["gsa", "vit"], sweep__tokens=["patch"]),
        "sweep.model[1]: got 'vit' with 'gsa' with group C1 and tokens patch",
        "one of the two",
    ),
    "symmetrized off the grid": (
        study(sweep__model=["symmetrized"], sweep__group=["C1", "C8"]),
        "sweep.model[0]: got 'symmetrized' with sweep.group C8, whose turns leave the grid",
        "C1, C2, C4, D1, D2, D4",
    ),
    "a published width solved": (
        study(sweep__model=["gsa", "published_rotmnist"]),
        "sweep.match: got parameters with sweep.model published_rotmnist, whose width",
        "did you mean 'null'?",
    ),
    "nothing to search of a model": (
        study(
            sweep__model=["gcnn"],
            sweep__search_space={"dropout": {"choices": [0, 0.1]}},
        ),
        "sweep.model[0]: got 'gcnn', which has nothing of sweep.search_space (dropout)",
        "learning_rate",
    ),
    "patches that do not tile": (
        study(sweep__tokens=["patch"], sweep__architecture__patch_size=3),
        "sweep.architecture.patch_size: got 3, which does not tile digits (8x8) symmetrically",
        "1, 2, 4, 5, 6, 7, 8",
    ),
    "a stem of threes": (
        study(sweep__architecture__patch_size=3),
        "sweep.architecture.patch_size: got 3 with stem tokens; accepts null or 2, 4, 8, 16",
        "",
    ),
    "an encoding that no cell uses": (
        study(sweep__architecture__encoding="continuous", sweep__positional=["none", "rotary"]),
        "sweep.architecture.encoding: got 'continuous', which no cell",
        "auto",
    ),
    "a table of distances alone": (
        study(sweep__architecture__encoding="table", sweep__positional=["radial"]),
        "sweep.architecture.encoding: got 'table', which no cell",
        "auto",
    ),
    "a patch size that no tokens have": (
        study(sweep__architecture__patch_size=2, sweep__tokens=["pixel", "trunk"]),
        "sweep.architecture.patch_size: got 2, which no cell",
        "null",
    ),
    "a bound on tokens that have no patches": (
        study(sweep__architecture__max_tokens=16, sweep__tokens=["pixel"]),
        "sweep.architecture.max_tokens: got 16, which no cell",
        "null",
    ),
    "a patch size and a bound on tokens": (
        study(sweep__architecture__max_tokens=16, sweep__architecture__patch_size=2),
        "sweep.architecture.patch_size: got 2 with max_tokens",
        "null",
    ),
    "a window that no model has": (
        study(sweep__architecture__window=3, sweep__model=["gcnn"]),
        "sweep.architecture.window: got 3, which no model",
        "null",
    ),
    "a shape without a window": (
        study(sweep__architecture__window_shape="disc"),
        "sweep.architecture.window_shape: got 'disc' with window null",
        "auto",
    ),
    "the sweep's seed confirmed": (
        study(confirm__seeds=[101, 0]),
        "confirm.seeds[1]: got 0, the seed the sweep tuned with",
        "",
    ),
    "a seed twice": (study(confirm__seeds=[101, 101]), "confirm.seeds[1]: got 101 a second", ""),
    "angles without quarters": (
        study(confirm__angles=30),
        "confirm.angles: got 30; accepts a multiple of 4",
        "did you mean '28'?",
    ),
    "a baseline without a cell": (
        study(report__baseline__group="C2"),
        "report.baseline.group: got 'C2', which no cell of the study has; accepts what sweep.group",
        "",
    ),
    "a baseline that is no cell": (
        study(report__baseline__model="gcnn"),
        "report.baseline: got group C1, positional absolute, model gcnn, which together no cell",
        "",
    ),
    "percent": (study(report__confidence="95%"), "report.confidence: got '95%'", "'0.95'"),
    "quoted number": (study(sweep__epochs="12"), "sweep.epochs: got '12'", "did you mean '12'?"),
    "float for a count": (study(sweep__epochs=12.0), "sweep.epochs: got 12.0", "'12'"),
    "yes": (
        DEFAULT.replace("log: true", "log: yes"),
        "sweep.search_space.learning_rate.log: got 'yes'; accepts true or false",
        "did you mean 'true'?",
    ),
    "true for a count": (study(sweep__epochs=True), "sweep.epochs: got true", ""),
    "infinity": (
        DEFAULT.replace("high: 0.01,", "high: .inf,"),
        "sweep.search_space.learning_rate.high: got inf",
        "",
    ),
    "null for none": (
        DEFAULT.replace("[none,", "[null,"),
        "sweep.positional[0]: got null",
        "did you mean 'none'?",
    ),
    "none for null": (
        DEFAULT.replace("window: null", "window: none"),
        "sweep.architecture.window: got 'none'",
        "did you mean 'null'?",
    ),
    "no data left to train": (
        study(prepare__validation_fraction=0.6, prepare__test_fraction=0.4),
        "prepare.test_fraction: got 0.4 with validation_fraction 0.6, which leaves 0%",
        "",
    ),
    "a path as a name": (study(study="../x"), "study: got '../x'", "did you mean 'x'?"),
    "a missing section": (DEFAULT.partition("\nresources:")[0], "resources: missing; accepts", ""),
}


@pytest.mark.parametrize(("text", "sentence", "hint"), SLIPS.values(), ids=SLIPS)
def test_slip_is_named_with_what_helps(tmp_path: Path, text: str, sentence: str, hint: str) -> None:
    problems = refused(tmp_path, text)
    assert any(sentence in problem and hint in problem for problem in problems), problems
