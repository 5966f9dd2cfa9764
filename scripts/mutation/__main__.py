"""Measure whether tests notice mutants: ``python scripts/mutation keys sampling --count 150``.

Needs ``pip install -c constraints.txt '.[test]' cosmic-ray``, and an hour or two for everything on one core.
Each mutant meets, in a fork, the tests of its package that run its line, quick ones first, until one fails.
Results are kept in ``--results``, a mutant a line, and a second call goes on. ``--again`` runs the survivors
again, and where they survive, the quick ones of the other tests too: what is computed once, and kept, shows
in tests that do not run its line.
"""

import argparse
import ast
import difflib
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import trials
from mutants import Mutant, sample
from packages import PACKAGES, ROOT

SEED = 7
LONGEST = {False: 10.0, True: 40.0}
"""Seconds that the tests of one mutant may take, in the first run and ``--again``."""

NO_TEST = 5
PASSED = (0, NO_TEST)
"""Exit statuses of pytest: all passed, or none was left to run."""


def statement_lines(module: str, line: int) -> range | None:
    """Return the lines of the statement that holds a line of a function; None where an import runs it."""
    source = (ROOT / module).read_text(encoding="utf-8")
    found: range | None = None

    def visit(node: ast.AST, inside: bool) -> None:
        nonlocal found
        for child in ast.iter_child_nodes(node):
            body = getattr(child, "body", None)
            if isinstance(child, ast.stmt) and child.lineno <= line <= (child.end_lineno or child.lineno):
                last = body[0].lineno - 1 if isinstance(body, list) else (child.end_lineno or child.lineno)
                header = isinstance(child, ast.FunctionDef | ast.ClassDef)
                if line <= max(last, child.lineno) and inside and not header:
                    found = range(child.lineno, max(last, child.lineno) + 1)
            deeper = inside or (isinstance(child, ast.FunctionDef) and bool(body) and line >= body[0].lineno)
            if not isinstance(child, ast.stmt) or child.lineno <= line <= (child.end_lineno or child.lineno):
                visit(child, deeper)

    visit(ast.parse(source), False)
    return found


def try_mutant(
    mutant: Mutant, tree: Path, baseline: trials.Baseline, folder: Path, *, again: bool
) -> dict[str, Any]:
    """Return what became of a mutant: the test that killed it, if one did."""
    loops = trials.compiles_loops(mutant.module)
    lines = None if loops else statement_lines(mutant.module, mutant.line)
    running = baseline.tests_of(mutant.module, lines)
    chosen = baseline.quick(running, LONGEST[again])
    target = tree / mutant.module
    original = target.read_text(encoding="utf-8")
    code = mutant.code()
    assert code is not None
    caches = Path(tempfile.mkdtemp(dir=folder)) if loops else folder / "numba"

    def attempt(tests: list[str]) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            recorder = trials.Recorder(tests, set(baseline.seconds), lambda _: None)
            files = tuple(dict.fromkeys(test.partition("::")[0] for test in tests))
            status = trials.run_tests(tree, files, recorder, caches, until_failure=True)
            return {"status": status, "by": recorder.failure, "ran": len(recorder.seconds)}

        expected = sum(baseline.seconds.get(test, 0.0) for test in tests)
        limits = {"cpu": 20 + 4 * expected, "wall": 60 + 20 * expected}
        return trials.in_fork(work, folder / "last.log", **limits)

    target.write_text(code, encoding="utf-8")
    trials.clean(tree, mutant.module)
    try:
        answer = attempt(chosen) if chosen else {"status": NO_TEST}
        others = baseline.quick(baseline.seconds.keys() - running, LONGEST[again]) if again else []
        if answer.get("status") in PASSED and others:
            answer = attempt(others)
    finally:
        target.write_text(original, encoding="utf-8")
        trials.clean(tree, mutant.module)
        if loops:
            shutil.rmtree(caches, ignore_errors=True)
    outcome = "survived" if answer.get("status") in PASSED else "killed"
    if answer.get("timeout"):
        outcome = "timeout"
    return {"outcome": outcome, **answer}


def shown(mutant: Mutant) -> str:
    """Return the changed lines, as ``- old`` and ``+ new``."""
    old = (ROOT / mutant.module).read_text(encoding="utf-8").splitlines()
    new = (mutant.code() or "").splitlines()
    changed = difflib.unified_diff(old, new, lineterm="", n=0)
    return "\n".join(line for line in changed if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def measure(name: str, count: int, folder: Path, again: bool) -> None:
    """Run the sample of one package, or what is missing of it."""
    package = PACKAGES[name]
    results = folder / f"{name}.jsonl"
    results.touch()
    known = {result["mutant"]: result for result in map(json.loads, results.read_text().splitlines())}
    chosen = sample(package.modules, count, SEED)
    due = [m for m in chosen if m.name not in known or (again and known[m.name]["outcome"] == "survived")]
    if due:
        tree = trials.make_tree(folder)
        trials.warm_up_further(tree, package)
        baseline = trials.measure_baseline(tree, name, package, folder)
        print(f"{name}: {len(due)} mutants to run, {len(baseline.seconds)} tests", flush=True)
        for number, mutant in enumerate(due):
            started = time.monotonic()
            answer = try_mutant(mutant, tree, baseline, folder, again=again)
            seconds = round(time.monotonic() - started, 1)
            result = {"mutant": mutant.name, **answer, "seconds": seconds, "change": shown(mutant)}
            known[mutant.name] = result
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result, ensure_ascii=False) + "\n")
            print(f"{number + 1}/{len(due)} {answer['outcome']:8} {seconds:6.1f} s {mutant.name}", flush=True)
    report(name, [known[m.name] for m in chosen])


def report(name: str, results: list[dict[str, Any]]) -> None:
    """Print the figures of a package and its survivors."""
    counts = Counter(result["outcome"] for result in results)
    late, survivors = counts["timeout"], counts["survived"]
    killed = len(results) - survivors
    share = 100 * killed / max(1, len(results))
    print(f"{name}: {len(results)} mutants, {killed} killed ({late} by the time limit), {share:.1f} %")
    for result in results:
        if result["outcome"] == "survived":
            print(f"\n{result['mutant']}\n{result['change']}")


def main() -> None:
    """Read the command line and measure each package."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("packages", nargs="+", choices=sorted(PACKAGES))
    parser.add_argument("--count", type=int, default=150, help="mutants of each package")
    parser.add_argument("--results", type=Path, default=Path(tempfile.gettempdir()) / "spinlock-mutation")
    parser.add_argument("--again", action="store_true", help="run survivors again, with more tests")
    options = parser.parse_args()
    folder = options.results.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir(exist_ok=True)
    trials.warm_up()
    for name in options.packages:
        if (child := os.fork()) == 0:  # each in a process of its own, which imports what suits the package
            trials.end_with_parent()
            try:
                measure(name, options.count, folder, options.again)
            except BaseException:  # noqa: BLE001 (a fork must never return)
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
