"""Run as a program: read files of strangers in every way there is, and print what came of each (JSON lines).

Memory is bounded, time is too, and every file written, process started or address called is noted.
"""

import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spinlock.execution.simulate  # noqa: F401 (what is imported later would count as memory)
from spinlock.cli.render import render_info, render_validation
from spinlock.dataset import open_dataset
from spinlock.dataset.describe import describe
from spinlock.dataset.repair import begin_repair
from spinlock.dataset.validate import validate
from spinlock.errors import SpinlockError
from spinlock.execution.plan import Plan
from spinlock.storage.features import HDF5FeatureReader

SECONDS = 60
MEMORY = 256 << 20
QUIET = ("os.listdir", "os.scandir", "os.putenv", "os.unsetenv")
LOUD = ("subprocess.", "os.", "socket.", "shutil.", "pickle.", "marshal.", "ctypes.dlopen", "exec", "compile")

noted: list[str] = []
plans: list[Plan] = []
"""The plan of the sound file."""


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: keep what writes, runs, or reaches out."""
    if event == "open":
        _path, _mode, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            noted.append(f"open {arguments}")
    elif event.startswith(LOUD) and event not in QUIET:
        noted.append(f"{event} {arguments!r:.200}")


def result(call: Callable[[], Any]) -> str | None:
    """What a call refuses with; anything but our own errors is told as a crash."""
    try:
        call()
    except SpinlockError as error:
        return str(error)
    except IndexError as error:
        return str(error)
    except BaseException as error:
        return f"CRASH {type(error).__name__}: {error}"
    return None


def use(path: str) -> None:
    with open_dataset(path) as dataset:
        for sample in dataset:
            assert sample.inputs.ndim == 3
        assert dataset.rollout(0).frames.ndim == 5
        dataset.operator(0)


def features(path: str) -> None:
    with HDF5FeatureReader(path) as reader:
        reader.get_sdf_schema()
        reader.get_sdf_aggregated()


def judge(path: str) -> None:
    begin_repair(Path(path), plans[0], allow_mixed=False)


def examine(path: str) -> dict[str, Any]:
    told: list[str] = []
    found: list[str] = []

    def check() -> None:
        report = validate(path)
        found.extend([*report.failures, *report.unchecked])
        told.append(render_validation(report.as_dict()))

    def tell() -> None:
        content = describe(path)
        json.dumps(content)
        told.append(render_info(content, verbose=True))

    noted.clear()
    outcome = {"path": path, "validate": result(check), "failures": found, "info": result(tell)}
    outcome |= {"use": result(lambda: use(path)), "features": result(lambda: features(path))}
    outcome["repair"] = result(lambda: judge(path))
    return outcome | {"noted": list(noted), "told": "\n".join(told)}


def limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main(paths: list[str]) -> None:
    warnings.simplefilter("ignore")
    with open_dataset(paths[0]) as dataset:
        plans.append(dataset.plan)
    first = examine(paths[0])  # a sound file: everything is imported and compiled that ever is
    sys.stdout.write(json.dumps(first) + "\n")
    limit_memory()
    sys.addaudithook(note)
    for path in paths:
        signal.alarm(SECONDS)
        sys.stdout.write(json.dumps(examine(path)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
