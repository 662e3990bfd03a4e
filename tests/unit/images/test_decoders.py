"""Decoding in processes: one image lost a death, nothing reached from inside, no wait without an end."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_similarity.domain.errors import (
    DecodeTimeout,
    ImageSimilarityError,
    ImageTooLarge,
    ImageUndecodable,
    InvalidRequest,
    Overloaded,
    UnsupportedFormat,
)
from image_similarity.images import decoders as module
from image_similarity.images.decoders import Decoders
from image_similarity.images.memory import MemoryBudget
from image_similarity.images.recipe import Recipe, prepare
from image_similarity.telemetry.metrics import Metrics
from tests.support import misbehaving
from tests.support.hostile import float_tiff, jpeg_of_scans, png
from tests.support.sample_images import encoded, photo

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="decoding processes need Linux")
pytestmark = needs_linux

WAIT = 60.0
"""Seconds after which a test has failed; no passing test comes near it."""

ALL = tuple(
    getattr(misbehaving, name)
    for name in ("shrink", "hang", "crash", "be_killed", "spin", "eat", "mistake", "tell_pid", "tell_reach")
)
held = threading.Event()
PICTURE = encoded(Image.new("RGB", (60, 40), (200, 10, 10)), "PNG")


@asynccontextmanager
async def running(isolation: Any = "process", **options: Any) -> AsyncIterator[Decoders]:
    settings = {"count": 1, "timeout": 30, "memory": 40_000_000} | options
    decoders = Decoders(ALL, Metrics(), isolation=isolation, **settings)
    try:
        yield decoders
    finally:
        decoders.close()


def asking_for(*preprocess: Callable[[Image.Image], Any], **options: Any) -> Recipe:
    return Recipe(max_pixels=100_000_000, min_short_side=32, min_long_side=32, preprocess=preprocess, **options)


def alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def deaths(decoders: Decoders) -> dict[str, float]:
    [family] = decoders._metrics.decoder_deaths.collect()
    return {sample.labels["reason"]: sample.value for sample in family.samples if sample.value}


async def pid(decoders: Decoders) -> int:
    prepared = await decoders.run(PICTURE, asking_for(misbehaving.tell_pid))
    return int.from_bytes(prepared.pixels[0].tobytes(), "little")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
async def test_a_process_makes_what_a_thread_makes(image_format: str) -> None:
    data = encoded(photo(640, 480), image_format)
    recipe = asking_for(misbehaving.shrink, thumbnail_side=100)
    expected = prepare(data, recipe, lambda _: None)
    async with running() as decoders:
        prepared = await decoders.run(data, recipe)

    assert (prepared.width, prepared.height, prepared.format) == (640, 480, image_format)
    assert prepared.thumbnail == expected.thumbnail
    assert np.array_equal(prepared.pixels[0], expected.pixels[0])
    assert prepared.pixels[0].flags.writeable


async def test_a_photo_of_an_iphone_is_decoded_by_the_confined_process() -> None:
    heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    heif.from_pillow(photo(640, 480)).save(out, quality=90)
    recipe = asking_for(misbehaving.shrink, thumbnail_side=100)
    expected = prepare(out.getvalue(), recipe, lambda _: None)
    async with running() as decoders:
        prepared = await decoders.run(out.getvalue(), recipe)
        assert deaths(decoders) == {}

    assert (prepared.width, prepared.height, prepared.format) == (640, 480, "HEIF")
    assert prepared.thumbnail == expected.thumbnail
    assert np.array_equal(prepared.pixels[0], expected.pixels[0])


async def test_a_file_larger_than_the_shared_memory_gets_a_larger_one() -> None:
    data = PICTURE + bytes(module._REGION + 1)
    async with running() as decoders:
        first = await pid(decoders)
        assert (await decoders.run(data, asking_for(misbehaving.shrink))).width == 60
        assert await pid(decoders) != first


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"no image", UnsupportedFormat),
        (PICTURE[:-30], ImageUndecodable),
        (png("1", 20_000, 10_000), ImageTooLarge),
        (jpeg_of_scans(200), ImageUndecodable),
        (float_tiff(3000, 2000), ImageTooLarge),
    ],
    ids=["no image", "cut short", "pixels", "scans", "bytes"],
)
async def test_an_image_that_is_refused_costs_no_process(data: bytes, error: type[ImageSimilarityError]) -> None:
    async with running() as decoders:
        before = await pid(decoders)
        with pytest.raises(error):
            await decoders.run(data, asking_for(misbehaving.shrink))
        assert await pid(decoders) == before
        assert deaths(decoders) == {}


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (misbehaving.crash, "signal"),
        (misbehaving.be_killed, "memory"),
        (misbehaving.spin, "cpu"),
        (misbehaving.eat, "memory"),
    ],
)
async def test_a_death_costs_one_image(act: Callable[[Image.Image], Any], reason: str) -> None:
    async with running() as decoders:
        before = await pid(decoders)
        with pytest.raises(ImageUndecodable, match=r"[Ss]ave it anew"):
            await decoders.run(PICTURE, asking_for(act))
        assert await pid(decoders) not in (before, os.getpid())
        assert deaths(decoders) == {reason: 1}
        assert decoders.failure() is None


async def test_one_that_dies_while_it_is_idle_costs_none() -> None:
    async with running() as decoders:
        before = await pid(decoders)
        os.kill(before, signal.SIGKILL)
        # It may be gone by now, or only about to go.
        assert await pid(decoders) != before
        assert deaths(decoders).keys() <= {"idle"}


async def test_one_that_hangs_is_killed_when_its_time_is_over() -> None:
    async with running(timeout=0.3) as decoders:
        before = await pid(decoders)
        with pytest.raises(DecodeTimeout, match=r"longer than 0\.3 s"):
            await decoders.run(PICTURE, asking_for(misbehaving.hang))
        assert not alive(before)
        assert deaths(decoders) == {"timeout": 1}
        assert decoders.overdue == 0


async def test_a_mistake_of_ours_is_not_blamed_on_the_image() -> None:
    async with running() as decoders:
        before = await pid(decoders)
        with pytest.raises(RuntimeError, match="LookupError: no such thing"):
            await decoders.run(PICTURE, asking_for(misbehaving.mistake))
        assert await pid(decoders) == before


async def test_nothing_can_be_reached_from_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "key")
    async with running() as decoders:
        prepared = await decoders.run(PICTURE, asking_for(misbehaving.tell_reach))
    assert not prepared.pixels[0].any()


async def test_no_process_outlives_the_decoders() -> None:
    async with running(count=2) as decoders:
        first = await pid(decoders)
        hanging = asyncio.create_task(decoders.run(PICTURE, asking_for(misbehaving.hang)))
        await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="shutting down"):
        await hanging
    assert not alive(first)
    with pytest.raises(Overloaded, match="shutting down"):
        await decoders.run(PICTURE, asking_for(misbehaving.shrink))


async def test_processes_that_cannot_start_are_tried_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = 0
    began = module.DecoderProcess._set_up

    def fail(self: Any, memory: int) -> None:
        nonlocal starts
        starts += 1
        raise RuntimeError("no interpreter")

    now = 1000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    monkeypatch.setattr(module.DecoderProcess, "_set_up", fail)
    async with running() as decoders:
        for _ in range(20):
            with pytest.raises(Overloaded, match="no interpreter"):
                await decoders.run(PICTURE, asking_for(misbehaving.shrink))
        # Twice for the first image, and twice by the decoders themselves at their start.
        assert 2 <= starts <= 4
        assert "no interpreter" in str(decoders.failure())
        monkeypatch.setattr(module.DecoderProcess, "_set_up", began)
        assert decoders.failure() is not None
        # When the pause is over, whoever asks whether it is ready has it tried again.
        now += 60
        await eventually(lambda: decoders.failure() is None)
        assert (await decoders.run(PICTURE, asking_for(misbehaving.shrink))).width == 60


async def test_the_wait_for_a_decoder_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MORE_PATIENCE", -29.9)
    async with running() as decoders:
        hanging = asyncio.create_task(decoders.run(PICTURE, asking_for(misbehaving.hang)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="All 1 decoders have been busy") as refused:
            await decoders.run(PICTURE, asking_for(misbehaving.shrink))
        assert refused.value.retry_after > 0
    with pytest.raises((Overloaded, DecodeTimeout)):
        await hanging


async def test_threads_that_are_overdue_are_known() -> None:
    async with running("thread", timeout=0.1) as decoders:
        with pytest.raises(DecodeTimeout):
            await decoders.run(PICTURE, asking_for(lambda _: held.wait(60)))
        assert decoders.overdue == 1
        assert "All 1 decoders" in str(decoders.failure())
        held.set()
        await eventually(lambda: decoders.overdue == 0)
        assert decoders.failure() is None


async def test_large_images_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png("RGBA", 2000, 2000)
    budget = MemoryBudget(40_000_000)
    monkeypatch.setattr(module, "MemoryBudget", lambda _: budget)
    async with running(count=3) as decoders:
        recipe = asking_for(misbehaving.shrink)
        peak = 0
        calls = [asyncio.create_task(decoders.run(data, recipe)) for _ in range(3)]
        while not all(call.done() for call in calls):
            peak = max(peak, budget.taken)
            await asyncio.sleep(0.001)
        await asyncio.gather(*calls)
    # One at a time: two would take more than the 40 MB that there are.
    assert peak == 2000 * 2000 * 8
    assert budget.taken == 0


class TestBudget:
    def test_who_wants_more_than_there_is_learns_it_at_once(self) -> None:
        with pytest.raises(ImageTooLarge, match=r"takes 200 MB of memory; the limit is 100 MB \(DECODE_MAX_BYTES\)"):
            MemoryBudget(100_000_000).take(200_000_000, patience=60)

    def test_waiting_has_an_end_and_leaves_no_trace(self) -> None:
        budget = MemoryBudget(100)
        budget.take(60, patience=0)
        with pytest.raises(Overloaded):
            budget.take(50, patience=0.01)
        budget.take(40, patience=0)
        budget.give_back(100)
        assert budget.taken == 0


def test_processes_are_refused_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(InvalidRequest, match="DECODE_ISOLATION=thread"):
        Decoders((), Metrics(), isolation="process", count=1, timeout=1, memory=1 << 30)
