"""``spinlock visualize-ic-types``: a gallery of initial conditions."""

import argparse
import json

SUMMARY = "draw a gallery of initial conditions"

DESCRIPTION = """Draw a gallery of initial conditions: a row for each type, a column for each variation, tiers
under headings. A type's pictures depend on its name, the seed and the number of the variation alone, never
on what else is shown."""

EXAMPLES = """examples:
  spinlock visualize-ic-types --output datasets/gallery.png \\
      --add-labels --add-spacing
  spinlock visualize-ic-types --tiers baseline tier1 --variations 5 \\
      --output datasets/gallery.png
  spinlock visualize-ic-types --ic-types turing_pattern bz_reaction \\
      --output datasets/chemistry.png --channels strip"""

TIERS = ("baseline", "tier1", "tier2", "tier3", "tier4", "all")


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = command.add_argument
    add(
        "--output",
        required=True,
        metavar="PATH",
        help="the image to write, or a folder for initial_conditions.png",
    )
    add("--variations", type=int, default=3, metavar="V", help="samples of each type (default 3)")
    add("--tiers", nargs="+", default=["all"], metavar="TIER", help=f"{', '.join(TIERS)} (default all)")
    add("--ic-types", nargs="+", default=[], metavar="NAME", help="types or aliases to show instead of tiers")
    add(
        "--add-labels", action="store_true", help="name, domain, range and standard deviation beside each row"
    )
    add("--add-spacing", action="store_true", help="space between cells")
    add("--grid-size", type=int, default=128, metavar="N", help="grid of the fields (default 128)")
    add("--num-channels", type=int, default=3, metavar="C", help="channels of the fields (default 3)")
    add("--seed", type=int, default=42, metavar="S", help="root seed (default 42)")
    add("--cell-size", metavar="HxW", help="size of one cell in pixels (default: the grid)")
    add(
        "--colormap",
        default="viridis",
        metavar="NAME",
        help="matplotlib colormap of single channels (default viridis)",
    )
    add("--channels", choices=("rgb", "strip"), default="rgb", help="channels as colours, or side by side")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:1")


def run(options: argparse.Namespace) -> int:
    """Draw the gallery."""
    from spinlock.cli.sizes import parse_size
    from spinlock.dataset.gallery import render_gallery
    from spinlock.execution.devices import resolve_device

    path = render_gallery(
        options.output,
        tiers=options.tiers,
        names=options.ic_types,
        variations=options.variations,
        grid_size=options.grid_size,
        num_channels=options.num_channels,
        seed=options.seed,
        device=str(resolve_device(options.device)),
        colormap=options.colormap,
        channels=options.channels,
        cell=parse_size(options.cell_size, "--cell-size") if options.cell_size else None,
        labels=options.add_labels,
        spacing=options.add_spacing,
    )
    if options.json:
        print(json.dumps({"output": str(path)}))
    elif not options.quiet:
        print(path)
    return 0
