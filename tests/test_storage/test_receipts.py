"""Only an undamaged receipt of this plan whose shard stands counts; all others are missing, with a reason."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinlock.errors import StorageError
from spinlock.storage.atomic import remove_temporaries
from spinlock.storage.hashing import file_sha256
from spinlock.storage.receipts import Receipt, read_receipts, receipt_path, shard_path, write_receipt

PLAN = "cd" * 32
RECEIPT = Receipt(3, 12, 16, PLAN, 4, "00", "11", {"rollout": 0.25}, {"torch": "2"}, {"device": "cpu"}, 2)


@pytest.fixture
def run(tmp_path):
    for folder in ("shards", "receipts"):
        (tmp_path / folder).mkdir()
    for shard in range(3):
        path = shard_path(tmp_path, shard)
        path.write_bytes(b"data%d" % shard)
        receipt = replace(RECEIPT, shard=shard, lo=shard, hi=shard + 1, size=5, sha256=file_sha256(path))
        write_receipt(tmp_path, receipt)
    return tmp_path


def reasons(directory, **options):
    scan = read_receipts(directory, PLAN, **options)
    return sorted(scan.valid), {path.name: reason for path, reason in scan.rejected.items()}


def test_valid_receipts_come_back_whole(run):
    scan = read_receipts(run, PLAN, deep=True)
    assert sorted(scan.valid) == [0, 1, 2]
    assert scan.rejected == {}
    assert scan.valid[1] == replace(
        RECEIPT, shard=1, lo=1, hi=2, size=5, sha256=file_sha256(shard_path(run, 1))
    )
    assert scan.valid[1].shard_file(run).path == shard_path(run, 1)


def test_a_directory_without_receipts_proves_nothing(tmp_path):
    assert reasons(tmp_path / "nowhere") == ([], {})


def test_receipts_of_another_plan_do_not_count(run):
    scan = read_receipts(run, "ef" * 32)
    assert scan.valid == {}
    assert all("another plan" in reason for reason in scan.rejected.values())
    assert len(scan.rejected) == 3


def test_a_missing_cut_or_changed_shard_does_not_count(run):
    shard_path(run, 0).unlink()
    shard_path(run, 1).write_bytes(b"dat")
    shard_path(run, 2).write_bytes(b"DATA2")
    valid, rejected = reasons(run)
    assert valid == [2]
    assert "is missing" in rejected["part-000000.json"]
    assert "3 bytes instead of 5" in rejected["part-000001.json"]
    valid, rejected = reasons(run, deep=True)
    assert valid == []
    assert "changed since it was committed" in rejected["part-000002.json"]


@given(st.data())
def test_any_change_of_a_receipt_is_seen(data):
    text = RECEIPT.to_json()
    content = json.loads(text)
    name = data.draw(st.sampled_from(sorted(content)))
    content[name] = data.draw(st.sampled_from([7, "x", None, {}, {"a": 1.0}, [1]]))
    with pytest.raises(StorageError, match="the receipt is damaged"):
        Receipt.from_json(json.dumps(content))
    with pytest.raises(StorageError, match="the receipt is damaged"):
        Receipt.from_json(text[: data.draw(st.integers(0, len(text) - 1))])
    assert Receipt.from_json(text) == RECEIPT  # control: the unchanged one is accepted


def test_damaged_receipts_count_as_missing_and_are_reported(run):
    receipt_path(run, 0).write_text(receipt_path(run, 0).read_text().replace('"attempt": 2', '"attempt": 1'))
    receipt_path(run, 1).write_bytes(b"\xff\xfe")
    receipt_path(run, 2).rename(receipt_path(run, 9))
    valid, rejected = reasons(run)
    assert valid == []
    assert "damaged" in rejected["part-000000.json"]
    assert "part-000001.json" in rejected
    assert "receipt of shard 2, under another name" in rejected["part-000009.json"]


def test_a_json_round_trip_keeps_every_field():
    assert asdict(Receipt.from_json(RECEIPT.to_json())) == asdict(RECEIPT)


def test_temporaries_are_ignored_and_swept(run):
    stale = [
        run / "receipts" / f"part-000000.json.tmp-{'a' * 32}",
        run / "receipts" / f"part-000007.json.tmp-{'0f' * 16}",
    ]
    for path in stale:
        path.write_text("{")
    (run / "receipts" / "notes.tmp-x").write_text("mine")
    assert reasons(run) == ([0, 1, 2], {})
    assert remove_temporaries(run / "receipts", "part-000007.json") == stale[1:]
    assert remove_temporaries(run / "receipts") == stale[:1]
    assert (run / "receipts" / "notes.tmp-x").exists()
    assert remove_temporaries(run / "nowhere") == []


def test_a_failed_receipt_leaves_none(run):
    def stop(step):
        if step == "rename":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_receipt(run, replace(RECEIPT, shard=8), stop)
    assert not receipt_path(run, 8).exists()
    assert len(list((run / "receipts").iterdir())) == 3
