"""Pages that name variables and messages name those of the code; Sphinx checks the rest."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

TEXTS = (".py", ".yaml", ".sh", ".sbatch", ".jinja", ".js", ".h", ".cpp")


def variables(root: Path) -> list[str]:
    """The variables that code of the project reads by name."""
    found: set[str] = set()
    for folder in ("gsa_core", "pipeline"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            found |= set(re.findall(r"environ(?:\.get\(|\[)\s*\"(GSA_[A-Z_]+)\"", text))
    return sorted(found)


def test_every_variable_is_in_the_reference(root: Path) -> None:
    page = (root / "docs/environment.md").read_text(encoding="utf-8")
    read = variables(root)
    assert "GSA_STATE" in read
    assert not [name for name in read if f"`{name}`" not in page]


def quoted(root: Path) -> list[str]:
    """The messages that the page of troubleshooting has in its first columns."""
    page = (root / "docs/troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \|", page, flags=re.MULTILINE)
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


def test_messages_of_troubleshooting_are_those_of_the_code(root: Path) -> None:
    files = [*(root / "pipeline").rglob("*.py"), *(root / "scripts").glob("*.py")]
    files += [*(root / "gsa_core").rglob("*.py"), root / "Makefile"]
    code = " ".join(re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8")) for path in files)
    messages = quoted(root)
    assert len(messages) >= 20
    assert not [message for message in messages if message not in code]


def refusals(root: Path) -> dict[str, str]:
    """The texts of what `pipeline/execution` raises for a user, by their places."""
    found: dict[str, str] = {}
    for path in sorted((root / "pipeline/execution").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call in [one for one in ast.walk(tree) if isinstance(one, ast.Call)]:
            if getattr(call.func, "id", "") in ("UserError", "CannotWork"):
                parts = [one for given in call.args for one in ast.walk(given)]
                texts = [one.value for one in parts if isinstance(one, ast.Constant)]
                text = "".join(one for one in texts if isinstance(one, str))
                found |= {f"{path.name}:{call.lineno}": text} if text else {}
    return found


def test_every_refusal_of_an_engine_is_in_troubleshooting(root: Path) -> None:
    texts, messages = refusals(root), quoted(root)
    assert len(texts) >= 20
    assert not {
        place: text for place, text in texts.items() if not any(one in text for one in messages)
    }


def test_the_tutorial_of_the_library_runs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (root / "docs/tutorial-library.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for snippet in snippets:
        quick = snippet.replace("epochs = 10", "epochs = 1")
        exec(compile(quick, "docs/tutorial-library.md", "exec"), names)
    assert "{'C1': 14682, 'C4': 15114}" in capsys.readouterr().out
    assert (tmp_path / "turned.png").stat().st_size > 10_000


def phrases(root: Path) -> dict[str, str]:
    """Entries of the word list with several words, which codespell cannot find."""
    lines = (root / "docs/words.txt").read_text(encoding="utf-8").splitlines()
    listed = dict(line.split("->") for line in lines)
    return {found: better for found, better in listed.items() if " " in found}


def test_no_page_message_or_comment_has_a_phrase_of_the_word_list(root: Path) -> None:
    listed = phrases(root)
    wanted = re.compile("|".join(rf"\b{found}\b" for found in listed), re.IGNORECASE)
    files = [*root.glob("*.md"), *(root / "docs").glob("*.md")]
    for folder in ("gsa_core", "pipeline", "scripts", "benchmarks", "clusters", "studies"):
        files += [path for path in (root / folder).rglob("*") if path.suffix in TEXTS]
    found = {
        f"{path.relative_to(root)}: {match[0]}": listed[match[0].lower()]
        for path in files
        for match in wanted.finditer(re.sub(r"`[^`]*`", "", path.read_text(encoding="utf-8")))
    }
    assert not found


def without_numbers(text: str) -> list[str]:
    """Lines of an output; measured numbers may differ in the last digit elsewhere."""
    return re.sub(r"\d+", "#", text).splitlines()


def test_the_tutorial_of_images_makes_the_study_that_it_shows(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.common.commands import parse
    from pipeline.tools import check, new
    from pipeline.tools.support import forecast

    page = (root / "docs/tutorial-images.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    script = next(text for language, text in blocks if language == "python")
    edits = next(text for language, text in blocks if language == "yaml")
    shown = [text for language, text in blocks if not language]
    for folder in (".dvc", "studies", "reports"):
        (tmp_path / folder).mkdir()
    shutil.copy(root / "reports/index.html", tmp_path / "reports")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(forecast, "estimate_seconds", lambda *_: 60.0)
    exec(compile(script, "docs/tutorial-images.md", "exec"), {})
    new.main(parse(shown[0].split()[3:]))
    text = Path("params.yaml").read_text(encoding="utf-8")
    for line in edits.splitlines():
        key = line.split(":")[0].strip()
        text, found = re.subn(rf"^ *(# )?{key}:.*$", line, text, flags=re.MULTILINE)
        assert found == 1
    Path("params.yaml").write_text(text, encoding="utf-8")
    check.main(parse(shown[2].split()[3:]))
    said = without_numbers(capsys.readouterr().out)
    assert not set(without_numbers(shown[1] + shown[3])) - set(said)


@pytest.mark.parametrize("name", ["tutorial-images", "tutorial-cluster"])
def test_commands_of_the_tutorials_are_those_of_the_command_line(root: Path, name: str) -> None:
    from pipeline.common.commands import STAGES, parse

    page = (root / f"docs/{name}.md").read_text(encoding="utf-8")
    lines = re.findall(r"^python -m pipeline (.+)$", page, flags=re.MULTILINE)
    assert lines
    for line in lines:
        arguments = shlex.split(line, comments=True)
        assert arguments[0] in STAGES or parse(arguments)
