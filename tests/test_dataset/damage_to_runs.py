"""Ways to damage what a run keeps: its shards and their receipts, each at a seeded place."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spinlock.storage import Receipt
from spinlock.storage.receipts import receipt_path
from test_dataset.damage_to_files import (
    SHARDS,
    Scene,
    append,
    cell,
    cut,
    flip,
    noise,
    remove_attribute,
    zero,
)


def rewritten(path: Path, receipt: dict[str, Any]) -> None:
    """Write a receipt with a checksum of itself that is right."""
    receipt.pop("checksum", None)
    known = Receipt(**receipt)
    path.write_text(known.to_json())


def shard_file(parts: Path, rng: random.Random) -> Path:
    return parts / "shards" / f"part-{rng.randrange(SHARDS):06d}.h5"


def on_shard(change: Callable[[Path, random.Random, Scene], None]) -> Callable[..., None]:
    return lambda parts, rng, scene: change(shard_file(parts, rng), rng, scene)


def swap_files(folder: str, ending: str) -> Callable[..., None]:
    def change(parts: Path, rng: random.Random, _scene: Scene) -> None:
        one, other = (parts / folder / f"part-{k:06d}.{ending}" for k in rng.sample(range(SHARDS), 2))
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)

    return change


def swap_both(parts: Path, rng: random.Random, _scene: Scene) -> None:
    """Exchange two shards and give each a receipt that goes with its bytes."""
    pair = rng.sample(range(SHARDS), 2)
    shards = [parts / "shards" / f"part-{k:06d}.h5" for k in pair]
    receipts = [json.loads(receipt_path(parts, k).read_text()) for k in pair]
    data = [path.read_bytes() for path in shards]
    for k, path, content, mine, theirs in zip(
        pair, shards, reversed(data), receipts, reversed(receipts), strict=True
    ):
        path.write_bytes(content)
        rewritten(receipt_path(parts, k), {**theirs, **{name: mine[name] for name in ("shard", "lo", "hi")}})


def other_shard(parts: Path, rng: random.Random, scene: Scene) -> int:
    """Put another plan's shard in the place of one."""
    shard = rng.randrange(SHARDS)
    shutil.copy(scene.parts(scene.other) / "shards" / f"part-{shard:06d}.h5", parts / "shards")
    return shard


def other_both(parts: Path, rng: random.Random, scene: Scene) -> None:
    shard = other_shard(parts, rng, scene)
    shutil.copy(receipt_path(scene.parts(scene.other), shard), parts / "receipts")


def other_relabelled(parts: Path, rng: random.Random, scene: Scene) -> None:
    """Another plan's shard, with a receipt rewritten to be of this plan."""
    shard = other_shard(parts, rng, scene)
    ours, theirs = (
        json.loads(receipt_path(folder, shard).read_text()) for folder in (parts, scene.parts(scene.other))
    )
    rewritten(receipt_path(parts, shard), {**theirs, "plan_digest": ours["plan_digest"]})


def edit_receipt(parts: Path, rng: random.Random, _scene: Scene) -> None:
    path = receipt_path(parts, rng.randrange(SHARDS))
    content = json.loads(path.read_text())
    name = rng.choice(("shard", "lo", "hi", "size", "sha256", "digest", "plan_digest", "attempt"))
    content[name] = 1 + content[name] if isinstance(content[name], int) else content[name][::-1]
    path.write_text(json.dumps(content))


WRONG = (-1, 10**30, "x", "../../x", None, [], {}, 1.5, True)


def edit_receipt_and_checksum(parts: Path, rng: random.Random, _scene: Scene) -> None:
    path = receipt_path(parts, rng.randrange(SHARDS))
    content = json.loads(path.read_text())
    name = rng.choice(("shard", "lo", "hi", "size", "sha256", "digest", "plan_digest"))
    wrong = [value for value in WRONG if value != content[name]]
    rewritten(path, {**content, name: rng.choice([*wrong, 1 if name != "size" else 7])})


def copy_receipt(parts: Path, rng: random.Random, _scene: Scene) -> None:
    one, other = rng.sample(range(SHARDS), 2)
    receipt_path(parts, other).write_bytes(receipt_path(parts, one).read_bytes())


def remove_file(folder: str, ending: str) -> Callable[..., None]:
    def change(parts: Path, rng: random.Random, _scene: Scene) -> None:
        (parts / folder / f"part-{rng.randrange(SHARDS):06d}.{ending}").unlink()

    return change


def on_receipt(change: Callable[[Path, random.Random, Scene], None]) -> Callable[..., None]:
    return lambda parts, rng, scene: change(receipt_path(parts, rng.randrange(SHARDS)), rng, scene)


RUN_DAMAGE = {
    "flip": on_shard(flip),
    "zero": on_shard(zero),
    "noise": on_shard(noise),
    "cut": on_shard(cut),
    "append": on_shard(append),
    "cell": on_shard(cell),
    "remove attribute": on_shard(remove_attribute),
    "swap shards": swap_files("shards", "h5"),
    "swap receipts": swap_files("receipts", "json"),
    "swap shards and receipts": swap_both,
    "other shard": other_shard,
    "other shard and receipt": other_both,
    "other shard, relabelled": other_relabelled,
    "edit receipt": edit_receipt,
    "edit receipt and checksum": edit_receipt_and_checksum,
    "copy receipt": copy_receipt,
    "remove receipt": remove_file("receipts", "json"),
    "remove shard": remove_file("shards", "h5"),
    "flip receipt": on_receipt(flip),
    "cut receipt": on_receipt(cut),
}
