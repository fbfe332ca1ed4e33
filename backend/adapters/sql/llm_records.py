"""What LLMs answered and what it cost: the `LlmRecords` port, on SQLite or Postgres.

How the budget stays hard. All money of a project is one row, changed by one conditional UPDATE whose count of rows
decides, together with the claim in one transaction. Claims and settlements under one prompt and model run one after the
other (`Sql.begin_alone`), so what they read of answers and claims is true when they write. Locks are taken in one
order, first the prompt and model, then the project's money, and no more than one of each: no deadlock.
"""

import time
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from backend.adapters.sql.engine import Sql, chunks, lock, save
from backend.adapters.sql.llm_tables import (
    ANSWER_COLUMNS,
    NANO,
    answer_record,
    answer_row,
    bulk_row,
    bulks,
    claimed,
    claims,
    endpoint_models,
    endpoints,
    money,
    nano,
    source_record,
    source_row,
    sources,
    state_record,
)
from backend.adapters.sql.llm_tables import answers as answers_table
from backend.domain.llm.records import LlmAnswer, LlmSource, Problem
from backend.errors import ConfigurationError
from backend.ports.llm import BulkRecord, Claim, EndpointState, SourceRecord, Spending

PATIENCE_S, AGAIN_AFTER_S = 600.0, 2.0
"""How long answers wait for a database that is away, less than a claim lasts, and how often they try."""

log = structlog.get_logger()


def _patiently(write: Callable[[], None], what: str) -> None:
    """Write something as soon as the database takes it. Raises ConfigurationError after `PATIENCE_S` seconds."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            write()
        except ConfigurationError as error:
            if time.monotonic() > give_up_at:
                raise
            log.warning("waiting for the database, to save", what=what, error=str(error))
            time.sleep(AGAIN_AFTER_S)
        else:
            return


class SqlEndpointMemory:
    """What all workers know of the endpoints."""

    def __init__(self, sql: Sql | str, now: Callable[[], float]) -> None:
        """`sql`: a database that others may share, or a URL of SQLAlchemy's. `now` returns seconds since the epoch."""
        self._sql = Sql(sql) if isinstance(sql, str) else sql
        self._now = now

    def endpoint_state(self, endpoint: str, model: str) -> EndpointState | None:
        """What was found out; None = nothing yet."""
        where = (endpoint_models.c.endpoint == endpoint) & (endpoint_models.c.model == model)
        with self._begin() as connection:
            row = connection.execute(select(endpoint_models).where(where)).mappings().first()
        return None if row is None else state_record(row)

    def save_endpoint_state(self, endpoint: str, model: str, state: EndpointState) -> None:
        """Remember it. A paid answer that told of it comes after this: it waits like `SqlLlmRecords.settle`."""
        found = {"form": state.form.value, "logprobs": state.logprobs, "dropped": list(state.dropped)}

        def write() -> None:
            with self._begin() as connection:
                save(connection, endpoint_models, [found | {"endpoint": endpoint, "model": model}])

        _patiently(write, "what an endpoint can do")

    def mark_down(self, endpoint: str, reason: str, probe_each_s: float) -> None:
        """The endpoint doesn't answer: nobody asks it for so many seconds."""
        row = {"endpoint": endpoint, "reason": reason, "probe_at": self._now() + probe_each_s}
        with self._begin() as connection:
            save(connection, endpoints, [row])

    def mark_up(self, endpoint: str) -> None:
        """It answers again, and that answer comes after this: it waits like `SqlLlmRecords.settle`."""

        def write() -> None:
            with self._begin() as connection:
                connection.execute(delete(endpoints).where(endpoints.c.endpoint == endpoint))

        _patiently(write, "that an endpoint answers again")

    def may_ask(self, endpoint: str, probe_each_s: float) -> bool:
        """Whether to ask: True while it is up. While it is down, True for one caller in each `probe_each_s` seconds."""
        now = self._now()
        down = select(endpoints.c.probe_at).where(endpoints.c.endpoint == endpoint)
        with self._begin() as connection:
            probe_at = connection.scalar(down)
            if probe_at is None or probe_at > now:
                return probe_at is None
        # Of all that see it due at once, the first to write moves it on, and the others find nothing due.
        due = (endpoints.c.endpoint == endpoint) & (endpoints.c.probe_at <= now)
        with self._begin() as connection:
            if connection.execute(update(endpoints).where(due).values(probe_at=now + probe_each_s)).rowcount:
                return True
            return connection.scalar(down) is None

    def down_reason(self, endpoint: str) -> str:
        """Why nobody asks it now; "" while it is up."""
        with self._begin() as connection:
            return connection.scalar(select(endpoints.c.reason).where(endpoints.c.endpoint == endpoint)) or ""

    def _begin(self) -> AbstractContextManager[Connection]:
        return self._sql.begin()


