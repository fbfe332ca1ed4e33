"""Every route of the OpenAPI page, asked for what it takes, for what it doesn't take, and for what no page describes.

schemathesis makes the requests from the page; each is sent as it is, and three times with something done to its bytes:
what a page can't say (half characters, NaN, bodies of another route, cut bodies, made up methods) is found only so. The
service is a process of its own, as operators run it: it can be told whether it hangs, and its memory is its own.
"""

import gc
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core import NotSet

from tests.fuzz.configs import VALID
from tests.fuzz.conftest import AUTH, Web
from tests.fuzz.effort import FACTOR, cases, effort
from tests.fuzz.strategies import JSON_PIECES
from tests.integration.test_web import CONFIG, EVENTS, PROJECT, UID

CASES = 10_000
"""Requests of a full run in all; the test fails when fewer are made."""
EXAMPLES = {"/setup": 440, "/predict": 600, "/versions": 350, "/job_status": 350, "/train": 350, "/webhook": 440}
"""Of each route, made by schemathesis in a full run; half of them are what the page allows, half of them not."""
PROBES = {"/", "/health", "/ready", "/metrics"}
PROBED = 120
"""Requests of a full run to each route that takes nothing."""
TIMEOUT_S = 60.0
"""After so long without an answer it hangs, also on a machine that is busy with other things."""
GROWTH_MB = 60.0
"""From the first third of the requests to the end; a leak of 10 kB a request would be more."""
KINDS = [
    "text/plain",
    "application/xml",
    "application/json; charset=utf-16",
    "multipart/form-data; boundary=x",
    "é",
    "",
]
METHODS = ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"]
ENDINGS = ["/", "//", "?project=%ff%00", "?project=7.1%0a", "/%2e%2e/x", "?" + "a" * 9000]
REAL = [
    {"tasks": [{"id": 1, "data": {"text": "good plot"}}], "project": UID, "label_config": CONFIG},
    {"tasks": [{"id": 2, "data": None, "is_labeled": True}], "project": UID, "label_config": VALID},
    {
        "project": UID,
        "schema": CONFIG,
        "extra_params": '{"rules": "others"}',
        "hostname": "http://x",
        "access_token": "t",
    },
    *({"action": action, "project": PROJECT, **payload} for action, payload in EVENTS),
    {"job": f"train:{UID}-00000000"},
]


