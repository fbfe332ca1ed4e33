"""What `prelabel doctor` says of Label Studio itself: its address, its version, and the key that we have for it."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from backend.adapters.bounded import TooLarge, read_all, text_of
from backend.adapters.label_studio.errors import ACCESS_TOKEN, PERSONAL_TOKEN, TOKEN
from backend.bootstrap import App
from backend.domain.outside import one_line, read_json
from backend.entrypoints.doctor.finding import REACH_TIMEOUT_S, Finding, unanswered
from backend.errors import BackendError

OLDEST = (1, 12, 1)
NEWEST_TRIED = (1, 23, 2)
"""See docs/label-studio-versions.md."""
HAS_PERSONAL_TOKENS = (1, 17, 0)
MOST_BYTES = 1_000_000
"""Of what it says of its versions: about 5,000 are usual."""
NUMBERS = re.compile(r"v?([0-9]{1,6})\.([0-9]{1,6})(?:\.([0-9]{1,6}))?(?![0-9])", re.ASCII)
"""What a release begins with; a development version goes on behind it."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version of Label Studio: its name on one line, and its numbers; "" and none where it says nothing usable."""

    name: str = ""
    numbers: tuple[int, int, int] | None = None

    @property
    def knows_personal_tokens(self) -> bool | None:
        """Whether users can make personal access tokens there; None: nobody knows."""
        return None if self.numbers is None else self.numbers >= HAS_PERSONAL_TOKENS

    @property
    def token(self) -> str:
        """What the key for it is called and where it is found, for "make ..."."""
        return {None: TOKEN, True: PERSONAL_TOKEN, False: ACCESS_TOKEN}[self.knows_personal_tokens]


def examine_label_studio(app: App) -> Iterator[Finding]:
    """Its address; where that answers, its version; and the key."""
    address = _examine_url(app)
    yield address
    release = Release()
    if address.good:
        release = read_release(app.settings.label_studio_url)
        yield examine_release(release)
    yield examine_token(app, release)


def read_release(url: str) -> Release:
    """The version of the Label Studio at an address, which it tells everybody. Never raises."""
    try:
        with httpx.stream("GET", f"{url}/api/version", timeout=REACH_TIMEOUT_S) as answer:
            content = read_all(answer.raise_for_status().iter_bytes(), MOST_BYTES, REACH_TIMEOUT_S)
    except (httpx.HTTPError, TimeoutError, TooLarge):
        return Release()
    found = read_json(text_of(content, ""))
    name = found.get("release") if isinstance(found, dict) else None
    if not isinstance(name, str):
        return Release()
    name = one_line(name, 40)
    parts = NUMBERS.match(name)
    return Release(name, (int(parts[1]), int(parts[2]), int(parts[3] or 0)) if parts else None)


def examine_release(release: Release) -> Finding:
    """Whether it is one that we work with."""
    name = "Label Studio's version"
    oldest, newest = (".".join(map(str, numbers)) for numbers in (OLDEST, NEWEST_TRIED))
    if release.numbers is None:
        said = f"it says {release.name!r}, which is no version number" if release.name else "it doesn't say which"
        return Finding(name, True, f"{said}; {oldest} to {newest} were tried")
    if release.numbers < OLDEST:
        said = (
            f"{release.name} is too old: it can't delete the predictions of one model version, and knows no basic auth "
            "of ML backends (`auth_method`)"
        )
        return Finding(name, False, said, f"Upgrade Label Studio to {oldest} or newer.")
    if release.numbers > NEWEST_TRIED:
        return Finding(name, True, f"{release.name}, newer than what was tried ({oldest} to {newest})")
    return Finding(name, True, release.name)


def token_kind(api_key: str) -> str:
    """What an API key looks like: "personal access token", "access token", "legacy token" or "nothing"."""
    if not api_key:
        return "nothing"
    parts = api_key.split(".")
    if len(parts) != 3:
        return "legacy token"
    try:
        claims = read_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)).decode())
    except ValueError:
        return "legacy token"
    if not isinstance(claims, dict):
        return "legacy token"
    return "access token" if claims.get("token_type") == "access" else "personal access token"


def examine_token(app: App, release: Release) -> Finding:
    """Whether Label Studio takes our key, and which kind to make where it doesn't."""
    kind = token_kind(app.settings.label_studio_api_key.get_secret_value())
    name = "API key"
    if kind == "access token":
        fix = "An access token lives five minutes. Use the personal access token itself (Account & Settings)."
        return Finding(name, False, "LABEL_STUDIO_API_KEY is a short-lived access token", fix)
    fix = f"Make {release.token}, and set LABEL_STUDIO_API_KEY."
    if kind == "personal access token" and release.knows_personal_tokens is False:
        said = f"LABEL_STUDIO_API_KEY is a personal access token, which Label Studio {release.name} doesn't know"
        return Finding(name, False, said, fix)
    # Before there were others, nobody called it legacy.
    shown = "access token" if kind == "legacy token" and release.knows_personal_tokens is False else kind
    try:
        who = app.label_studio.whoami()
    except BackendError as error:
        if kind != "nothing" and release.knows_personal_tokens is not False:
            # A new organization takes personal ones only, one from before them legacy ones only.
            fix += f" A {kind} works only where the organization allows its kind (Organization > API Tokens Settings)."
        return Finding(name, False, str(error), fix)
    return Finding(name, True, f"{shown} of {who}")


def _examine_url(app: App) -> Finding:
    url, name = app.settings.label_studio_url, "Label Studio's address"
    if not url:
        return Finding(name, False, "LABEL_STUDIO_URL is not set", "Set it to the address of your Label Studio.")
    try:
        httpx.get(f"{url}/health", timeout=REACH_TIMEOUT_S).raise_for_status()
    except httpx.HTTPError as error:
        fix = "Start Label Studio, or correct LABEL_STUDIO_URL (in a container, localhost is the container itself)."
        return unanswered(name, url, error, fix)
    return Finding(name, True, f"{url} answers")
