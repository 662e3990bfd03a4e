"""Where the copies of a collection's shards are, and the steps to where they should be; sends no requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

ACTIVE = "Active"
"""The only state in which a copy answers searches and takes writes; in all others Qdrant is making or repairing it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A member of the Qdrant cluster."""

    id: int
    uri: str
    answers: bool = True
    """Whether the other nodes reach it."""

    @property
    def name(self) -> str:
        """Host and port, as operators know it."""
        return urlsplit(self.uri).netloc or self.uri or str(self.id)


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of a shard."""

    shard: int
    node: int
    state: str = ACTIVE
    """Qdrant's name of the state."""
    points: int | None = None
    """Approximate number of points; None if unknown."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A copy that Qdrant is sending from one node to another."""

    shard: int
    source: int
    target: int
    moves: bool = False
    """Whether the copy on the source is dropped at the end."""
    progress: str = ""


class Action(StrEnum):
    """Kind of a step."""

    ABORT = "abort"
    COPY = "copy"
    DROP = "drop"
    MOVE = "move"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the placement; `source` and `target` are ids of nodes."""

    action: Action
    shard: int = -1
    source: int = -1
    target: int = -1
    """-1 for none."""


@dataclass(frozen=True, slots=True)
class PlacementSummary:
    """A placement in numbers."""

    nodes: int
    silent_nodes: int
    """Nodes that do not answer the others."""
    shards: int
    copies_wanted: int
    """Sum over all shards, like `copies_active`."""
    copies_active: int
    shards_short: int
    """Shards with fewer active copies than wanted."""
    shards_over: int
    """Shards with more."""
    shards_on_one_node: int
    """Shards with active copies on one node at most, although more than one copy is wanted."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Nodes, shards, copies and transfers of a collection."""

    nodes: tuple[Node, ...]
    shards: tuple[int, ...]
    """Ids of the shards, including those without any copy left."""
    copies: tuple[Copy, ...]
    transfers: tuple[Transfer, ...] = ()
    wanted: int = 1
    """Copies that each shard should have."""

    @property
    def living(self) -> list[int]:
        """The ids of the nodes that answer, in order."""
        return sorted(node.id for node in self.nodes if node.answers)

    def active(self, shard: int) -> list[int]:
        """Return the ids of the answering nodes with an active copy, in order."""
        living = set(self.living)
        return sorted(
            copy.node for copy in self.copies if copy.shard == shard and copy.state == ACTIVE and copy.node in living
        )

    def name(self, node: int) -> str:
        """Return the name of a node, or its id if it is unknown."""
        return next((known.name for known in self.nodes if known.id == node), str(node))

    def summary(self) -> PlacementSummary:
        """Return the placement in numbers."""
        active = [len(self.active(shard)) for shard in self.shards]
        return PlacementSummary(
            nodes=len(self.nodes),
            silent_nodes=sum(not node.answers for node in self.nodes),
            shards=len(self.shards),
            copies_wanted=self.wanted * len(self.shards),
            copies_active=sum(active),
            shards_short=sum(count < self.wanted for count in active),
            shards_over=sum(count > self.wanted for count in active),
            shards_on_one_node=sum(count < 2 for count in active) if self.wanted > 1 else 0,
        )


def plan(placement: Placement, lost: Iterable[int] = ()) -> list[Step]:
    """Return the steps after which every shard has as many active copies as wanted, evenly over the nodes.

    Run the steps one after the other: no step leaves a shard without an active copy, or with fewer than wanted if it
    had enough. Nodes in `lost` are given up for good. A node that does not answer keeps its copies until others have
    replaced them, because it may come back. A shard without any active copy is left unchanged: there is no source.
    """
    board = _Board(placement, frozenset(lost))
    board.end_transfers(placement.transfers)
    board.copy_missing()
    board.drop_surplus()
    board.level()
    board.forget()
    return board.steps


