"""Moves the copies of a collection to where they should be, step by step, while the cluster keeps serving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic

from image_similarity.domain.errors import InvalidRequest, StoreUnavailable
from image_similarity.vectors.placement import ACTIVE, Action, Placement, Step, Transfer, describe, plan
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.placement import carry_out, read

_ATTEMPTS = 3
"""Consecutive failures of a step after which the run stops."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Waiting times, in seconds."""

    look: float = 1.0
    """Between two readings of the placement."""
    begin: float = 15.0
    """Until a requested step must have begun, and until a step whose transfer disappeared counts as failed."""
    repair: float = 30.0
    """For Qdrant to repair broken copies by itself, because it sends only the missing part instead of a whole copy."""
    away: float = 60.0
    """For a cluster that does not answer to come back."""
    transfer: float = 3600.0
    """For one transfer."""


USUAL = Pace()


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a run."""

    done: int
    """Finished steps."""
    total: int
    """Finished and planned steps."""
    doing: str
    detail: str = ""
    """Qdrant's text about a transfer."""


class Balance:
    """One run; `under_way` and `done` may be read after it was stopped.

    A run keeps no state outside of the cluster: after it was cancelled, or its process died, at most one transfer goes
    on by itself, and the next run begins with the placement that it finds.
    """

    def __init__(
        self,
        calls: QdrantCalls,
        name: str,
        *,
        wanted: int,
        lost: Iterable[int] = (),
        pace: Pace | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """`wanted` is the number of copies per shard; `lost` are the ids of nodes that are gone for good."""
        self._calls = calls
        self._name = name
        self._wanted = wanted
        self._lost = frozenset(lost)
        self._pace = pace or USUAL
        self._on_progress = on_progress
        self.done: list[str] = []
        """The finished steps, as sentences."""
        self.under_way: str | None = None
        self._repaired_until: float | None = None

    async def run(self) -> Placement:
        """Carry out steps until none is left, and return the final placement.

        Raises StoreUnavailable if a step fails repeatedly or does not end in time, and InvalidRequest if a node in
        `lost` answers.
        """
        failures, most = 0, 0
        while True:
            placement = await self._settled()
            self._check_lost(placement)
            steps = plan(placement, self._lost)
            if not steps:
                return placement
            most = most or 3 * len(steps) + 10
            if len(self.done) == most:
                raise StoreUnavailable(
                    f"After {most} steps the copies are still not where they should be, because something else moves "
                    "them too. Stop that, then run `image-similarity shards --balance` again."
                )
            failure = await self._step(steps[0], placement, total=len(self.done) + len(steps))
            failures = failures + 1 if failure else 0
            if failures == _ATTEMPTS:
                raise StoreUnavailable(
                    f"Qdrant failed {failures} times to {describe(steps[0], placement)}: {failure} What was done "
                    "before stays. Qdrant's logs say more; run `image-similarity shards --balance` again after that."
                )

    async def _step(self, step: Step, placement: Placement, total: int) -> str | None:
        """Carry out a step and wait for its end; return why it failed, or None if it was done."""
        doing = self.under_way = describe(step, placement)
        self._tell(doing, total)
        refusal = "the transfer ended without a copy."
        try:
            await carry_out(self._calls, self._name, step)
        except StoreUnavailable as error:
            # The step may be done nevertheless: the placement shows it.
            refusal = str(error)
        started = gone_since = monotonic()
        while True:
            await asyncio.sleep(self._pace.look)
            now, transfer = await self._look(), None
            if _is_done(step, now):
                self.done.append(doing)
                self.under_way = None
                return None
            if step.action in (Action.COPY, Action.MOVE):
                transfer = _find(step, now)
            if transfer is None and monotonic() - gone_since > self._pace.begin:
                self.under_way = None
                return refusal
            if transfer is not None:
                gone_since = monotonic()
                self._tell(doing, total, transfer.progress)
                if not {transfer.source, transfer.target} <= set(now.living):
                    self.under_way = None
                    return "one of the two nodes does not answer any more."
                self._check_time(started, doing)

    async def _settled(self) -> Placement:
        """Return the placement once no transfer is under way, and Qdrant has had time to repair copies."""
        started, total = monotonic(), len(self.done)
        while True:
            now = await self._look()
            living = set(now.living) - self._lost
            moving = [one for one in now.transfers if {one.source, one.target} <= living]
            broken = any(
                copy.state != ACTIVE and copy.node in living and len(now.active(copy.shard)) < now.wanted
                for copy in now.copies
            )
            if broken and self._repaired_until is None:
                # Once per run: a copy that Qdrant has not repaired by then stays broken.
                self._repaired_until = monotonic() + self._pace.repair
            if not moving and not (broken and monotonic() < (self._repaired_until or 0.0)):
                return now
            if moving:
                doing = f"wait for the transfer of shard {moving[0].shard} to {now.name(moving[0].target)}"
                self._tell(doing, total, moving[0].progress)
                self._check_time(started, doing)
            else:
                self._tell("wait for Qdrant to repair copies by itself", total)
            await asyncio.sleep(self._pace.look)

    async def _look(self) -> Placement:
        """Return the placement; wait if the cluster does not answer for a moment."""
        started = monotonic()
        while True:
            try:
                return await read(self._calls, self._name, self._wanted)
            except StoreUnavailable as error:
                if monotonic() - started > self._pace.away:
                    raise
                self._tell("wait for Qdrant to answer", len(self.done), str(error))
                await asyncio.sleep(self._pace.look)

    def _check_lost(self, now: Placement) -> None:
        for node in now.nodes:
            if node.id in self._lost and node.answers:
                raise InvalidRequest(
                    f"The node {node.name} answers again, so it is not lost. What was done before stays; run "
                    "the command again without --lost, or after the node was stopped for good."
                )

    def _check_time(self, started: float, doing: str) -> None:
        if monotonic() - started > self._pace.transfer:
            raise StoreUnavailable(
                f"It takes more than {self._pace.transfer:g} s to {doing}. It goes on in Qdrant; run "
                "`image-similarity shards` to see how far it is, with --balance to go on."
            )

    def _tell(self, doing: str, total: int, detail: str = "") -> None:
        self._on_progress(Progress(len(self.done), max(total, len(self.done)), doing, detail))


def _is_done(step: Step, now: Placement) -> bool:
    there = {copy.node for copy in now.copies if copy.shard == step.shard}
    match step.action:
        case Action.ABORT:
            return _find(step, now) is None
        case Action.COPY:
            return step.target in now.active(step.shard)
        case Action.MOVE:
            return step.target in now.active(step.shard) and step.source not in there
        case Action.DROP:
            return step.source not in there
        case Action.FORGET:
            return all(node.id != step.source for node in now.nodes)


def _find(step: Step, now: Placement) -> Transfer | None:
    wanted = (step.shard, step.source, step.target)
    return next((one for one in now.transfers if (one.shard, one.source, one.target) == wanted), None)
