"""Archives: what is taken from them, and what a hostile one can do (nothing)."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from image_similarity.api.requests.archives import ArchiveLimits, read_archive
from image_similarity.domain.errors import BodyTooLarge
from tests.api.test_batch import left_behind
from tests.api.test_errors import check_problem
from tests.support.jobs import finished, indexed_images
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer, make_settings, running_server

PHOTO = encoded(photo(64, 48), "JPEG")
OTHER = encoded(photo(64, 48, seed=1), "PNG")
FILES = {"cats/tom.jpg": PHOTO, "./dogs/rex.png": OTHER, "notes.txt": b"x", "__MACOSX/tom.jpg": b"x", ".x/b.jpg": b"x"}


def zipped(files: dict[str, bytes], **options: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:  # type: ignore[arg-type]
        archive.mkdir("cats")
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: dict[str, bytes], *members: tarfile.TarInfo, mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in members:
            archive.addfile(member)
    return out.getvalue()


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def send(http: httpx.Client, archive: bytes, media_type: str = "application/octet-stream") -> httpx.Response:
    return http.post("/index/batch", content=archive, headers={"content-type": media_type})


@pytest.mark.parametrize(
    ("archive", "media_type"),
    [
        (zipped(FILES), "application/zip"),
        (zipped(FILES, compression=zipfile.ZIP_DEFLATED), "application/octet-stream"),
        (tarred(FILES), "application/x-tar"),
        (tarred(FILES, mode="w:gz"), "application/gzip"),
        (tarred(FILES, mode="w:gz"), "application/zip"),
    ],
    ids=["zip", "deflated", "tar", "tar.gz", "a wrong name"],
)
def test_images_are_taken_by_their_path_and_all_else_is_passed_over(
    server: RunningServer, archive: bytes, media_type: str
) -> None:
    answer = send(server.http, archive, media_type)
    assert answer.status_code == 202, answer.text
    job = finished(server.http, answer.json()["job_id"])
    assert (job["state"], job["counts"]["indexed"]) == ("completed", 2)
    assert set(indexed_images(server.http)) == {"cats/tom.jpg", "dogs/rex.png"}
    assert server.http.get("/images/cats%2Ftom.jpg/file").content == PHOTO


def test_an_archive_may_be_a_part_of_a_form_with_metadata(server: RunningServer) -> None:
    answer = server.http.post(
        "/index/batch",
        files={"archive": ("photos.zip", zipped(FILES))},
        data={"metadata": json.dumps({"cats/tom.jpg": {"species": "cat"}})},
    )
    finished(server.http, answer.json()["job_id"])
    assert server.http.get("/images/cats%2Ftom.jpg").json()["metadata"] == {"species": "cat"}


def encrypted() -> bytes:
    data = bytearray(zipped({"a.jpg": PHOTO}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for start in (n for n in range(len(data)) if data.startswith(signature, n)):
            data[start + offset] |= 1
    return bytes(data)


def zip_link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("a.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return out.getvalue()


def lying_zip() -> bytes:
    """A directory that states fewer bytes than there are."""
    data = bytearray(zipped({"a.jpg": PHOTO}, compression=zipfile.ZIP_DEFLATED))
    entry = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 24, 10)
    return bytes(data)


def long_names() -> bytes:
    """Headers that each announce a longer name for the next, without end."""
    block = member("././@LongLink", b"L").tobuf()
    return block * 3000 + bytes(1024)


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        pytest.param(b"", "neither zip nor tar", id="empty"),
        pytest.param(b"just text" * 200, "neither zip nor tar", id="text"),
        pytest.param(zipped({"../a.jpg": PHOTO}), "leads out", id="zip-dots"),
        pytest.param(zipped({"/a.jpg": PHOTO}), "leads out", id="zip-absolute"),
        pytest.param(zipped({"x\\..\\..\\a.jpg": PHOTO}), "leads out", id="zip-backslashes"),
        pytest.param(zipped({"C:\\a.jpg": PHOTO}), "leads out", id="zip-drive"),
        pytest.param(tarred({"x/../../a.jpg": PHOTO}), "leads out", id="tar-dots"),
        pytest.param(tarred({}, member("a.jpg", tarfile.SYMTYPE, "/etc/passwd")), "link", id="tar-symlink"),
        pytest.param(tarred({}, member("a.jpg", tarfile.LNKTYPE, "b.jpg")), "link", id="tar-hard-link"),
        pytest.param(tarred({}, member("a.jpg", tarfile.CHRTYPE)), "device", id="tar-device"),
        pytest.param(zip_link(), "link", id="zip-symlink"),
        pytest.param(encrypted(), "encrypted", id="encrypted"),
        pytest.param(zipped({"a.jpg": PHOTO}, compression=zipfile.ZIP_LZMA), "deflate", id="lzma"),
        pytest.param(lying_zip(), "damaged", id="lying-size"),
        pytest.param(zipped(FILES)[:-40], "damaged", id="no-directory"),
        pytest.param(zipped(FILES)[:200], "damaged", id="cut-zip"),
        pytest.param(tarred(FILES)[:700], "ends in the middle", id="cut-tar-header"),
        pytest.param(
            tarred({"a.jpg": PHOTO, "b.jpg": PHOTO})[: 512 + -(-len(PHOTO) // 512) * 512 + 100], "cut off", id="cut-tar"
        ),
        pytest.param(tarred(FILES, mode="w:gz")[:-30], "damaged", id="cut-gzip"),
        pytest.param(gzip.compress(b"no tar" * 1000), "damaged", id="gzip-of-no-tar"),
        pytest.param(long_names(), "damaged", id="long-names"),
        pytest.param(tarred({"a.jpg": PHOTO, "./a.jpg": OTHER}), "cannot be indexed", id="same-id-twice"),
        pytest.param(tarred({"a\nb.jpg": PHOTO}), "cannot be indexed", id="unprintable-id"),
    ],
)
def test_hostile_and_damaged_archives_are_refused_whole(server: RunningServer, archive: bytes, words: str) -> None:
    check_problem(send(server.http, archive), 422, "invalid_archive", words)
    assert indexed_images(server.http) == {}
    assert left_behind(server) == []


def test_an_archive_without_images_is_refused(server: RunningServer) -> None:
    check_problem(send(server.http, zipped({"notes.txt": b"x"})), 422, "invalid_request", "no images")


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    settings = make_settings(
        tmp_path_factory.mktemp("strict"),
        tiny_checkpoint,
        log_level="ERROR",
        max_body_bytes=50_000,
        max_batch_bytes=300_000,
        max_batch_images=20,
    )
    with running_server(settings) as running:
        yield running


def zip_bomb() -> bytes:
    return zipped({"a.jpg": bytes(100_000_000)}, compression=zipfile.ZIP_DEFLATED)


def many_small() -> bytes:
    return zipped({f"{n}.jpg": bytes(40_000) for n in range(15)}, compression=zipfile.ZIP_DEFLATED)


def huge_directory() -> bytes:
    """An end record that states a directory of a gigabyte."""
    data = bytearray(zipped({f"{n}.jpg": b"" for n in range(15)}))
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 12, 2**30)
    return bytes(data)


def huge_attributes() -> bytes:
    """A tar whose extended header claims a gigabyte, of zeros, packed to a megabyte."""
    header = member("x", b"x")
    header.size = 2**30
    return header.tobuf() + bytes(4096)


def skipped_bomb() -> bytes:
    """A gigabyte that is no image, and would only have to be skipped."""
    header = tarfile.TarInfo("notes.txt")
    header.size = 2**30
    return gzip.compress(header.tobuf() + bytes(100_000))


BOMBS: dict[str, Callable[[], bytes]] = {
    "one large member": zip_bomb,
    "many members": many_small,
    "too many members": lambda: zipped({f"{n}.jpg": b"x" for n in range(21)}),
    "too many members, tar": lambda: tarred({f"{n}.jpg": b"" for n in range(21)}),
    "many members, tar.gz": lambda: tarred({f"{n}.jpg": bytes(40_000) for n in range(15)}, mode="w:gz"),
    "extended header": huge_attributes,
    "a skipped member": skipped_bomb,
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused(strict_server: RunningServer, make: Callable[[], bytes]) -> None:
    archive = make()
    assert len(archive) < 300_000
    check_problem(send(strict_server.http, archive), 413, "body_too_large")
    assert left_behind(strict_server) == []


def with_attributes(members: int, size: int, name: str = "a.txt") -> bytes:
    """Return a tar.gz whose members each have a comment of so many bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for number in range(members):
            entry = tarfile.TarInfo(f"{number}{name}")
            entry.pax_headers = {"comment": "x" * size}
            archive.addfile(entry)
    return out.getvalue()