class _Board:
    """The placement as it will be after the steps planned so far."""

    def __init__(self, placement: Placement, lost: frozenset[int]) -> None:
        self.steps: list[Step] = []
        self._wanted = placement.wanted
        self._lost = sorted(lost & {node.id for node in placement.nodes})
        self._living = [node for node in placement.living if node not in lost]
        self._copies: dict[int, dict[int, bool]] = {shard: {} for shard in sorted(placement.shards)}
        """Per shard and node: whether the copy is active."""
        for copy in placement.copies:
            self._copies[copy.shard][copy.node] = copy.state == ACTIVE and copy.node in self._living

    def end_transfers(self, transfers: Iterable[Transfer]) -> None:
        """Count transfers as done, but abort one whose source or target is down: Qdrant would wait for it for ever."""
        for transfer in sorted(transfers, key=lambda one: (one.shard, one.source, one.target)):
            copies = self._copies[transfer.shard]
            if {transfer.source, transfer.target} <= set(self._living):
                copies[transfer.target] = True
                if transfer.moves:
                    copies.pop(transfer.source, None)
                continue
            self.steps.append(Step(Action.ABORT, transfer.shard, transfer.source, transfer.target))
            if transfer.moves:
                copies.pop(transfer.target, None)
            else:
                copies[transfer.target] = False

    def copy_missing(self) -> None:
        """Make new copies, first on nodes with a broken copy of the shard, then on those with the fewest copies."""
        for shard, copies in self._copies.items():
            while 0 < len(active := self._active(shard)) < min(self._wanted, len(self._living)):
                free = [node for node in self._living if node not in active]
                target = min(free, key=lambda node: (node not in copies, self._load(node), node))
                self.steps.append(Step(Action.COPY, shard, active[0], target))
                copies[target] = True

    def drop_surplus(self) -> None:
        """Drop broken copies that were replaced or will never come back, then surplus copies on the fullest nodes."""
        for shard, copies in self._copies.items():
            active = self._active(shard)
            for node in sorted(node for node, works in copies.items() if not works):
                if len(active) >= self._wanted or (active and node in self._lost):
                    self._drop(shard, node)
            while len(active) > self._wanted:
                fullest = max(active, key=lambda node: (self._load(node), node))
                active.remove(fullest)
                self._drop(shard, fullest)

    def level(self) -> None:
        """Move copies until no node has two copies more than another node that could take one."""
        while step := self._levelling():
            self.steps.append(step)
            del self._copies[step.shard][step.source]
            self._copies[step.shard][step.target] = True

    def forget(self) -> None:
        """Remove the lost nodes that have no copies left from the cluster."""
        for node in self._lost:
            if self._load(node) == 0:
                self.steps.append(Step(Action.FORGET, source=node))

    def _levelling(self) -> Step | None:
        emptiest_first = sorted(self._living, key=lambda node: (self._load(node), node))
        for source in sorted(self._living, key=lambda node: (-self._load(node), node)):
            for target in emptiest_first:
                if self._load(source) - self._load(target) < 2:
                    break
                for shard, copies in self._copies.items():
                    if copies.get(source) and target not in copies:
                        return Step(Action.MOVE, shard, source, target)
        return None

    def _active(self, shard: int) -> list[int]:
        return sorted(node for node, works in self._copies[shard].items() if works)

    def _load(self, node: int) -> int:
        return sum(node in copies for copies in self._copies.values())

    def _drop(self, shard: int, node: int) -> None:
        self.steps.append(Step(Action.DROP, shard, node))
        del self._copies[shard][node]


def describe(step: Step, placement: Placement) -> str:
    """Return a step as a sentence for the operator."""
    source, target = placement.name(step.source), placement.name(step.target)
    match step.action:
        case Action.ABORT:
            return f"abort the transfer of shard {step.shard} from {source} to {target}, one of which does not answer"
        case Action.COPY:
            return f"copy shard {step.shard} from {source} to {target}"
        case Action.DROP:
            return f"drop the copy of shard {step.shard} on {source}"
        case Action.MOVE:
            return f"move shard {step.shard} from {source} to {target}"
        case Action.FORGET:
            return f"take {source} out of the cluster"
