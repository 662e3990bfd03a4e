"""Measure the benefit of feedback on labelled images: the labels simulate the user, and the report measures the gain.

    python benchmarks/feedback_study.py ../shared/caltech101

The argument is a folder of folders, whose names are the labels. The script indexes all images into a temporary
collection. For each image a simulated user searches with it, judges the first twenty results from the top, likes those
with the query's label, dislikes the others, and later likes the remaining images of that label too. The model is that
of the settings; intervals draw whole labels.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from image_similarity.bootstrap.engine import build_engine
from image_similarity.cli.feedback import show
from image_similarity.domain.queries import IndexedImage, Query, SearchOptions, Text
from image_similarity.engine.feedback.events import Verdict
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.evaluation.dataset import read_labelled
from image_similarity.evaluation.feedback import APPLIED, FeedbackReport, JudgedQuery, measure
from image_similarity.settings import Settings

TEMPLATE = "a photo of a {}"

PAGE = 20
"""Results that the simulated user judges."""


async def study(folder: Path, settings: Settings, *, applied: int = APPLIED, by_name: bool = False) -> FeedbackReport:
    """Index the folder, let its labels judge, and measure; `by_name` searches with names of labels, not with images."""
    engine = await build_engine(settings)
    try:
        labels = await index(engine, folder, at_once=settings.batch_size)
        if by_name:
            names = {label: TEMPLATE.format(label.replace("_", " ")) for label in sorted({*labels.values()})}
            asked = [(Query.of(Text(name)), label) for label, name in names.items()]
        else:
            asked = [(Query.of(IndexedImage(image_id)), label) for image_id, label in labels.items()]
        judged = [await judge(engine, query, label, labels) for query, label in asked]

        async def is_indexed(image_id: str) -> bool:
            return image_id in labels

        return await measure(judged, engine.search, is_indexed, applied=applied)
    finally:
        await engine.close()


async def index(engine: SearchEngine, folder: Path, *, at_once: int) -> dict[str, str]:
    """Index all images; return their labels by id."""
    data = read_labelled(folder)
    labels: dict[str, str] = {}
    for start in range(0, len(data.files), at_once):
        some = data.files[start : start + at_once]
        ids = [str(file.path.relative_to(folder)) for file in some]
        await asyncio.gather(
            *(
                engine.index_image(file.path.read_bytes(), image_id=image_id)
                for file, image_id in zip(some, ids, strict=True)
            )
        )
        labels |= {image_id: image_id.partition("/")[0] for image_id in ids}
        print(f"\r{len(labels)} of {len(data.files)} images", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return labels


async def judge(engine: SearchEngine, query: Query, meant: str, labels: dict[str, str]) -> JudgedQuery:
    """Return the verdicts of a user who searches for a label."""
    result = await engine.search(query, SearchOptions(top_k=PAGE, with_metadata=False))
    page = [match.image_id for match in result.matches]
    asked = {source.image_id for source in query.sources if isinstance(source, IndexedImage)}
    rest = [image_id for image_id, label in labels.items() if label == meant and image_id not in {*asked, *page}]
    return JudgedQuery(query, tuple((one, _verdict(labels[one] == meant)) for one in (*page, *rest)), group=meant)


def _verdict(liked: bool) -> Verdict:
    return Verdict.POSITIVE if liked else Verdict.NEGATIVE


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description="What feedback is worth on labelled images.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--apply", type=int, default=APPLIED, help="positive verdicts that are applied to each query")
    parser.add_argument("--by-name", action="store_true", help="search with the labels' names instead of their images")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings().model_copy(update={"data_dir": Path(scratch), "qdrant_url": None, "qdrant_host": None})
        report = asyncio.run(study(given.folder, settings, applied=given.apply, by_name=given.by_name))
    if given.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        show(report)


if __name__ == "__main__":
    main()
