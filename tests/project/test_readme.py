"""The README's examples run; links and paths of all pages lead to files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

import gsa_core
from gsa_core.attention.encodings.registry import POSITIONAL

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text()
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
}
# Pages that name what is no more.
OLD_NAMES = ("CHANGELOG.md", "docs/upgrading.md")
# A study makes these; before the first one they are not there.
MADE = ("reports/",)


def blocks(language: str) -> list[str]:
    """Code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_library_example_runs() -> None:
    example = blocks("python")[0]
    assert len([line for line in example.splitlines() if line]) <= 12
    exec(compile(example, "README.md", "exec"), {})


def test_a_network_is_brought_back_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file written as `confirm` writes it, under the name that the README gives."""
    from gsa_core.models.network_file import to_bytes
    from pipeline.confirm.result_store import RunStore
    from pipeline.confirm.tables import write_weights

    example = next(block for block in blocks("python") if " load(" in block)
    path = Path(re.search(r'"(.*)"', example)[1])  # type: ignore[index]
    saved = gsa_core.build_model(image_size=8, channels=8)
    monkeypatch.chdir(tmp_path)
    store = RunStore(tmp_path / "store")
    store.put("key", {"weights": to_bytes(saved)})
    name = write_weights(path.parent, path.stem, store.get("key") or {})
    assert name == path.as_posix()
    found: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), found)
    assert found["model"].config == saved.config


NEEDS = {"gsa_core.hub": "huggingface_hub", "figures": "matplotlib", "torch.onnx": "onnxscript"}
SNIPPETS = re.findall(
    r"^```python\n(.*?)^```$", PAGES["docs/library.md"], flags=re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippets_of_the_library_run(
    snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, needed in NEEDS.items():
        if words in snippet:
            pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    with mock.patch.dict(POSITIONAL):  # one snippet adds an encoding
        exec(compile(snippet, "docs/library.md", "exec"), {})


COSTS = re.findall(
    r"^\| (?:defaults|`([a-z_]+=[^`]*)`)[^|]*\| ([\d,]+) \| (\d+) \|",
    PAGES["docs/library.md"],
    flags=re.MULTILINE,
)


@pytest.mark.parametrize(("arguments", "parameters", "flops"), COSTS)
def test_costs_of_the_library_are_those_of_its_networks(
    arguments: str, parameters: str, flops: str
) -> None:
    chosen = eval(f"dict({arguments})")
    model = gsa_core.build_model(group="D4", in_channels=3, image_size=32, **chosen)
    assert f"{gsa_core.count_parameters(model):,}" == parameters
    assert str(round(gsa_core.count_flops(model, (3, 32, 32)) / 1e6)) == flops


def test_the_library_shows_costs() -> None:
    assert len(COSTS) == 5


@pytest.mark.parametrize(
    ("page", "target"),
    [(name, link) for name, text in PAGES.items() for link in re.findall(r"\]\(([^)#:]+)\)", text)],
)
def test_link_leads_to_a_file(page: str, target: str) -> None:
    path = (ROOT / page).parent / target
    if not path.resolve().is_relative_to(ROOT / "reports"):
        assert path.is_file()


@pytest.mark.parametrize("page", [name for name in PAGES if name not in OLD_NAMES])
def test_paths_that_a_page_names_exist(page: str) -> None:
    named = re.findall(r"`((?:gsa_core|pipeline|tests|scripts|benchmarks)/[\w/.]+)`", PAGES[page])
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {citation[key] for key in ("version", "license")} == {
        project[key] for key in ("version", "license")
    }
    assert gsa_core.__version__ == project["version"]
    assert citation["keywords"] == project["keywords"]


def test_tree_names_what_is_there(root: Path) -> None:
    tree = next(block for block in blocks("") if block.startswith("params.yaml"))
    folder = ""
    for line in tree.splitlines():
        name = line.split()[0]
        folder = "" if not line.startswith(" ") else folder
        if not (folder + name).startswith((*MADE, "data/")):
            assert (root / folder / name).exists(), folder + name
        folder = name if not line.startswith(" ") and name.endswith("/") else folder
