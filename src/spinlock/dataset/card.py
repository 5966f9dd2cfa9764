"""The card of a dataset: Markdown with a YAML header, every number of it read from the dataset."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spinlock.counting import counted
from spinlock.dataset.card_limits import limits
from spinlock.dataset.citation import bibtex
from spinlock.dataset.describe import described
from spinlock.dataset.markdown import (
    Rows,
    bullets,
    code,
    compact,
    literal,
    number,
    plain,
    share,
    shares,
    table,
)
from spinlock.dataset.statements import understood
from spinlock.storage import StoredDataset, form_at, readable_size

Content = Mapping[str, Any]
"""What `spinlock.dataset.describe.described` returns."""

SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"),
         (1e8, "10M<n<100M"), (1e9, "100M<n<1B"), (float("inf"), "n>1B"))  # fmt: skip
"""The size categories of Hugging Face: each holds the numbers below its bound."""

TAGS = ("spinlock", "dynamical-systems", "neural-operators", "stochastic-simulation", "synthetic")

MARK = re.compile(r"\n<!-- spinlock card of dataset (\S+), text ([0-9a-f]{64}) -->\n\Z")
"""The last line of a card: of which dataset it is, and the SHA-256 of what stands above."""

OFF = ("log_scale", False)
"""What a sampled parameter says where its axis is linear."""

GATHERED = {
    "metadata/checksums/": "of chunks and rows",
    "parameters/values/": "one for each sampled parameter",
}
"""Folders of many small arrays, told in one line each."""

LABELS = {
    "diverged": "a realization left the finite range",
    "short": "too few steps to tell (under 16)",
    "chaotic": "a small perturbation grows, λ > 0.02 per step",
    "growing": "the state grows",
    "dead": "no spatial contrast is left",
    "frozen": "the state does not change any more",
    "periodic": "the state comes back",
    "active": "it changes, and none of these",
}

MAKING = (
    "A Sobol sequence gives each row a point of the parameter space; operator, initial condition and noise "
    "follow from the root seed and the row's number alone. The configuration below, saved as `config.yaml` "
    "(JSON is YAML), makes the dataset again:"
)

READING = """```python
from spinlock.dataset import open_dataset

with open_dataset("{name}") as ds:
    row = ds[0]
    row.inputs, row.outputs  # frame 0 [C, g, g] and the final frames [M, C, g, g], float32
    row.parameters, row.metadata  # what was drawn, and what became of it
    operator = ds.operator(0)  # the network itself, rebuilt from keys
```

For training: `spinlock.torch.SpinlockDataset("{name}")`. {plain_reader} Row i of every array is draw i; a
field stands in the corner `[:g, :g]` with g = `metadata/grid_sizes[i]`, the rest is NaN."""


def render_card(content: Content) -> str:
    """Return the card of what `spinlock.dataset.describe.described` says; equal contents, equal cards."""
    labels = content["config"].get("metadata", {})
    name = labels.get("name") or Path(content["path"]).name
    title = [f"# {plain(name)}"] + ([plain(labels["description"])] if labels.get("description") else [])
    sections = [
        _header(content, str(name)),
        *title,
        _introduction(content),
        table(("", ""), _facts(content)),
        *_making(content),
        *_holding(content),
        *_distributions(content),
        *_dynamics(content),
        *_features(content),
        "## Limits",
        bullets(limits(content)),
        "## How to read it",
        _reading(content),
        "## Citation",
        "Cite the software that made it:",
        code(bibtex(content["attributes"]["spinlock_version"]), "bibtex"),
    ]
    text = ("\n\n".join(sections) + "\n").encode(errors="replace").decode()  # halves of characters
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text}\n<!-- spinlock card of dataset {content['digest']}, text {digest} -->\n"


def card_of(file: StoredDataset) -> str:
    """Return the card of an open dataset file, or raise `StorageError` where the file is malformed."""
    content = described(file)
    with understood(file.path):
        return render_card(content)


def dataset_of_card(text: str) -> str | None:
    """Return the digest of the dataset that a card is of; None for a text that was changed, or is no card."""
    found = MARK.search(text)
    if found is None or hashlib.sha256(text[: found.start()].encode()).hexdigest() != found[2]:
        return None
    return found[1]


def _header(content: Content, name: str) -> str:
    """Return the YAML header, with the fields of Hugging Face's dataset cards; JSON strings are YAML."""
    category = next(label for bound, label in SIZES if content["samples"] < bound)
    fields: dict[str, Any] = {
        "pretty_name": name,
        "license": content["config"].get("metadata", {}).get("license"),
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["original"],
        "size_categories": [category],
        "task_categories": ["time-series-forecasting" if content["timesteps"] else "other"],
        "tags": [*TAGS, *sorted(content["distributions"]["rollout_policies"])],
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items() if value]
    return "\n".join(["---", *lines, "---"])


