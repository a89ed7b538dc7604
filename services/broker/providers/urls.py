"""Which URLs may be called: the operator's base URLs, and the stricter rule for URLs that came with run data.

Only what a URL says is judged; no name is resolved here. A base URL is the operator's own word, so a name that leads to
a private address is theirs to give. Run data gets no such trust: only public names and addresses pass.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from services.broker.protocol import UrlRefusedError

MAX_URL_CHARS = 2000
HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*", re.ASCII)
NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.ASCII)
"""A host whose last label is a number is an IPv4 address to most resolvers, in whichever base (WHATWG URL, 3.5)."""

PRIVATE_SUFFIXES = ("localhost", "local", "internal", "lan", "home.arpa")
"""Names that cannot be registered publicly (RFC 6761, 6762, 8375, ICANN's `internal`) and `lan`, which routers use."""
METADATA_HOSTS = frozenset({
    "metadata", "metadata.google.internal", "metadata.goog", "metadata.azure.internal", "metadata.internal",
    "instance-data", "instance-data.ec2.internal", "metadata.platformequinix.com",
})  # fmt: skip
METADATA_ADDRESSES = frozenset(map(ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")))
PRIVATE_NETWORKS: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1", "fc00::/7")
)
EMBEDDING_NETWORKS = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class _Site:
    url: str
    scheme: str
    host: str
    address: Address | None


def check_base_url(url: str) -> str:
    """Return `url` without its last slash when it may be a model's base URL; raise UrlRefusedError.

    http or https, no user, query or fragment; http only to loopback and private addresses, since a key goes along;
    link-local and metadata addresses never.
    """
    parts, site = _split(url)
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise UrlRefusedError(f"the base URL {site.url} has a query or a fragment; give it without")
    _refuse_metadata(site)
    if site.scheme == "http" and not _is_private(site):
        raise UrlRefusedError(f"http:// would send the key to {site.host} unencrypted; use https:// for a public host")
    return url.rstrip("/")


def is_private_url(url: str) -> bool:
    """Return whether a URL that may be called leads to this machine or its own network, by what it says."""
    return _is_private(_split(url)[1])


def check_run_url(url: str) -> str:
    """Return `url` when run data may have it called: a public host over http or https; raise UrlRefusedError."""
    _, site = _split(url)
    _refuse_metadata(site)
    if site.address is None:
        is_public = "." in site.host and not _is_private(site)
    else:
        is_public = site.address.is_global and not site.address.is_multicast and not _embeds(site.address)
    if not is_public:
        raise UrlRefusedError(
            f"{site.url} came with run data and leads to a private or reserved address; only public hosts are called"
        )
    return url


def _split(url: str) -> tuple[SplitResult, _Site]:
    shown = f"'{url[:100]}'" if url.isprintable() else "(unprintable)"
    if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise UrlRefusedError(f"the URL {shown} is too long, or has blanks, backslashes or non-ASCII characters in it")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise UrlRefusedError(f"the URL {shown} cannot be read; give one like https://host/v1") from None
    if "@" in parts.netloc:
        # The text before the @ may be a password, so the URL is not shown.
        raise UrlRefusedError("the URL holds a user name or a password; give the key by reference (--key) instead")
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise UrlRefusedError(f"the URL {shown} is not http:// or https:// with a host; give one like https://host/v1")
    host = host.removesuffix(".")
    return parts, _Site(f"{parts.scheme}://{parts.netloc}{parts.path}"[:200], parts.scheme, host, _read_address(host))


def _read_address(host: str) -> Address | None:
    """Return the address that `host` is, None for a name; raise UrlRefusedError for an address in disguise."""
    try:
        address = ip_address(host)
    except ValueError:
        if NUMBER.fullmatch(host.rpartition(".")[2]) or HOST_NAME.fullmatch(host) is None:
            raise UrlRefusedError(
                f"the host '{host[:100]}' is neither a name nor an address in its usual form; write it plainly"
            ) from None
        return None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise UrlRefusedError(f"the host '{host[:100]}' has a zone; give an address without")
    return address


def _refuse_metadata(site: _Site) -> None:
    address = _unwrap(site.address)
    is_metadata = site.host in METADATA_HOSTS or address in METADATA_ADDRESSES
    if address is not None:
        is_metadata |= address.is_link_local or address.is_unspecified or address.is_multicast
    if is_metadata:
        raise UrlRefusedError(f"{site.url} is a link-local, metadata or unroutable address; no model is called there")


def _is_private(site: _Site) -> bool:
    if site.address is not None:
        address = _unwrap(site.address)
        return any(address in network for network in PRIVATE_NETWORKS)
    # A name without a dot is a container's or a machine's on the own network.
    return "." not in site.host or site.host.endswith(tuple(f".{suffix}" for suffix in PRIVATE_SUFFIXES))


def _unwrap(address: Address | None) -> Address | None:
    """Return the IPv4 address inside an IPv6 one that only wraps it."""
    if isinstance(address, IPv6Address):
        if any(address in network for network in EMBEDDING_NETWORKS) and int(address) > 1:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _embeds(address: Address) -> bool:
    return isinstance(address, IPv6Address) and (address.teredo is not None or _unwrap(address) is not address)
