"""Comparing and showing addresses."""

from urllib.parse import urlsplit


def same_address(left: str, right: str) -> bool:
    """Whether two URLs name the same host, port and path."""
    one, two = urlsplit(left.rstrip("/")), urlsplit(right.rstrip("/"))
    return (one.scheme, one.netloc, one.path) == (two.scheme, two.netloc, two.path)


def origin_without_user(url: str) -> str:
    """Scheme, host and port, fit for a message: no user or password that the URL may hold."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
