"""Images of tasks, as addresses that an LLM can be sent."""

import base64
import re
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from backend.adapters.addresses import same_address
from backend.adapters.bounded import TooLarge
from backend.adapters.label_studio.requests import Elsewhere
from backend.errors import BadRequest, LabelStudioError

MAX_IMAGE_BYTES = 10_000_000
"""Endpoints take 20 MB at most; an image of more than 10 MB is reduced by them anyway."""
_DATA_URL = re.compile(r"data:image/[a-z0-9.+\-]+;base64,", re.IGNORECASE)
_LABEL_STUDIO_PATHS = ("/data/", "/tasks/", "/projects/")
"""Uploads and local files; tasks and projects serve what lies in a storage."""


class Images:
    """Turns an image's address in the task data into one that can be sent (`LlmPorts.fetch_image`)."""

    def __init__(
        self,
        label_studio_url: str,
        fetch: Callable[[str, int], tuple[bytes, str]],
        max_bytes: int = MAX_IMAGE_BYTES,
    ) -> None:
        """`fetch`: bytes, at most so many, and content type of a path of Label Studio's, with our key. Raises
        LabelStudioError, and TooLarge."""
        self._url = label_studio_url.rstrip("/")
        self._fetch = fetch
        self._max_bytes = max_bytes

    def __call__(self, url: str) -> str:
        """A data URL, or the address itself where anyone can read it.

        Raises BadRequest, without the address: it is task content.
        """
        url = url.strip()
        if url[:5].lower() == "data:":
            return self._checked(url)
        try:
            parts = urlsplit(url)
        except ValueError:
            # A bracket that isn't closed: no address at all, as an empty one is none.
            url, parts = "", urlsplit("")
        path = self._own_path(url)
        if path is not None:
            return self._fetched(path)
        if parts.scheme in {"http", "https"} and parts.hostname:
            if parts.username or parts.password:
                raise BadRequest("An image's address holds a password: it is not sent to an LLM.")
            return url
        what = f"a {parts.scheme}:// address" if parts.scheme else "not an address"
        raise BadRequest(
            f"An image can't be sent to an LLM: it is {what}. Use http(s) addresses or uploads, or let Label Studio's "
            "cloud storage make pre-signed ones."
        )

    def _own_path(self, url: str) -> str | None:
        """Path with query, when Label Studio serves it."""
        parts = urlsplit(url)
        if not parts.scheme and not parts.netloc:
            path = url
        elif self._url and same_address(f"{parts.scheme}://{parts.netloc}", _origin(self._url)):
            path = url[len(f"{parts.scheme}://{parts.netloc}") :]
        else:
            return None
        prefix = urlsplit(self._url).path
        path = path.removeprefix(prefix) if prefix else path
        # Our key may read more of Label Studio than the people whose task this is.
        if not path.startswith(_LABEL_STUDIO_PATHS) or ".." in unquote(urlsplit(path).path):
            raise BadRequest("An image can't be sent to an LLM: its address isn't one of Label Studio's files.")
        return path

    def _fetched(self, path: str) -> str:
        try:
            content, content_type = self._fetch(path, self._max_bytes)
        except Elsewhere as error:
            status = error.status
            if not same_address(_origin(error.target), _origin(self._url)):
                # A file in a cloud storage, with a signed address that the LLM can read too. We fetch nothing there.
                return self(error.target)
        except LabelStudioError as error:
            status = error.status
        except TooLarge as error:
            raise BadRequest(f"An image can't be sent to an LLM: it has {error}.") from None
        else:
            kind = content_type.split(";")[0].strip().lower()
            if not re.fullmatch(r"image/[a-z0-9.+\-]+", kind):
                raise BadRequest("An image can't be sent to an LLM: Label Studio's file is not an image.")
            return f"data:{kind};base64,{base64.b64encode(content).decode()}"
        raise BadRequest(
            f"An image can't be sent to an LLM: Label Studio doesn't hand it out ({status or 'no answer'}). Does it "
            "still exist, and may the user of LABEL_STUDIO_API_KEY see it?"
        )

    def _checked(self, url: str) -> str:
        match = _DATA_URL.match(url)
        if match is None:
            raise BadRequest("An image can't be sent to an LLM: its data URL is not an image in base64.")
        self._check_size((len(url) - match.end()) * 3 // 4)
        return url

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise BadRequest(
                f"An image can't be sent to an LLM: it has {size / 1e6:.1f} MB, and {self._max_bytes / 1e6:.1f} MB "
                "is the most."
            )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
