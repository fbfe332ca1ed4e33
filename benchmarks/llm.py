"""What an LLM's votes are worth: a real LLM replayed from its recorded answers, asked about all tasks or about some.

uv run python -m benchmarks.llm [--data DIR] [--json FILE] [--seeds N] [--models M]

On every folder `llm_*` of DIR with votes, gold labels and texts. For each seed the tasks are drawn anew: `N_MINED` that
rules are written from (and that nobody sees again), `N_LABELS` that people labeled, and the rest, on which everything
is scored and of which no method sees a label. The data has no rules, so the stand-in is keyword rules mined from the
first part: weak ones, as on many real projects with subtle labels. The classifier is Prelabel's own, by
`backend.domain.model.train`.

For each LLM: its kappa in the validation sample and whether it passes the gate; accuracy and macro-F1 of the LLM alone,
of the rules alone (on tasks with a vote, with their share), of rules and classifier, and of all of it together, with
the LLM asked about shares of the tasks: the validation sample first, then by `worth` (`uncertain`), in steps with
training between them, or at random (`random`). "share to reach all" is the smallest of these shares at which the
suggestions are as often right as with the LLM asked about all; "gap at half" what is missing (below 0) at half the
tasks, in points.

Where several prompt styles are recorded (all_prompts.npz), a cascade: a cheap LLM's styles vote like samples, and the
strong one is asked where they agree least. Accuracy by share of strong calls, and at the policy's threshold.

Each figure is a mean over seeds, with its lowest and highest.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import f1_score

from backend.domain.features.terms import TOKEN
from backend.domain.frame import frame_of
from backend.domain.llm.choose import doubts, paying, worth
from backend.domain.llm.confidence import calibrate, confidences_of
from backend.domain.llm.gate import report_source
from backend.domain.llm.records import ConfidenceKind, LlmAnswer
from backend.domain.llm.votes import join
from backend.domain.model.project import rules_only
from backend.domain.model.training import Trained, train
from backend.domain.questions import Choices, Question, decisions
from backend.domain.questions.forms import ABSTAIN, Votes
from backend.domain.statistics import wilson
from backend.domain.votes import VoteMatrix
from benchmarks import sets
from benchmarks.common import OURS, Row, report
from benchmarks.label_model import VoteSet, load

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
RANDOM_SHARES = (0.2, 0.5)
N_MINED = 150
N_LABELS = 300
"""At most; of small sets a sixth and a third."""
N_SAMPLE = 100
"""The validation sample: labeled tasks that the LLM is asked about before all others."""
N_RULES = 12
GATE_KAPPA = 0.4
SURE = 0.8

Gold = NDArray[np.int64]


@dataclass(frozen=True)
class Project:
    """The tasks of one seed. gold: known to the methods, -1 = not. truth: of all. scored: rows nobody labeled."""

    question: Question
    data: list[dict[str, object]]
    rules: dict[str, VoteMatrix]
    gold: Gold
    truth: Gold
    scored: NDArray[np.int64]
    sample: NDArray[np.int64]

    @property
    def key(self) -> str:
        """Of the one decision."""
        return decisions(self.question)[0].key


Figures = dict[tuple[str, str], float]
"""By method and metric."""


def project_of(item: VoteSet, seed: int) -> tuple[Project, NDArray[np.int64]]:
    """The tasks of one seed, and which rows of the set they are."""
    assert item.data is not None
    question = Choices("question", "text", tuple(f"label {label}" for label in range(item.n_classes)))
    order = np.random.default_rng(seed).permutation(item.gold.size)
    n_mined, n_labels = min(N_MINED, order.size // 6), min(N_LABELS, order.size // 3)
    mined, kept = order[:n_mined], np.sort(order[n_mined:])
    truth = item.gold[kept]
    labeled = np.flatnonzero(np.isin(kept, order[n_mined : n_mined + n_labels]))
    gold = np.full(truth.size, -1)
    gold[labeled] = truth[labeled]
    texts = [str(row["text"]) for row in item.data]
    votes, words = mine_rules([texts[row] for row in mined], item.gold[mined], [texts[row] for row in kept])
    decision = decisions(question)[0]
    project = Project(
        question=question,
        data=[item.data[row] for row in kept],
        rules={decision.key: VoteMatrix(decision, words, votes)},
        gold=gold,
        truth=truth,
        scored=np.flatnonzero(gold < 0),
        sample=np.random.default_rng(seed).permutation(labeled)[:N_SAMPLE],
    )
    return project, kept


def mine_rules(texts: Sequence[str], classes: Gold, of: Sequence[str]) -> tuple[Votes, tuple[str, ...]]:
    """Keyword rules: the words that tell most of a class, by the lower end of Wilson's interval of their precision,
    over the class's share; each votes for its class where it occurs. Votes (n, n_rules) and the words."""
    counter = CountVectorizer(token_pattern=TOKEN, binary=True, min_df=3)
    found = counter.fit_transform(texts)
    words = counter.get_feature_names_out()
    lifts: list[tuple[float, int, int]] = []
    for label in np.unique(classes):
        share = float((classes == label).mean())
        hits, total = np.asarray(found[classes == label].sum(axis=0)).ravel(), np.asarray(found.sum(axis=0)).ravel()
        bounds = [wilson(int(right), int(n)) or [0.0] for right, n in zip(hits, total, strict=True)]
        lifts += [(bound[0] - share, column, int(label)) for column, bound in enumerate(bounds)]
    best = sorted(lifts, reverse=True)[:N_RULES]
    there = counter.transform(of).toarray().astype(bool)
    votes = np.column_stack([np.where(there[:, column], label, ABSTAIN) for _, column, label in best])
    return votes.astype(np.int16), tuple(f"{words[column]} -> {label}" for _, column, label in best)


