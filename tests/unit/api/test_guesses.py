from __future__ import annotations

import asyncio

import pytest

from image_similarity.api import guesses
from image_similarity.api.guesses import WrongKeys, client_address

ADDRESS = "203.0.113.7"


class Clock:
    """Time that passes only where a test says so; who waits is noted, and goes on at once or at a word."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.go = asyncio.Event()
        self.go.set()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await self.go.wait()


async def test_wrong_keys_are_answered_ever_later_and_forgotten_after_a_while() -> None:
    clock = Clock()
    wrong = WrongKeys(lambda: clock.now, clock.sleep)
    for _ in range(guesses.FREE_FAILURES):
        await wrong.failed(ADDRESS)
    assert clock.waits == []
    for _ in range(2000):
        await wrong.failed(ADDRESS)
    assert clock.waits[:3] == [0.1, 0.2, 0.4]
    assert clock.waits[-1] == guesses.LONGEST_WAIT
    assert sum(clock.waits) > 3900, "seconds that 2,000 guesses take one after the other"
    clock.waits.clear()
    await wrong.failed("203.0.113.8")
    assert clock.waits == [], "others are not made to wait"
    clock.now = guesses.FORGET_SECONDS + 1
    await wrong.failed(ADDRESS)
    assert clock.waits == []


async def test_guesses_side_by_side_are_refused_while_known_clients_go_on() -> None:
    clock = Clock()
    clock.go.clear()
    wrong = WrongKeys(lambda: clock.now, clock.sleep)
    wrong.worked(ADDRESS, "good")
    waiting = [
        asyncio.create_task(wrong.failed(ADDRESS)) for _ in range(guesses.FREE_FAILURES + guesses.WAITING_OF_ONE)
    ]
    await asyncio.sleep(0)
    assert wrong.crowded(ADDRESS, None)
    assert wrong.crowded(ADDRESS, "another"), "whether it is right is not told"
    assert not wrong.crowded(ADDRESS, "good")
    assert not wrong.crowded("203.0.113.8", None)
    clock.go.set()
    await asyncio.gather(*waiting)
    assert not wrong.crowded(ADDRESS, "another")


async def test_what_waits_and_what_is_remembered_is_bounded() -> None:
    clock = Clock()
    clock.go.clear()
    wrong = WrongKeys(lambda: clock.now, clock.sleep)
    addresses = [f"10.0.0.{number}" for number in range(100)]
    tasks = [asyncio.create_task(wrong.failed(address)) for address in addresses for _ in range(6)]
    await asyncio.sleep(0)
    assert len(clock.waits) == guesses.WAITING_OF_ALL
    clock.go.set()
    await asyncio.gather(*tasks)
    for number in range(guesses.MOST_REMEMBERED + 100):
        await wrong.failed(f"10.1.{number // 256}.{number % 256}")
        wrong.worked(f"10.1.{number // 256}.{number % 256}", "good")
    assert len(wrong._failures) == len(wrong._worked) == guesses.MOST_REMEMBERED


async def test_an_ipv6_network_is_one_client() -> None:
    clock = Clock()
    wrong = WrongKeys(lambda: clock.now, clock.sleep)
    for number in range(guesses.FREE_FAILURES + 1):
        await wrong.failed(f"2001:db8:1:2::{number:x}")
    assert clock.waits == [0.1]


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("203.0.113.7", 1), "203.0.113.7"),
        (("::ffff:203.0.113.7", 1), "203.0.113.7"),
        (("2001:DB8::1", 1), "2001:db8::1"),
        (("x" * 1000, 0), "unknown"),
        (None, "unknown"),
    ],
)
def test_clients_have_addresses_and_nothing_else(client: tuple[str, int] | None, address: str) -> None:
    assert client_address({"client": client}) == address
