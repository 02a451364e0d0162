import asyncio
import threading
from contextlib import closing
from pathlib import Path

import pytest
from anyio import CapacityLimiter

from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service.jobs.queue import new_spec
from service.jobs.spaces import JobSpace, JobSpaces
from service.live.event_broadcaster import EventBroadcaster
from service.live.frame_renderer import FrameRenderer
from service.live.kept_networks import KeptNetworks
from service.live.wakeup import Wakeup
from service.registry.registry import Registry
from service.render import sse
from service.settings import Settings
from tests.service.places import Place


@pytest.mark.slow
def test_a_silent_stream_sends_pings_and_goes_on_with_the_next_event(tmp_path: Path) -> None:
    place = Place.of_folder(tmp_path)
    spec = new_spec("m", DatasetSpec(), NetworkSpec(), TrainingSpec(epochs=5), origin="http")
    job = place.store.leases.add_claimed(spec, worker="test")
    with closing(place.store):
        before, after = asyncio.run(sent_before_and_after_a_silence(place, job.id))
    assert b"".join(before).count(b"event: status") == 2
    assert before[-3:] == [sse.PING] * 3
    assert b"".join(after).replace(sse.PING, b"").startswith(b"event: status")


async def sent_before_and_after_a_silence(place: Place, job_id: str) -> tuple[list[bytes], list[bytes]]:
    """What a stream sends until it has pinged three times in a row, and what it sends when the job then fails."""
    registry = Registry(place.store, place.files)
    published = JobSpace(place.store, place.files, place.job_queue)
    spaces = JobSpaces(Settings(data_dir=place.path), published, on_job_end=lambda: None)
    frame_renderer = FrameRenderer(spaces, registry, KeptNetworks(spaces), threads=CapacityLimiter(1))
    broadcaster = EventBroadcaster(
        spaces,
        registry,
        frame_renderer,
        wakeup=Wakeup(),
        stopping=threading.Event(),
        max_streams=1,
        keep_alive_s=0.05,
    )
    running = asyncio.create_task(broadcaster.run())
    before: list[bytes] = []
    with broadcaster.subscribe([place.store.jobs.get(job_id)], [0]) as subscription:
        chunks = subscription.chunks()
        while b"".join(before).count(b"event: status") < 2 or before[-3:] != [sse.PING] * 3:
            before.append(await anext(chunks))
        place.store.leases.fail(place.store.jobs.get(job_id), code="internal", detail="It was the test.")
        after = [chunk async for chunk in chunks]
    running.cancel()
    return before, after
