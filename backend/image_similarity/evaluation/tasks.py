"""What is searched for in what: the embedded images of a data set, paired with their queries."""

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
"""Duplicates that a warning names."""

OnStep = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Task:
    """Queries and candidates with all that a report says of them."""

    kind: QueryKind
    text_model: str | None
    """Name of the text tower; None where no texts are searched with."""
    retrieval: RetrievalTask
    files: tuple[ImageFile, ...]
    """Of the candidates."""
    labels: tuple[str, ...] | None
    """Of the candidates; None where they have captions instead."""
    query_labels: tuple[str, ...] | None
    texts: tuple[str, ...] | None
    """That are searched with; None where the queries are the candidates themselves."""
    names: tuple[str, ...]
    """Of the queries, each another."""
    clusters: str
    """What the groups of the queries are, in the plural: queries of the same one hang together."""
    skipped: tuple[tuple[str, str], ...]
    """Images that were left out, and why."""
    warnings: tuple[str, ...]


def images_by_label(
    encoder: ImageEncoder, data: LabelledImages, settings: Settings, on_step: OnStep = lambda *_: None
) -> Task:
    """Search with each image for the others of its label.

    Of images with the same bytes and the same label all but the first are left out: anything would find them.
    Raises InvalidRequest where too few images can be read to search for anything.
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
    """Search with each label's name for its images; in the template `{}` stands for the name, `_` in it for a space.

    Images with the same bytes and the same label count once. Raises InvalidRequest where the template has no `{}` and
    where images of less than two labels can be read, EncodingFailed, TextSearchUnavailable.
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
        text_model=tower.name,
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
    """Search with each caption for the one image that it is of; images with the same bytes are one candidate.

    Raises InvalidRequest where too few images can be read to search for anything, EncodingFailed,
    TextSearchUnavailable.
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
        text_model=tower.name,
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
    """Return the rows whose bytes no earlier row has, and for each file that was read which of them it is."""
    rows: dict[str, int] = {}
    candidates: dict[str, int] = {}
    candidate_of: dict[int, int] = {}
    for row, (number, digest) in enumerate(zip(embedded.kept, embedded.digests, strict=True)):
        rows.setdefault(digest, row)
        candidate_of[int(number)] = candidates.setdefault(digest, len(candidates))
    return np.array(list(rows.values()), dtype=np.int64), candidate_of


def _numbered(images: Sequence[str]) -> tuple[str, ...]:
    """Return a name for each caption: its image's, and which of the image's captions it is."""
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
    """The labelled images that could be read, each content once a label."""

    vectors: Embedding
    groups: Indexes
    """Number of the label, in the order of the alphabet."""
    labels: tuple[str, ...]
    files: tuple[ImageFile, ...]
    skipped: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def _shelve(encoder: ImageEncoder, data: LabelledImages, settings: Settings, on_step: OnStep) -> _Shelves:
    embedded = _embed(encoder, data.files, settings, on_step)
    rows, repeated, warnings = _once_each(data, embedded)
    if data.unlabelled:
        warnings.append(f"{len(data.unlabelled)} images lie in no folder of their own and so have no label: left out.")
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
    """Return the rows to keep, the files that repeat another of their label, and a warning of labels that disagree."""
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
        warnings.append(f"{len(torn)} images lie under two labels with the same bytes, so one is wrong: {named}.")
    return np.array(rows, dtype=np.int64), tuple(repeated), warnings


def _reasons(embedded: EmbeddedImages) -> tuple[tuple[str, str], ...]:
    return tuple((file.relative, reason) for file, reason in embedded.skipped)
