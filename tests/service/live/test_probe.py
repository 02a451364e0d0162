"""Probes of a part that hangs, such as a lost network disk, which a test cannot mount."""

import asyncio
from threading import Event

from service.errors import StoreUnavailable
from service.live.probe import Probe

SHORT_S, LONG_S = 0.01, 30.0


class Part:
    """A part of the service that hangs until it is back."""

    def __init__(self) -> None:
        self.asks = 0
        self.is_back = Event()

    def ask(self) -> str:
        self.asks += 1
        self.is_back.wait(30)
        return f"answer {self.asks}"


def test_a_part_that_hangs_is_asked_once_however_often_a_client_asks() -> None:
    async def ask(part: Part) -> None:
        probe = Probe(part.ask)
        try:
            assert await asyncio.gather(probe.answer(SHORT_S), probe.answer(SHORT_S)) == [None, None]
            assert await probe.answer(SHORT_S) is None
            assert part.asks == 1
        finally:
            part.is_back.set()
        assert await probe.answer(LONG_S) == "answer 1"
        assert await probe.answer(LONG_S) == "answer 2"

    asyncio.run(ask(Part()))


def test_an_unavailable_database_gives_no_answer() -> None:
    def ask() -> str:
        raise StoreUnavailable

    async def answer() -> str | None:
        return await Probe(ask).answer(LONG_S)

    assert asyncio.run(answer()) is None


def test_a_part_that_answers_is_asked_each_time() -> None:
    async def ask(part: Part) -> list[str | None]:
        probe = Probe(part.ask)
        return [await probe.answer(LONG_S) for _ in range(3)]

    part = Part()
    part.is_back.set()
    assert asyncio.run(ask(part)) == ["answer 1", "answer 2", "answer 3"]