class SqlLlmRecords(SqlEndpointMemory):
    """Answers, money, sources and batches."""

    def answers(self, prompt: str, model: str, contents: Collection[str]) -> dict[str, LlmAnswer]:
        """Answers by content, whichever project paid for them."""
        mine = (answers_table.c.prompt == prompt) & (answers_table.c.model == model)
        with self._begin() as connection:
            found = [
                answer_record(row)
                for chunk in chunks(list(dict.fromkeys(contents)))
                for row in connection.execute(select(*ANSWER_COLUMNS).where(mine & answers_table.c.content.in_(chunk)))
            ]
        return {answer.content: answer for answer in found}

    def claim(
        self, key: str, source: LlmSource, contents: Sequence[str], price_usd: float, budget_usd: float, lasts_s: float
    ) -> Claim | None:
        """Take those of `contents` that have neither an answer nor a living claim, and reserve `price_usd` for them.

        None when none is left, or when the project's spending would exceed the budget: `price_usd` is reserved as a
        whole or not at all. A claim that its worker didn't settle within `lasts_s` seconds is free again, and its money
        counts as spent (`Spending.unknown`). Raises ValueError for a price or a budget that is no amount.
        """
        price, budget, now = nano(price_usd), nano(budget_usd, up=False), self._now()
        prompt, model = source.prompt, source.model
        with self._sql.begin_alone(_lock_name(prompt, model)) as connection:
            free = _free(connection, prompt, model, list(dict.fromkeys(contents)), now)
            if not free:
                return None
            _sweep(connection, key, now)
            if not _reserve(connection, key, price, budget):
                return None
            id_, until = uuid.uuid4().hex, now + lasts_s
            row = {"id": id_, "key": key, "prompt": prompt, "model": model, "reserved": price}
            connection.execute(insert(claims), row | {"expires_at": until, "swept": False})
            rows = [
                {"content": content, "prompt": prompt, "model": model, "claim_id": id_, "expires_at": until}
                for content in free
            ]
            connection.execute(insert(claimed), rows)
        return Claim(id_, tuple(free), price_usd)

    def reduce(self, claim: Claim, price_usd: float) -> None:
        """Reserve less, once it is known what the request will hold. Never more."""
        price = nano(price_usd)
        with self._begin() as connection:
            row = _lock_claim(connection, claim)
            if row is not None and row.reserved > price:
                connection.execute(update(claims).where(claims.c.id == claim.id).values(reserved=price))
                _change(connection, row.key, **{_pot(row): price - row.reserved})

    def settle(self, claim: Claim, answers: Sequence[LlmAnswer], price_usd: float) -> None:
        """Save answers, count their price as spent and give the rest of the reservation back: all or nothing. Contents
        of the claim without an answer are free again.

        Paid answers count although the claim has expired. Where another worker has answered meanwhile, its answer
        stays. A claim that was settled before costs nothing again. While the database is away, it waits: what was paid
        for is nowhere else. Raises ConfigurationError after `PATIENCE_S` seconds.
        """
        _patiently(lambda: self._settle(claim, answers, nano(price_usd)), f"{len(answers)} answers")

    def _settle(self, claim: Claim, answers: Sequence[LlmAnswer], price: int) -> None:
        with self._begin() as connection:
            row = _lock_claim(connection, claim)
            if row is None:
                return
            save(connection, answers_table, [answer_row(row.key, answer) for answer in answers], replace=False)
            _change(connection, row.key, **{"spent": price, _pot(row): -row.reserved})
            # Only those that are still its own: of an expired claim, others may have taken some.
            connection.execute(delete(claimed).where(claimed.c.claim_id == claim.id))
            connection.execute(delete(claims).where(claims.c.id == claim.id))

    def forget_answers(self, source: LlmSource, contents: Collection[str], problems: Collection[Problem]) -> int:
        """Forget those answers of a source that have one of some problems; returns how many."""
        answers = answers_table.c
        bad = answers.problem.in_([problem.value for problem in problems])
        mine = (answers.prompt == source.prompt) & (answers.model == source.model) & bad
        with self._sql.begin_alone(_lock_name(source.prompt, source.model)) as connection:
            return sum(
                connection.execute(delete(answers_table).where(mine & answers.content.in_(chunk))).rowcount
                for chunk in chunks(list(dict.fromkeys(contents)))
            )

    def spending(self, key: str) -> Spending:
        """Money of a project. What expired claims held is unknown from the moment they expire."""
        expired = select(func.coalesce(func.sum(claims.c.reserved), 0)).where(_expired(key, self._now()))
        query = select(money.c.spent, money.c.held, money.c.unknown, expired.scalar_subquery())
        with self._begin() as connection:
            row = connection.execute(query.where(money.c.key == key)).first()
        if row is None:
            return Spending()
        spent, held, unknown, late = map(int, row)
        return Spending(spent / NANO, (held - late) / NANO, (unknown + late) / NANO)

    def sources(self, key: str) -> list[SourceRecord]:
        """All LLM sources that a project ever had, by model, prompt and question."""
        with self._begin() as connection:
            rows = connection.execute(select(sources).where(sources.c.key == key)).mappings().all()
        # Sorted here: databases sort text each in their own way.
        return [source_record(row) for row in sorted(rows, key=lambda row: (row.model, row.prompt, row.question))]

    def save_sources(self, key: str, records: Sequence[SourceRecord]) -> None:
        """Insert or replace, by model, prompt and question."""
        with self._begin() as connection:
            save(connection, sources, [source_row(key, record) for record in records])

    def bulks(self, key: str) -> list[BulkRecord]:
        """Batches under way, oldest first."""
        query = select(bulks).where(bulks.c.key == key).order_by(bulks.c.created_at, bulks.c.id)
        with self._begin() as connection:
            return [BulkRecord(**row) for row in connection.execute(query).mappings()]

    def save_bulk(self, record: BulkRecord) -> None:
        """Remember a batch."""
        with self._begin() as connection:
            save(connection, bulks, [bulk_row(record)])

    def forget_bulk(self, bulk_id: str) -> None:
        """It was fetched."""
        with self._begin() as connection:
            connection.execute(delete(bulks).where(bulks.c.id == bulk_id))


