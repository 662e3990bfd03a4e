"""Decides which network addresses the server may fetch a caller's URL from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

PUBLIC_PORTS = frozenset({80, 443, 8080, 8443})
"""Ports allowed at addresses that the operator has not listed: those of web servers, and no other services."""

# The registries of special-purpose addresses (RFC 6890 and its updates), and addresses of cloud services. Written out,
# because the meaning of Python's `is_global` has changed from one release to the next.
_REFUSED_V4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; 100.100.100.200 is a cloud's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's host, though the address looks public
        "169.254.0.0/16",  # link-local; 169.254.169.254 is most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
]
_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""No other IPv6 address is a public host: the rest is loopback, link-local, unique-local, multicast or reserved."""
_REFUSED_V6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo among them, which carries two IPv4 addresses
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
]
_OF_CLOUDS = [
    ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local, where most clouds' metadata is
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fe80::/10",
        "fd00:ec2::/32",
        "fd20:ce::/32",
    )
]
"""Metadata services of clouds, which give out credentials, and hosts of virtual machines."""
_NAT64 = IPv6Network("64:ff9b::/96")
_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")


def is_of_cloud(address: Address) -> bool:
    """Return whether an address, or an IPv4 address embedded in it, may be a cloud's metadata service."""
    return any(one in network for one in (address, *_carried(address)) for network in _OF_CLOUDS)


def is_public(address: Address) -> bool:
    """Return whether an address is a host on the public network; of embedded IPv4 addresses, whether that one is."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    if address in _IPV4_MAPPED or address in _NAT64:
        # Resolvers without IPv6 return mapped addresses; hosts without IPv4 reach IPv4 hosts through NAT64.
        return is_public(_carried(address)[0])
    return address in _GLOBAL_UNICAST and not any(address in network for network in _REFUSED_V6)


def _carried(address: Address) -> list[IPv4Address]:
    """Return the IPv4 addresses embedded in an IPv6 address."""
    if isinstance(address, IPv4Address):
        return []
    if address in _IPV4_MAPPED or address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    # A Teredo address embeds two: server and client.
    found = [address.sixtofour, *(address.teredo or ())]
    return [one for one in found if one is not None]


def read_address(text: str) -> Address | None:
    """Return the address in the usual notation, without an IPv6 zone; None for any other text."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


class AllowedNetworks:
    """Networks, addresses and host names that the operator has allowed in addition."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Raises ValueError for an entry that is none of these."""
        self._networks: list[IPv4Network | IPv6Network] = []
        self._hosts: set[str] = set()
        for entry in entries:
            try:
                self._networks.append(ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                if not is_name(entry) or spells_a_number(entry):
                    raise ValueError(f'"{entry}" is neither a network nor an address nor the name of a host') from None
                self._hosts.add(_plain(entry))

    def names(self, host: str) -> bool:
        """Return whether a host is allowed by its name."""
        return _plain(host) in self._hosts

    def holds(self, address: Address) -> bool:
        """Return whether an address, or an IPv4 address mapped into it, is in one of the networks."""
        carried: Sequence[Address] = [address]
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            carried = [address, address.ipv4_mapped]
        # `in` is False for a network of the other IP version.
        return any(one in network for one in carried for network in self._networks)


def is_name(text: str) -> bool:
    """Return whether a text can be a host name; international names must be encoded as in DNS."""
    return 0 < len(text) <= 253 and text.isascii() and all(one.isalnum() or one in "-._" for one in text)


def spells_a_number(host: str) -> bool:
    """Return whether a resolver may read a name as an IPv4 address: 2130706433, 0x7f.1, 127.1, 017700000001."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return last.isdigit() or last.startswith("0x")


def _plain(host: str) -> str:
    return host.rstrip(".").lower()
