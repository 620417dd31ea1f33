"""Build the site of the documents, `build/site`, from docs/ and from the code: `make docs`.

The pages of docs/ are joined by README, CHANGELOG, CONTRIBUTING and SECURITY, by the kept report,
and by a reference of keys, commands, columns and the API that is written from what defines them.
A warning of Sphinx is an error. Nothing is loaded from elsewhere, so the site opens from a folder.
"""

from __future__ import annotations

import inspect
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # this checkout, whatever is installed

import pyarrow as pa  # noqa: E402
from sphinx.cmd.build import main as sphinx  # noqa: E402

import gsa_core  # noqa: E402
from pipeline.common.commands import ONE_OF, PROGRAM, STAGES, commands  # noqa: E402
from pipeline.results import schemas  # noqa: E402
from pipeline.results.columns import description  # noqa: E402

BUILD = ROOT / "build"
PAGES = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}
# Where links of these pages lead within the site; files that are no part of it lose their link.
PLACES = {
    "params.yaml": "parameters.md",
    **{source: page for page, source in PAGES.items()},
}
REPORTS = ("reports/report.md", "reports/index.html")
# Pages of the site by section, in their order; every page is in one.
SECTIONS = {
    "Tutorials": "tutorial-images tutorial-library tutorial-cluster",
    "Guides": "data sweep report page tracking sql versions clusters gpu library troubleshooting "
    "coming-from upgrading",
    "Explanation": "design attention models hierarchy statistics performance scaling "
    "reliability results claims",
    "Reference": "parameters commands environment columns api glossary",
    "Project": "contributing changelog security",
}
# Members of layers that torch or a saved file calls, not a user.
HIDDEN = "extra_repr, identity, constants"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def _moved(link: re.Match[str]) -> str:
    """A link of a page of the project's root as one of the site."""
    mark, text, target = link.groups()
    if re.match(r"[a-z]+:|#", target):
        return link.group(0)
    path, _, anchor = target.partition("#")
    if path in REPORTS:
        return f'<a href="study/index.html">{text}</a>'
    if path.startswith("reports/figures/"):
        place = path.replace("reports/", "study/", 1)
    else:
        place = PLACES.get(path) or (path[5:] if path.startswith("docs/") else None)
    if place is None:
        return text
    return f"{mark}[{text}]({place}{f'#{anchor}' if anchor else ''})"


