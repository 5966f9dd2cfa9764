"""The program: its parser, and what every command shares (logging, warnings, errors, exit codes)."""

import argparse
import contextlib
import importlib
import io
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

COMMANDS = (
    "generate",
    "extract-features",
    "info",
    "validate",
    "visualize-dataset",
    "visualize-ic-types",
    "list",
    "export",
    "merge",
)

DESCRIPTION = "Reproducible datasets of stochastic neural dynamical systems."

EXAMPLES = """examples:
  spinlock generate --config configs/experiments/test_100.yaml
  spinlock info --dataset datasets/test_100.h5
  spinlock validate --dataset datasets/test_100.h5 --replay 5

exit codes: 0 done, 1 failed or found invalid, 2 bad usage or configuration, 130 interrupted"""


NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)
"""A value, not an option; by itself argparse knows none with an exponent."""


class Parser(argparse.ArgumentParser):
    """An argument parser that names the near miss of an unknown option, command or choice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = NEGATIVE_NUMBER

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Refuse unknown options first: argparse would name a missing option before a misspelt one."""
        given = sys.argv[1:] if args is None else args
        self._paths = [word for word in given if "." in word and not word.startswith("-")]
        if self._subparsers is None:
            unknown = [word.partition("=")[0] for word in given if word.startswith("--")]
            unknown = [word for word in dict.fromkeys(unknown) if word not in self._option_string_actions]
            if unknown:
                self.error(
                    "; ".join(_unknown("option", word, self._option_string_actions) for word in unknown)
                )
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the message with a near miss, if there is one, and exit with code 2."""
        wrong = re.search(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message)
        if wrong is not None:
            known = [word.strip("' ") for word in wrong[3].split(",")]
            message = _unknown(wrong[1].lower(), wrong[2], known)
        elif self._paths and message.endswith("are required: --dataset"):
            message += f"; write --dataset {self._paths[0]}"
        elif message.startswith("unrecognized arguments: "):
            message = f"unexpected {message.partition(': ')[2]}"
        self.exit(2, f"{self.prog}: {message}\nSee `{self.prog} --help`.\n")


def _unknown(what: str, word: str, known: Iterable[str]) -> str:
    from spinlock.registry import near_miss

    near = near_miss(word, known)
    if near:
        return f"unknown {what} {word} (did you mean {near}?)"
    return f"unknown {what} {word}; known: {', '.join(known)}"


def build_parser(only: str | None = None) -> Parser:
    """Return the parser of the program; ``only`` builds the options of one command and names the others."""
    parser = Parser(
        prog="spinlock",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name in COMMANDS:
        module = command_module(name)
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            epilog=module.EXAMPLES,
            formatter_class=Formatter,
            allow_abbrev=False,
        )
        if only in (None, name):
            module.add_options(command)
            _add_common_options(command)
    return parser


def command_module(name: str) -> Any:
    """Return the module of a command."""
    return importlib.import_module(f"spinlock.cli.{name.replace('-', '_')}")


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with descriptions as written and room for long options."""

    def __init__(self, prog: str, **kwargs: Any) -> None:
        super().__init__(prog, max_help_position=34, **kwargs)


def _add_common_options(command: argparse.ArgumentParser) -> None:
    common = command.add_argument_group("output")
    volume = common.add_mutually_exclusive_group()
    volume.add_argument("--verbose", action="store_true", help="say more; errors come with a traceback")
    volume.add_argument("--quiet", action="store_true", help="say only what went wrong")
    common.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    _print_what_can_be_printed()
    first = next((a for a in arguments if not a.startswith("-")), None)
    parser = build_parser(first)
    try:
        options = parser.parse_args(arguments)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    if options.version:
        from spinlock import __version__

        print(f"spinlock {__version__}")
        return 0
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    module = command_module(options.command)
    with _reporting(options), _stoppable():
        return _guarded(module, options)


def _print_what_can_be_printed() -> None:
    """Replace characters that the terminal's encoding lacks, instead of failing on them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _guarded(module: Any, options: argparse.Namespace) -> int:
    from spinlock.errors import SpinlockError

    try:
        code = int(module.run(options) or 0)
        sys.stdout.flush()
    except SpinlockError as error:
        _tell(options, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _tell(options, "interrupted")
        return 130
    except BrokenPipeError:  # whoever reads has read enough; nothing more can be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _tell(options, f"{error.filename or 'input or output'}: {error.strerror or error}")
        return 1
    except Exception as error:  # noqa: BLE001 (the last resort of a program: one line, the rest with --verbose)
        hint = "" if options.verbose else " Run again with --verbose for the traceback, and report it."
        _tell(options, f"unexpected {type(error).__name__}: {error}.{hint}")
        return 1
    return code


def _tell(options: argparse.Namespace, message: str) -> None:
    if options.verbose:
        traceback.print_exc()
    print(f"spinlock {options.command}: {_printable(message)}", file=sys.stderr)


def _printable(message: str) -> str:
    from spinlock.cli.printable import printable

    return printable(message)


class _Lines(logging.Formatter):
    """The message of a record, without what a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        return _printable(super().format(record))


@contextlib.contextmanager
def _reporting(options: argparse.Namespace) -> Iterator[None]:
    """Send log records and warnings to standard error, one line each."""
    from spinlock.reporting import reporting_to

    level = logging.DEBUG if options.verbose else logging.WARNING if options.quiet else logging.INFO
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(message)s"))
    with reporting_to(handler, level=level):
        yield


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGUSR1 (a scheduler's warning) end a run as Ctrl-C does."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
