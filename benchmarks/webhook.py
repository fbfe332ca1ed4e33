"""Time to answer webhooks: 100 events a second against our web service and label-studio-ml's server.

Bar: p99 under 20 ms. Events carry a task and an annotation of real size. Sent on schedule, whether or not earlier ones
were answered, and timed from when each should have been sent, so that a stall counts in full.
"""

import asyncio
import tempfile
import time
from pathlib import Path

import httpx

from backend.entrypoints.sample import LABEL_CONFIG, load_reviews
from benchmarks.common import OURS, PEER, Row, check_peer, options, our_server, peer_server, quantile, redis, report

RATE = 100
PEER_RATE = 5
"""The peer starts a process for each event and can't take 100 a second at all: it is measured at a rate it survives."""


def event(number: int) -> dict[str, object]:
    """An ANNOTATION_CREATED as Label Studio sends it."""
    review = load_reviews()[number % 400]
    project = {"id": 1 + number % 4, "created_at": "2026-01-01T00:00:00.000000Z", "label_config": LABEL_CONFIG}
    item = {"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": ["Positive"]}}
    annotation = {"id": number, "task": number, "result": [item], "completed_by": 1}
    return {"action": "ANNOTATION_CREATED", "project": project, "task": {"data": review}, "annotation": annotation}


async def send(url: str, rate: int, seconds: float) -> list[float]:
    """Milliseconds that each event took, counted from its place in the schedule."""
    took: list[float] = []
    events = [event(number) for number in range(int(rate * seconds))]
    limits = httpx.Limits(max_keepalive_connections=20)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:

        async def one(body: dict[str, object], at: float) -> None:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            answer = await client.post(f"{url}/webhook", json=body)
            assert answer.status_code == 201, answer.text
            took.append((time.perf_counter() - at) * 1000)

        start = time.perf_counter() + 0.5
        await asyncio.gather(*(one(body, start + place / rate) for place, body in enumerate(events)))
    return took


def main() -> None:
    """Measure and report."""
    arguments = options(__doc__ or "").parse_args()
    check_peer()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with redis(folder) as redis_url, our_server(folder, redis_url) as (url, _):
            asyncio.run(send(url, RATE, 2))
            ours = asyncio.run(send(url, RATE, arguments.seconds))
        with peer_server(folder) as url:
            peers = asyncio.run(send(url, PEER_RATE, min(arguments.seconds, 10)))
    for method, took in ((OURS, ours), (PEER, peers)):
        for metric, share in (("p50 ms", 0.5), ("p99 ms", 0.99), ("max ms", 1.0)):
            rows.append(Row("webhook", method, metric, quantile(took, share), arguments.seconds))
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
