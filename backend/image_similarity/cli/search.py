"""The command `image-similarity search`."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import orjson
import typer

from image_similarity.cli.console import (
    ApiKey,
    AsJson,
    Url,
    err,
    load_settings,
    matches_table,
    open_client,
    out,
    print_json,
    which_server,
)
from image_similarity.cli.nothing_found import why_nothing
from image_similarity.domain.errors import InvalidFilter, InvalidRequest
from image_similarity.domain.filters import parse_filter
from image_similarity.domain.queries import (
    AUTO,
    MAX_GROUP_SIZE,
    MAX_KEYWORD_SCORE,
    GroupStep,
    ImageBytes,
    ImageUrl,
    IndexedImage,
    Mode,
    Period,
    Query,
    QueryPart,
    SearchOptions,
    SearchResult,
    Source,
    Strategy,
    Text,
)
from image_similarity.images.files import read_image

app = typer.Typer()
"""`cli/main.py` adds its command."""

_EXAMPLES = (
    "Examples: `image-similarity search cat.jpg`, `image-similarity search --text 'two dogs on a beach'`, "
    "`image-similarity search cat.jpg --text 'at night' --weight 1 --weight 0.5 --json`, "
    "`image-similarity search --keywords 'red bus'`, `image-similarity search --text 'red bus' --mode hybrid`, "
    "`image-similarity search --like cats/tom.jpg --unlike cats/kim.jpg --strategy best_score`"
)


@app.command(epilog=_EXAMPLES)
def search(
    images: Annotated[list[Path] | None, typer.Argument(help="Images to find look-alikes of.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="A description of the images.")] = None,
    image_id: Annotated[list[str] | None, typer.Option("--id", help="An indexed image.")] = None,
    image_url: Annotated[list[str] | None, typer.Option(help="An image to fetch; --url means the server.")] = None,
    prompt_template: Annotated[
        str | None, typer.Option(help='Sentence to put texts into: "a photo of {}"; "{}" for none.')
    ] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option(help="How much each counts: of the images, then the URLs, the ids, the texts; default 1."),
    ] = None,
    like: Annotated[list[str] | None, typer.Option(help="An indexed image that results should be like.")] = None,
    unlike: Annotated[list[str] | None, typer.Option(help="One that they should not be like.")] = None,
    strategy: Annotated[
        Strategy, typer.Option(metavar="NAME", help=f"How --like and --unlike count: {', '.join(Strategy)}.")
    ] = Strategy.AVERAGE,
    keywords: Annotated[
        str | None, typer.Option(help="Words to search for in descriptions and tags, alone or with images and texts.")
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            metavar="NAME",
            help=f"How to rank: {', '.join(Mode)}; default: by the query, so hybrid for --keywords and an image.",
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=1000, help="Most results.")] = 10,
    threshold: Annotated[
        str | None, typer.Option(metavar="NUMBER|auto", help="Lowest score; auto: cut at the gap below the best ones.")
    ] = None,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="0: most similar first; higher: results also differ from each other.")
    ] = 0.0,
    collapse_duplicates: Annotated[
        bool, typer.Option("--collapse-duplicates", help="Near-identical images are one result.")
    ] = False,
    group_by: Annotated[str | None, typer.Option(help="Metadata field; --top-k then counts its values.")] = None,
    group_size: Annotated[int, typer.Option(min=1, max=MAX_GROUP_SIZE, help="Most results per group.")] = 3,
    group_step: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|day|month|year", help="Groups are ranges of numbers, or of times; default: each value."
        ),
    ] = None,
    where: Annotated[
        str | None, typer.Option("--filter", help='Condition on metadata as JSON: {"species": "cat"}.')
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Find images that look like these, or that a text describes; several of them make up one query."""
    settings = load_settings()
    raw_filter = _parse_json(where) if where is not None else None
    sources: list[Source] = [
        *(ImageBytes(_read(path, settings.max_body_bytes)) for path in images or ()),
        *(ImageUrl(one) for one in image_url or ()),
        *(IndexedImage(name) for name in image_id or ()),
        *(Text(words, prompt_template) for words in text or ()),
    ]
    positive, negative = (tuple(map(IndexedImage, names or ())) for names in (like, unlike))
    seen = bool(sources or positive or negative)
    if not seen and keywords is None:
        raise InvalidRequest("Name an image to search with, or describe it with --text or --keywords.")
    if mode is None and keywords is not None:
        mode = Mode.HYBRID if seen else Mode.KEYWORDS
    options = SearchOptions(
        top_k,
        _parse_threshold(threshold, MAX_KEYWORD_SCORE if mode is Mode.KEYWORDS else 1),
        parse_filter(raw_filter) if where is not None else None,
        diversity=diversity,
        collapse_duplicates=collapse_duplicates,
        group_by=group_by,
        group_size=group_size,
        group_step=_parse_step(group_step),
    )
    weights = weight or [1.0] * len(sources)
    if len(weights) != len(sources):
        raise InvalidRequest(f"There are {len(weights)} weights for {len(sources)} things to search with.")
    query = Query(tuple(map(QueryPart, sources, weights)), positive, negative, strategy, mode or Mode.VECTOR, keywords)

    async def run() -> tuple[SearchResult, str]:
        async with open_client(settings, which_server(settings, url, api_key)) as client:
            result = await client.search(query, options, raw_filter)
            if result.matches or as_json:
                return result, ""
            return result, why_nothing(query, options, result.threshold, await client.facets())

    _show(*asyncio.run(run()), as_json=as_json)


def _show(result: SearchResult, why_nothing: str, *, as_json: bool) -> None:
    if result.truncated:
        err.print("The text is longer than the model reads; its end was ignored.", style="yellow")
    if as_json:
        print_json([asdict(match) for match in result.matches])
    elif result.matches:
        out.print(matches_table(result.matches))
    else:
        out.print(why_nothing, highlight=False, markup=False, soft_wrap=True)


def _read(path: Path, max_bytes: int) -> bytes:
    if path.is_dir():
        raise InvalidRequest(
            f"{path} is a folder, and search takes images. To add its images to the collection: "
            f"image-similarity index {path}"
        )
    return read_image(path, max_bytes)


def _parse_threshold(text: str | None, most: float) -> float | Literal["auto"] | None:
    if text is None:
        return None
    if text == AUTO:
        return AUTO
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not -1 <= threshold <= most:
        raise InvalidRequest(f'A threshold is a number from -1 to {most:g}, or {AUTO}; not "{text}".')
    return threshold


def _parse_step(text: str | None) -> GroupStep | None:
    if text is None or text in get_args(Period):
        return cast(Period | None, text)
    try:
        return float(text)
    except ValueError as error:
        raise InvalidRequest(f'--group-step is a number, or day, month or year; not "{text}".') from error


def _parse_json(text: str) -> dict[str, Any]:
    try:
        value: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidFilter(f"The filter is not JSON: {error}.") from error
    return value
