"""Greedy batching: nobody waits for company, whoever had to wait goes together, and nothing stops the thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import pytest

from image_similarity.domain.errors import EncodingFailed, Overloaded, TextSearchUnavailable
from image_similarity.domain.records import Embedding, Pixels
from image_similarity.encoders.base import EncodedText
from image_similarity.engine.embedding.batching import DynamicBatcher, batch_images, batch_texts
from image_similarity.telemetry.metrics import Metrics
from tests.support.encoders import DIMENSION, WAIT, ColourEncoder, ColourWords, StrictColourEncoder, square

BAD = square(255)

ImageQueue = DynamicBatcher[Pixels, Embedding]


def is_bad(pixels: Pixels) -> bool:
    return bool((pixels == BAD).all())


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def batching(encoder: ColourEncoder, metrics: Metrics) -> Iterator[ImageQueue]:
    batching = batch_images(encoder, batch_size=4, max_queue=10, metrics=metrics)
    yield batching
    encoder.release()
    batching.close()


async def queued(batching: ImageQueue, images: list[Pixels]) -> list[asyncio.Task[Embedding]]:
    """Put images into the queue, in this order, and return who waits for them."""
    tasks = [asyncio.create_task(batching.encode(pixels)) for pixels in images]
    await asyncio.sleep(0)
    return tasks


async def behind_a_busy_model(
    encoder: ColourEncoder, batching: ImageQueue, images: list[Pixels]
) -> list[asyncio.Task[Embedding]]:
    """Have the model hold one image while the others queue up; the first task is that one's."""
    encoder.hold()
    first = await queued(batching, [square(0)])
    assert await asyncio.to_thread(encoder.busy.wait, WAIT)
    return first + await queued(batching, images)


async def test_a_lone_image_is_encoded_at_once(encoder: ColourEncoder, batching: ImageQueue) -> None:
    vector = await asyncio.wait_for(batching.encode(square(10)), WAIT)

    assert vector.shape == (DIMENSION,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    assert encoder.batches == [1]


async def test_who_waits_while_the_model_is_busy_is_encoded_together(
    encoder: ColourEncoder, batching: ImageQueue, metrics: Metrics
) -> None:
    images = [square(grey) for grey in range(0, 90, 10)]
    tasks = await behind_a_busy_model(encoder, batching, images)
    encoder.release()
    vectors = await asyncio.gather(*tasks)

    assert encoder.batches == [1, 4, 4, 1]
    for pixels, vector in zip([square(0), *images], vectors, strict=True):
        np.testing.assert_allclose(vector, encoder.encode_images(pixels[None])[0], atol=1e-6)
    assert metrics.registry.get_sample_value("image_similarity_encode_batch_size_count") == 4
    assert metrics.registry.get_sample_value("image_similarity_encode_batch_size_sum") == 10


async def test_a_full_queue_turns_away_and_says_when_to_come_back(batching: ImageQueue, metrics: Metrics) -> None:
    places = [batching.place() for _ in range(10)]
    for place in places:
        place.__enter__()
    assert batching.depth == 10

    with pytest.raises(Overloaded, match="10 images are waiting") as caught, batching.place():
        pytest.fail("there was no place left")
    assert caught.value.retry_after > 0
    assert metrics.registry.get_sample_value("image_similarity_requests_shed_total") == 1

    places[0].__exit__(None, None, None)
    with batching.place():
        assert batching.depth == 10
    assert metrics.registry.get_sample_value("image_similarity_encode_queue_depth") == 9


async def test_the_wait_is_estimated_from_the_models_speed(encoder: ColourEncoder, batching: ImageQueue) -> None:
    await batching.encode(square(1))
    with ExitStack() as places:
        for _ in range(10):
            places.enter_context(batching.place())
        with pytest.raises(Overloaded) as caught:
            places.enter_context(batching.place())

    assert 0 < caught.value.retry_after < 10 * WAIT


async def test_a_place_is_free_again_after_an_error(batching: ImageQueue) -> None:
    with pytest.raises(ZeroDivisionError), batching.place():
        raise ZeroDivisionError
    assert batching.depth == 0


async def test_who_is_cancelled_leaves_the_queue(encoder: ColourEncoder, batching: ImageQueue) -> None:
    _, second, third = await behind_a_busy_model(encoder, batching, [square(1), square(2)])

    async def with_a_place() -> None:
        with batching.place():
            await batching.encode(square(3))

    fourth = asyncio.create_task(with_a_place())
    await asyncio.sleep(0)
    assert batching.depth == 1
    for task in (second, fourth):
        task.cancel()
    assert await asyncio.gather(second, fourth, return_exceptions=True) != [None, None]
    assert batching.depth == 0
    encoder.release()
    await third

    assert second.cancelled()
    assert fourth.cancelled()
    assert encoder.batches == [1, 1]


async def test_cancelled_while_in_the_model_disturbs_nobody(encoder: ColourEncoder, batching: ImageQueue) -> None:
    first, second = await behind_a_busy_model(encoder, batching, [square(1)])
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    encoder.release()

    assert (await second).shape == (DIMENSION,)


async def test_a_failing_image_does_not_take_its_neighbours_down(encoder: ColourEncoder, batching: ImageQueue) -> None:
    encoder.fail_when = is_bad
    tasks = await behind_a_busy_model(encoder, batching, [square(1), BAD, square(2)])
    encoder.release()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(outcome, EncodingFailed) for outcome in outcomes] == [False, False, True, False]
    assert str(outcomes[2]) == "The model failed: out of memory"
    assert outcomes[2].__cause__ is encoder.error