class Fuzzer:
    """Sends requests, counts them, and says of each answer what is wrong with it."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.sent: Counter[tuple[str, int]] = Counter()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = AUTH
        self._random = random.Random(None if FACTOR else 7)
        self._turns: Iterator[int] = itertools.count()

    def send(self, method: str, path: str, route: str = "", **parts: Any) -> None:
        """Send one request; AssertionError when the answer is none that a caller can use."""
        try:
            answer = self._session.request(
                method, self.web.url + path, timeout=TIMEOUT_S, allow_redirects=False, **parts
            )
        except (requests.exceptions.InvalidHeader, UnicodeError):
            # Nothing that a client could send.
            return
        self.sent[route or path, answer.status_code] += 1
        if answer.status_code >= 500:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}\n{self.web.said()}")
        if answer.status_code >= 400 and method != "HEAD" and answer.text != "Invalid HTTP request received.":
            said = answer.json()["detail"]
            assert isinstance(said, str), said
            assert said.endswith("."), said
            assert len(said) < 2000, said

    def send_each_way(self, case: schemathesis.Case[Any]) -> None:
        """Send a case as it is, and three times changed."""
        turn = next(self._turns)
        if isinstance(case.body, dict) and turn % 3:
            # Random text is hardly ever a label config: what comes after it would be left untried.
            case.body |= {"label_config": CONFIG, "schema": VALID} if turn % 2 else {"project": UID}
        body = None if isinstance(case.body, NotSet) else _body(case.body)
        query = {name: value for name, value in (case.query or {}).items() if isinstance(value, str)}
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self.send(case.method, case.path, params=query, data=body, headers=headers)
        for _ in range(3):
            self.changed(case.method, case.path, body)

    def changed(self, method: str, path: str, body: bytes | None) -> None:
        """Send a request with something done to it."""
        choose, headers = self._random, {"Content-Type": "application/json"}
        how = choose.randrange(8)
        if body is None or how == 0:
            body = _body(choose.choice(REAL))
        if how == 1:
            headers = {"Content-Type": choose.choice(KINDS)}
        elif how == 2:
            method = choose.choice(METHODS)
        elif how == 3:
            self.send(method, path + choose.choice(ENDINGS), path, data=body, headers=headers)
            return
        else:
            text = body if choose.random() < 0.4 else _body(choose.choice(REAL))
            # Between two signs of JSON, where a value stands.
            places = [place for place, byte in enumerate(text) if byte in b':,[{"'] or [0]
            start = choose.choice(places) + 1
            end = min(len(text), start + choose.choice([0, 0, 1, 5, 20]))
            body = text[:start] + choose.choice(JSON_PIECES) + text[end:]
        self.send(method, path, data=body, headers=headers)


def _body(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@pytest.mark.timeout(1800 * max(FACTOR, 1))
def test_no_request_makes_it_fail_hang_or_grow(web: Web) -> None:
    page = httpx.get(f"{web.url}/openapi.json", auth=AUTH, trust_env=False, timeout=TIMEOUT_S).json()
    assert set(page["paths"]) == set(EXAMPLES) | PROBES, "a route was added: say here how much it is to be tried"
    fuzzer = Fuzzer(web)
    schema = schemathesis.openapi.from_dict(page)
    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    gc.collect()
    before = 0.0
    for place, operation in enumerate(sorted(operations, key=lambda item: EXAMPLES.get(item.path, 0), reverse=True)):
        if place == 2:
            before = web.memory_mb()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @effort(EXAMPLES.get(operation.path, 1) // 2 or 1)
            @given(operation.as_strategy(generation_mode=mode))
            def try_it(case: schemathesis.Case[Any]) -> None:
                fuzzer.send_each_way(case)

            try:
                try_it()
            except Unsatisfiable:
                # Where nothing can be sent, nothing can be wrong with it.
                assert operation.path in PROBES
        for _ in range(cases(PROBED) if operation.path in PROBES else 0):
            fuzzer.changed(operation.method.upper(), operation.path, None)
    grown = web.memory_mb() - before
    by_route: Counter[str] = Counter()
    for (route, _), n in fuzzer.sent.items():
        by_route[route] += n
    print(f"{sum(by_route.values()):,} requests, {grown:.0f} MB more:", dict(by_route), dict(fuzzer.sent))  # noqa: T201
    assert grown < GROWTH_MB * max(FACTOR, 1)
    assert sum(by_route.values()) >= cases(CASES)
    assert all(by_route[path] >= cases(100) for path in page["paths"])
    # As many were taken as refused, or only the refusals would have been tried.
    assert sum(n for (_, status), n in fuzzer.sent.items() if status < 300) > cases(CASES) / 8


def test_without_credentials_nothing_is_answered_but_that(web: Web) -> None:
    page = httpx.get(f"{web.url}/openapi.json", auth=AUTH, trust_env=False, timeout=TIMEOUT_S).json()
    refused = 0
    with httpx.Client(base_url=web.url, trust_env=False, timeout=TIMEOUT_S) as client:
        for path in [*page["paths"], "/docs", "/redoc", "/openapi.json", "/nothing", "//", "/%2e%2e/health"]:
            for method in ["POST", *METHODS[:-1]]:
                for body in (b"", b"{", _body(REAL[0]), b"\xff" * 100):
                    answer = client.request(method, path, content=body, headers={"Authorization": "Basic dGVhbTp4"})
                    assert answer.status_code == 401, (method, path, answer.text)
                    refused += 1
    assert refused > 400
