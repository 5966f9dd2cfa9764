"""Mass, contact and place of aggregates; Eden growth has another dimension."""

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt, label

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.dla_cluster import cells_reaching, mass_exponent, mass_law
from spinlock.keys import Key
from spinlock.numerics.random import SampleKeys
from spinlock.testing.laws import holds

ENTRY = registry["dla_cluster"]


def eden(count, size, cells):
    """Return clusters in which the next cell is any empty neighbour of the cluster, as order over size."""
    keys = SampleKeys.of(Key(0, "eden"), torch.arange(count), ("choice",))
    chosen = keys.uniform("choice", cells).numpy()
    ages = np.zeros((count, size, size), dtype=np.float32)
    for age, uniform in zip(ages, chosen, strict=True):
        border = [(size // 2, size // 2)]
        for number in range(1, cells + 1):
            place = border.pop(int(uniform[number - 1] * len(border)))
            age[place] = number / cells
            y, x = place
            for step in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if age[step] == 0 and step not in border:
                    border.append(step)
    return torch.from_numpy(ages)


def test_eden_growth_is_compact_and_fails_the_law():
    grown = eden(32, 128, 600)
    assert np.mean([mass_exponent(age) for age in grown]) == pytest.approx(1.97, abs=0.06)

    def draw(count, **_):
        return grown[:count, None]

    assert not holds(mass_law(), draw)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("size", "expected", "tolerance"), [(128, 1.62, 0.08), (256, 1.67, 0.06)])
def test_mass_exponent_grows_towards_the_fractal_dimension(size, expected, tolerance, seed):
    ages = generate("dla_cluster", size, 1, range(64), seed, field_type_dla="age")[:, 0]
    assert np.mean([mass_exponent(age) for age in ages]) == pytest.approx(expected, abs=tolerance)


@pytest.mark.slow
def test_large_clusters_come_close_to_the_fractal_dimension():
    options = {"field_type_dla": "age", "cluster_size": 20_000}
    ages = generate("dla_cluster", 1024, 1, range(8), **options)[:, 0]
    assert np.mean([mass_exponent(age) for age in ages]) == pytest.approx(1.69, abs=0.04)


def reach(fields):
    return np.mean([np.ptp(np.argwhere(field.numpy() > 0), axis=0).max() for field in fields[:, 0]])


def test_low_stickiness_makes_denser_clusters_of_equal_mass():
    sticky, loose = (generate("dla_cluster", 128, 1, range(12), stickiness=value) for value in (1.0, 0.2))
    assert sticky.sum(dim=(1, 2, 3)).tolist() == loose.sum(dim=(1, 2, 3)).tolist() == [600.0] * 12
    assert reach(loose) < 0.9 * reach(sticky)


@pytest.mark.parametrize("cells", [8, 100, 200])
def test_a_cluster_has_exactly_the_cells_asked_for(cells):
    for field in generate("dla_cluster", 64, 1, range(6), cluster_size=cells)[:, 0]:
        assert float(field.sum()) == cells
        assert label(field.numpy())[1] == 1


def test_channels_are_occupancy_age_and_concentration():
    for cells, age, near in generate("dla_cluster", 64, 3, range(4)):
        count = int(cells.sum())
        assert set(cells.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(age > 0, cells > 0)
        assert torch.allclose(age[age > 0].sort().values, torch.arange(1, count + 1) / count)
        distance = torch.from_numpy(distance_transform_edt(cells.numpy() == 0))
        assert torch.allclose(near.double(), torch.exp(-distance / 2.5), atol=1e-6)


def test_the_first_channel_is_the_one_named():
    cells, age, near = generate("dla_cluster", 64, 3, [0])[0]
    for name, order in (("age", (age, cells, near)), ("concentration", (near, cells, age))):
        assert torch.equal(generate("dla_cluster", 64, 3, [0], field_type_dla=name)[0], torch.stack(order))


def test_clusters_touch_no_border_and_stand_at_different_places():
    fields = generate("dla_cluster", 64, 1, range(32))[:, 0]
    frame = torch.cat([fields[:, 0], fields[:, -1], fields[:, :, 0], fields[:, :, -1]])
    assert not frame.any()
    centres = np.array([np.argwhere(field.numpy() > 0).mean(axis=0) for field in fields])
    assert (centres.std(axis=0) > 4).all()


def test_a_line_grows_from_one_border_in_every_direction():
    fields, ages = generate("dla_cluster", 64, 2, range(24), seed_type="line").transpose(0, 1)
    assert {float(field.sum()) for field in fields} == {cells_reaching("line", 64, 0.25)}
    sides = torch.stack([fields[:, 0], fields[:, -1], fields[:, :, 0], fields[:, :, -1]])
    full = sides.mean(dim=2) == 1.0
    assert full.sum(dim=0).tolist() == [1] * 24
    assert full.any(dim=1).all()
    heights = [np.argwhere(field.numpy() > 0) for field in fields]
    assert all((np.ptp(places, axis=0) > 15).all() for places in heights)
    assert float(ages.max()) == 1.0


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (64, {"cluster_size": 600}),
        (128, {"cluster_size": 1200}),
        (64, {"cluster_size": 70, "seed_type": "line"}),
    ],
)
def test_sizes_that_do_not_fit_are_refused(size, options):
    with pytest.raises(OptionError, match=r"cluster_size .* does not fit a .* grid"):
        generate("dla_cluster", size, **options)


def test_the_largest_cluster_that_is_accepted_fits():
    cells = cells_reaching("point", 64, 0.42)
    assert generate("dla_cluster", 64, 1, range(8), cluster_size=cells).sum(dim=(1, 2, 3)).unique() == cells
