"""Ask: LLMs vote on the tasks that the project's policy names, within its budget. Safe to run twice, or to kill."""

import logging
from collections.abc import Callable, Sequence

import numpy as np

from backend.domain.llm.options import Again, LlmPolicyName
from backend.domain.llm.records import UNREADABLE, LlmReply, LlmRequest, LlmSource, Problem
from backend.domain.questions import Question
from backend.errors import LlmUnavailable
from backend.ports import ANSWERED, Deps, Job, JobOptions, Progress
from backend.workflows.llm.bulk import fetch_bulks, send_bulk
from backend.workflows.llm.choice import policy_rows, sample_rows, unsure_rows
from backend.workflows.llm.measure import measure
from backend.workflows.llm.requests import CLAIM_S, Asking, AskReport, price_of
from backend.workflows.llm.view import LlmProject, Prompt, llm_disabled_reason, view_of
from backend.workflows.mirror import open_project

SLICE_S = 60.0
"""A job asks for so long, then asks for its successor: workers have other things to do too."""
RETRY_S = 60.0
"""An endpoint that is down is asked about again after so many seconds, and so is a batch."""

log = logging.getLogger(__name__)


def ask(deps: Deps, key: str, progress: Progress, *, policy: LlmPolicyName | None = None, bulk: bool = False) -> str:
    """Ask LLMs about the tasks of a project, and learn from what they answered; returns what became of it.

    Args:
        deps: the ports.
        key: the project.
        progress: told what is being done.
        policy: instead of the project's own, because a person asked for it.
        bulk: through the Batch API, likewise.

    Raises:
        LabelStudioError: Label Studio refused or did not answer.
        LlmRefused: the endpoint refuses the key, the model or the form of our requests.
        ConfigurationError: the price of a model is unknown, or a template can't be used.
    """
    idle = llm_disabled_reason(deps, key, policy)
    # What was paid for is taken in also after a team has turned asking off.
    if idle and (deps.llm is None or not deps.llm.records.bulks(key)):
        return idle
    opened = open_project(deps, key, progress)
    if opened is None:
        return "the project is gone"
    view = view_of(deps, opened.record, opened.info.instructions, policy)
    tally = AskReport(until=deps.now() + SLICE_S, learn=_learn_soon(deps, key))
    options = asked_for(policy, bulk=bulk)
    tally.skipped |= view.unsent
    for reason, count in tally.skipped.items():
        log.warning("%d tasks of project %s aren't sent to an LLM: %s", count, key, reason)
    try:
        failed = fetch_bulks(view, tally)
        bulk = bulk or view.policy.batch_api
        # A batch that failed as a whole would fail again, each minute: the next training or a person may try it.
        for question in () if idle or (bulk and failed) else view.questions:
            _ask_question(view, question, tally, progress, bulk=bulk)
        tally.stopped = tally.stopped or idle
    except LlmUnavailable as error:
        # The loop goes on without it; the next job finds out whether it is back.
        tally.stopped = str(error)
        deps.queue.request(Job.ASK, key, delay_s=RETRY_S, options=options)
    else:
        if tally.unfinished:
            deps.queue.request(Job.ASK, key, options=options)
        elif view.parts.records.bulks(key):
            # Also those that were sent just now: only the next job finds out that they have ended.
            deps.queue.request(Job.ASK, key, delay_s=RETRY_S, options=options)
        elif tally.elsewhere:
            # Once the claims of a worker that died have ended.
            deps.queue.request(Job.ASK, key, delay_s=CLAIM_S, options=options)
    finally:
        if measure(view):
            tally.learn()
    outcome = tally.outcome()
    progress(outcome, 1, 1)
    return outcome


_PROBLEMS = {
    Again.UNREADABLE: UNREADABLE,
    Again.REFUSED: {Problem.REFUSAL, Problem.CONTENT_FILTER, Problem.REJECTED},
    Again.OFF_LIST: {Problem.OFF_LIST},
}


def forget(view: LlmProject, again: Again) -> int:
    """Forget answers without a label, so that the next asking asks about their tasks once more, where the policy still
    names them, and for its price. Returns how many there were."""
    sources = {prompt.source for question in view.questions for prompt in view.prompts(question)}
    contents = set(view.hashes)
    return sum(view.parts.records.forget_answers(source, contents, _PROBLEMS[again]) for source in sources)


def asked_for(policy: LlmPolicyName | None, *, bulk: bool) -> JobOptions:
    """The options of a job that asks as a person wants; None = by the project's own policy."""
    return JobOptions(policy=policy.value if policy else "", bulk=bulk)


def _learn_soon(deps: Deps, key: str) -> Callable[[], None]:
    """Asks for a training once no more answers come; before they are all there, so that a killed worker's count too."""
    delay_s = SLICE_S + deps.policy(key).training_quiet_s
    return lambda: deps.queue.request(Job.TRAIN, key, delay_s=delay_s, postpone=True, options=ANSWERED)


def _ask_question(view: LlmProject, question: Question, tally: AskReport, progress: Progress, *, bulk: bool) -> None:
    """Ask all that the policy names of one question: a random sample, then the rest, the cheap model first."""
    before: list[LlmSource] = []
    for prompt, sources in view.to_ask(question):
        sample = sample_rows(view, question, prompt.source)
        # Before it is sent: what is in the sample stays in it.
        measure(view, {prompt.source: sample})
        known = view.answers(prompt.source, sample)
        _ask_about(view, prompt, [row for row in sample.tolist() if row not in known], tally, progress, bulk=bulk)
        if view.policy.policy is LlmPolicyName.SAMPLE:
            continue
        measure(view)
        if view.policy.policy is LlmPolicyName.UNCERTAIN and not view.is_trusted(prompt.source):
            # Votes that may never count would be a waste; `all` says that they are wanted all the same.
            tally.stopped = tally.stopped or f"{prompt.source.name} hasn't passed the validation gate"
            continue
        rows = unsure_rows(view, prompt, before, sources) if before else policy_rows(view, question, prompt, sources)
        # The sample was asked about just now, whatever came of it.
        _ask_about(view, prompt, rows[~np.isin(rows, sample)].tolist(), tally, progress, bulk=bulk)
        before = sources


def _ask_about(
    view: LlmProject, prompt: Prompt, rows: Sequence[int], tally: AskReport, progress: Progress, *, bulk: bool
) -> None:
    """Ask about some rows, unless the job's time is over."""
    if not rows or tally.unfinished:
        return
    asking = Asking(view, prompt, rows, price_of(view, prompt.source.model), tally)
    if bulk:
        send_bulk(asking)
        return

    def answered(request: LlmRequest, reply: LlmReply) -> None:
        asking.answer(request, reply)
        progress(f"asking {prompt.source.model}", tally.answered, len(rows))

    try:
        # Again for tasks that a request was turned down for, and for money that others of them had reserved.
        while asking.left and not tally.unfinished:
            view.parts.endpoint.ask(asking.requests(), answered)
    finally:
        asking.give_back()