def _introduction(content: Content) -> str:
    simulation = content["config"]["simulation"]
    counts = (content["realizations"], "realization"), (simulation["num_timesteps"], "step")
    realizations, steps = (counted(*one) for one in counts)
    noise = "" if set(content["distributions"]["noise_regimes"]) == {"none"} else ", with noise,"
    return (
        f"{content['samples']:,} stochastic neural dynamical systems. Each row is a random convolutional "
        f"operator, an initial condition, and an ensemble of {realizations} of {steps}{noise} on a "
        "square torus. It is synthetic throughout, and can be made again from its configuration."
    )


def _facts(content: Content) -> Rows:
    attributes, distributions = content["attributes"], content["distributions"]
    frames = content["timesteps"]
    stored = (
        f"{len(frames)} frames of each: {_numbers(frames)}" if frames else "none; frame 0 and the final frame"
    )
    return [
        ("samples × realizations", f"{content['samples']:,} × {content['realizations']}"),
        ("channels", str(content["channels"])),
        ("grids", shares({f"{size}²": n for size, n in distributions["grid_sizes"].items()})),
        ("steps", str(content["config"]["simulation"]["num_timesteps"])),
        ("trajectories", stored),
        ("file", f"{literal(Path(content['path']).name)}, {readable_size(content['bytes'])}"),
        ("made", f"{plain(attributes['creation_date'])} by Spinlock {plain(attributes['spinlock_version'])}"),
    ]


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(map(str, values)) if len(values) <= 8 else f"{values[0]}, {values[1]}, … {values[-1]}"


def _making(content: Content) -> list[str]:
    provenance, attributes = content["provenance"], content["attributes"]
    metrics, config = content["sampling_metrics"], _set(content["config"])
    config["dataset"]["output_path"] = Path(content["path"]).name
    stored = json.dumps(content["config"])
    environments = [
        "; ".join(f"{key} {value}" for key, value in one.items()) for one in provenance["environments"]
    ]
    facts = [
        ("root seed", str(content["config"]["sampling"]["sobol"]["seed"])),
        ("plan digest", literal(attributes["plan_digest"])),
        ("dataset digest", literal(content["digest"])),
        ("configuration, SHA-256 as stored", literal(hashlib.sha256(stored.encode()).hexdigest())),
        ("versions", ", ".join(f"{plain(k)} {plain(v)}" for k, v in provenance.get("versions", {}).items())),
        ("computed on", " / ".join(map(plain, environments))),
        ("core time", f"{sum(provenance['timings'].values()):,.0f} s over all stages"),
        ("sampling", _sampling(metrics)),
    ]
    command = code("spinlock generate --config config.yaml", "bash")
    block = code(compact(config), "json")
    return [
        "## How it was made",
        MAKING,
        command,
        table(("", ""), facts),
        f"<details>\n<summary>Configuration</summary>\n\n{block}\n\n</details>",
    ]


def _sampling(metrics: Mapping[str, Any]) -> str:
    ratios = [
        f"{name} {number(metrics[key])}"
        for name, key in (
            ("discrepancy", "discrepancy_ratio"),
            ("correlation", "correlation_ratio"),
            ("imbalance", "imbalance_ratio"),
        )
        if metrics.get(key) is not None
    ]
    told = f": {', '.join(ratios)}, where random points have 1" if ratios else ""
    return f"{plain(metrics['verdict'])}{told}"


