"""Ask: which tasks an LLM is asked about, what is kept of its answers, and when its votes count."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.adapters.llm.prompt_templates import JinjaTemplates
from backend.adapters.sql.llm_records import SqlLlmRecords
from backend.domain.llm.options import Again, LlmPolicyName
from backend.domain.llm.price import reservation
from backend.domain.llm.records import LlmReply, LlmRequest, ModelPrice, Problem, Sample
from backend.domain.policy import LlmPolicy
from backend.entrypoints.cli.llm import report_tables
from backend.errors import BadRequest, ConfigurationError, LlmRefused, LlmUnavailable
from backend.ports import ANSWERED, PLAIN, Job, JobOptions
from backend.ports.llm import BulkResult, BulkStatus, LlmPorts
from backend.workflows.llm.ask import ask, asked_for, forget
from backend.workflows.llm.estimate import estimate
from backend.workflows.llm.requests import Asking, most_usd
from backend.workflows.llm.view import LlmProject, contents_of, notes_on, prompts_of, view_of
from backend.workflows.suggest import answer
from tests.llm_fakes import FakeLlmEndpoint
from tests.unit.house import CONFIG, House, nothing, reviews

PRICE = ModelPrice(input_usd=1.0, output_usd=2.0)


class Room:
    """A house with an LLM that knows the gold labels, unless a test says otherwise."""

    def __init__(self, folder: Path) -> None:
        self.house = House(folder)
        self.wrong: Callable[[int], bool] = lambda _: False
        self.confidence = 0.9
        self.fault: Callable[[LlmRequest], LlmReply | None] = lambda _: None
        self.endpoint = FakeLlmEndpoint(self.reply)
        self.prices: dict[str, ModelPrice] = {"small": PRICE, "large": ModelPrice(10.0, 20.0)}
        self.records = SqlLlmRecords(f"sqlite:///{folder}/llm.sqlite3", lambda: self.house.clock)
        parts = LlmPorts(
            endpoint=self.endpoint,
            records=self.records,
            templates=JinjaTemplates(None),
            prices=_Prices(self.prices),
            fetch_image=_no_image,
        )
        self.house.deps = replace(self.house.deps, llm=parts)
        self.decide(policy=LlmPolicyName.SAMPLE, models=("small",), sample=50)

    def decide(self, **changes: object) -> None:
        self.house.llm_policy = replace(self.house.llm_policy, **changes)  # type: ignore[arg-type]

    def reply(self, request: LlmRequest) -> LlmReply:
        fault = self.fault(request)
        if fault is not None:
            return fault
        answers = []
        for number, text in asked(request).items():
            positive = int(text.rsplit(" ", 1)[-1]) % 2 == 0
            if self.wrong(int(text.rsplit(" ", 1)[-1])):
                positive = not positive
            label = "Positive" if positive else "Negative"
            answers.append({"id": number, "labels": [label], "confidence": self.confidence})
        return LlmReply((Sample(json.dumps({"answers": answers})),), 200, 20, 0.5)

    def ask(self, **options: object) -> str:
        return ask(self.house.deps, self.house.key, nothing, **options)  # type: ignore[arg-type]

    @property
    def texts(self) -> list[str]:
        """Of the tasks asked about, in order."""
        return [text for request in self.endpoint.asked for text in asked(request).values()]

    def text(self, task_id: int) -> str:
        return str(self.house.fake.tasks[task_id].task.data["text"])

    @property
    def view(self) -> LlmProject:
        """The project as asking sees it now."""
        record = self.house.deps.database.project(self.house.key)
        assert record is not None
        return view_of(self.house.deps, record, "")

    def label(self, n: int) -> None:
        self.house.annotate(self.house.task_ids[:n])

    def votes(self, text: str) -> set[str]:
        """LLM sources whose votes are in the suggestion for a text."""
        answers = answer(self.house.deps, self.house.key, CONFIG, [{"text": text}], 20)
        return {name for name in answers.suggestions[0].votes.get("sentiment", {}) if name.startswith("llm:")}

    def trusted(self) -> list[str]:
        return [item.source.model for item in self.records.sources(self.house.key) if item.trusted]


def positive(request: LlmRequest) -> LlmReply:
    """All is positive, whatever stands in it."""
    answers = [{"id": number, "labels": ["Positive"]} for number in asked(request)]
    return LlmReply((Sample(json.dumps({"answers": answers})),), 200, 20, 0.5)


class _Prices:
    def __init__(self, known: dict[str, ModelPrice]) -> None:
        self._known = known

    def of(self, model: str) -> ModelPrice | None:
        return self._known.get(model)


def _no_image(url: str) -> str:
    raise BadRequest(f"{url.split(':', maxsplit=1)[0]} images can't be fetched")


def asked(request: LlmRequest) -> dict[str, str]:
    """Text of each task of a request, by id."""
    lines = [json.loads(line) for line in request.user.split("\n") if line.startswith('{"id"')]
    return {line["id"]: line["task"]["text"] for line in lines}


def abstaining(request: LlmRequest) -> LlmReply:
    answers = [{"id": name, "labels": [], "confidence": 0.5} for name in request.contents]
    return LlmReply((Sample(json.dumps({"answers": answers})),), 200, 20)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    found = Room(tmp_path)
    found.house.label_studio.add_tasks(found.house.project, reviews(100)[40:])
    found.house.reconcile()
    found.house.learn()
    found.house.queue.take()
    return found


def test_nothing_is_sent_unless_someone_says_so(room: Room) -> None:
    for change in ({"policy": LlmPolicyName.OFF}, {"forbidden": True}, {"models": ()}):
        before = room.house.llm_policy
        room.decide(**change)
        assert room.ask()
        room.house.llm_policy = before
    room.decide(forbidden=True)
    assert "forbids" in room.ask(policy=LlmPolicyName.ALL)
    assert room.endpoint.asked == []


def test_the_sample_is_what_people_labeled_first(room: Room) -> None:
    room.label(30)
    room.ask()
    assert len(room.texts) == len(set(room.texts)) == 50
    labeled = {room.house.fake.tasks[number].task.data["text"] for number in room.house.task_ids[:30]}
    assert labeled <= set(room.texts)
    assert all(len(asked(request)) == 5 for request in room.endpoint.asked)


def test_votes_count_once_enough_people_agree(room: Room) -> None:
    room.label(49)
    room.ask()
    assert room.trusted() == []
    assert room.votes(room.texts[0]) == set()
    room.label(55)
    room.house.queue.take()
    room.ask()
    assert room.trusted() == ["small"]
    assert (Job.TRAIN, room.house.key, ANSWERED) in room.house.queue.requests
    room.house.learn()
    (name,) = room.votes(room.texts[-1])
    assert name.startswith("llm:small:")
    assert name in room.house.deps.versions.model(room.house.key, 2).decisions["sentiment"].sources


def test_votes_of_a_bad_model_are_recorded_and_dont_count(room: Room) -> None:
    room.wrong = lambda number: number % 3 > 0
    room.label(60)
    room.decide(policy=LlmPolicyName.UNCERTAIN, share=1.0)
    assert "validation gate" in room.ask()
    assert room.trusted() == []
    assert len(room.texts) == 50
    (record,) = [item for item in room.records.sources(room.house.key) if item.report and item.report.n_compared]
    assert record.report is not None
    assert record.report.kappa is not None
    assert record.report.kappa < 0.1


def test_the_uncertain_tasks_are_asked_about_once_the_gate_is_passed(room: Room) -> None:
    room.label(55)
    room.decide(policy=LlmPolicyName.UNCERTAIN, share=0.3)
    room.ask()
    beyond = room.texts[50:]
    assert len(room.texts) > 50
    # Those that no rule knows come first: "fine" and "weak".
    assert all("fine" in text or "weak" in text for text in beyond[:20])
    still_open = [item.task for item in room.house.fake.tasks.values() if item.task.is_open]
    assert set(beyond) <= {str(task.data["text"]) for task in still_open}
    assert len([task for task in still_open if task.data["text"] in room.texts]) <= 30
    # A later training makes other tasks the most uncertain ones; the share stays.
    room.house.learn()
    room.ask()
    assert len([task for task in still_open if task.data["text"] in room.texts]) <= 30


def test_no_answer_is_paid_for_twice(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL)
    room.ask()
    assert len(room.texts) == len(set(room.texts)) == 100
    spent = room.records.spending(room.house.key).spent
    assert spent == pytest.approx(len(room.endpoint.asked) * PRICE.of(200, 20))
    room.ask()
    # The same contents and prompt in another project.
    other = room.house.label_studio.add_project(CONFIG, reviews(100))
    ask(room.house.deps, f"{other}.1767225600-aaaaaaaa", nothing)
    assert len(room.texts) == 100
    assert room.records.spending(room.house.key).spent == spent


def test_a_killed_worker_is_followed_by_one_that_asks_the_rest(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL)

    def killed(_: LlmRequest) -> LlmReply | None:
        if len(room.endpoint.asked) > 7:
            raise KeyboardInterrupt
        return None

    room.fault = killed
    with pytest.raises(KeyboardInterrupt):
        room.ask()
    before = list(room.texts[:35])
    room.endpoint.asked.clear()
    room.fault = lambda _: None
    room.ask()
    assert set(room.texts).isdisjoint(before)
    assert len(room.texts) == 65


def test_the_budget_is_never_exceeded(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL, budget_usd=0.007)
    assert "budget" in room.ask()
    spending = room.records.spending(room.house.key)
    assert 0 < spending.total <= 0.007
    assert spending.held == 0
    assert 0 < len(room.texts) < 100


def test_a_model_without_a_price_isnt_asked(room: Room) -> None:
    room.decide(models=("unheard-of",))
    with pytest.raises(ConfigurationError, match="LLM_PRICES"):
        room.ask()
    assert room.endpoint.asked == []


def test_an_endpoint_that_is_down_costs_nothing_and_is_asked_again(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL)

    def down(_: LlmRequest) -> LlmReply | None:
        if len(room.endpoint.asked) > 4:
            raise LlmUnavailable("it is down")
        return None

    room.fault = down
    assert "it is down" in room.ask()
    spending = room.records.spending(room.house.key)
    assert spending.held == spending.unknown == 0
    assert (Job.ASK, room.house.key, PLAIN) in room.house.queue.requests
    room.fault = lambda _: None
    room.ask()
    assert len({text for text in room.texts}) == 100


def test_what_may_have_been_charged_without_an_answer_counts_as_spent(room: Room) -> None:
    room.fault = lambda _: LlmReply(lost=2)
    room.ask()
    spending = room.records.spending(room.house.key)
    assert spending.spent > 10 * 2 * PRICE.of(200, 20)
    assert spending.held == 0
    # Nothing was answered, so all of it is asked again.
    room.fault = lambda _: None
    n_before = len(room.texts)
    room.ask()
    assert len(room.texts) == n_before + 50


@pytest.mark.parametrize("bulk", [False, True])
def test_an_answer_of_which_nobody_knows_what_it_cost_costs_what_was_reserved(room: Room, bulk: bool) -> None:
    room.house.llm_policy = replace(room.house.llm_policy, budget_usd=100.0)

    def uncounted(request: LlmRequest) -> LlmReply:
        answers = [{"id": name, "labels": ["Positive"]} for name in request.contents]
        return LlmReply((Sample(json.dumps({"answers": answers})),))

    room.fault = uncounted
    room.ask(bulk=bulk)
    if bulk:
        assert "50 tasks answered, 50 with a label" in room.ask(bulk=True)
    price = PRICE.in_bulk if bulk else PRICE
    most = sum(reservation(request, price) for request in room.endpoint.asked)
    spending = room.records.spending(room.house.key)
    assert spending.spent == pytest.approx(most)
    assert spending.held == 0
    assert sum(item.report.usd for item in room.records.sources(room.house.key) if item.report) == pytest.approx(most)
    n_asked = len(room.texts)
    room.ask()
    assert len(room.texts) == n_asked


def test_one_bad_task_costs_only_itself(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL)

    def filtering(request: LlmRequest) -> LlmReply | None:
        bad = any(text.endswith(" 17") for text in asked(request).values())
        return LlmReply((Sample("", problem=Problem.CONTENT_FILTER),), 0, 0) if bad else None

    room.fault = filtering
    assert "100 tasks answered, 99 with a label" in room.ask()
    # What is turned down isn't charged.
    n_paid = len(room.endpoint.asked) - 2
    assert room.records.spending(room.house.key).spent == pytest.approx(n_paid * PRICE.of(200, 20))
    n_asked = len(room.texts)
    room.ask()
    assert len(room.texts) == n_asked


def test_a_model_that_never_answers_in_form_ends_the_job_early(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL)
    room.fault = lambda _: LlmReply((Sample("", problem=Problem.UNREADABLE),), 100, 280)
    with pytest.raises(LlmRefused, match="LLM_THINKING_TOKENS"):
        room.ask()
    assert len(room.endpoint.asked) == 3
    # With more room it is another source: nothing of this stands in its way.
    room.decide(thinking_tokens=2000)
    room.fault = lambda _: None
    assert "100 with a label" in room.ask()
    assert room.endpoint.asked[-1].max_output_tokens > 2000


@pytest.mark.timeout(60)
def test_a_mask_that_takes_too_long_keeps_its_task_from_being_sent_and_is_named(
    room: Room, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.domain.llm.content.LIMIT_S", 0.1)
    room.house.label_studio.add_tasks(room.house.project, [{"text": "a" * 80 + "b 1", "n": 1}])
    room.house.reconcile()
    room.decide(policy=LlmPolicyName.ALL, masks=("(a|aa)+$",))
    said = room.ask()
    assert "100 tasks answered" in said
    assert "1 not sent: the mask '(a|aa)+$' (llm_masks) takes too long" in said
    assert room.house.key in caplog.text
    assert len(room.texts) == 100
    assert not any("aaa" in request.user for request in room.endpoint.asked)
    view = room.view
    assert any("1 of 101 tasks aren't sent: the mask" in note for note in notes_on(view, "here"))


def test_a_text_that_ends_in_a_file_name_is_asked_about_and_found_again(room: Room) -> None:
    texts = ["I can't open report.pdf", "Win a free iPhone at bit.ly/x.html", "file://x is broken. please help me"]
    room.house.label_studio.add_tasks(room.house.project, [{"text": text} for text in texts])
    room.house.reconcile()
    room.fault = positive
    room.decide(policy=LlmPolicyName.ALL)
    assert "not sent" not in room.ask()
    assert set(texts) <= set(room.texts)
    view = room.view
    assert not view.elsewhere
    for row in range(100, 103):
        # `/predict` knows a few tasks only.
        (alone,) = contents_of(room.house.deps, room.house.key, view.config, [view.corpus.items[row].task.data])
        assert alone == view.contents[row]


def test_file_names_are_not_asked_about_counted_and_named(room: Room) -> None:
    room.house.fake.tasks.clear()
    names: list[dict[str, Any]] = [{"text": f"photos of us/Dog {number}.jpg"} for number in range(30)]
    room.house.label_studio.add_tasks(room.house.project, [*names, {"text": "Where is the photo? 2"}])
    room.house.reconcile()
    room.decide(policy=LlmPolicyName.ALL)
    assert "30 not sent: they have nothing that can be sent" in room.ask()
    assert room.texts == ["Where is the photo? 2"]
    notes = notes_on(room.view, "here")
    assert "text can't be sent where it is only a file name or an address, as most of its values are" in notes
    assert "30 of 31 tasks aren't sent: they have nothing that can be sent" in notes
    item = room.view.corpus.items[0]
    (alone,) = contents_of(room.house.deps, room.house.key, room.view.config, [item.task.data])
    assert alone == room.view.contents[0]


def test_what_cant_be_read_is_said_by_kind_and_asked_again_when_a_person_says_so(
    room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    room.decide(policy=LlmPolicyName.ALL, tasks_per_request=1)
    kinds = {
        "number 3": Sample('{"answers": [{"id"', problem=Problem.CUT_OFF),
        "number 5": Sample("I would say it is positive."),
        "number 7": Sample('{"id": "t1", "labels": ["Positive"]} {"id": "t1", "labels": []}'),
        "number 9": Sample('{"id": "t1", "labels": ["Great"]}'),
        "number 11": Sample("", problem=Problem.REFUSAL),
    }

    def odd(request: LlmRequest) -> LlmReply | None:
        (text,) = asked(request).values()
        sample = next((sample for end, sample in kinds.items() if text.endswith(end)), None)
        return LlmReply((sample,), 200, 20) if sample else None

    room.fault = odd
    said = room.ask()
    assert "100 tasks answered, 95 with a label" in said
    for kind in ("cut off", "no JSON", "two answers", "off list", "refusal"):
        assert f"1 {kind}" in said
    assert "--again unreadable" in said
    view = view_of(room.house.deps, room.house.deps.database.project(room.house.key), "")  # type: ignore[arg-type]
    spending = room.records.spending(room.house.key)
    report_tables(room.records.sources(room.house.key), spending, view.policy, [])
    shown = capsys.readouterr().out
    assert "1 two answers" in " ".join(shown.split())
    assert "--again unreadable" in shown
    # Never by itself.
    room.fault = lambda _: None
    room.ask()
    assert len(room.texts) == 100
    assert forget(view, Again.UNREADABLE) == 3
    said = room.ask()
    assert "3 tasks answered, 3 with a label" in said
    assert "--again" not in said
    assert room.records.spending(room.house.key).spent == pytest.approx(103 * PRICE.of(200, 20))
    assert (forget(view, Again.UNREADABLE), forget(view, Again.OFF_LIST), forget(view, Again.REFUSED)) == (0, 1, 1)


def test_a_tight_budget_is_used_whatever_runs_at_once(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL, budget_usd=0.0085)
    room.endpoint.concurrency = 8
    assert "budget" in room.ask()
    # Not one more request would have fitted in.
    dearest = max(most_usd(request, PRICE) for request in room.endpoint.asked)
    assert room.records.spending(room.house.key).spent + dearest > 0.0085


def test_the_sample_stays_bounded_while_people_label(room: Room) -> None:
    room.ask()
    assert len(room.texts) == 50
    sampled = set(room.texts)
    outside = [number for number in room.house.task_ids if room.text(number) not in sampled]
    room.decide(examples=0)
    for start in range(0, 50, 10):
        room.house.annotate(outside[start : start + 10])
        room.ask()
    assert len(room.texts) == len(set(room.texts)) <= 100


def test_the_share_holds_also_after_people_labeled_what_was_asked(room: Room) -> None:
    room.label(55)
    room.decide(policy=LlmPolicyName.UNCERTAIN, share=0.1, examples=0)
    for _ in range(3):
        room.ask()
        sample = set(room.texts[:50])
        beyond = [number for number in room.house.task_ids[55:] if room.text(number) in set(room.texts) - sample]
        room.house.annotate(beyond)
        room.house.learn()
    assert len(set(room.texts)) == 60


def test_what_a_dead_worker_had_claimed_is_asked_later(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.decide(policy=LlmPolicyName.ALL)

    def killed(_: LlmRequest) -> LlmReply | None:
        raise MemoryError

    room.fault = killed
    with monkeypatch.context() as dying:
        dying.setattr(Asking, "give_back", lambda _: None)
        with pytest.raises(MemoryError):
            room.ask()
    room.fault = lambda _: None
    room.house.queue.take()
    assert "5 claimed by other workers" in room.ask()
    assert (Job.ASK, room.house.key, PLAIN) in room.house.queue.requests
    room.house.clock += 1000
    assert "5 tasks answered" in room.ask()


def test_a_near_duplicate_is_no_example_in_any_script(room: Room) -> None:
    sentences = [f"这部电影的{word}非常精彩演员的表演也很出色" for word in ("情节", "音乐")] + [
        f"{first}{second}"
        for first in ("食物", "天气", "城市", "火车", "书本")
        for second in ("很好", "很坏", "一般", "不错")
    ]
    project = room.house.label_studio.add_project(CONFIG, [{"text": text} for text in sentences])
    key = f"{project}.1767225600-aaaaaaaa"
    numbers = sorted(room.house.label_studio.fakes[project].tasks)
    for place, number in enumerate(numbers[1:]):
        label = ("Positive", "Negative")[place % 2]
        room.house.label_studio.annotate(project, number, {"sentiment": (label,)})
    room.fault = abstaining
    ask(room.house.deps, key, nothing)
    (request,) = [item for item in room.endpoint.asked if sentences[0] in asked(item).values()]
    examples = request.user.split("Tasks to label")[0]
    assert sentences[1] not in examples
    assert '"labels"' in examples


def test_a_batch_is_taken_in_also_after_asking_was_turned_off(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL)
    room.ask(bulk=True)
    room.decide(policy=LlmPolicyName.OFF)
    assert "policy is off" in room.ask()
    assert room.records.spending(room.house.key).held == 0
    assert room.records.spending(room.house.key).spent > 0


def test_a_refused_key_ends_the_job(room: Room) -> None:
    def refused(_: LlmRequest) -> LlmReply | None:
        raise LlmRefused("OPENAI_API_KEY was refused")

    room.fault = refused
    with pytest.raises(LlmRefused):
        room.ask()
    assert room.records.spending(room.house.key).total == 0


def test_left_out_and_masked_content_never_leaves(room: Room) -> None:
    config = CONFIG.replace("<Text ", '<Header value="$n of $rating"/><Text ')
    room.house.label_studio.update_project(room.house.project, {"label_config": config})
    room.decide(left_out=("rating",), masks=(r"number \d+",))
    room.fault = abstaining
    room.ask()
    sent = "".join(request.system + request.user for request in room.endpoint.asked)
    assert "film" in sent
    assert "rating" not in sent
    assert not re.search(r"number \d", sent)
    assert "[masked]" in sent
    assert '"n": ' in sent


def test_only_what_annotators_see_is_sent(room: Room) -> None:
    room.ask()
    assert '"n"' not in room.endpoint.asked[0].user
    assert "rating" not in room.endpoint.asked[0].user


def test_the_second_model_is_asked_where_the_first_is_unsure(room: Room) -> None:
    room.label(60)
    room.decide(policy=LlmPolicyName.ALL, models=("small", "large"), examples=0)
    refusing = LlmReply((Sample("", problem=Problem.REFUSAL),), 10, 1)

    def hesitating(request: LlmRequest) -> LlmReply | None:
        some = any("weak" in text for text in asked(request).values())
        return refusing if request.source.model == "small" and some else None

    room.fault = hesitating
    room.decide(tasks_per_request=1)
    room.ask()
    large = [request for request in room.endpoint.asked if request.source.model == "large"]
    still_open = {str(item.task.data["text"]) for item in room.house.fake.tasks.values() if item.task.is_open}
    beyond = [text for request in large[50:] for text in asked(request).values()]
    assert beyond
    assert all("weak" in text for text in beyond)
    every = {text for request in large for text in asked(request).values()}
    assert {text for text in still_open if "weak" in text} <= every


def test_examples_are_shown_once_there_are_some_and_never_the_task_itself(room: Room) -> None:
    room.ask()
    assert "examples" not in room.endpoint.asked[0].user
    room.label(40)
    room.endpoint.asked.clear()
    room.ask()
    assert len(room.texts) == 50
    for request in room.endpoint.asked:
        lines = [json.loads(line) for line in request.user.split("\n") if line.startswith('{"task"')]
        assert len(lines) == 4
        assert {line["labels"][0] for line in lines} == {"Positive", "Negative"}
        assert not {line["task"]["text"] for line in lines} & set(asked(request).values())
    # What was answered without examples isn't asked again, but for the sample.
    room.endpoint.asked.clear()
    room.decide(policy=LlmPolicyName.ALL)
    room.ask()
    assert len(room.texts) <= 50


def test_another_prompt_is_another_source(room: Room) -> None:
    room.label(55)
    room.ask()
    room.decide(definitions={"Positive": "the writer liked it"})
    room.endpoint.asked.clear()
    room.ask()
    assert len(room.texts) == 50
    assert "the writer liked it" in room.endpoint.asked[0].system
    records = [item for item in room.records.sources(room.house.key) if item.report and item.report.n_compared]
    assert sorted((item.current, item.trusted) for item in records) == [(False, False), (True, True)]


def test_a_job_ends_after_its_slice_and_asks_for_the_rest(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL)

    def slow(_: LlmRequest) -> LlmReply | None:
        room.house.clock += 25
        return None

    room.fault = slow
    assert "going on" in room.ask()
    assert len(room.texts) < 50
    assert (Job.ASK, room.house.key, PLAIN) in room.house.queue.requests


def test_images_that_cant_be_had_are_counted_and_said(room: Room) -> None:
    config = CONFIG.replace("<Text ", '<Image name="photo" value="$photo"/><Text ')
    data: list[dict[str, object]] = [{"text": f"a film {number}", "photo": "s3://b/1.png"} for number in range(3)]
    project = room.house.label_studio.add_project(config, data)
    key = f"{project}.1767225600-aaaaaaaa"
    said = ask(room.house.deps, key, nothing)
    assert "3 not sent: s3 images can't be fetched" in said
    assert room.endpoint.asked == []


def test_a_batch_is_taken_in_when_it_has_ended(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL)
    room.endpoint.bulk_status = BulkStatus.RUNNING
    room.ask(bulk=True)
    assert room.records.spending(room.house.key).held > 0
    # A second job finds everything claimed.
    room.ask(bulk=True)
    assert room.records.spending(room.house.key).spent == 0
    assert room.texts == []
    assert (Job.ASK, room.house.key, JobOptions(bulk=True)) in room.house.queue.requests
    room.endpoint.bulk_status = BulkStatus.ENDED
    room.ask()
    spending = room.records.spending(room.house.key)
    assert spending.held == 0
    assert spending.spent == pytest.approx(20 * PRICE.of(200, 20) / 2)
    assert len(room.texts) == 100


def test_a_batch_that_was_sent_is_looked_after(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL)
    room.endpoint.bulk_status = BulkStatus.RUNNING
    room.ask(bulk=True)
    assert (Job.ASK, room.house.key, asked_for(None, bulk=True)) in room.house.queue.requests


def test_a_batch_whose_worker_died_before_it_knew_its_id_is_read_all_the_same(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.decide(policy=LlmPolicyName.ALL)
    send = room.endpoint.bulk_send

    def sent_and_died(*arguments: Any) -> str:
        send(*arguments)
        raise LlmUnavailable("nothing came back")

    with monkeypatch.context() as dying:
        dying.setattr(room.endpoint, "bulk_send", sent_and_died)
        room.ask(bulk=True)
    assert room.records.spending(room.house.key).held > 0
    room.ask()
    assert len(room.texts) == len(set(room.texts)) == 100
    assert room.records.spending(room.house.key).held == 0


def test_a_batch_that_failed_as_a_whole_is_not_sent_again_at_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.decide(policy=LlmPolicyName.ALL, batch_api=True)
    room.ask()
    sent = len(room.endpoint.batches)
    failed = BulkResult(BulkStatus.ENDED, problem="The batch is failed.")
    monkeypatch.setattr(room.endpoint, "bulk_fetch", lambda *_: failed)
    room.house.queue.take()
    assert "failed" in room.ask()
    assert len(room.endpoint.batches) == sent
    assert Job.ASK not in room.house.queue.take()
    assert room.records.spending(room.house.key).total == 0


@pytest.mark.parametrize(
    "change", [('name="sentiment"', 'name="feeling"'), ('value="Positive"', 'value="Good"')], ids=["question", "label"]
)
def test_a_batch_is_read_by_the_question_that_was_asked(room: Room, change: tuple[str, str]) -> None:
    room.decide(policy=LlmPolicyName.ALL)
    room.endpoint.bulk_status = BulkStatus.RUNNING
    room.ask(bulk=True)
    room.house.label_studio.update_project(room.house.project, {"label_config": CONFIG.replace(*change)})
    room.endpoint.bulk_status = BulkStatus.ENDED
    room.decide(budget_usd=0.0)
    room.ask()
    assert room.records.spending(room.house.key).spent == pytest.approx(20 * PRICE.of(200, 20) / 2)
    # What was paid for counts again with the question that it was asked by.
    room.house.label_studio.update_project(room.house.project, {"label_config": CONFIG})
    room.ask()
    (report,) = [item.report for item in room.records.sources(room.house.key) if item.report and item.report.n_answers]
    assert (report.n_answers, report.n_abstained) == (100, 0)


def test_what_a_project_forbids_meanwhile_stops_a_job_that_runs(room: Room) -> None:
    room.decide(policy=LlmPolicyName.ALL)

    def forbidden(_: LlmRequest) -> LlmReply | None:
        room.decide(forbidden=True)
        return None

    room.fault = forbidden
    room.ask()
    assert len(room.endpoint.asked) == 1
    assert "forbids" in room.ask()


def test_a_template_that_names_neither_question_nor_labels_is_another_source_for_each(
    room: Room, tmp_path: Path
) -> None:
    (tmp_path / "system.jinja").write_text("Say how it sounds.")
    prompts = set()
    for config in (CONFIG, CONFIG.replace('"Positive"', '"Good"'), CONFIG.replace('"sentiment"', '"feeling"')):
        parsed = room.house.deps.parse_label_config(config)
        templates = JinjaTemplates(tmp_path)
        assert room.house.deps.llm is not None
        parts = replace(room.house.deps.llm, templates=templates)
        found = prompts_of(parts, room.house.llm_policy, parsed, parsed.questions[0], "")
        prompts |= {prompt.source.prompt for prompt in found if not prompt.source.examples}
    assert len(prompts) == 3


def test_the_estimate_is_what_is_asked(room: Room) -> None:
    room.label(30)
    room.house.reconcile()
    record = room.house.deps.database.project(room.house.key)
    assert record is not None
    found = {item.policy: item for item in estimate(view_of(room.house.deps, record, ""), 8)}
    assert room.endpoint.asked == []
    assert found[LlmPolicyName.SAMPLE].tasks == 50
    assert found[LlmPolicyName.ALL].tasks == 100 - 30 + 30
    room.ask(policy=LlmPolicyName.ALL)
    assert len(room.texts) == found[LlmPolicyName.ALL].tasks
    assert len(room.endpoint.asked) == found[LlmPolicyName.ALL].requests
    assert found[LlmPolicyName.ALL].usd > found[LlmPolicyName.SAMPLE].usd > 0


@pytest.mark.parametrize("policy", [None, *LlmPolicyName])
@pytest.mark.parametrize("bulk", [False, True])
def test_what_a_person_asked_for_survives_the_queue(policy: LlmPolicyName | None, bulk: bool) -> None:
    wanted = asked_for(policy, bulk=bulk)
    assert JobOptions.from_json(Job.ASK, json.loads(json.dumps(wanted.to_json()))) == wanted
    # As earlier releases wrote it.
    number = (0 if policy is None else 1 + list(LlmPolicyName).index(policy)) + 10 * bulk
    assert JobOptions.from_json(Job.ASK, number) == wanted


def test_an_empty_policy_is_the_default() -> None:
    assert LlmPolicy().policy is LlmPolicyName.OFF
