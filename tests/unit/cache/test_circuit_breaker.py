"""The breaker: open after failures in a row, one probe after a pause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_similarity.cache.circuit_breaker import BreakerState, CircuitBreaker

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, pause=10, clock=clock)


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        started = breaker.start()
        assert started is not None
        breaker.failed(started, "no answer")


def test_it_opens_after_failures_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert breaker.state is CLOSED
    fail(breaker)
    assert (breaker.state, breaker.start(), breaker.reason) == (OPEN, None, "no answer")


def test_a_success_begins_the_count_anew(breaker: CircuitBreaker) -> None:
    for _ in range(5):
        fail(breaker, 2)
        breaker.succeeded()
    assert breaker.state is CLOSED


def test_calls_that_fail_together_count_once(breaker: CircuitBreaker) -> None:
    together = [breaker.start() for _ in range(50)]
    for started in together:
        assert started is not None
        breaker.failed(started, "one hiccup")
    assert breaker.state is CLOSED


def test_one_probe_goes_out_after_the_pause_and_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    assert breaker.start_probe() is None
    clock.now += 10
    assert breaker.start_probe() is not None
    assert breaker.state is HALF_OPEN
    assert breaker.start_probe() is None
    assert breaker.start() is None
    breaker.succeeded()
    assert breaker.state is CLOSED
    fail(breaker, 2)
    assert breaker.state is CLOSED


def test_a_failed_probe_opens_it_for_another_pause(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 10
    probe = breaker.start_probe()
    assert probe is not None
    breaker.failed(probe, "still nothing")
    assert (breaker.state, breaker.start_probe()) == (OPEN, None)
    clock.now += 10
    assert breaker.start_probe() is not None


def test_a_closed_breaker_needs_no_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    clock.now += 100
    assert breaker.start_probe() is None


def test_an_answer_to_an_old_question_does_not_close_it(breaker: CircuitBreaker) -> None:
    fail(breaker, 3)
    breaker.succeeded()
    assert breaker.state is OPEN


@given(st.lists(st.sampled_from(["ok", "fail", "wait"]), max_size=60))
def test_calls_pass_exactly_while_fewer_than_the_limit_failed_in_a_row(events: list[str]) -> None:
    clock = Clock()
    breaker = CircuitBreaker(failures=3, pause=10, clock=clock)
    in_a_row = 0
    for event in events:
        if event == "wait":
            clock.now += 11
        started = breaker.start() if in_a_row < 3 else breaker.start_probe()
        assert (started is None) == (in_a_row >= 3 and event != "wait")
        if started is None:
            continue
        if event == "fail":
            breaker.failed(started, "x")
            in_a_row += 1
        else:
            breaker.succeeded()
            in_a_row = 0
