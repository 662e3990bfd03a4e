"""Check at the end of a drill that every acknowledged write is still in effect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import httpx
import orjson

from image_similarity.cli.drill.account import Account, Fate, Findings
from image_similarity.cli.drill.load import Plan, connect, path_of
from image_similarity.cli.drill.pictures import draw

PATIENCE = 60.0
"""Seconds that the service may fail to answer, over all checks; then the remaining images count as unchecked."""

TOP = {"top_k": "3"}
"""An image must be in the top 3 for its own picture: the first hit, unless rounding ranks a similar one above it."""


async def verify(plan: Plan, account: Account) -> Findings:
    """Look up every acknowledged image by its id and by its picture, and every deleted image by its id."""
    async with connect(plan) as http:
        checks = _Checks(http, account)
        many = asyncio.Semaphore(plan.clients)

        async def run(check: Callable[[str], Awaitable[None]], image_id: str) -> None:
            async with many:
                await check(image_id)

        await asyncio.gather(
            *(run(checks.present, image_id) for image_id in account.having(Fate.PRESENT)),
            *(run(checks.gone, image_id) for image_id in account.having(Fate.GONE)),
        )
    return checks.findings


class _Checks:
    """The checks of each image, and the findings."""

    def __init__(self, http: httpx.AsyncClient, account: Account) -> None:
        self._http, self._account = http, account
        self._deadline = monotonic() + PATIENCE
        self.findings = Findings()

    async def present(self, image_id: str) -> None:
        """Look for an image that must be there."""
        answer = await self._answered(image_id, "GET", path_of(image_id))
        if answer is None:
            return
        if answer.status_code == 404:
            self.findings.lost.append(image_id)
            return
        picture = await asyncio.to_thread(draw, self._account.seed, self._account.pictures[image_id])
        answer = await self._answered(image_id, "POST", "/search", files={"image": ("image", picture)}, data=TOP)
        if answer is not None and image_id not in _ids(answer):
            self.findings.not_found.append(image_id)

    async def gone(self, image_id: str) -> None:
        """Look for an image that must not be there."""
        answer = await self._answered(image_id, "GET", path_of(image_id))
        if answer is not None and answer.status_code == 200:
            self.findings.came_back.append(image_id)

    async def _answered(self, image_id: str, method: str, path: str, **content: Any) -> httpx.Response | None:
        """Repeat a request until the service answers; return None, and record it, if it does not in time."""
        while True:
            try:
                answer = await self._http.request(method, path, **content)
                if answer.status_code in (200, 404):
                    return answer
            except httpx.HTTPError:
                # As for an error status: tried again below, and reported at the end.
                pass
            if monotonic() > self._deadline:
                self.findings.unchecked.append(image_id)
                return None
            await asyncio.sleep(0.5)


def _ids(answer: httpx.Response) -> set[str]:
    document = orjson.loads(answer.content)
    return {match["image_id"] for match in document.get("results", [])}
