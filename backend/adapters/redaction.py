"""No secret in what is shown or kept: what is known to be one is taken out of texts."""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

HIDDEN = "***"
SHORTEST = 4
"""Shorter secrets are left alone: they are parts of words, and a log without these words tells nothing."""


SIGNED_TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+")
"""A JSON Web Token (RFC 7519). Label Studio's client gets a new one every few minutes, so they can't be known."""


class Redaction:
    """Takes out of texts all signed tokens, and known secrets, also as they stand in addresses, JSON and basic auth."""

    def __init__(self) -> None:
        self._forms: tuple[str, ...] = ()

    def learn(self, secrets: Iterable[str], basic_auth: tuple[str, str] = ("", "")) -> None:
        """Take these secrets out from now on, besides those that were known before."""
        forms = set(self._forms)
        for secret in secrets:
            forms |= {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
        if basic_auth[1]:
            forms.add(base64.b64encode(":".join(basic_auth).encode()).decode())
        # The longest first: one secret may be a part of another.
        self._forms = tuple(sorted((form for form in forms if len(form) >= SHORTEST), key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        return SIGNED_TOKEN.sub(HIDDEN, text) if "eyJ" in text else text


redact = Redaction()
"""Of this process: what starts it says which secrets there are."""
