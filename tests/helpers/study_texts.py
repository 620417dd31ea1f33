"""Studies as text, read or refused, for tests of params.yaml."""

from __future__ import annotations

import copy
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.common.errors import UserError
from pipeline.study.params import load_params
from pipeline.study.schema import Params

SECONDS = 2  # of processor time, to refuse any file
DEFAULT = (Path(__file__).resolve().parents[1] / "study.yaml").read_text()
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # in C where that is built
VALUES = yaml.safe_load(DEFAULT)


def study(**changes: Any) -> str:
    """The default study with values changed by dotted path (``__`` for a dot)."""
    values = copy.deepcopy(VALUES)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = values
        for key in parents:
            place = place[key]
        place[last] = value
    return yaml.dump(values, Dumper=DUMPER, sort_keys=False)


def read(tmp_path: Path, text: str | bytes) -> Params:
    file = tmp_path / "params.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_params(file)


def refused(tmp_path: Path, text: str | bytes) -> list[str]:
    """The sentences with which a study is refused."""
    start = time.process_time()
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert time.process_time() - start < SECONDS
    for problem in caught.value.problems:
        assert re.match(r"params\.yaml:(\d+:)? \S", problem), problem
        assert "\n" not in problem and len(problem) < 500, problem
    return list(caught.value.problems)
