"""Where a request comes from: the address, the name it was sent to, and the page that sent it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from ..settings import BotSettings
from ..status import at_root
from ..web_settings import LOOPBACK, Neighbour
from .problems import Forbidden

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}))(?::(?P<port>[0-9]{1,5}))?")
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
READS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one request comes from and goes to."""

    address: str
    """Whose it is: an IP address, or a /64 of IPv6."""
    host: str
    """The name it was sent to, with its port, as browsers write it."""
    secure: bool
    """Whether it came over https."""
    page: str | None
    """The origin of the page that sent it, in a browser."""
    open: bool
    """Whether its sender is at this machine, and needs no token."""

    @property
    def own(self) -> str:
        """What a page of this console has as its origin."""
        return f"{'https' if self.secure else 'http'}://{self.host}"


def origin_of(scope: Scope, headers: Headers, settings: BotSettings) -> Origin:
    """Where it comes from. Raises `Forbidden` where it was sent to a name that is not this console's, as happens when a
    page of somebody else has its own name point to this machine (DNS rebinding)."""
    web = settings.web
    public = urlsplit(web.public_url) if web.public_url else None
    host = _named(headers)
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    peer = _ip(scope["client"][0] if scope.get("client") else "")
    forwarded = any(each in headers for each in _FORWARDED)
    open = not web.guarded and not forwarded and _loopback(peer)
    at_public = public is not None and host == public.netloc.casefold()
    if not at_public and (public is not None or web.local) and not _plain(name) and name != web.host.casefold():
        raise Forbidden(f"This console is not called '{name[:60]}': web.public_url in the bot's file names it.")
    if len(headers.getlist("origin")) > 1:
        raise Forbidden("A request has one origin.")
    page = headers.get("origin")
    return Origin(
        address=_address(peer, headers if public is not None else None),
        host=host,
        secure=at_public and public is not None and public.scheme == "https",
        page=page.casefold() if page is not None else None,
        open=open,
    )


def friends(settings: BotSettings) -> frozenset[str]:
    """The origins of the fleet's other consoles."""
    return _origins(tuple(each.url for each in settings.neighbours))


def friend(page: str, settings: BotSettings) -> bool:
    """Whether it is the origin of a console of the fleet whose pages may ask this one. Only of one that is open now:
    while it is not, its port is for whoever takes it."""
    return any(page in _origins((each.url,)) and _open(each) for each in settings.neighbours)


def _open(console: Neighbour) -> bool:
    if console.root is None:
        return False
    said = at_root(console.root, console.name)
    return said.running and said.web == console.url


def foreign(origin: Origin, headers: Headers, method: str, settings: BotSettings) -> bool:
    """Whether a page of somebody else has sent it. `method` is "WEBSOCKET" for one. Where somebody just follows a link
    to a page of this console, nothing is foreign: the page that has the link does not get to see it."""
    if origin.page is not None:
        public = urlsplit(settings.web.public_url) if settings.web.public_url else None
        known = {origin.own}
        if public is not None:
            known.add(f"{public.scheme}://{public.netloc}".casefold())
        return origin.page not in known and not friend(origin.page, settings)
    site = headers.get("sec-fetch-site", "none")
    if site in ("same-origin", "none"):
        return False
    follows = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return not (follows and method in READS)


@lru_cache(maxsize=16)
def _origins(urls: tuple[str, ...]) -> frozenset[str]:
    found = set[str]()
    for url in urls:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}".casefold()
        found |= {origin, origin.replace("127.0.0.1", "localhost")} if parts.hostname == "127.0.0.1" else {origin}
    return frozenset(found)


def _named(headers: Headers) -> str:
    found = headers.getlist("host")
    if len(found) != 1 or not _HOST.fullmatch(found[0]):
        raise Forbidden("A request names the console that it is for, once, in its Host header.")
    return found[0].casefold()


def _plain(name: str) -> bool:
    """Whether it is this machine's own name, or an address: those cannot be made to point elsewhere."""
    return name in (*LOOPBACK, "[::1]") or _ip(name.strip("[]")) is not None


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _loopback(peer: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    return peer is not None and peer.is_loopback


def _address(peer: ipaddress.IPv4Address | ipaddress.IPv6Address | None, behind: Headers | None) -> str:
    """`behind` are the headers of a proxy, which is believed where it is near."""
    if behind is not None and peer is not None and (peer.is_loopback or peer.is_private):
        # Whatever stands before the last one, the client may have written itself.
        lines = behind.getlist("x-forwarded-for")
        peer = _ip(lines[-1].rpartition(",")[2].strip()) or peer if lines else peer
    if isinstance(peer, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((peer, 64), strict=False))
    return str(peer)
