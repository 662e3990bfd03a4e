"""Images by URL: what is refused, and that a name or a redirect leads nowhere else than a URL may."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.support.url_fetching import IMAGE, fetcher, names, refusal
from tests.support.web_server import WebServer, redirect


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/a.png",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "data:image/png;base64,AAAA",
        "//example.org/a.png",
        "example.org/a.png",
        "http:example.org",
        "http:///a.png",
        "http://:80/",
        "",
        "http://user@127.0.0.1/",
        "http://user:secret@127.0.0.1/",
        "http://example.org@127.0.0.1/",
        "http://example.org\\@127.0.0.1/",
        "http://127.0.0.1 .example.org/",
        "http://exa\tmple.org/",
        "http://example.org/\r\nX-Injected: 1",
        "http://ex%61mple.org/",
        "http://[fe80::1%25eth0]/",
        "http://[nonsense]/",
        "http://①②⑦.0.0.1/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://example.org:port/",
        "http://" + "a" * 300 + ".org/",
        "http://example.org/" + "a" * 2100,
    ],
)
async def test_what_is_no_plain_url_is_refused(url: str) -> None:
    assert "secret" not in await refusal(url, resolve=names(example_org="8.8.8.8"))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "127.0.0.1.",
        "localhost",
        "nowhere.example",
        "jenkins.internal",
        "a..b",
        "a" * 64 + ".example",
    ],
)
async def test_what_is_not_public_is_refused_as_if_it_did_not_exist(host: str) -> None:
    known = names(localhost="127.0.0.1", jenkins_internal="10.20.30.40")
    unknown = await refusal("http://no-such-host.example/", allow=[], resolve=known)
    assert await refusal(f"http://{host}/", allow=[], resolve=known) == unknown


async def test_the_log_tells_the_operator_what_the_caller_is_not_told() -> None:
    hosts = names(jenkins_internal="10.20.30.40")
    with capture_logs() as logs:
        await refusal("http://jenkins.internal/", allow=[], resolve=hosts)
        await refusal("http://nowhere.example/", allow=[], resolve=hosts)
    assert [(line["event"], line["host"]) for line in logs] == [
        ("url_refused", "jenkins.internal"),
        ("url_refused", "nowhere.example"),
    ]
    assert "10.20.30.40" in logs[0]["reason"]
    assert "does not resolve" in logs[1]["reason"]


async def test_one_forbidden_address_among_good_ones_is_enough(web: WebServer) -> None:
    text = await refusal("http://mixed.example/", allow=[], resolve=names(mixed_example="8.8.8.8 10.0.0.1"))
    assert "10.0.0.1" not in text


@pytest.mark.parametrize("port", [22, 25, 6379, 9200])
async def test_a_public_host_is_asked_for_web_pages_only(port: int) -> None:
    await refusal(f"http://public.example:{port}/", allow=[], resolve=names(public_example="8.8.8.8"))


async def test_a_host_may_be_allowed_by_its_name_but_not_to_lead_to_metadata(web: WebServer) -> None:
    hosts = names(minio_internal="127.0.0.1", odd_internal="169.254.169.254")
    allow = ["minio.internal", "odd.internal"]
    async with fetcher(allow, resolve=hosts) as one:
        assert await one.fetch(web.url("/image", host="minio.internal")) == IMAGE
    await refusal("http://odd.internal/", allow=allow, resolve=hosts)
    await refusal(web.url("/image"), allow=allow)


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::a9fe:a9fe",
        "fd00:ec2::254",
        "100.100.100.200",
        "::ffff:100.100.100.200",
        "168.63.129.16",
    ],
)
async def test_no_allowed_name_leads_to_credentials_of_a_cloud(address: str) -> None:
    hosts = names(odd_internal=address)
    await refusal("http://odd.internal/", allow=["odd.internal"], resolve=hosts)


async def test_a_name_is_resolved_once_and_what_it_means_later_has_no_say(web: WebServer) -> None:
    asked = ["127.0.0.1", "127.0.0.2", "10.0.0.1"]
    async with fetcher(resolve=names(rebinding_example=asked)) as one:
        assert await one.fetch(web.url("/image", host="rebinding.example")) == IMAGE
    assert asked == ["127.0.0.2", "10.0.0.1"]


async def test_a_redirect_back_to_the_same_name_is_checked_anew(web: WebServer) -> None:
    web.answers["/image"] = redirect("/inside")
    hosts = names(rebinding_example=["127.0.0.1", "10.0.0.1"])
    await refusal(web.url("/image", host="rebinding.example"), resolve=hosts)
    assert [path for path, _ in web.requests] == ["/image"]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://2130706433/",
        "http://localhost/",
        "//10.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://user:secret@example.org/",
        "http://[",
        "http://example.org:6379/",
    ],
)
async def test_redirects_lead_nowhere_else_than_urls_may(web: WebServer, location: str) -> None:
    web.answers["/image"] = redirect(location)
    hosts = names(start_example="127.0.0.1", localhost="127.0.0.1", example_org="8.8.8.8")
    text = await refusal(web.url("/image", host="start.example"), allow=["start.example"], resolve=hosts)
    assert "secret" not in text
    assert len(web.requests) == 1
