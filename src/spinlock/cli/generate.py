"""``spinlock generate``: make the dataset that a configuration describes."""

import argparse
import json
from typing import Any

SUMMARY = "make the dataset that a configuration describes"

DESCRIPTION = """Make the dataset that a configuration describes.

An interrupted run of the same plan resumes by itself and ends with the bytes of an undisturbed one. A
different dataset at the output path is refused unless --force is given. --repair keeps every sound shard of
a damaged dataset and makes the others again."""

EXAMPLES = """examples:
  spinlock generate --config configs/experiments/test_100.yaml
  spinlock generate --config configs/experiments/my_experiment.yaml \\
      --total-samples 20 --device cpu
  spinlock generate --config my.yaml \\
      --set simulation.num_timesteps=64 dataset.storage.trajectories=all
  spinlock generate --config my.yaml --executor ray
  spinlock generate --config my.yaml --dry-run
  spinlock generate --config my.yaml --profile
  spinlock generate --config my.yaml --repair
  spinlock generate --config my.yaml --range 0:5000"""

FLAGS = (
    ("--output", "PATH", str, "dataset.output_path", "the file to make"),
    ("--device", "NAME", str, "simulation.device", "auto, cpu, cuda or cuda:1"),
    ("--total-samples", "N", int, "sampling.total_samples", "number of samples"),
    ("--batch-size", "B", int, "sampling.batch_size", "most samples in flight; changes no bit"),
    ("--num-realizations", "M", int, "simulation.num_realizations", "ensemble size"),
    ("--num-timesteps", "T", int, "simulation.num_timesteps", "operator applications"),
    ("--seed", "S", int, "sampling.sobol.seed", "root seed of everything"),
    (
        "--executor",
        "NAME",
        str,
        "simulation.parallelism.strategy",
        "auto, inline, process, ddp, ray or slurm",
    ),
    ("--workers", "W", str, "simulation.parallelism.workers", "auto, or a number of threads or processes"),
)
"""Flag, metavar, type, the key of the configuration it replaces, help."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    command.add_argument("--config", required=True, metavar="FILE", help="the YAML configuration")
    replaced = command.add_argument_group("values that replace those of the configuration")
    for flag, metavar, kind, key, text in FLAGS:
        replaced.add_argument(flag, metavar=metavar, type=kind, help=f"{text} ({key})")
    replaced.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="any key, such as simulation.precision=bfloat16",
    )
    command.add_argument(
        "--range",
        metavar="LOW:HIGH",
        help="make only the shards whose first row is in this range, for `spinlock merge`",
    )
    command.add_argument(
        "--limit", type=int, metavar="N", help="make at most N rows more; the same command goes on"
    )
    command.add_argument("--dry-run", action="store_true", help="print sizes and time, and make nothing")
    command.add_argument(
        "--profile", action="store_true", help="print time and bytes of each stage at the end"
    )
    command.add_argument(
        "--force",
        action="store_true",
        help="replace another dataset at the output path; partial work of the same plan goes on",
    )
    command.add_argument(
        "--repair",
        action="store_true",
        help="make again what is damaged of a dataset, and nothing else; partial work of it goes on",
    )
    command.add_argument(
        "--fresh",
        action="store_true",
        help="drop partial work, of any plan, and begin again; a complete dataset stays",
    )
    command.add_argument(
        "--allow-mixed",
        action="store_true",
        help="go on with work begun on another device model, torch build or instruction set",
    )


def overrides(options: argparse.Namespace) -> list[tuple[str, str, Any]]:
    """Return what the flags ask to replace: where it was said, the key, the value."""
    from spinlock.config.load import parse_override
    from spinlock.errors import UsageError

    asked: list[tuple[str, str, Any]] = []
    for flag, _, _, key, _ in FLAGS:
        value = getattr(options, flag.removeprefix("--").replace("-", "_"))
        if value is not None:
            asked.append((flag, key, int(value) if flag == "--workers" and value.isdecimal() else value))
    asked += [parse_override(text) for text in options.set]
    for number, (said, key, _) in enumerate(asked):
        earlier = next((other for other, same, _ in asked[:number] if same == key), None)
        if earlier is not None:
            raise UsageError(f"{key} is given twice, by {earlier} and by {said}; give it once")
    return asked


def _rows(text: str | None) -> tuple[int, int] | None:
    """Return the rows of ``LOW:HIGH``."""
    from spinlock.errors import UsageError

    if text is None:
        return None
    low, colon, high = text.partition(":")
    if not (colon and low.isdecimal() and high.isdecimal()):
        raise UsageError(f"--range {text} is not allowed: give two row numbers, as in --range 0:5000")
    return int(low), int(high)


def run(options: argparse.Namespace) -> int:
    """Make the dataset, or print the plan."""
    from spinlock.cli.progress import Progress
    from spinlock.cli.render import render_part, render_plan, render_profile, render_summary
    from spinlock.config import load_config
    from spinlock.dataset import DatasetGenerationPipeline
    from spinlock.dataset.part import Part
    from spinlock.errors import UsageError

    if options.repair and options.dry_run:
        raise UsageError("--dry-run makes nothing; `spinlock validate` lists what --repair would make again")
    config = load_config(options.config, overrides(options))
    pipeline = DatasetGenerationPipeline(
        config,
        force=options.force,
        fresh=options.fresh,
        allow_mixed=options.allow_mixed,
        repair=options.repair,
    )
    if options.dry_run:
        _print(options, pipeline.dry_run(Part(_rows(options.range), options.limit)), render_plan)
        return 0
    with Progress(hidden=options.quiet) as progress:
        if options.range is not None or options.limit is not None:
            part = pipeline.generate_part(Part(_rows(options.range), options.limit), progress)
            if part.dataset is None:
                _print(options, part.as_dict(), render_part)
                return 0
            summary = part.dataset
        else:
            summary = pipeline.generate(progress)
    _print(options, summary.as_dict(), render_summary)
    if options.profile and not options.json:
        _print(options, summary.as_dict()["profile"], render_profile)
    return 0


def _print(options: argparse.Namespace, values: dict[str, Any], render: Any) -> None:
    if options.json:
        print(json.dumps(values))
    elif not options.quiet:
        print(render(values))
