"""Signed requests to one Label Studio, and what its refusals mean.

The SDK signs them (legacy tokens and personal access tokens, refreshed when they expire). Its base client does that;
the whole one brings pandas, which takes each command a second.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import httpx
from label_studio_sdk.base_client import LabelStudioBase
from label_studio_sdk.core.api_error import ApiError
from label_studio_sdk.core.request_options import RequestOptions

from backend.adapters.addresses import origin_without_user
from backend.adapters.bounded import read_all, text_of
from backend.adapters.label_studio.errors import TOKEN, refused, unanswered
from backend.errors import ConfigurationError, LabelStudioError

MAX_ERROR_BYTES = 1_000_000
"""Of what Label Studio says instead of a file."""
NOT_FOLLOWED = (
    "which is not followed: our key is for LABEL_STUDIO_URL only. If Label Studio moved there, correct that setting."
)


class Elsewhere(LabelStudioError):
    """Label Studio answered with another address instead of an answer. `target` may be signed: it is not for logs."""

    def __init__(self, message: str, status: int, target: str) -> None:
        super().__init__(message, status)
        self.target = target


class Requests:
    """Requests to one Label Studio. Opens nothing before the first one."""

    def __init__(self, url: str, api_key: str, timeout_s: float = 60.0) -> None:
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._sdk: LabelStudioBase | None = None

    @property
    def url(self) -> str:
        """Label Studio's address, without a slash at its end."""
        return self._url

    def download(self, path: str, most_bytes: int) -> tuple[bytes, str]:
        """A file that Label Studio serves (`/data/upload/..`): its bytes and its content type.

        Raises:
            Elsewhere: it lies in a cloud storage; it isn't fetched from there.
            TooLarge: it has more than `most_bytes`.
        """
        path = path.removeprefix(urlsplit(self._url).path).lstrip("/")
        with self._explained():
            # Unpacked, a small file may fill the memory: we ask for it as it is.
            opened = self._client()._client_wrapper.httpx_client.stream(
                path,
                method="GET",
                headers={"accept-encoding": "identity"},
                request_options={"timeout_in_seconds": int(self._timeout_s)},
            )
            with opened as response:
                is_file = response.is_success
                content = read_all(response.iter_bytes(), most_bytes if is_file else MAX_ERROR_BYTES, self._timeout_s)
        self._check(response, "" if is_file else text_of(content, ""))
        return content, str(response.headers.get("content-type", ""))

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: object | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        """One signed request; any failure becomes a LabelStudioError that says what to do.

        The SDK repeats what failed, but for POST: what a POST makes may be there although the answer was an error.
        """
        options: RequestOptions = {"timeout_in_seconds": int(timeout_s or self._timeout_s)}
        if method == "POST":
            options["max_retries"] = 0
        with self._explained():
            # The SDK has no public method for several of these endpoints; this is the client that its methods use.
            response: httpx.Response = self._client()._client_wrapper.httpx_client.request(
                path,
                method=method,
                params=dict(params) if params else None,
                json=body,
                request_options=options,
            )
        self._check(response, response.text if response.status_code >= 300 else "")
        return response

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Any failure of a request as a LabelStudioError that says what to do."""
        try:
            yield
        except ApiError as error:
            raise refused(self._url, self._api_key, error.status_code or 0, str(error.body)) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise unanswered(self._url, error) from error
        except ValueError as error:
            # The SDK takes whatever answers its request for an access token for JSON, also the page of a proxy.
            raise LabelStudioError(
                f"Label Studio at {self._url} didn't answer with an access token when it got LABEL_STUDIO_API_KEY. Is "
                "it just starting, or failing (see its log), and is LABEL_STUDIO_URL its own address?"
            ) from error

    def _check(self, response: httpx.Response, text: str) -> None:
        """Raises LabelStudioError for an answer, whose body is `text`, that is none."""
        if response.has_redirect_location:
            target = urljoin(str(response.request.url), response.headers["location"])
            raise Elsewhere(
                f"Label Studio at {self._url} sends us to {origin_without_user(target)}, {NOT_FOLLOWED}",
                response.status_code,
                target,
            )
        if response.status_code >= 300:
            raise refused(self._url, self._api_key, response.status_code, text)

    def _trusted(self) -> ssl.SSLContext:
        """Whose certificates count. Where none is shown, nobody's: to read them takes each job as long as a request."""
        is_plain = urlsplit(self._url).scheme == "http"
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else httpx.create_ssl_context()

    def _client(self) -> LabelStudioBase:
        if self._sdk is None:
            if not self._url:
                raise ConfigurationError("LABEL_STUDIO_URL is not set: give Label Studio's address.")
            if not self._api_key:
                raise ConfigurationError(f"LABEL_STUDIO_API_KEY is not set: make {TOKEN}.")
            # The SDK resolves paths against the base: only with the slash does an address with a path work.
            # A redirect would take our key to an address that nobody configured.
            client = httpx.Client(timeout=self._timeout_s, follow_redirects=False, verify=self._trusted())
            self._sdk = LabelStudioBase(
                base_url=self._url + "/", api_key=self._api_key, timeout=self._timeout_s, httpx_client=client
            )
        return self._sdk
