"""Retrieval tasks: the embedded images of a data set, and the queries for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.records import Embedding
from image_similarity.encoders.base import ImageEncoder, TextEncoder
from image_similarity.engine.search.calibration import QueryKind
from image_similarity.evaluation.dataset import CaptionedImages, LabelledImages
from image_similarity.evaluation.embedding import EmbeddedImages, embed_images, embed_texts
from image_similarity.evaluation.ranking import Indexes, RetrievalTask
from image_similarity.images.files import ImageFile
from image_similarity.settings import Settings

NAMED = 5
"""Most duplicates that a warning lists."""

OnStep = Callable[[str, int, int], None]
"""Called with the name of the step, how many items are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Task:
    """Queries and candidates, with all data that a report needs about them."""

    kind: QueryKind
    text_model: str | None
    """Name of the text tower; None if the queries are images."""
    retrieval: RetrievalTask
    files: tuple[ImageFile, ...]
    """Files of the candidates."""
    labels: tuple[str, ...] | None
    """Labels of the candidates; None if they have captions instead."""
    query_labels: tuple[str, ...] | None
    texts: tuple[str, ...] | None
    """Query texts; None if the queries are the candidates themselves."""
    names: tuple[str, ...]
    """Names of the queries, all different."""
    clusters: str
    """Plural name of the groups of queries, such as "labels"; queries of one group depend on each other."""
    skipped: tuple[tuple[str, str], ...]
    """Images that were left out, each with the reason."""
    warnings: tuple[str, ...]


def images_by_label(
    encoder: ImageEncoder, data: LabelledImages, settings: Settings, on_step: OnStep = lambda *_: None
) -> Task:
    """Search with each image for the others of its label.

    Of images with the same bytes and the same label all but the first are left out, because any model would find them.
    Raises InvalidRequest if no two images that can be read have the same label.
    """
    shelves = _shelve(encoder, data, settings, on_step)
    retrieval = RetrievalTask(shelves.vectors, shelves.vectors, shelves.groups, shelves.groups, itself=True)
    if not len(retrieval.answerable()):
        raise InvalidRequest(f"No two of the {len(shelves.files)} images that could be read have the same label.")
    return Task(
        kind=QueryKind.IMAGE,
        text_model=None,
        retrieval=retrieval,
        files=shelves.files,
        labels=shelves.labels,
        query_labels=shelves.labels,
        texts=None,
        names=tuple(file.relative for file in shelves.files),
        clusters="labels",
        skipped=shelves.skipped,
        warnings=shelves.warnings,
    )


def images_by_name(
    encoder: ImageEncoder,
    tower: TextEncoder,
    data: LabelledImages,
    template: str,
    settings: Settings,
    on_step: OnStep = lambda *_: None,
) -> Task:
    """Search with each label's name for its images; `{}` in the template is replaced by the name, and `_` by a space.

    Images with the same bytes and the same label count once. Raises InvalidRequest if the template has no `{}`, or if
    images of fewer than two labels can be read; EncodingFailed, TextSearchUnavailable.
    """
    if "{}" not in template:
        raise InvalidRequest(f'The text {template!r} needs a {{}} where the label\'s name goes: "a photo of a {{}}".')
    shelves = _shelve(encoder, data, settings, on_step)
    names = tuple(sorted(set(shelves.labels)))
    if len(names) < 2:
        raise InvalidRequest(f"Images of {len(names)} labels could be read; at least two are needed.")
    texts = tuple(template.replace("{}", name.replace("_", " ")) for name in names)
    vectors, truncated = _embed_texts(tower, texts, settings, on_step)
    cut = (f"{truncated} texts are longer than the model reads; their ends were ignored.",) if truncated else ()
    return Task(
        kind=QueryKind.TEXT,
        text_model=tower.spec.name,
        retrieval=RetrievalTask(vectors, shelves.vectors, np.arange(len(names)), shelves.groups, itself=False),
        files=shelves.files,
        labels=shelves.labels,
        query_labels=names,
        texts=texts,
        names=names,
        clusters="labels",
        skipped=shelves.skipped,
        warnings=shelves.warnings + cut,
    )


