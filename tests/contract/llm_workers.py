"""Worker processes that ask a pretended LLM, through the real records."""

import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from backend.adapters.sql.llm_records import SqlLlmRecords
from backend.domain.llm.records import LlmAnswer, LlmSource

MODEL = "model"
CLAIM_LASTS_S = 60.0


@dataclass(frozen=True)
class Work:
    """What a worker gets: it tries until all is taken or the money is spent.

    now: what its clock says, always. stop_after: so many requests are settled; the next one is sent, and then the
    worker hangs, as one does whose endpoint never answers. together: so many workers begin at the same moment; 0: each
    when it likes.
    """

    url: str
    key: str
    prompt: str
    contents: tuple[str, ...]
    budget_usd: float
    reserved_usd: float
    sent_file: Path
    per_request: int = 5
    now: float = 1000.0
    stop_after: int | None = None
    together: int = 0


@dataclass(frozen=True)
class Sent:
    """One line of the file in which all workers note what they send."""

    worker: str
    price_usd: float
    contents: tuple[str, ...]


def sent_of(path: Path) -> list[Sent]:
    """All that was sent, in order."""
    lines = [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []
    return [Sent(worker, float(price), tuple(contents)) for worker, price, *contents in lines]


def work(job: Work, seed: int) -> None:
    """Ask about all that is free, in an own order, and settle each request at an own price."""
    _await_others(job, seed)
    records = SqlLlmRecords(job.url, lambda: job.now)
    rng = random.Random(seed)
    source = LlmSource("q", MODEL, job.prompt)
    settled = 0
    busy = True
    while busy:
        busy = False
        order = rng.sample(job.contents, len(job.contents))
        for start in range(0, len(order), job.per_request):
            part = order[start : start + job.per_request]
            claim = records.claim(job.key, source, part, job.reserved_usd, job.budget_usd, CLAIM_LASTS_S)
            if claim is None:
                money = records.spending(job.key)
                no_room = money.total + job.reserved_usd > job.budget_usd + 1e-9
                if no_room and not money.held:
                    return
                # Others may give some back.
                busy = busy or no_room
                continue
            busy = True
            price = round(rng.uniform(0.2, 1.0) * job.reserved_usd, 6)
            with job.sent_file.open("a") as file:
                file.write(" ".join([str(seed), str(price), *claim.contents]) + "\n")
            if settled == job.stop_after:
                while True:
                    time.sleep(60)
            share = price / len(claim.contents)
            answers = [
                LlmAnswer(content, job.prompt, MODEL, ("A",), price_usd=share, answered_at=job.now)
                for content in claim.contents
            ]
            records.settle(claim, answers, price)
            settled += 1


def _await_others(job: Work, seed: int) -> None:
    if job.together:
        ready = job.sent_file.with_name("ready")
        ready.mkdir(exist_ok=True)
        (ready / str(seed)).touch()
        while len(list(ready.iterdir())) < job.together:
            time.sleep(0.005)


@contextmanager
def workers(jobs: Sequence[tuple[Work, int]]) -> Iterator[list[BaseProcess]]:
    """Run a process for each job and seed; whatever is left is killed at the end.

    They come from a server that has imported all that they need and nothing else: nothing is shared with this process
    or among them, and starting is quick.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    processes: list[BaseProcess] = [context.Process(target=work, args=job) for job in jobs]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()
