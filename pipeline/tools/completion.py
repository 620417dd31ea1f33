"""Print a shell script that completes commands and options.

In bash: eval "$(python -m pipeline completion bash)"; in zsh: the same with zsh.
"""

from __future__ import annotations

from argparse import Namespace

from pipeline.common.commands import Command, commands

__all__ = ["main", "script"]

ARGUMENTS = {"shell": {"choices": ["bash", "zsh"]}}

# zsh runs functions of bash; `bashcompinit` gives them bash's variables.
ZSH = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n"
SCRIPT = """\
_gsa_pipeline() {{
    COMPREPLY=()
    [ "${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}" = "-m pipeline" ] || return 0
    local words="{names} --help --version"
    if [ "$COMP_CWORD" -gt 3 ]; then
        case "${{COMP_WORDS[3]}}" in
{cases}
            *) return 0 ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _gsa_pipeline python python3
"""
STUDIES = "$(ls studies 2>/dev/null | sed -n 's/[.]yaml$//p')"


def main(given: Namespace) -> None:
    """Print the script of a shell."""
    print(script(given.shell), end="")


def script(shell: str) -> str:
    """Return the completion script of ``bash`` or ``zsh``."""
    known = commands()
    cases = "\n".join(
        f'            {name}) words="{" ".join(_words(command))}" ;;'
        for name, command in known.items()
    )
    return (ZSH if shell == "zsh" else "") + SCRIPT.format(names=" ".join(known), cases=cases)


def _words(command: Command) -> list[str]:
    """List what may follow a command; other arguments complete as file names do."""
    words = ["--help"]
    for name, options in command.flat.items():
        if name.startswith("-"):
            words.append(name)
        words += options.get("choices", [])
        if options.get("metavar") == "STUDY":
            words.append(STUDIES)
    return words