def images_by_caption(
    encoder: ImageEncoder,
    tower: TextEncoder,
    data: CaptionedImages,
    settings: Settings,
    on_step: OnStep = lambda *_: None,
) -> Task:
    """Search with each caption for its one image; images with the same bytes are one candidate.

    Raises InvalidRequest if fewer than two images can be read, EncodingFailed, TextSearchUnavailable.
    """
    embedded = _embed(encoder, data.files, settings, on_step)
    rows, candidate_of = _candidates(embedded)
    if len(rows) < 2:
        raise InvalidRequest(f"Of {len(data.files)} images {len(rows)} could be read; at least two are needed.")
    captions = [(text, number) for text, number in data.captions if number in candidate_of]
    vectors, truncated = _embed_texts(tower, [text for text, _ in captions], settings, on_step)
    warnings = []
    if data.missing:
        warnings.append(f"{len(data.missing)} images of the captions file are not there: left out.")
    if truncated:
        warnings.append(f"{truncated} captions are longer than the model reads; their ends were ignored.")
    return Task(
        kind=QueryKind.TEXT,
        text_model=tower.spec.name,
        retrieval=RetrievalTask(
            vectors,
            embedded.embeddings[rows],
            np.array([candidate_of[number] for _, number in captions], dtype=np.int64),
            np.arange(len(rows)),
            itself=False,
        ),
        files=tuple(data.files[number] for number in embedded.kept[rows]),
        labels=None,
        query_labels=None,
        texts=tuple(text for text, _ in captions),
        names=_numbered([data.files[number].relative for _, number in captions]),
        clusters="images",
        skipped=_reasons(embedded),
        warnings=tuple(warnings),
    )


def _candidates(embedded: EmbeddedImages) -> tuple[Indexes, dict[int, int]]:
    """Return the rows whose bytes no earlier row has, and the candidate's number of each file that was read."""
    rows: dict[str, int] = {}
    candidates: dict[str, int] = {}
    candidate_of: dict[int, int] = {}
    for row, (number, digest) in enumerate(zip(embedded.kept, embedded.digests, strict=True)):
        rows.setdefault(digest, row)
        candidate_of[int(number)] = candidates.setdefault(digest, len(candidates))
    return np.array(list(rows.values()), dtype=np.int64), candidate_of


def _numbered(images: Sequence[str]) -> tuple[str, ...]:
    """Return a name for each caption: its image's name, and its number among the image's captions."""
    counts: dict[str, int] = {}
    names = []
    for image in images:
        counts[image] = counts.get(image, 0) + 1
        names.append(f"{image}#{counts[image]}")
    return tuple(names)


def _embed_texts(
    encoder: TextEncoder, texts: Sequence[str], settings: Settings, on_step: OnStep
) -> tuple[Embedding, int]:
    return embed_texts(encoder, texts, settings, lambda done: on_step("Embedding texts", done, len(texts)))


@dataclass(frozen=True, slots=True)
class _Shelves:
    """The labelled images that could be read, each content once per label."""

    vectors: Embedding
    groups: Indexes
    """Number of the label, in alphabetical order."""
    labels: tuple[str, ...]
    files: tuple[ImageFile, ...]
    skipped: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def _shelve(encoder: ImageEncoder, data: LabelledImages, settings: Settings, on_step: OnStep) -> _Shelves:
    embedded = _embed(encoder, data.files, settings, on_step)
    rows, repeated, warnings = _once_each(data, embedded)
    if data.unlabelled:
        warnings.append(f"{len(data.unlabelled)} images are in no folder of their own and so have no label: left out.")
    numbers = embedded.kept[rows]
    labels = tuple(data.labels[number] for number in numbers)
    _, groups = np.unique(np.array(labels, dtype=np.str_), return_inverse=True)
    files = tuple(data.files[number] for number in numbers)
    skipped = _reasons(embedded) + repeated
    return _Shelves(embedded.embeddings[rows], groups, labels, files, skipped, tuple(warnings))


def _embed(encoder: ImageEncoder, files: Sequence[ImageFile], settings: Settings, on_step: OnStep) -> EmbeddedImages:
    return embed_images(encoder, files, settings, lambda done: on_step("Embedding images", done, len(files)))


def _once_each(
    data: LabelledImages, embedded: EmbeddedImages
) -> tuple[Indexes, tuple[tuple[str, str], ...], list[str]]:
    """Return the rows to keep, the files that repeat another of their label, and a warning if labels disagree."""
    first: dict[str, str] = {}
    first_of_label: dict[tuple[str, str], str] = {}
    rows: list[int] = []
    repeated: list[tuple[str, str]] = []
    torn: list[str] = []
    for row, (number, digest) in enumerate(zip(embedded.kept, embedded.digests, strict=True)):
        name, label = data.files[number].relative, data.labels[number]
        if (digest, label) in first_of_label:
            repeated.append((name, f"has the same bytes as {first_of_label[digest, label]}"))
            continue
        rows.append(row)
        first_of_label[digest, label] = name
        if first.setdefault(digest, name) != name:
            torn.append(f"{first[digest]} = {name}")
    warnings = []
    if torn:
        named = "; ".join(torn[:NAMED]) + ("; …" if len(torn) > NAMED else "")
        warnings.append(f"{len(torn)} images have the same bytes under two labels, so one is wrong: {named}.")
    return np.array(rows, dtype=np.int64), tuple(repeated), warnings


def _reasons(embedded: EmbeddedImages) -> tuple[tuple[str, str], ...]:
    return tuple((file.relative, reason) for file, reason in embedded.skipped)
