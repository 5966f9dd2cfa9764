"""No encoder leaves a real-time process behind, which would stop everything else on the machine."""

import io
import os
from contextlib import suppress

import av
import numpy as np
import pytest

from spinlock.visualization.encoders.codecs import CODECS, SVT_AV1
from spinlock.visualization.encoders.encoding import Encoding
from spinlock.visualization.encoders.scheduling import TASKS, own_scheduling

if not hasattr(os, "sched_getscheduler"):
    pytest.skip("this system has no scheduling policies", allow_module_level=True)

NORMAL = os.SCHED_OTHER, 0


def threads() -> list[int]:
    return [int(task.name) for task in TASKS.iterdir()]


def policies() -> set[tuple[int, int]]:
    """The policy and priority of every thread of this process."""
    found = set()
    for one in threads():
        with suppress(ProcessLookupError):  # it ended since it was listed
            found.add((os.sched_getscheduler(one), os.sched_getparam(one).sched_priority))
    return found


@pytest.fixture(autouse=True)
def _normal():
    assert policies() == {NORMAL}
    yield
    for thread in threads():
        os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def may_be_real_time() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


@pytest.mark.parametrize(
    ("suffix", "codec"), [(suffix, codec) for suffix, codecs in CODECS.items() for codec in codecs]
)
def test_threads_keep_their_policy_while_a_video_is_made(suffix, codec):
    encoding = Encoding(io.BytesIO(), suffix, codec, (64, 64), 10)
    try:
        for _ in range(3):
            encoding.write(np.zeros((64, 64, 3), np.uint8))
            assert policies() == {NORMAL}
        encoding.finish()
    except av.error.FFmpegError as error:
        pytest.skip(f"{codec.name} does not work here: {error}")
    finally:
        encoding.abandon()
    assert policies() == {NORMAL}


@pytest.mark.skipif(not may_be_real_time(), reason="this user may have no real-time threads")
def test_without_care_the_encoder_changes_it():
    """The control."""
    with av.open(io.BytesIO(), "w", format="webm") as container:
        stream = container.add_stream(SVT_AV1.name, rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24"))
        met = policies()
    assert met != {NORMAL}


@pytest.mark.skipif(not may_be_real_time(), reason="this user may have no real-time threads")
def test_threads_that_were_real_time_before_stay_so():
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with own_scheduling():
        pass
    assert os.sched_getscheduler(0) == os.SCHED_RR
