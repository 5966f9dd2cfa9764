"""``spinlock visualize-dataset``: a video of a dataset's ensembles."""

import argparse
import json

SUMMARY = "render the ensembles of a dataset as a video"

DESCRIPTION = """Render rows of a complete dataset: a line for each operator, a column for each shown
realization and for each aggregate of the ensemble.

The dataset's own operators are rolled out again, with the same weights and the same noise: frame t is the
stored frame t (before rounding to the storage precision), and a longer rollout continues it. Colour scales
hold for the whole clip. A file suffix in --output names the video (.mp4, .webm, .gif, .webp), and pictures
beside x.mp4 go to x_frames/; a folder gets <dataset>.mp4 and frames/."""

EXAMPLES = """examples:
  spinlock visualize-dataset --dataset datasets/test_100.h5 \\
      --output datasets/ensembles.mp4
  spinlock visualize-dataset --dataset datasets/test_100.h5 \\
      --output datasets/analysis.mp4 --steps 100 --display-realizations 2 \\
      --aggregates entropy spectral pca --color-norm-mode per-operator
  spinlock visualize-dataset --dataset datasets/test_100.h5 \\
      --output datasets/pictures/ --format frames --stride 10"""

AGGREGATES = ("mean", "envelope", "entropy")


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    from spinlock.cli.common_options import add_dataset

    add = command.add_argument
    add_dataset(command)
    add("--output", required=True, metavar="PATH", help="the video to write, or a folder")
    add(
        "--format",
        choices=("video", "frames", "both"),
        default="video",
        help="a video, PNG pictures with metadata.json, or both (default video)",
    )
    _add_choice_of_rows(command)
    _add_choice_of_frames(command)
    _add_colours(command)
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:1")


def _add_choice_of_rows(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("which operators").add_argument
    add("--n-operators", type=int, default=10, metavar="N", help="how many (default 10)")
    add(
        "--sampling-method",
        choices=("sobol", "random", "sequential"),
        default="sobol",
        help="spread over the parameter space, at random, or the first ones (default sobol)",
    )
    add("--seed", type=int, default=42, metavar="S", help="seed of that choice alone (default 42)")
    add(
        "--operator-indices",
        type=int,
        nargs="+",
        default=[],
        metavar="I",
        help="these rows, in this order; negative ones count from the end",
    )


def _add_choice_of_frames(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("which frames and columns").add_argument
    add("--steps", type=int, default=500, metavar="T", help="frames 0 to T - 1 (default 500)")
    add("--stride", type=int, default=1, metavar="K", help="every K-th of them (default 1)")
    add("--fps", type=int, default=30, metavar="F", help="frames a second (default 30)")
    add(
        "--n-realizations",
        type=int,
        metavar="M",
        help="realizations that enter the aggregates: the first M (default all)",
    )
    add(
        "--display-realizations",
        type=int,
        default=2,
        metavar="K",
        help="realizations shown themselves (default 2)",
    )
    add(
        "--aggregates",
        nargs="+",
        default=list(AGGREGATES),
        metavar="NAME",
        help=f"`spinlock list aggregates` names them (default {' '.join(AGGREGATES)})",
    )


def _add_colours(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("how they look").add_argument
    add("--size", default="64x64", metavar="HxW", help="size of one cell in pixels (default 64x64)")
    add(
        "--color-norm-mode",
        choices=("global", "per-operator", "per-cell"),
        default="per-cell",
        help="who shares a colour scale: all, each operator's fields, or no one (default per-cell)",
    )
    add("--colormap", default="viridis", metavar="NAME", help="of fields with one channel (default viridis)")
    add("--add-spacing", action="store_true", help="space between cells")
    add(
        "--normalization",
        choices=("none", "minmax", "zscore"),
        default="none",
        help="of each operator's fields over the clip, for the picture only (default none)",
    )
    add("--clamp-min", type=float, metavar="X", help="low end of the fields' colour scale")
    add("--clamp-max", type=float, metavar="X", help="high end of the fields' colour scale")


def run(options: argparse.Namespace) -> int:
    """Render the clip."""
    from spinlock.cli.progress import Progress
    from spinlock.cli.render import render_clip
    from spinlock.cli.sizes import parse_size
    from spinlock.dataset.render import RenderOptions, render_dataset

    chosen = RenderOptions(
        n_operators=options.n_operators,
        sampling_method=options.sampling_method,
        seed=options.seed,
        operator_indices=options.operator_indices,
        n_realizations=options.n_realizations,
        display_realizations=options.display_realizations,
        steps=options.steps,
        stride=options.stride,
        size=parse_size(options.size, "--size"),
        aggregates=options.aggregates,
        color_norm_mode=options.color_norm_mode,
        normalization=options.normalization,
        clamp_min=options.clamp_min,
        clamp_max=options.clamp_max,
        colormap=options.colormap,
        add_spacing=options.add_spacing,
        device=options.device,
    )
    with Progress(hidden=options.quiet, unit="frames") as progress:
        summary = render_dataset(
            options.dataset,
            options.output,
            chosen,
            format=options.format,
            fps=options.fps,
            progress=progress,
        ).as_dict()
    if options.json:
        print(json.dumps(summary))
    elif not options.quiet:
        print(render_clip(summary))
    return 0
