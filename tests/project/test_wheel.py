"""The wheel, built and imported where nothing else of the project is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_is_pure_and_holds_all_that_the_library_needs(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    source, unpacked = tmp_path / "source", tmp_path / "unpacked"
    for name in ("gsa_core", "pipeline"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = source.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    zipfile.ZipFile(wheel).extractall(unpacked)
    code = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r}); import gsa_core, torch, pathlib\n"
        "from gsa_core.attention.backends.kernel_calls import SOURCE\n"
        "assert SOURCE.is_file() and SOURCE.with_name('window_attention.h').is_file()\n"
        "model = gsa_core.build_model(image_size=8, channels=4)\n"
        "print(gsa_core.__version__, gsa_core.__file__, *model(torch.zeros(1, 1, 8, 8)).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    version, file, *shape = done.stdout.split()
    assert Path(file).is_relative_to(unpacked)
    assert f"gsa_core-{version}-" in wheel.name
    assert shape == ["1", "10"]
