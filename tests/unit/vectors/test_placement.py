"""Which steps bring the copies of shards to where they should be."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_similarity.vectors.placement import (
    ACTIVE,
    Action,
    Copy,
    Node,
    Placement,
    Step,
    Transfer,
    describe,
    plan,
)

BROKEN = ("Dead", "Partial", "Recovery", "Initializing")


def placed(*shards: str, nodes: int = 3, silent: frozenset[int] = frozenset(), wanted: int = 2) -> Placement:
    """Each text is a shard: the nodes that have an active copy, those with a dead one in brackets, as in "12(3)"."""
    copies = []
    for shard, text in enumerate(shards):
        good, _, bad = text.rstrip(")").partition("(")
        copies += [Copy(shard, int(node)) for node in good] + [Copy(shard, int(node), "Dead") for node in bad]
    members = tuple(Node(key, f"http://q-{key}:6335/", key not in silent) for key in range(1, nodes + 1))
    return Placement(members, tuple(range(len(shards))), tuple(copies), wanted=wanted)


def after(placement: Placement, step: Step) -> Placement:
    """What Qdrant makes of a step; refuses what Qdrant refuses."""
    copies = {(copy.shard, copy.node): copy for copy in placement.copies}
    transfers, nodes = list(placement.transfers), placement.nodes
    here, there = (step.shard, step.source), (step.shard, step.target)
    match step.action:
        case Action.COPY | Action.MOVE:
            # transfer/helpers.rs, validate_transfer
            assert copies[here].state == ACTIVE
            assert {step.source, step.target} <= set(placement.living)
            assert there not in copies or copies[there].state != ACTIVE
            copies[there] = Copy(*there)
            if step.action is Action.MOVE:
                del copies[here]
        case Action.DROP:
            others = [copy for copy in copies.values() if copy.shard == step.shard and copy.node != step.source]
            # collection_ops.rs, handle_replica_changes
            assert any(copy.state == ACTIVE for copy in others)
            del copies[here]
        case Action.ABORT:
            (aborted,) = [
                one
                for one in transfers
                if (one.shard, one.source, one.target) == (step.shard, step.source, step.target)
            ]
            transfers.remove(aborted)
            if aborted.moves:
                copies.pop(there, None)
            else:
                copies[there] = Copy(*there, "Dead")
        case Action.FORGET:
            assert not any(copy.node == step.source for copy in copies.values())
            nodes = tuple(node for node in nodes if node.id != step.source)
    return replace(placement, nodes=nodes, copies=tuple(copies.values()), transfers=tuple(transfers))


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    ids = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5, unique=True))
    nodes = tuple(Node(key, f"http://q-{key}:6335/", draw(st.integers(0, 3)) > 0) for key in ids)
    shards = tuple(range(draw(st.integers(1, 6))))
    copies, transfers = [], []
    for shard in shards:
        holders = draw(st.lists(st.sampled_from(ids), max_size=len(ids), unique=True))
        copies += [Copy(shard, node, draw(st.sampled_from((ACTIVE, ACTIVE, ACTIVE, *BROKEN)))) for node in holders]
        active = [copy.node for copy in copies if copy.shard == shard and copy.state == ACTIVE]
        free = [node for node in ids if node not in active]
        if active and free and draw(st.booleans()):
            # One a shard: Qdrant refuses two that share a node.
            transfer = Transfer(shard, active[0], draw(st.sampled_from(free)), moves=draw(st.booleans()))
            transfers.append(transfer)
            copies = [copy for copy in copies if (copy.shard, copy.node) != (shard, transfer.target)]
            copies.append(Copy(shard, transfer.target, "Recovery"))
    return Placement(nodes, shards, tuple(copies), tuple(transfers), wanted=draw(st.integers(1, 4)))


def ended(placement: Placement) -> Placement:
    """What Qdrant makes of the transfers between nodes that answer."""
    for transfer in placement.transfers:
        if {transfer.source, transfer.target} <= set(placement.living):
            kind = Action.MOVE if transfer.moves else Action.COPY
            copies = tuple(
                copy for copy in placement.copies if (copy.shard, copy.node) != (transfer.shard, transfer.target)
            )
            rest = tuple(other for other in placement.transfers if other != transfer)
            placement = replace(placement, copies=copies, transfers=rest)
            placement = after(placement, Step(kind, transfer.shard, transfer.source, transfer.target))
    return placement


@settings(max_examples=120, deadline=None)
@given(placements())
def test_every_step_is_safe_and_the_last_leaves_nothing_to_do(placement: Placement) -> None:
    steps = plan(placement)
    assert steps == plan(replace(placement, nodes=placement.nodes[::-1], copies=placement.copies[::-1]))
    now = ended(placement)
    for step in steps:
        before, now = now, after(now, step)
        for shard in now.shards:
            had, has = len(before.active(shard)), len(now.active(shard))
            assert has >= min(had, max(1, now.wanted)), step
    assert plan(now) == []
    attainable = min(now.wanted, len(now.living))
    alive = [shard for shard in now.shards if now.active(shard)]
    for shard in alive:
        assert len(now.active(shard)) == attainable
    if attainable == now.wanted:
        assert {copy.state for copy in now.copies if copy.shard in alive} <= {ACTIVE}
    if len(alive) == len(now.shards) and now.living:
        loads = Counter(dict.fromkeys(now.living, 0))
        loads.update(copy.node for copy in now.copies if copy.node in loads)
        assert max(loads.values()) - min(loads.values()) <= 1


@settings(max_examples=60, deadline=None)
@given(placements())
def test_planning_anew_after_each_step_ends_too(placement: Placement) -> None:
    now, first = ended(placement), plan(placement)
    for _ in range(3 * len(first) + 1):
        steps = plan(now)
        if not steps:
            return
        now = after(now, steps[0])
    raise AssertionError(f"more than three times the {len(first)} steps that were planned")


def steps_of(placement: Placement, *lost: int) -> list[str]:
    return [describe(step, placement).replace(":6335", "") for step in plan(placement, lost)]


def test_what_is_right_is_left_alone() -> None:
    assert plan(placed("12", "23", "13")) == []
    assert plan(placed("1", "2", "3", wanted=1)) == []
    assert plan(placed("1", "1", nodes=1, wanted=2)) == []


def test_a_collection_made_before_the_other_nodes_joined_spreads() -> None:
    assert steps_of(placed("1", "1", "1")) == [
        "copy shard 0 from q-1 to q-2",
        "copy shard 1 from q-1 to q-3",
        "copy shard 2 from q-1 to q-2",
        "move shard 0 from q-1 to q-3",
    ]


def test_the_third_copies_of_a_restore_go() -> None:
    placement = placed("123", "123", "12")
    dropped = plan(placement)
    assert [step.action for step in dropped] == [Action.DROP, Action.DROP]
    assert all(len(copies) == 2 for copies in shape(placement, dropped).values())


def shape(placement: Placement, steps: list[Step]) -> dict[int, list[int]]:
    for step in steps:
        placement = after(placement, step)
    return {shard: placement.active(shard) for shard in placement.shards}


def test_copies_of_a_silent_node_are_replaced_before_they_are_dropped() -> None:
    placement = placed("12", "23", "13", silent=frozenset({3}))
    assert steps_of(placement) == [
        "copy shard 1 from q-2 to q-1",
        "copy shard 2 from q-1 to q-2",
        "drop the copy of shard 1 on q-3",
        "drop the copy of shard 2 on q-3",
    ]


def test_a_silent_node_keeps_what_nobody_else_can_take() -> None:
    placement = placed("12", "12", nodes=2, silent=frozenset({2}))
    assert plan(placement) == []
    assert steps_of(placement, 2) == [
        "drop the copy of shard 0 on q-2",
        "drop the copy of shard 1 on q-2",
        "take q-2 out of the cluster",
    ]


def test_a_lost_node_with_the_only_copy_is_not_forgotten() -> None:
    placement = placed("12", "3", "13", silent=frozenset({3}))
    assert steps_of(placement, 3) == ["copy shard 2 from q-1 to q-2", "drop the copy of shard 2 on q-3"]


def test_a_broken_copy_is_made_anew_where_it_is() -> None:
    assert steps_of(placed("1(2)", "23", "13")) == ["copy shard 0 from q-1 to q-2"]
    # What is not needed goes.
    assert steps_of(placed("12(3)", "23", "13")) == ["drop the copy of shard 0 on q-3"]


def test_a_new_node_takes_its_share() -> None:
    steps = plan(placed("12", "23", "13", nodes=4))
    assert [(step.action, step.target) for step in steps] == [(Action.MOVE, 4)]


@pytest.mark.parametrize("moves", [True, False])
def test_a_transfer_whose_end_is_away_is_aborted(moves: bool) -> None:
    placement = placed("12", "12", "12(3)", silent=frozenset({3}))
    placement = replace(placement, transfers=(Transfer(2, 1, 3, moves=moves),))
    (first, *rest) = plan(placement)
    assert first == Step(Action.ABORT, 2, 1, 3)
    # An aborted move leaves nothing behind, an aborted copy a dead one.
    assert rest == ([] if moves else [Step(Action.DROP, 2, 3)])


def test_numbers_tell_what_is_amiss() -> None:
    summary = placed("12", "3", "123", silent=frozenset({3})).summary()
    assert (summary.nodes, summary.silent_nodes, summary.shards) == (3, 1, 3)
    assert (summary.copies_wanted, summary.copies_active) == (6, 4)
    assert (summary.shards_short, summary.shards_over, summary.shards_on_one_node) == (1, 0, 1)
    assert placed("1", "2", wanted=1).summary().shards_on_one_node == 0
    assert placed("123").summary().shards_over == 1