LIMITS = ArchiveLimits(members=10_000, member_bytes=20 * 2**20, total_bytes=2**30)


def test_attributes_of_many_members_are_not_kept() -> None:
    # A little less than what all headers together may have.
    archive = with_attributes(members=40, size=900_000)
    tracemalloc.start()
    assert [*read_archive(io.BytesIO(archive), LIMITS)] == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 900_000


@pytest.mark.parametrize(("members", "size"), [(1, 2**20), (1, 19 * 2**20), (60, 900_000)])
def test_attributes_have_a_limit_for_one_and_for_all(members: int, size: int) -> None:
    with pytest.raises(BodyTooLarge, match="header"):
        [*read_archive(io.BytesIO(with_attributes(members, size)), LIMITS)]


def test_a_small_tar_gz_may_be_a_part_of_a_form(server: RunningServer) -> None:
    archive = tarred(FILES, mode="w:gz")
    answer = server.http.post("/index/batch", files={"archive": ("photos.tar.gz", archive)})
    assert answer.status_code == 202, answer.text
    assert finished(server.http, answer.json()["job_id"])["counts"]["indexed"] == 2


def nameless_zip() -> bytes:
    data = bytearray(zipped({"a": b"x"}))
    entry = data.rindex(b"PK\x01\x02")
    struct.pack_into("<H", data, entry + 28, 0)
    del data[entry + 46]
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 12, end - entry)
    return bytes(data)


