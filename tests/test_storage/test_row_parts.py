"""A part of a row is that part of the row, and only the chunks that hold it are read."""

import h5py
import pytest

from spinlock.errors import StorageError
from spinlock.storage.reader import DatasetFile
from test_storage.dataset_samples import layout_of, same_bits, shard_of

PATH = "outputs/trajectories"

PARTS = [
    (slice(0, 1),),
    (slice(1, 2), slice(1, 3)),
    (slice(None), slice(2, 135)),
    (slice(0, 2), slice(100, None)),
    (slice(1, 2), slice(3, 3)),
    (slice(-1, None), slice(-2, None)),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file whose rows are more than one chunk along the realizations or the frames."""
    path = tmp_path_factory.mktemp("parts") / "data.h5"
    how = {"compression": "none", "compression_level": 0, "realizations": 4, "channels": 1, "samples": 2}
    shard_of(path, layout_of(grids=(32, 64), timesteps=tuple(range(140)), **how), 0, 2)
    return path


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("row", [0, 1])
def test_a_part_is_the_same_as_a_slice_of_the_whole(path, row, part):
    with DatasetFile(path) as file:
        whole = file.row(PATH, row)
        assert same_bits(file.row(PATH, row, part=part), whole[part].copy())
        padded = file.row(PATH, row, size=72, part=part)
        assert padded.shape[-2:] == (72, 72)
        assert same_bits(padded[..., : whole.shape[-2], : whole.shape[-1]].copy(), whole[part].copy())


def test_damage_elsewhere_does_not_matter_and_damage_there_does(path, tmp_path):
    with h5py.File(path) as file:
        array = file[PATH].id
        chunks = [array.get_chunk_info(k) for k in range(array.get_num_chunks())]
    of_row = [chunk for chunk in chunks if chunk.chunk_offset[0] == 1]
    assert len({chunk.chunk_offset[1:3] for chunk in of_row}) > 1
    last = max(of_row, key=lambda chunk: chunk.chunk_offset)
    content = bytearray(path.read_bytes())
    content[last.byte_offset] ^= 1
    damaged = tmp_path / "data.h5"
    damaged.write_bytes(content)
    realization, frame = last.chunk_offset[1:3]
    with DatasetFile(damaged) as file:
        file.row(PATH, 1, part=(slice(0, 1), slice(0, 1)))
        with pytest.raises(StorageError, match="row 1 is damaged"):
            file.row(PATH, 1, part=(slice(realization, realization + 1), slice(frame, frame + 1)))
