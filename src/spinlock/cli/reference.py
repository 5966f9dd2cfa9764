"""The reference of the commands, rendered from their parsers."""

import argparse
import re
import textwrap
from collections.abc import Iterator
from typing import Any

INTRODUCTION = """# Commands

`spinlock COMMAND [options]`; `python -m spinlock` and `python scripts/spinlock.py` are the same program.
`spinlock COMMAND --help` prints what stands here. Options may be given in any order, and not abbreviated.

{listed}

Results go to standard output; progress, warnings and errors go to standard error. `spinlock --version` prints
the version. Exit codes:

{codes}

Every command takes these options:

{common}
The examples name files of yours, so that they are not run: tests hold them to what the commands understand.
The other pages have examples that tests run.
"""

COMMON = "output"
"""Title of the group of the options that every command has."""

UNTITLED = ("positional arguments", "options")
"""The groups of argparse itself, which need no title."""


def commands_page(parser: argparse.ArgumentParser) -> str:
    """Return docs/reference/commands.md."""
    commands = subcommands(parser)
    listed = "\n".join(f"- [{name}](#{name}): {summary}" for name, (_, summary) in commands.items())
    codes = (parser.epilog or "").partition("exit codes: ")[2].split(", ")
    first = next(command for command, _ in commands.values())
    introduction = INTRODUCTION.format(
        listed=listed,
        codes="\n".join(f"- {words.replace(' ', ': ', 1)}" for words in codes),
        common=_table(dict(option_groups(first))[COMMON]),
    )
    return introduction + "".join(_section(name, command) for name, (command, _) in commands.items())


def subcommands(parser: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Return the parser and the summary of each command."""
    for action in parser._actions:  # noqa: SLF001 (argparse has no public way to ask a parser)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            return {name: (command, summaries[name]) for name, command in action.choices.items()}
    return {}


def option_groups(command: argparse.ArgumentParser) -> Iterator[tuple[str, list[argparse.Action]]]:
    """Yield the title and the options of each group; those without a title come first, as one group."""
    groups = [
        (group.title or "", [a for a in group._group_actions if a.dest != "help"])  # noqa: SLF001
        for group in command._action_groups  # noqa: SLF001
    ]
    yield "", [action for title, actions in groups if title in UNTITLED for action in actions]
    yield from ((title, actions) for title, actions in groups if title not in UNTITLED)


def _section(name: str, command: argparse.ArgumentParser) -> str:
    groups = [(title, actions) for title, actions in option_groups(command) if title != COMMON and actions]
    tables = "\n".join(
        f"{title[:1].upper()}{title[1:]}:\n\n{_table(actions)}" if title else _table(actions)
        for title, actions in groups
    )
    examples = textwrap.dedent((command.epilog or "").partition("examples:\n")[2])
    examples = re.sub(r"  +\((.*)\)$", r"  # \1", examples, flags=re.MULTILINE)
    described = "\n\n".join(_paragraph(text) for text in (command.description or "").split("\n\n"))
    return f"\n## {name}\n\n{described}\n\n{tables}\n```bash notest\n{examples}\n```\n"


def _paragraph(text: str) -> str:
    """Return a paragraph as Markdown; one that is laid out in columns stays as it is."""
    return f"```text\n{text}\n```" if re.search(r"\S  +\S", text) else _marked(text)


def _marked(text: str) -> str:
    """Return prose with options and placeholders marked as code, those within backticks left as they are."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"--[a-z][a-z-]*|<\w+>[\w.]*", r"`\g<0>`", part) for part in parts[::2]]
    return "`".join(parts)


def _table(actions: list[argparse.Action]) -> str:
    rows = "".join(f"| {' | '.join(_cells(action))} |\n" for action in actions)
    return f"| option | meaning | takes | default |\n|---|---|---|---|\n{rows}"


def _cells(action: argparse.Action) -> Iterator[str]:
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    yield f"`{', '.join(action.option_strings)}{value}`".replace("` ", "`")
    meaning = action.help or ""
    stated = re.search(r" \(default:? ([^)]*)\)", meaning)
    yield _marked(meaning.replace(stated[0], "") if stated else meaning)
    yield _takes(action)
    yield "*must be given*" if action.required else stated[1] if stated else _default(action.default)


def _takes(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    whole = action.type is int or isinstance(action.default, int)
    words = "an integer" if whole else "a number" if action.type is float else "text"
    if action.choices:
        words = f"one of {', '.join(str(choice) for choice in action.choices)}"
    return f"{words}; one or more" if action.nargs == "+" else words


def _default(value: Any) -> str:
    return "" if value in (None, False, []) else str(value)
