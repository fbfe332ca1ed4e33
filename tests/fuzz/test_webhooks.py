"""Any change to what Label Studio's webhooks send is taken for an event, or refused with a sentence."""

import httpx
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.conftest import AUTH, Web
from tests.fuzz.effort import effort
from tests.fuzz.strategies import JSON_PIECES, as_bytes, changed_json, mutated
from tests.integration.test_web import EVENTS, PROJECT

CHANGED = "2026-01-01T00:00:00.000000Z"
PAYLOADS = [{"action": action, "project": PROJECT, **payload} for action, payload in EVENTS] + [
    {"action": "START_TRAINING", "project": PROJECT},
    {"action": "ANNOTATION_UPDATED", "project": PROJECT, "annotation": {"id": 1, "updated_at": CHANGED, "result": []}},
    {"project": "7.1767225600", "annotations": []},
]
payloads = st.sampled_from(PAYLOADS)


def send(web: Web, body: bytes, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    # It is http: to read the authorities' certificates would take longer than the answer.
    with httpx.Client(base_url=web.url, auth=AUTH, trust_env=False, verify=False, timeout=60) as client:
        answer = client.post(path, content=body, headers=headers)
    assert answer.status_code in {201, 422}, f"{answer.status_code} {answer.text}\n{web.said()}"
    if answer.status_code == 422:
        assert answer.json()["detail"].endswith(".")
    else:
        assert answer.json()["status"] in {"accepted", "ignored"}


@effort(200)
@given(body=payloads.flatmap(changed_json).map(as_bytes), path=st.sampled_from(["/webhook", "/train"]))
def test_an_event_with_odd_values_is_taken_or_refused(web: Web, body: bytes, path: str) -> None:
    send(web, body, path)


@effort(200)
@given(body=payloads.map(as_bytes).flatmap(lambda text: mutated(text, JSON_PIECES)))
def test_an_event_that_something_happened_to_is_taken_or_refused(web: Web, body: bytes) -> None:
    send(web, body, "/webhook")
