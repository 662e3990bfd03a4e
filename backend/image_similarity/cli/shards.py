"""`image-similarity shards`: show on which Qdrant nodes a collection's shards are, and move them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from image_similarity.bootstrap.stores import balance_placement, read_placement
from image_similarity.cli.console import AsJson, err, load_settings, out, print_json
from image_similarity.domain.errors import InvalidRequest
from image_similarity.settings import Settings
from image_similarity.vectors.placement import ACTIVE, Placement, Step, describe, plan

if TYPE_CHECKING:
    from image_similarity.vectors.qdrant_server.balance import Progress

app = typer.Typer()
"""`cli/main.py` adds its command."""

_INTERRUPTED = 130
"""Exit status after Ctrl-C."""

_NOT_OURS = ("Listener", "Resharding", "ReshardingScaleDown")
"""States of copies that an operator has set up on purpose, and that this command would undo."""


@app.command(epilog="Examples: `image-similarity shards`, `image-similarity shards --balance --yes`")
def shards(
    balance: Annotated[bool, typer.Option(help="Copy, move and drop until every shard is as it should be.")] = False,
    yes: Annotated[bool, typer.Option(help="With --balance: carry the plan out without asking.")] = False,
    copies: Annotated[
        int | None, typer.Option(min=1, max=32, help="With --balance: new number of copies of each shard.")
    ] = None,
    lost: Annotated[
        list[str] | None,
        typer.Option(help="With --balance: a node, as shown, that never comes back; it is removed from the cluster."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show on which Qdrant nodes the copies of each shard are, or distribute them as they should be.

    Searches and writes go on meanwhile. Ctrl-C stops between two steps; Qdrant finishes a transfer in progress. Run the
    command again to go on.
    """
    settings = load_settings()
    if not balance and (copies is not None or lost):
        raise InvalidRequest("--copies and --lost change the cluster; give --balance too.")
    placement = asyncio.run(read_placement(settings, copies))
    gone = _given_up(placement, lost or [])
    steps = plan(placement, gone) if balance else []
    if not as_json:
        _show(placement)
        _show_plan(steps, placement, wanted=balance)
    if balance:
        _refuse_what_is_not_ours(placement)
    if (steps or copies is not None) and _agreed(yes=yes, as_json=as_json):
        placement, steps = _carry_out(settings, copies, gone), []
        if not as_json:
            _show(placement)
    if as_json:
        print_json(_as_json(settings.qdrant_collection_name, placement, steps))
    if balance and not steps and placement.summary().shards_short:
        raise typer.Exit(1)


def _given_up(placement: Placement, names: list[str]) -> set[int]:
    found = set()
    for name in names:
        node = next((one for one in placement.nodes if name in (one.name, one.uri, str(one.id))), None)
        if node is None:
            known = ", ".join(one.name for one in placement.nodes)
            raise InvalidRequest(f'There is no node "{name}" in the cluster; there are: {known}.')
        if node.answers:
            raise InvalidRequest(f"The node {node.name} answers, so it is not lost. Stop it for good, then try again.")
        found.add(node.id)
    return found


def _refuse_what_is_not_ours(placement: Placement) -> None:
    for copy in placement.copies:
        if copy.state in _NOT_OURS:
            raise InvalidRequest(
                f"The copy of shard {copy.shard} on {placement.name(copy.node)} is {copy.state}, which an "
                "operator has set up on purpose. Finish or undo that first; --balance does not touch such a collection."
            )


def _agreed(*, yes: bool, as_json: bool) -> bool:
    if yes:
        return True
    if as_json or not sys.stdin.isatty():
        err.print("Nothing was changed. Give --yes to carry the plan out.")
        return False
    return typer.confirm("Carry this out?", err=True)


def _carry_out(settings: Settings, copies: int | None, lost: Iterable[int]) -> Placement:
    last: Progress | None = None

    def show(progress: Progress) -> None:
        nonlocal last
        if last is None or progress.doing != last.doing:
            err.print(f"{progress.done} of {progress.total} done; {progress.doing} …", markup=False, highlight=False)
        last = progress
        status.update(Text(f"{progress.doing} {progress.detail}"))

    try:
        with err.status("Looking at the cluster …") as status:
            return asyncio.run(balance_placement(settings, copies=copies, lost=lost, on_progress=show))
    except KeyboardInterrupt:
        doing = f", while it was about to {last.doing}; if Qdrant has begun that, it ends by itself" if last else ""
        err.print(
            f"Stopped after {last.done if last else 0} steps{doing}. Every shard has kept its active copies. Run the "
            "command again to go on.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(_INTERRUPTED) from None


def _show(placement: Placement) -> None:
    table = Table("shard", "node", "state", "points", box=None, header_style="dim")
    answering = set(placement.living)
    for shard in placement.shards:
        held = sorted((copy for copy in placement.copies if copy.shard == shard), key=lambda copy: copy.node)
        for copy in held:
            state = copy.state if copy.node in answering else f"{copy.state}, node does not answer"
            points = "" if copy.points is None else str(copy.points)
            # Wrap in `Text`: Rich would read brackets as markup.
            table.add_row(*map(Text, (str(shard), placement.name(copy.node), state, points)))
        if not held:
            table.add_row(str(shard), "none", "", "")
    out.print(table)
    for transfer in placement.transfers:
        source, target = placement.name(transfer.source), placement.name(transfer.target)
        _say(f"Under way: shard {transfer.shard} from {source} to {target}. {transfer.progress}")
    for line in _findings(placement):
        _say(line)


def _findings(placement: Placement) -> list[str]:
    """Return sentences about the state of a placement."""
    found = placement.summary()
    lines = [
        f"{found.shards} shards, {placement.wanted} copies of each wanted: {found.copies_active} of "
        f"{found.copies_wanted} copies are active, on {found.nodes} nodes."
    ]
    lines += [
        f"Warning: the node {node.name} (id {node.id}) does not answer the others."
        for node in placement.nodes
        if not node.answers
    ]
    for shard in placement.shards:
        active = placement.active(shard)
        if not active:
            lines.append(
                f"Warning: shard {shard} has no active copy, so its images cannot be found. Bring back a node that "
                "has one, or restore a backup."
            )
        elif len(active) == 1 and placement.wanted > 1:
            lines.append(f"Warning: the only active copy of shard {shard} is on {placement.name(active[0])}.")
    if len(placement.living) < placement.wanted:
        lines.append(f"Warning: {placement.wanted} copies need as many nodes, but only {len(placement.living)} answer.")
    return lines


def _show_plan(steps: list[Step], placement: Placement, *, wanted: bool) -> None:
    if steps:
        _say("Plan:")
        for number, step in enumerate(steps, start=1):
            _say(f"  {number}. {describe(step, placement)}")
    elif wanted:
        _say("There is nothing to move.")


def _say(line: str) -> None:
    out.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)


def _as_json(name: str, placement: Placement, steps: list[Step]) -> dict[str, Any]:
    return {
        "collection": name,
        "copies_wanted_of_each": placement.wanted,
        **asdict(placement.summary()),
        "members": [{**asdict(node), "name": node.name} for node in placement.nodes],
        "copies": [
            {**asdict(copy), "active": copy.state == ACTIVE and copy.node in placement.active(copy.shard)}
            for copy in placement.copies
        ],
        "transfers": [asdict(transfer) for transfer in placement.transfers],
        "plan": [{**asdict(step), "text": describe(step, placement)} for step in steps],
    }