def _set(value: Any) -> Any:
    """Return what is set in a configuration: without nulls, empty sections, and switches that are off."""
    if isinstance(value, Mapping):
        kept = {key: _set(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one not in (None, {}) and (key, one) != OFF}
    return value


def _holding(content: Content) -> list[str]:
    rows, gathered = [], {folder: [0, 0, 0] for folder in GATHERED}
    for array in content["arrays"]:
        sizes = array["raw_bytes"], array["stored_bytes"]
        folder = next((name for name in GATHERED if array["path"].startswith(name)), None)
        if folder is not None:
            gathered[folder] = [old + new for old, new in zip(gathered[folder], (1, *sizes), strict=True)]
            continue
        axes = " × ".join(f"{dim} {size:,}" for dim, size in zip(array["dims"], array["shape"], strict=True))
        rows.append((literal(array["path"]), plain(array["dtype"]), axes, *map(readable_size, sizes)))
    for folder, (count, *sizes) in gathered.items():
        if count:
            rows.append((literal(folder), f"{count} arrays", GATHERED[folder], *map(readable_size, sizes)))
    return ["## What it holds", table(("array", "type", "axes", "size", "stored"), rows)]


def _distributions(content: Content) -> list[str]:
    found = content["distributions"]
    named = [
        ("initial conditions", shares(found["ic_types"])),
        ("update policies", shares(found["rollout_policies"])),
        ("noise regimes", shares(found["noise_regimes"])),
    ]
    parameters = [(_acting(name, spread), *_spread(spread)) for name, spread in content["parameters"].items()]
    sections = ["## Distributions", table(("", "samples (share)"), named)]
    if parameters:
        sections += ["Sampled parameters:", table(("parameter", "smallest", "median", "largest"), parameters)]
    return sections


def _acting(name: str, spread: Mapping[str, Any]) -> str:
    """Return the name of a parameter, with the number of samples in which it acts where that is not all."""
    return f"{literal(name)}, in {counted(spread['rows'], 'sample')}" if "rows" in spread else literal(name)


def _spread(spread: Mapping[str, Any]) -> Sequence[str]:
    if "counts" in spread:
        return shares(spread["counts"]), "", ""
    return [number(spread[key]) for key in ("min", "median", "max")]


def _dynamics(content: Content) -> list[str]:
    counts, rollouts = content["distributions"]["dynamics"], content["rollouts"]
    total, lost = content["samples"], rollouts["stopped"]
    labels = [(plain(label), f"{n:,}", share(n, total), LABELS.get(label, "")) for label, n in counts.items()]
    sections = ["## Dynamics", table(("label", "samples", "share", "meaning"), labels)]
    made, whole = rollouts["total"], rollouts["total"] - lost
    told = f"{whole:,} of {made:,} rollouts ({share(whole, made)}) are finite to the end."
    quantiles = rollouts["lyapunov"]["quantiles"]
    if quantiles:
        ranks = ", ".join(f"{100 * float(q):g} %" for q in quantiles)
        values = ", ".join(map(number, quantiles.values()))
        known = rollouts["lyapunov"]["known"]
        told += f" Quantiles ({ranks}) of the Lyapunov exponent λ per step, of {known:,} samples: {values}."
    return [*sections, told, *_by_type(content["accounting"], list(counts))]


def _by_type(accounting: Mapping[str, Any], labels: Sequence[str]) -> Iterable[str]:
    groups = accounting["by"]["ic_types"]
    if len(groups) < 2:
        return
    rows = [
        (plain(group["value"]), f"{group['samples']:,}", *(_cell(group, label) for label in labels))
        for group in groups
    ]
    yield "By initial condition, the share of its samples with each label:"
    yield table(("initial condition", "samples", *map(plain, labels)), rows)


def _cell(group: Mapping[str, Any], label: str) -> str:
    count = group["dynamics"].get(label, 0)
    return share(count, group["samples"]) if count else "–"


def _features(content: Content) -> list[str]:
    found = content["features"]
    if found is None:
        return []
    columns = ", ".join(f"{plain(name)} {count}" for name, count in found["columns"].items())
    facts = [
        ("features", f"{found['num_features']} (version {plain(found['version'])})"),
        ("columns", columns),
        ("categories", ", ".join(map(plain, found["categories"]))),
        ("samples", f"{found['samples']:,} of {content['samples']:,}"),
        (
            "measured",
            f"{plain(found['extraction_timestamp'])} by Spinlock {plain(found['spinlock_version'])}",
        ),
    ]
    return ["## Features", table(("", ""), facts)]


def _reading(content: Content) -> str:
    filters = {array["compression"].partition(" ")[0] for array in content["arrays"]} & {"zstd", "lz4"}
    hint = "; `import hdf5plugin` first." if filters else "."
    plain_reader = {
        "hdf5": f"Plain h5py reads it too{hint}",
        "spin": f"Plain h5py reads its shards too{hint}",
        "zarr": "Any Zarr library reads it too.",
    }[form_at(Path(content["path"]))]
    name = Path(content["path"]).name.replace('"', '\\"').replace("`", "'")
    return READING.format(name=name, plain_reader=plain_reader)
