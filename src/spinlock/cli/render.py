"""What commands print for people: plain text, aligned, readable in a log."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Rows = Sequence[tuple[str, str]]


def table(rows: Rows, indent: str = "  ") -> str:
    """Return two aligned columns."""
    from spinlock.cli.printable import one_line

    cells = [(one_line(left), one_line(right)) for left, right in rows]
    width = max((len(left) for left, _ in cells), default=0)
    return "\n".join(f"{indent}{left:<{width}}  {right}".rstrip() for left, right in cells)


def shares(counts: Mapping[str, int]) -> str:
    """Return counts with their shares: ``chaotic 41 (41 %), active 30 (30 %)``."""
    total = sum(counts.values())
    return ", ".join(f"{name} {count} ({100 * count / total:.0f} %)" for name, count in counts.items())


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def sampling_line(metrics: Mapping[str, Any]) -> str:
    """Return the quality of a sampling in one line, relative to random points."""
    parts = [
        f"{name} {metrics[key]:.2g}"
        for name, key in (
            ("discrepancy", "discrepancy_ratio"),
            ("correlation", "correlation_ratio"),
            ("imbalance", "imbalance_ratio"),
        )
        if metrics.get(key) is not None
    ]
    values = f" ({', '.join(parts)}, relative to random points)" if parts else ""
    return f"{metrics['verdict']}{values}"


def features_line(features: Mapping[str, Any] | None, samples: int) -> str:
    """Return the features of a dataset in one line."""
    if features is None:
        return "none"
    from spinlock.counting import counted

    of = "" if features["samples"] == samples else f" of {counted(features['samples'], 'sample')}"
    chosen = ", ".join(features["categories"])
    return f"{features['num_features']} (version {features['version']}){of}: {chosen}"


def render_extraction(summary: Mapping[str, Any]) -> str:
    """Return the summary of a finished extraction."""
    from spinlock.storage import readable_size

    rows = [
        ("samples", f"{summary['extracted']} of {summary['samples']}"),
        ("size", readable_size(summary["bytes"])),
        ("features", f"version {summary['version']}: {', '.join(summary['categories'])}"),
        ("core time", f"{duration(summary['core_seconds'])} (features alone, all runs)"),
    ]
    if summary["seconds"] is not None:
        rows.append(("time", f"{duration(summary['seconds'])} (frames from {summary['origin']})"))
    return f"{summary['path']} has its features\n{table(rows)}"


def shortened(numbers: Sequence[int], most: int = 20) -> str:
    """Return numbers in a line, the first ones where there are many."""
    rest = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + rest


def render_clip(summary: Mapping[str, Any]) -> str:
    """Return the summary of a finished clip."""
    passed = "; ".join(f"{name} passed over: {why}" for name, why in summary["passed_over"].items())
    rows = [
        ("frames", f"{summary['count']} of {summary['width']} × {summary['height']} pixels"),
        ("operators", shortened(summary["operators"])),
    ]
    if summary["video"]:
        seconds = duration(summary["count"] / summary["fps"])
        rows.append(("video", f"{seconds} at {summary['fps']} frames/s"))
        rows.append(("encoder", summary["encoder"] + (f" ({passed})" if passed else "")))
    rows.append(("time", duration(summary["seconds"])))
    written = " and ".join(path for path in (summary["video"], summary["frames"]) if path)
    return f"{written} written\n{table(rows)}"


def render_summary(summary: Mapping[str, Any]) -> str:
    """Return the summary of a finished run."""
    from spinlock.counting import counted
    from spinlock.storage import readable_size

    stages = ", ".join(f"{stage} {duration(s)}" for stage, s in summary["core_seconds"].items())
    rows = [("samples", str(summary["samples"])), ("size", readable_size(summary["bytes"]))]
    if summary["seconds"] is not None:
        made, rate = summary["made"], summary["made"] / summary["seconds"]
        whole = made == summary["samples"]
        what = f"{rate:.3g} samples/s" if whole else f"for the last {counted(made, 'sample')}"
        rows.append(("time", f"{duration(summary['seconds'])} ({what})"))
    rows += [
        ("core time", f"{stages} (all runs and workers)"),
        ("dynamics", shares(summary["dynamics"])),
        ("sampling", sampling_line(summary["sampling"])),
        ("plan", summary["plan_digest"][:16]),
    ]
    rows += [("card", summary["card"])] if summary["card"] else []
    return f"{summary['path']} is complete\n{table(rows)}"


def render_part(summary: Mapping[str, Any]) -> str:
    """Return the summary of a part: what stands, what is missing, how to go on."""
    from spinlock.dataset.part import ranges_in_words

    rows = [
        ("rows", f"{summary['done']} of {summary['samples']}, {summary['made']} of them made now"),
        ("missing", ranges_in_words(summary["missing"])),
        ("time", duration(summary["seconds"])),
        ("next", "the same command without --range and --limit makes the rest; `spinlock merge` joins parts"),
    ]
    return f"{summary['work']} holds a part of the dataset\n{table(rows)}"


def render_profile(profile: Mapping[str, Any] | None) -> str:
    """Return the profile of a run: a line for each stage, and how busy the workers were."""
    from spinlock.storage import readable_size

    if profile is None:
        return "profile: nothing was computed, the dataset was complete before"
    rows = [("stage", "seconds   share      bytes in     bytes out")]
    for stage in profile["stages"]:
        sizes = (readable_size(stage[way]) if stage[way] else "-" for way in ("bytes_in", "bytes_out"))
        taken, given = sizes
        numbers = f"{stage['seconds']:>7.2f}  {100 * stage['share']:>4.0f} %"
        rows.append((stage["stage"], f"{numbers}  {taken:>12}  {given:>12}"))
    workers, wall = profile["workers"], profile["worker_wall_seconds"]
    busy, held = profile["worker_seconds"], profile["workers"] * profile["worker_wall_seconds"]
    share = f" ({100 * busy / held:.0f} %)" if held else ""
    told = (
        f"workers ({profile['executor']}): {busy:.2f} s in stages, of {workers} × {wall:.2f} s{share}; "
        f"wall time {profile['wall_seconds']:.2f} s"
    )
    return f"profile, summed over workers\n{table(rows)}\n  {told}"


def render_plan(plan: Mapping[str, Any]) -> str:
    """Return the plan of a dry run."""
    from spinlock.counting import counted
    from spinlock.storage import readable_size

    types = plan["initial_conditions"]
    unit = "task" if plan["executor"] == "slurm" else "worker"
    most = "up to " if plan["executor"] == "ray" else ""
    where = f"{plan['executor']}, {most}{counted(plan['workers'], unit)}, {plan['device']}"
    most = plan["fit_into_memory"]
    fit = "" if most is None else f" ({most} would fit into memory)"
    rows = [
        ("output", plan["output"] + (" (complete already)" if plan["complete"] else "")),
        ("samples", f"{plan['samples']} in {counted(plan['shards'], 'shard')} of {plan['rows_per_shard']}"),
        *([("asked for", f"{plan['rows']} of them")] if plan["rows"] < plan["samples"] else []),
        ("parameters", f"{len(plan['parameters'])}: {', '.join(plan['parameters'])}"),
        ("grids", ", ".join(map(str, plan["grids"]))),
        ("initial conditions", ", ".join(f"{name} {100 * w:.3g} %" for name, w in types.items())),
        ("architectures", f"{plan['architectures']} distinct among {counted(plan['surveyed'], 'draw')}"),
        ("operators built", f"{plan['operators_built']}, at the extremes of the space"),
        ("operations", f"{plan['flops']:.3g} FLOP"),
        ("data", f"{readable_size(plan['data_bytes'])} uncompressed"),
        ("disk needed", readable_size(plan["disk_bytes"])),
        ("memory", f"about {readable_size(plan['memory_bytes'])}"),
        ("in flight", f"{plan['in_flight']} at a time{fit}"),
        ("time", f"about {duration(plan['seconds'])} ({where})"),
        ("sampling", sampling_line(plan["sampling"])),
        ("plan", plan["plan_digest"][:16]),
    ]
    return f"dry run: nothing is made\n{table(rows)}"


def render_info(content: Mapping[str, Any], *, verbose: bool) -> str:
    """Return what a dataset holds."""
    from spinlock.cli.accounting import render_accounting
    from spinlock.cli.printable import one_line
    from spinlock.counting import counted
    from spinlock.storage import readable_size

    attributes, provenance = content["attributes"], content["provenance"]
    environment = "; ".join(" ".join(str(v) for v in one.values()) for one in provenance["environments"])
    head = [
        ("size", readable_size(content["bytes"])),
        ("samples", f"{content['samples']} × {counted(content['realizations'], 'realization')}"),
        ("channels", str(content["channels"])),
        ("created", f"{attributes['creation_date']} by spinlock {attributes['spinlock_version']}"),
        ("computed on", environment),
        ("features", features_line(content["features"], content["samples"])),
        ("sampling", sampling_line(content["sampling_metrics"])),
        ("plan", attributes["plan_digest"][:16]),
        *([("plot", content["plot"])] if "plot" in content else []),
    ]
    rollouts = content["rollouts"]
    median = rollouts["median_lyapunov"]
    spread = [(name, shares(counts)) for name, counts in content["distributions"].items()]
    spread.append(("rollouts", f"{rollouts['total']}, of which {rollouts['stopped']} stopped before the end"))
    if median is not None:
        spread.append(("median λ", f"{median:.3g} per step"))
    sections = [one_line(content["path"]), table(head), "arrays", _arrays(content["arrays"])]
    sections += ["distributions", table(spread)]
    if verbose:
        sections += [render_accounting(content["accounting"])]
        sections += ["parameters", table([(n, _spread(s)) for n, s in content["parameters"].items()])]
        sections += ["configuration", table(list(_flat(content["config"])))]
        sections += ["provenance", table(list(_flat(provenance)))]
    return "\n".join(section for section in sections if section)


def _arrays(arrays: Iterable[Mapping[str, Any]]) -> str:
    from spinlock.storage import readable_size

    rows = []
    for array in arrays:
        axes = " × ".join(f"{dim} {size}" for dim, size in zip(array["dims"], array["shape"], strict=True))
        size = readable_size(array["stored_bytes"])
        if array["chunks"]:
            chunks = "×".join(map(str, array["chunks"]))
            size += f" of {readable_size(array['raw_bytes'])}, chunks {chunks}, {array['compression']}"
        rows.append((f"/{array['path']}", f"{array['dtype']}  [{axes}]  {size}"))
    return table(rows)


def _spread(spread: Mapping[str, Any]) -> str:
    acting = f", in the {spread['rows']} samples where it acts" if "rows" in spread else ""
    if "counts" in spread:
        return f"{shares(spread['counts'])}{acting}".removeprefix(", ")
    return f"{spread['min']:.4g} … {spread['median']:.4g} … {spread['max']:.4g} (min, median, max){acting}"


def _flat(value: Any, key: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, str(value)


def render_validation(report: Mapping[str, Any]) -> str:
    """Return the verdict on a dataset."""
    from spinlock.cli.printable import printable

    verdict = "INVALID" if report["failures"] else "valid" if report["valid"] else "not checked in full"
    said = f"{verdict} (checked: {', '.join(report['checked'])})" if report["checked"] else "not checked"
    head = f"{report['path']}: {said}"
    notes = [f"  note: {note}" for note in report["notes"]]
    failures = [f"  {failure}" for failure in report["failures"]]
    failures += [f"  not checked: {reason}" for reason in report["unchecked"]]
    return "\n".join(printable(line).replace("\n", "\n    ") for line in (head, *failures, *notes))


def render_catalogue(entries: Iterable[Mapping[str, Any]], *, verbose: bool) -> str:
    """Return a catalogue."""
    parts = []
    for entry in entries:
        facts = {k: v for k, v in entry.items() if k not in ("name", "summary", "options")}
        parts.append(f"{entry['name']}\n  {entry['summary']}")
        if facts and verbose:
            parts.append(table([(k, str(v)) for k, v in facts.items()]))
        if entry["options"]:
            parts.append(table([_option(option) for option in entry["options"]], indent="    "))
    return "\n".join(parts)


def _option(option: Mapping[str, Any]) -> tuple[str, str]:
    suggested = option["suggested"]
    notes = [f"default {option['default']}"]
    notes += [f"suggested {suggested[0]:g} to {suggested[1]:g}"] if suggested else []
    notes += [f"or {option['range']}"] if option["range"] else []
    return option["name"], f"{option['allowed']} ({', '.join(notes)})"