@pytest.mark.parametrize("kind", [ColourEncoder, StrictColourEncoder])
async def test_a_vector_that_is_not_finite_never_leaves(kind: type[ColourEncoder]) -> None:
    encoder = kind()
    encoder.nan_when = is_bad
    batching = batch_images(encoder, batch_size=4, max_queue=10, metrics=Metrics())
    tasks = await behind_a_busy_model(encoder, batching, [BAD, square(1)])
    encoder.release()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    batching.close()

    assert [isinstance(outcome, EncodingFailed) for outcome in outcomes] == [False, True, False]


@pytest.mark.parametrize(
    "error", [MemoryError("no memory"), StopIteration(), AssertionError("odd"), OSError(5, "lost")]
)
async def test_the_thread_survives_any_exception(
    encoder: ColourEncoder, batching: ImageQueue, error: Exception
) -> None:
    encoder.fail_when, encoder.error = is_bad, error
    with pytest.raises(EncodingFailed):
        await batching.encode(BAD)

    assert (await asyncio.wait_for(batching.encode(square(1)), WAIT)).shape == (DIMENSION,)


async def test_the_thread_survives_a_model_that_answers_for_the_wrong_number(
    encoder: ColourEncoder, batching: ImageQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "encode_images", lambda batch: np.zeros((len(batch) + 1, DIMENSION), np.float32))
        with pytest.raises(EncodingFailed, match="answered for 2 of 1 images"):
            await asyncio.wait_for(batching.encode(square(1)), WAIT)

    assert (await asyncio.wait_for(batching.encode(square(1)), WAIT)).shape == (DIMENSION,)


async def test_images_of_another_shape_fail_alone(encoder: ColourEncoder, batching: ImageQueue) -> None:
    odd = np.zeros((8, 8), dtype=np.uint8)
    tasks = await behind_a_busy_model(encoder, batching, [square(1), odd])
    encoder.release()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(outcome, EncodingFailed) for outcome in outcomes] == [False, False, True]


async def test_closing_finishes_what_waits_and_takes_nothing_more(encoder: ColourEncoder, batching: ImageQueue) -> None:
    tasks = await behind_a_busy_model(encoder, batching, [square(grey) for grey in range(6)])
    closing = asyncio.create_task(asyncio.to_thread(batching.close))
    encoder.release()

    assert len(await asyncio.gather(*tasks)) == 7
    await closing
    with pytest.raises(Overloaded, match="shutting down"):
        await batching.encode(square(1))
    batching.close()


class HeldWords(ColourWords):
    """Waits before each batch until it is let go, and refuses one text with an error of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.busy, self.go = threading.Event(), threading.Event()

    def encode_texts(self, texts: Sequence[str]) -> list[EncodedText]:
        self.busy.set()
        if not self.go.wait(WAIT):
            raise TimeoutError("a test never let go")
        if "forbidden" in texts:
            raise TextSearchUnavailable("no such word")
        return super().encode_texts(texts)


async def test_texts_that_wait_are_read_together_and_keep_their_own_errors(metrics: Metrics) -> None:
    words = HeldWords()
    queue = batch_texts(words, batch_size=8, max_queue=10, metrics=metrics)
    tasks = [asyncio.create_task(queue.encode("red"))]
    await asyncio.sleep(0)
    assert await asyncio.to_thread(words.busy.wait, WAIT)
    tasks += [asyncio.create_task(queue.encode(text)) for text in ("blue", "green")]
    await asyncio.sleep(0)
    words.go.set()
    await asyncio.gather(*tasks)
    assert words.batches == [["red"], ["blue", "green"]]

    with pytest.raises(TextSearchUnavailable, match="no such word"):
        await queue.encode("forbidden")
    assert metrics.registry.get_sample_value("image_similarity_encode_text_batch_size_sum") == 4
    queue.close()
