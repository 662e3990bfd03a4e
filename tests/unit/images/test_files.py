"""Which files of a folder are images, and what each is called."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.records import Metadata
from image_similarity.images.files import (
    IdFrom,
    ImageFile,
    check_distinct,
    find_images,
    read_image,
    read_metadata,
    unmatched,
)


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return make(
        tmp_path / "album",
        "b.jpg",
        "a.PNG",
        "notes.txt",
        "noextension",
        ".hidden.jpg",
        "cats/tom.webp",
        "cats/2024/kit.heic",
        "dogs/rex.JPeG",
        ".thumbnails/b.jpg",
        "cats/.git/c.jpg",
    )


def names(files: list[ImageFile]) -> list[str]:
    return [file.relative for file in files]


def test_images_are_found_by_suffix_in_a_stable_order_hidden_ones_left_out(album: Path) -> None:
    found = find_images([album], recursive=True)

    assert names(found) == ["a.PNG", "b.jpg", "cats/tom.webp", "cats/2024/kit.heic", "dogs/rex.JPeG"]
    assert all(file.path.is_file() for file in found)


def test_without_recursion_only_the_folder_itself_is_searched(album: Path) -> None:
    assert names(find_images([album], recursive=False)) == ["a.PNG", "b.jpg"]


def test_a_file_that_is_named_is_taken_whatever_its_name(album: Path) -> None:
    found = find_images([album / "notes.txt", album / ".hidden.jpg", album / "cats"], recursive=False)

    assert names(found) == ["notes.txt", ".hidden.jpg", "tom.webp"]


def test_a_path_that_does_not_exist_is_named(album: Path) -> None:
    with pytest.raises(InvalidRequest, match="nowhere"):
        find_images([album, album / "nowhere"], recursive=True)


def test_an_id_is_the_path_the_name_or_the_content(album: Path) -> None:
    [file] = find_images([album / "cats" / "2024"], recursive=True)
    file = ImageFile(file.path, "2024/kit.heic")

    assert file.image_id(IdFrom.PATH, b"data") == "2024/kit.heic"
    assert file.image_id(IdFrom.NAME, b"data") == "kit.heic"
    assert file.image_id(IdFrom.HASH, b"data") == hashlib.sha256(b"data").hexdigest()


def test_two_files_of_one_id_are_refused_by_both_names(tmp_path: Path) -> None:
    root = make(tmp_path, "one/a.jpg", "two/a.jpg")
    files = find_images([root / "one", root / "two"], recursive=True)

    for source in (IdFrom.PATH, IdFrom.NAME):
        with pytest.raises(InvalidRequest) as caught:
            check_distinct(files, source)
        assert all(text in str(caught.value) for text in (str(root / "one"), str(root / "two"), '"a.jpg"'))
    check_distinct(files, IdFrom.HASH)
    check_distinct(find_images([root], recursive=True), IdFrom.PATH)


def test_one_file_named_twice_is_no_conflict(album: Path) -> None:
    check_distinct(find_images([album / "b.jpg", album, album / "cats" / ".." / "b.jpg"], recursive=False), IdFrom.PATH)


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")

    assert read_image(path, 5) == b"12345"
    with pytest.raises(InvalidRequest, match=r"a\.jpg has 5 bytes; the limit is 4"):
        read_image(path, 4)


def test_a_file_that_has_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"gone\.jpg cannot be read: No such file"):
        read_image(tmp_path / "gone.jpg", 100)


def test_metadata_is_read_by_relative_path(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    path.write_text('{"cats/tom.jpg": {"species": "cat"}, "x": {}}')

    assert read_metadata(path) == {"cats/tom.jpg": {"species": "cat"}, "x": {}}


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is not JSON"), ("[]", "one object of objects"), ('{"a": 1}', "one object of objects"), ("", "is not JSON")],
)
def test_metadata_of_another_shape_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "metadata.json"
    path.write_text(text)

    with pytest.raises(InvalidRequest, match=rf"metadata\.json.*{said}"):
        read_metadata(path)


def test_missing_metadata_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"metadata\.json cannot be read"):
        read_metadata(tmp_path / "metadata.json")


def test_a_pattern_that_the_shell_left_as_it_is_gets_said(album: Path) -> None:
    with pytest.raises(InvalidRequest, match="leave out the quotes"):
        find_images([album / "*.jpg"], recursive=True)


def test_metadata_that_is_of_no_file_is_found(album: Path) -> None:
    files = find_images([album], recursive=True)
    table: dict[str, Metadata] = {key: {} for key in ("b.jpg", "cats/tom.webp", "tom.webp", "b.jpgg", "dogs/b.jpg")}

    assert unmatched(table, files) == ["b.jpgg", "dogs/b.jpg"]