def scores(chosen: Gold, truth: Gold) -> dict[str, float]:
    """Accuracy and macro-F1 in %; a task without an answer (-1) is wrong."""
    labels = np.unique(truth).tolist()
    return {
        "accuracy": 100 * float((chosen == truth).mean()),
        "macro_f1": 100 * float(f1_score(truth, chosen, average="macro", labels=labels, zero_division=0)),
    }


def learn(
    project: Project, answers: Votes, asked: NDArray[np.bool_], seed: int
) -> tuple[Trained, dict[str, VoteMatrix]]:
    """All that is known when the LLM has been asked about these tasks."""
    votes = project.rules
    if asked.any():
        column = np.where(asked, answers, ABSTAIN).astype(np.int16)[:, None]
        votes = join(votes, {project.key: VoteMatrix(decisions(project.question)[0], ("llm:recorded",), column)})
    frame = frame_of([project.question], project.data, votes=votes, gold={project.key: project.gold})
    return train(frame, project.data, seed=seed), votes


def value_order(
    project: Project, trained: Trained, votes: Mapping[str, VoteMatrix], posterior: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Rows by what an answer is worth, as the policy `uncertain` ranks them."""
    chosen = posterior.argmax(axis=1)
    cast = votes[project.key].votes
    model = trained.model.decisions[project.key].classifier
    if model is not None:
        learned = model.predict_proba(trained.model.extractor.transform(project.data)).argmax(axis=1)
        cast = np.column_stack([cast, learned])
    n_votes = (cast != ABSTAIN).sum(axis=1)
    against = ((cast != ABSTAIN) & (cast != chosen[:, None])).sum(axis=1) / np.maximum(n_votes, 1)
    # The bar is a share of tasks, so all of them cost the same here.
    return worth(1 - posterior.max(axis=1), against, np.ones(len(chosen)))


def curve(
    project: Project, answers: Votes, policy: str, shares: Sequence[float], seed: int
) -> Iterator[tuple[float, dict[str, float]]]:
    """Scores at each share of the tasks asked about."""
    n = project.truth.size
    asked = np.zeros(n, dtype=np.bool_)
    order = np.random.default_rng(seed).permutation(n)
    for share in shares:
        wanted = round(share * n)
        if wanted and not asked.any():
            asked[project.sample[:wanted]] = True
        if share == 1.0:
            asked[:] = True
        # Tasks that people labeled don't need an answer.
        open_tasks = order[~asked[order] & (project.gold[order] < 0)]
        asked[open_tasks[: max(0, wanted - int(asked.sum()))]] = True
        trained, votes = learn(project, answers, asked, seed)
        posterior = trained.model.posteriors_of(trained.frame)[project.key]
        yield share, scores(posterior.argmax(axis=1)[project.scored], project.truth[project.scored])
        if policy == "uncertain":
            order = value_order(project, trained, votes, posterior)


def replay(item: VoteSet, name: str, column: int, seed: int) -> Figures:
    """All figures of one LLM and one seed."""
    project, kept = project_of(item, seed)
    answers = item.votes[kept, column]
    truth, scored = project.truth, project.scored
    figures: Figures = {(name, metric): value for metric, value in scores(answers[scored], truth[scored]).items()}
    figures |= gate(project, answers, name)
    frame = frame_of([project.question], project.data, votes=project.rules)
    alone = rules_only(frame).posteriors(project.data, frame)[project.key]
    voted = np.intersect1d(scored, np.flatnonzero(np.isfinite(alone).all(axis=1)))
    figures["rules", "share of tasks"] = voted.size / scored.size
    figures |= {("rules", metric): value for metric, value in scores(alone[voted].argmax(axis=1), truth[voted]).items()}
    method = f"{OURS} + {name}"
    uncertain = dict(curve(project, answers, "uncertain", SHARES, seed))
    for share, values in uncertain.items():
        figures |= {(method, f"uncertain {share:.2f}: {metric}"): value for metric, value in values.items()}
    for share, values in curve(project, answers, "random", RANDOM_SHARES, seed):
        figures |= {(method, f"random {share:.2f}: {metric}"): value for metric, value in values.items()}
    figures |= {("rules and classifier", metric): value for metric, value in uncertain[0.0].items()}
    reached = uncertain[1.0]["accuracy"]
    figures[method, "share to reach all"] = min(s for s, values in uncertain.items() if values["accuracy"] >= reached)
    figures[method, "share to reach all - 1 point"] = min(
        s for s, values in uncertain.items() if values["accuracy"] >= reached - 1
    )
    figures[method, "gap at half"] = uncertain[0.5]["accuracy"] - reached
    return figures


def gate(project: Project, answers: Votes, name: str) -> Figures:
    """What the validation sample says of an LLM."""
    labels = project.question.labels
    said = {int(row): answer_of(labels, int(answers[row])) for row in project.sample}
    human = {int(row): (labels[project.truth[row]],) for row in project.sample}
    found, _ = report_source(project.question, said, human)
    return {(name, "kappa"): found.kappa or 0.0, (name, "passes the gate"): float(found.passes(GATE_KAPPA))}


def answer_of(labels: Sequence[str], vote: int, confidence: float | None = None) -> LlmAnswer:
    """A recorded vote as an answer."""
    chosen = (labels[vote],) if vote != ABSTAIN else ()
    kind = ConfidenceKind.NONE if confidence is None else ConfidenceKind.AGREEMENT
    return LlmAnswer("", "", "", chosen, confidence=confidence, confidence_kind=kind)


def cascade(item: VoteSet, cheap: str, styles: Votes, strong: Votes, seed: int) -> Figures:
    """A cheap LLM first, the strong one where the cheap one's prompt styles agree least."""
    project, kept = project_of(item, seed)
    labels, scored = project.question.labels, project.scored
    counts = np.stack([(styles[kept] == label).sum(axis=1) for label in range(item.n_classes)], axis=1)
    answered = counts.sum(axis=1)
    first = np.where(answered > 0, counts.argmax(axis=1), ABSTAIN)
    agreement = counts.max(axis=1) / np.maximum(answered, 1)
    said = [answer_of(labels, int(vote), float(share)) for vote, share in zip(first, agreement, strict=True)]
    order = scored[np.lexsort((np.random.default_rng(seed).random(scored.size), agreement[scored]))]
    method = f"{cheap} ({styles.shape[1]} styles), then the strong one"
    figures: Figures = {}
    for share in SHARES:
        both = first.copy()
        rows = order[: round(share * order.size)]
        both[rows] = strong[kept][rows]
        figures[method, f"{share:.2f}: accuracy"] = scores(both[scored], project.truth[scored])["accuracy"]
    people = project.gold >= 0
    right = first == project.gold
    calibration = calibrate(np.where(people, confidences_of(said), np.nan), right)
    passed_on = np.intersect1d(paying(doubts(said, calibration), np.ones(len(said)), SURE, 0.0), scored)
    both = first.copy()
    both[passed_on] = strong[kept][passed_on]
    figures[method, f"sure {SURE}: accuracy"] = scores(both[scored], project.truth[scored])["accuracy"]
    figures[method, f"sure {SURE}: share asked"] = passed_on.size / scored.size
    return figures


def one_seed(folder: Path, n_models: int | None, seed: int) -> tuple[Figures, dict[str, float]]:
    """All figures of one set and one seed, and the seconds that each method took."""
    item = load(folder)
    assert item is not None
    names = item.sources
    figures: Figures = {}
    seconds: dict[str, float] = {}
    for column in chosen_models(item, n_models):
        started = time.perf_counter()
        found = replay(item, names[column], column, seed)
        seconds |= dict.fromkeys((method for method, _ in found), time.perf_counter() - started)
        figures |= found
    strong = chosen_models(item, 1)[0]
    for cheap, styles in prompt_styles(folder).items():
        if cheap != names[strong].split("@")[0]:
            figures |= cascade(item, cheap, styles[item.rows], item.votes[:, strong], seed)
    return figures, seconds


def chosen_models(item: VoteSet, n_models: int | None) -> list[int]:
    """Columns of LLMs, best first: all, or so many of them evenly from the best to the worst."""
    accuracy = (item.votes == item.gold[:, None]).mean(axis=0)
    order: list[int] = np.argsort(-accuracy, kind="stable").tolist()
    if n_models is None or n_models >= len(order):
        return order
    return [order[place] for place in np.linspace(0, len(order) - 1, n_models).round().astype(int)]


def prompt_styles(folder: Path) -> dict[str, Votes]:
    """Votes of each LLM under its prompt styles, (n, n_styles); empty where they aren't recorded."""
    if not (folder / "all_prompts.npz").exists():
        return {}
    models = json.loads((folder / "all_prompts_models.json").read_text())
    columns: dict[str, list[Votes]] = {}
    with np.load(folder / "all_prompts.npz") as file:
        for style, names in models.items():
            for column, name in enumerate(names):
                columns.setdefault(name, []).append(file[f"L_{style}"][:, column].astype(np.int16))
    return {name: np.column_stack(found) for name, found in columns.items() if len(found) > 2}


def rows_of(name: str, runs: Sequence[tuple[Figures, dict[str, float]]]) -> list[Row]:
    """Means over seeds with their lowest and highest, and means over the LLMs."""
    rows = []
    for method, metric in runs[0][0]:
        values = [figures[method, metric] for figures, _ in runs]
        seconds = float(np.mean([took.get(method, 0.0) for _, took in runs]))
        for band, value in (("", np.mean(values)), (" (lowest)", min(values)), (" (highest)", max(values))):
            rows.append(Row(name, method, metric + band, float(value), seconds))
    return rows + means(name, rows)


def means(name: str, rows: Sequence[Row]) -> list[Row]:
    """Means over the LLMs, and over those that pass the gate in most seeds."""
    passing = {row.method for row in rows if row.metric == "passes the gate" and row.value > 0.5}
    found = []
    for group, members in (("mean of LLMs", None), ("mean of LLMs past the gate", passing)):
        by_metric: dict[str, list[float]] = {}
        for row in rows:
            llm = row.method.removeprefix(f"{OURS} + ")
            if llm != row.method and not row.metric.endswith("est)") and (members is None or llm in members):
                by_metric.setdefault(row.metric, []).append(row.value)
        found += [
            Row(name, f"{group} ({len(values)})", metric, float(np.mean(values)), 0.0)
            for metric, values in by_metric.items()
        ]
    return found


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with llm_* folders")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each measurement")
    parser.add_argument("--models", type=int, help="so many LLMs, evenly from the best to the worst; all by default")
    arguments = parser.parse_args()
    folders = sets.folders(arguments.data, ("llm_*",))
    usable = [folder for folder in folders if (item := load(folder)) is not None and item.data is not None]
    for folder in sorted(set(folders) - set(usable)):
        print(f"{folder.name}: no gold labels or no texts, skipped")
    if not usable:
        print(f"no folder llm_* with votes.npz, gold labels and texts in {arguments.data}: nothing to measure")
        return
    # One thread for each process: they would only wait for each other.
    os.environ["OMP_NUM_THREADS"] = "1"
    rows: list[Row] = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for folder in usable:
            seeds = range(arguments.seeds)
            runs = list(pool.map(one_seed, [folder] * len(seeds), [arguments.models] * len(seeds), seeds))
            rows += rows_of(folder.name, runs)
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
