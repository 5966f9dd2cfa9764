"""The Croissant description of a dataset (MLCommons Croissant 1.0): JSON-LD that dataset catalogues read.

Croissant has no way to say that a field is read from an array of an HDF5 file, so no record set claims it:
the file is a resource with its SHA-256, and what stands in it is told by records of the description itself.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spinlock.dataset.citation import bibtex

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context of Croissant 1.0, as its specification gives it."""

IDENTIFIER = "spinlock:"
"""Before the digest of the dataset that a description is of, and the SHA-256 of the rest of it."""

HDF5 = "application/x-hdf5"

DESCRIPTION = (
    "{samples} stochastic neural dynamical systems: random convolutional operators, rolled out from an "
    "initial condition as ensembles of {realizations} noisy realizations of {steps} steps. Synthetic, and "
    "reproducible from its configuration."
)


@dataclass(frozen=True)
class Resource:
    """A file of a dataset: its name from the folder that the dataset stands in, bytes, type and SHA-256."""

    name: str
    bytes: int
    media_type: str
    sha256: str


def render_croissant(content: Mapping[str, Any], resource: Resource, others: Sequence[str] = ()) -> str:
    """Return the description of what `spinlock.dataset.describe.described` says.

    Parameters
    ----------
    resource
        The file that the dataset is, or that is read first.
    others
        Patterns of the names of its other files.
    """
    labels, attributes = content["config"].get("metadata", {}), content["attributes"]
    file = Path(content["path"]).name
    facts = DESCRIPTION.format(**content, steps=content["config"]["simulation"]["num_timesteps"])
    described: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": labels.get("name") or file,
        "description": f"{labels['description']} {facts}" if labels.get("description") else facts,
        "version": f"{attributes['spinlock_version']}+{content['digest'][:12]}",
        "license": labels.get("license"),
        "creator": {"@type": "sc:Organization", "name": f"Spinlock {attributes['spinlock_version']}"},
        "citeAs": bibtex(attributes["spinlock_version"]),
        "dateCreated": attributes["creation_date"],
        "keywords": ["dynamical systems", "neural operators", "synthetic data", "ensembles"],
        "distribution": list(_files(resource, others, attributes["plan_digest"])),
        "recordSet": list(_record_sets(content)),
    }
    kept = {key: value for key, value in described.items() if value}
    kept["identifier"] = f"{IDENTIFIER}{content['digest']}:{_fingerprint(kept)}"
    return json.dumps(kept, indent=1) + "\n"


def _files(resource: Resource, others: Sequence[str], plan_digest: str) -> Iterator[dict[str, str]]:
    yield {
        "@type": "cr:FileObject",
        "@id": "dataset",
        "name": resource.name,
        "description": f"The dataset; plan {plan_digest}.",
        "contentUrl": resource.name,
        "contentSize": f"{resource.bytes} B",
        "encodingFormat": resource.media_type,
        "sha256": resource.sha256,
    }
    for number, pattern in enumerate(others):
        yield {
            "@type": "cr:FileSet",
            "@id": f"files-{number}",
            "name": pattern,
            "description": "Its other files.",
            "encodingFormat": resource.media_type,
            "includes": pattern,
        }


def _fingerprint(described: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description without its identifier."""
    rest = {key: value for key, value in described.items() if key != "identifier"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def dataset_of_croissant(text: str) -> str | None:
    """Return the digest of the dataset that a description is of; None where it was changed, or is none."""
    try:
        described = json.loads(text)
        digest, _, fingerprint = described["identifier"].removeprefix(IDENTIFIER).partition(":")
        return digest if fingerprint == _fingerprint(described) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _record_sets(content: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    yield _records(
        "arrays",
        "The arrays of the dataset. Axes and shape are separated by commas; an array whose first axis is "
        "`sample` has a row for each sample.",
        {"path": "sc:Text", "type": "sc:Text", "axes": "sc:Text", "shape": "sc:Text", "bytes": "sc:Integer"},
        [
            {
                "path": array["path"],
                "type": array["dtype"],
                "axes": ",".join(array["dims"]),
                "shape": ",".join(map(str, array["shape"])),
                "bytes": array["raw_bytes"],
            }
            for array in content["arrays"]
        ],
    )
    yield _records(
        "dynamics",
        "What became of the samples: how many have each label.",
        {"label": "sc:Text", "samples": "sc:Integer"},
        [{"label": label, "samples": count} for label, count in content["distributions"]["dynamics"].items()],
    )
    ranges = [
        {"name": name, "minimum": spread["min"], "median": spread["median"], "maximum": spread["max"]}
        for name, spread in content["parameters"].items()
        if "counts" not in spread
    ]
    number = "sc:Float"
    if ranges:
        fields = {"name": "sc:Text", "minimum": number, "median": number, "maximum": number}
        yield _records("parameters", "The values met of every sampled number.", fields, ranges)


def _records(
    name: str, description: str, fields: Mapping[str, str], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a record set whose records stand in the description itself."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": f"{name}/{next(iter(fields))}"},
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/{field}", "name": field, "dataType": kind}
            for field, kind in fields.items()
        ],
        "data": [{f"{name}/{field}": value for field, value in row.items()} for row in rows],
    }
