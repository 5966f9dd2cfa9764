"""A file that is not whole is refused; a flipped bit is found, with array, row and remedy."""

import pytest

import tiny
from spinlock.dataset import open_dataset
from spinlock.dataset.validate import validate
from spinlock.errors import StorageError


@pytest.fixture
def copy(plain, tmp_path):
    path = tmp_path / "copy.h5"
    path.write_bytes(plain.read_bytes())
    return path


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused_with_a_remedy(copy, kept):
    content = copy.read_bytes()
    copy.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(StorageError, match=r"copy\.h5.*generate it again"):
        open_dataset(copy)
    assert len(validate(copy).failures) == 1


def test_a_half_written_file_is_refused(plain, tmp_path):
    content = plain.read_bytes()
    path = tmp_path / "a.h5"
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with pytest.raises(StorageError, match=r"a\.h5"):
        open_dataset(path)
    assert validate(path).failures


@pytest.mark.parametrize("array", ["inputs/fields", "outputs/fields"])
def test_a_flipped_bit_in_a_chunk_is_found_by_validate_and_by_the_first_read(copy, array):
    tiny.flip(copy, tiny.chunk_place(copy, array, 1))
    assert [f for f in validate(copy).failures if f.startswith(f"{array}, row 1: chunk")]
    with open_dataset(copy) as dataset:
        assert dataset[0].index == 0
        assert dataset[2].index == 2
        with pytest.raises(StorageError, match=rf"copy\.h5: {array}, row 1 is damaged .*generate it again"):
            dataset[1]


@pytest.mark.parametrize(
    "text", [b'"total_samples"', b"plan_digest", b"creation_date", b"gaussian_random_field"]
)
def test_a_flipped_bit_in_the_metadata_is_found_by_both(copy, text):
    place = copy.read_bytes().index(text)
    tiny.flip(copy, place + 3)
    assert validate(copy).failures
    with pytest.raises(StorageError, match=r"copy\.h5"):
        open_dataset(copy)


def test_the_untouched_copy_is_sound(copy):
    assert validate(copy).failures == []


def test_a_shard_is_told_from_a_dataset(tmp_path):
    from test_dataset.test_resume import interrupted

    parts = interrupted(tmp_path / "a.h5")
    shard = parts / "shards" / "part-000000.h5"
    with pytest.raises(StorageError, match="is a shard of an unfinished run, not a dataset"):
        open_dataset(shard)
    (failure,) = validate(shard).failures
    assert "is a shard of an unfinished run" in failure
