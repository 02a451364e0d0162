import asyncio
import threading
from contextlib import closing
from pathlib import Path

from anyio import CapacityLimiter

from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service.jobs.queue import new_spec
from service.live.event_broadcaster import EventBroadcaster
from service.live.frame_renderer import FrameRenderer
from service.live.wakeup import Wakeup
from service.registry.registry import Registry
from service.render import sse
from tests.service.places import Place


def test_a_silent_stream_pings_and_goes_on(tmp_path: Path) -> None:
    place = Place.of_folder(tmp_path)
    spec = new_spec("m", DatasetSpec(), NetworkSpec(), TrainingSpec(epochs=5), origin="http")
    job = place.store.jobs.add_claimed(spec, worker="test")
    with closing(place.store):
        chunks = asyncio.run(followed(place, job.id))
    first = chunks.index(sse.PING)
    assert b"".join(chunks[:first]).count(b"event: status") == 2
    assert chunks[first : first + 3] == [sse.PING] * 3
    assert b"".join(chunks[first + 3 :]).replace(sse.PING, b"").startswith(b"event: status")


async def followed(place: Place, job_id: str) -> list[bytes]:
    """What a stream sends that may be silent for a moment only, of a job that fails after three pings."""
    registry = Registry(place.store, place.files)
    frame_renderer = FrameRenderer(place.store, place.files, registry, heavy=CapacityLimiter(1))
    stopping = threading.Event()
    broadcaster = EventBroadcaster(
        place.store, registry, frame_renderer, wakeup=Wakeup(), stopping=stopping, max_streams=1, keep_alive_s=0.05
    )
    running = asyncio.create_task(broadcaster.run())
    chunks: list[bytes] = []
    with broadcaster.follow([place.store.jobs.get(job_id)], [0]) as follower:
        async for chunk in follower.chunks():
            chunks.append(chunk)
            if chunks.count(sse.PING) == 3 and chunk == sse.PING:
                place.store.jobs.fail(place.store.jobs.get(job_id), code="internal", detail="It was the test.")
    running.cancel()
    return chunks