def _cell(text: str) -> str:
    """Text as a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


# --- keys of params.yaml


def parameters(schema: dict[str, Any]) -> str:
    """Return the reference of params.yaml from its JSON schema."""
    lines = [
        "# Keys of params.yaml",
        "",
        "Every key, what it accepts and its default; without a default it has to be given. Written "
        "from `params.schema.json`, by which editors complete and check the file.",
        "",
        *_keys(schema, "The file"),
    ]
    for name, section in schema["$defs"].items():
        if "properties" in section:
            lines += _keys(section, name)
    return "\n".join(lines)


def _keys(section: dict[str, Any], name: str) -> Iterator[str]:
    yield from (f"## {name}", "", section.get("description", ""), "")
    yield from ("| key | what it is | accepts | default |", "|---|---|---|---|")
    required = section.get("required", [])
    for key, says in section["properties"].items():
        default = "" if key in required else f"`{json.dumps(says.get('default'))}`"
        what, takes = _cell(says.get("description", "")), _cell(accepted(says))
        yield f"| `{key}` | {what} | {takes} | {default} |"
    yield ""


def accepted(says: dict[str, Any]) -> str:
    """Say in words what a key accepts."""
    if "$ref" in says:
        name = says["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in says or "oneOf" in says:
        return " or ".join(accepted(one) for one in says.get("anyOf") or says["oneOf"])
    if "const" in says:
        return f"`{says['const']}`"
    if "enum" in says:
        return ", ".join(f"`{value}`" for value in says["enum"])
    kind = says.get("type")
    if kind == "null":
        return f"`null` ({says['description']})" if "description" in says else "`null`"
    if kind == "array":
        inside = says.get("items") or {"anyOf": says.get("prefixItems", [])}
        return f"a list of {accepted(inside)}" if inside else "a list"
    if kind == "object":
        return _mapping(says)
    return _plain(says, str(kind))


def _mapping(says: dict[str, Any]) -> str:
    """Say what a mapping accepts: its keys, and its values."""
    keys = says.get("propertyNames", {})
    values = says.get("additionalProperties")
    parts = [accepted(keys)] if keys.get("enum") else ["names"]
    if isinstance(values, dict):
        parts.append(accepted(values))
    return "keys " + ", values ".join(parts)


def _plain(says: dict[str, Any], kind: str) -> str:
    """Say what a number, a text or a truth value accepts."""
    if "errorMessage" in says:
        return str(says["errorMessage"])
    word = {"integer": "a whole number", "number": "a number", "boolean": "`true` or `false`"}
    bounds = [
        (says.get("exclusiveMinimum"), "above"),
        (says.get("minimum"), "from"),
        (says.get("exclusiveMaximum"), "below"),
        (says.get("maximum"), "to"),
    ]
    limits = " ".join(f"{name} {bound:g}" for bound, name in bounds if bound is not None)
    return f"{word.get(kind, 'text')} {limits}".strip()


# --- commands


def command_page() -> str:
    """Return the reference of the command line."""
    lines = [
        "# Commands",
        "",
        f"`{PROGRAM} COMMAND`; `--help` after a command says the same. The stages are run in order "
        "by `make study` or `dvc repro`.",
        "",
    ]
    for name, command in commands().items():
        kind = "stage" if name in STAGES else "tool"
        lines += [f"## {name}", "", f"*{kind}*: {command.help}", ""]
        if command.flat:
            lines += ["| argument | what it is |", "|---|---|"]
            lines += [
                f"| `{argument}` | {_cell(str(options.get('help', '')))} |"
                for argument, options in command.flat.items()
                if argument != ONE_OF
            ]
            lines.append("")
    return "\n".join(lines)


# --- columns


def column_page() -> str:
    """Return the reference of the tables of a study."""
    lines = [
        "# Columns of the tables",
        "",
        "A study's results are Parquet files, one of each table in `data/sweep/<dataset>/` and "
        "`data/confirm/<dataset>/`. The key makes a row unique, and orders the rows. "
        "[sql.md](sql.md) has queries.",
        "",
    ]
    for schema in (value for value in vars(schemas).values() if isinstance(value, pa.Schema)):
        table = schemas.table_name(schema)
        key = ", ".join(f"`{name}`" for name in schemas.key_columns(schema))
        lines += [f"## {table}", "", f"Key: {key}", ""]
        lines += ["| column | type | what it holds |", "|---|---|---|"]
        lines += [
            f"| `{field.name}` | {field.type} | {_cell(description(table, field.name))} |"
            for field in schema
        ]
        lines.append("")
    return "\n".join(lines)


# --- the API


def api_page() -> str:
    """Return the reference of the public names of gsa_core, by the package that has them."""
    sections: dict[str, list[str]] = {}
    for name in gsa_core.__all__:
        value = getattr(gsa_core, name)
        if inspect.isclass(value):
            options = f":members:\n   :exclude-members: {HIDDEN}"
            directive = f".. autoclass:: gsa_core.{name}\n   {options}"
        elif callable(value):
            directive = f".. autofunction:: gsa_core.{name}"
        else:
            continue
        package = ".".join(value.__module__.split(".")[:2])
        sections.setdefault(package, []).append(directive)
    for module in ("gsa_core.figures", "gsa_core.hub"):  # they need packages of an extra
        sections[module] = [f".. automodule:: {module}\n   :members:"]
    lines = ["# API of gsa_core", ""]
    for package, directives in sections.items():
        lines += [f"## {package}", "", "```{eval-rst}", *directives, "```", ""]
    return "\n".join(lines)


# --- the site


def contents() -> str:
    """Return the lists of pages that Sphinx makes the navigation of."""
    lines = []
    for name, pages in SECTIONS.items():
        lines += ["```{toctree}", ":hidden:", f":caption: {name}", "", *pages.split(), "```", ""]
    return "\n".join(lines)


def collect(source: Path, extra: Path) -> None:
    """Write all pages to a folder for Sphinx, and what is copied as it is to another."""
    shutil.rmtree(BUILD / "docs", ignore_errors=True)
    shutil.copytree(ROOT / "docs", source)
    schema = json.loads((ROOT / "params.schema.json").read_text(encoding="utf-8"))
    made = {
        "parameters.md": parameters(schema),
        "commands.md": command_page(),
        "columns.md": column_page(),
        "api.md": api_page(),
    }
    for page, path in PAGES.items():
        made[page] = LINK.sub(_moved, (ROOT / path).read_text(encoding="utf-8"))
    made["index.md"] += "\n" + contents()
    for page, text in made.items():
        (source / page).write_text(text, encoding="utf-8")
    for place in (source, extra):
        shutil.copytree(ROOT / "reports/figures", place / "study/figures")
    shutil.copy(ROOT / "reports/index.html", extra / "study/index.html")


def main() -> None:
    """Build the site."""
    source, extra = BUILD / "docs/source", BUILD / "docs/extra"
    collect(source, extra)
    site = BUILD / "site"
    shutil.rmtree(site, ignore_errors=True)
    failed = sphinx(["-q", "-W", "--keep-going", "-b", "html", str(source), str(site)])
    if failed:
        sys.exit(failed)
    print(f"Documents: {site.relative_to(ROOT)}/index.html")


if __name__ == "__main__":
    main()