def test_an_entry_without_a_name_is_no_mistake_of_ours(server: RunningServer) -> None:
    check_problem(send(server.http, nameless_zip()), 422, "invalid_archive", "without a name")


def test_a_directory_that_claims_a_gigabyte_is_refused(strict_server: RunningServer) -> None:
    answer = send(strict_server.http, huge_directory())
    assert answer.status_code in {413, 422}, answer.text


def test_an_upload_has_a_limit_of_its_own_and_json_the_usual_one(strict_server: RunningServer) -> None:
    http = strict_server.http
    noise = {f"{n}.png": os.urandom(40_000) for n in range(6)}
    assert send(http, zipped(noise)).status_code == 202
    assert http.post("/index/batch", files=[("image", item) for item in noise.items()]).status_code == 202
    check_problem(send(http, os.urandom(310_000)), 413, "body_too_large", "300000")
    body = json.dumps({"images": [{"image_data": "A" * 60_000}]}).encode()
    for name in ("application/json", "Application/JSON", "APPLICATION/JSON; charset=utf-8"):
        check_problem(send(http, body, name), 413, "body_too_large", "50000")
    check_problem(http.post("/index/batch", files={"image": ("a", os.urandom(60_000))}), 413, "body_too_large", "50000")
    many = [("image", (f"{n}.jpg", b"x")) for n in range(21)]
    check_problem(http.post("/index/batch", files=many), 422, "invalid_request", "20", "MAX_BATCH_IMAGES")
    for job in http.get("/jobs").json()["jobs"]:
        finished(http, job["job_id"])
    assert left_behind(strict_server) == []