def _lock_name(prompt: str, model: str) -> str:
    return f"llm {prompt} {model}"


def _lock_money(connection: Connection, key: str) -> None:
    save(connection, money, [{"key": key, "spent": 0, "held": 0, "unknown": 0}], replace=False)
    connection.execute(select(money.c.key).where(money.c.key == key).with_for_update())


def _lock_claim(connection: Connection, claim: Claim) -> Any:
    """The claim's row, with its locks held; None when it was settled."""
    query = select(claims).where(claims.c.id == claim.id)
    row = connection.execute(query).first()
    if row is None:
        return None
    # What names the locks never changes; the rest is read again once they are held.
    lock(connection, _lock_name(row.prompt, row.model))
    _lock_money(connection, row.key)
    return connection.execute(query).first()


def _pot(row: Any) -> str:
    """Where the money of a claim is."""
    return "unknown" if row.swept else "held"


def _change(connection: Connection, key: str, **changes: int) -> None:
    values = {name: money.c[name] + change for name, change in changes.items()}
    connection.execute(update(money).where(money.c.key == key).values(values))


def _expired(key: str, now: float) -> ColumnElement[bool]:
    return (claims.c.key == key) & (claims.c.expires_at <= now) & ~claims.c.swept


def _sweep(connection: Connection, key: str, now: float) -> None:
    """Count as unknown what expired claims of a project held; locks its money."""
    _lock_money(connection, key)
    late = connection.scalar(select(func.sum(claims.c.reserved)).where(_expired(key, now)))
    if late is not None:
        _change(connection, key, held=-int(late), unknown=int(late))
        connection.execute(update(claims).where(_expired(key, now)).values(swept=True))


def _free(connection: Connection, prompt: str, model: str, contents: Sequence[str], now: float) -> list[str]:
    """Those of `contents` that have no answer and no living claim, in order."""
    mine = (claimed.c.prompt == prompt) & (claimed.c.model == model)
    connection.execute(delete(claimed).where(mine & (claimed.c.expires_at <= now)))
    taken: set[str] = set()
    for table in (claimed, answers_table):
        same = (table.c.prompt == prompt) & (table.c.model == model)
        for chunk in chunks(contents):
            taken.update(connection.scalars(select(table.c.content).where(same & table.c.content.in_(chunk))))
    return [content for content in contents if content not in taken]


def _reserve(connection: Connection, key: str, price: int, budget: int) -> bool:
    """Hold money if the budget allows."""
    room = money.c.spent + money.c.held + money.c.unknown + price <= budget
    held = update(money).where((money.c.key == key) & room).values(held=money.c.held + price)
    return connection.execute(held).rowcount == 1
