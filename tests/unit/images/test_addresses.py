"""Which addresses are on the public network, and which are allowed besides."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from image_similarity.images.addresses import AllowedNetworks, is_public, read_address, spells_a_number

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::5"]

REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::1.1.1.1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:101:101::1",
    "3fff::1",
    "5f00::1",
    "64:ff9b:1::7f00:1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_hosts_of_the_public_network_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", REFUSED)
def test_everything_else_is_not(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("prefix", ["::ffff:", "64:ff9b::"])
@pytest.mark.parametrize(("carried", "public"), [("8.8.8.8", True), ("10.0.0.1", False), ("169.254.169.254", False)])
def test_an_address_that_carries_another_is_what_it_carries(prefix: str, carried: str, public: bool) -> None:
    assert is_public(ip_address(prefix + carried)) is public


@pytest.mark.parametrize(
    ("text", "address"),
    [("10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1"), ("010.0.0.1", None), ("10.1", None), ("example.com", None)],
)
def test_only_the_usual_spelling_is_read(text: str, address: str | None) -> None:
    assert read_address(text) == (ip_address(address) if address else None)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "017700000001", "0x7f000001", "127.0.0.1.", "a.0x1"])
def test_what_a_resolver_may_take_for_an_address_is_known(host: str) -> None:
    assert spells_a_number(host)


def test_names_are_no_numbers() -> None:
    assert not any(spells_a_number(host) for host in ("example.com", "1.example", "4chan.org", "x0x1"))


def test_networks_addresses_and_names_can_be_allowed() -> None:
    allowed = AllowedNetworks(["10.1.0.0/16", "192.168.1.7", "[fd00::1]", "Minio.Internal"])

    assert [allowed.holds(ip_address(text)) for text in ("10.1.2.3", "192.168.1.7", "fd00::1")] == [True] * 3
    assert [allowed.holds(ip_address(text)) for text in ("10.2.0.1", "192.168.1.8", "fd00::2")] == [False] * 3
    assert allowed.holds(ip_address("::ffff:10.1.2.3"))
    assert allowed.names("minio.internal.")
    assert not allowed.names("evil-minio.internal")
    assert not AllowedNetworks().holds(ip_address("127.0.0.1"))


@pytest.mark.parametrize("entry", ["http://minio", "10.0.0.0/99", "127.1", "minio:9000", "*", "a b", "me@minio"])
def test_what_means_nothing_is_refused_at_start(entry: str) -> None:
    with pytest.raises(ValueError, match="neither a network"):
        AllowedNetworks([entry])
