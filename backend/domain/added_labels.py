"""Labels that came later: what old answers say of them, and which tasks may be of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from backend.domain.frame import Frame
from backend.domain.label_changes import GONE
from backend.domain.label_errors.records import Findings, Suspect
from backend.domain.questions import Decision, Question, decisions
from backend.domain.questions.forms import ABSTAIN
from backend.domain.tasks import Annotation
from backend.domain.words import share

FEWEST = 3
"""Tasks with a new label from which others can be told to be like them."""
TELLS_APART = 0.7
"""Area under the ROC curve from which they are told apart from old ones. 0.5 is chance."""
LIKELY = 0.5
"""Probability from which a task may be of a new label."""
MOST_HELD_OUT = 0.5
"""Share of the tasks with an old label that are held out for a new one at most."""


@dataclass(frozen=True)
class Later:
    """Labels of one question that came after others. since: label -> Label Studio's newest change then. confirmed: rows
    of which people have said since that their label is right."""

    since: Mapping[str, str]
    confirmed: frozenset[int] = frozenset()

    def is_old(self, label: str, question: str, labeled: Sequence[Sequence[Annotation]]) -> NDArray[np.bool_]:
        """In which tasks all answers were given before a label was there: bool (n_tasks,)."""
        since = self.since[label]
        rows = [
            row not in self.confirmed and self._all_before(since, question, entries)
            for row, entries in enumerate(labeled)
        ]
        return np.array(rows, dtype=np.bool_)

    @staticmethod
    def _all_before(since: str, question: str, entries: Iterable[Annotation]) -> bool:
        moments = [entry.updated_at for entry in entries if entry.answers.get(question)]
        return bool(moments) and max(moments) <= since


def likely(
    decision: Decision, place: int, frame: Frame, is_old: NDArray[np.bool_], features: csr_matrix
) -> NDArray[np.float64]:
    """The chance that tasks with an old answer have a label that came later, float64 (n_tasks,); 0 for all others.

    By the share of the votes on a task that are for it, or by how like the first tasks with the label it is, whichever
    says more. Old tasks may be of the new label, so they are no evidence against it: the likeness of those known to be,
    held out, is what is certain (Elkan & Noto 2008).

    Args:
        decision: with the label as a class.
        place: that class.
        frame: votes and gold, each task one unit.
        is_old: bool (n_tasks,), answered before the label was there.
        features: (n_tasks, d).
    """
    gold = frame.gold[decision.key]
    old = is_old & (gold >= 0) & (gold != place)
    chance = np.zeros(len(gold))
    votes = frame.votes.get(decision.key)
    if votes is not None and votes.votes.shape[1]:
        n_votes = (votes.votes != ABSTAIN).sum(axis=1)
        chance = np.where(old, (votes.votes == place).sum(axis=1) / np.maximum(n_votes, 1), 0.0)
    rows = np.concatenate([np.flatnonzero(gold == place), np.flatnonzero(old)])
    is_new = gold[rows] == place
    n_new = int(is_new.sum())
    if n_new >= FEWEST and len(rows) - n_new >= FEWEST and features.shape[1]:
        folds = StratifiedKFold(min(5, n_new, len(rows) - n_new), shuffle=True, random_state=0)
        model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=200)
        seen = cross_val_predict(model, features[rows], is_new, cv=folds, method="predict_proba")[:, 1]
        if roc_auc_score(is_new, seen) >= TELLS_APART:
            certain = float(np.median(seen[is_new]))
            alike = np.minimum(1.0, seen[~is_new] / max(certain, 1e-9))
            chance[rows[~is_new]] = np.maximum(chance[rows[~is_new]], alike)
    return chance


def held_out(chance: NDArray[np.float64], gold: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which tasks teach nothing until a person has said whether they are of a new label: bool (n_tasks,).

    Args:
        chance: float64 (n_tasks,), see `likely`.
        gold: int64 (n_tasks,), their old labels.
    """
    out = chance >= LIKELY
    for label in np.unique(gold[out]):
        rows = np.flatnonzero(out & (gold == label))
        most = int(MOST_HELD_OUT * (gold == label).sum())
        out[rows[np.argsort(-chance[rows], kind="stable")][most:]] = False
    return out


def gold_without_old_evidence(
    question: Question,
    later: Later,
    labeled: Sequence[Sequence[Annotation]],
    frame: Frame,
    features: csr_matrix | None,
) -> dict[str, NDArray[np.int64]]:
    """Gold of a question by `Decision.key`, in which no old answer speaks against a label that came later.

    Of several answers, an old one doesn't say no to it. Of one, tasks that may be of it teach nothing.

    Args:
        question: the question.
        later: its labels that came later.
        labeled: of each task its answers.
        frame: of the question, with votes and gold.
        features: (n_units, d), None for none.
    """
    gold = {decision.key: frame.gold[decision.key].copy() for decision in decisions(question)}
    units = frame.units[question.name]
    inputs = features if features is not None else csr_matrix((units.n, 0))
    for label in later.since:
        is_old = units.spread(later.is_old(label, question.name, labeled))
        for decision in decisions(question):
            known = gold[decision.key]
            if decision.label is None:
                chance = likely(decision, question.labels.index(label), frame, is_old, inputs)
                known[held_out(chance, known)] = -1
            elif decision.label == label:
                known[is_old & (known == 0)] = -1
    return gold


def suspects_of_later(
    question: Question,
    later: Later,
    labeled: Sequence[Sequence[Annotation]],
    frame: Frame,
    features: csr_matrix | None,
) -> list[Suspect]:
    """Tasks that may be of a label that came after their answers, the likeliest first.

    Args:
        question: one whose units are tasks.
        later: its labels that came later.
        labeled: of each task its answers.
        frame: of the question, with votes and gold.
        features: (n_tasks, d), None for none.
    """
    found: dict[int, Suspect] = {}
    inputs = features if features is not None else csr_matrix((len(labeled), 0))
    for label in later.since:
        for decision in decisions(question):
            if decision.label not in (None, label):
                continue
            place = question.labels.index(label) if decision.label is None else 1
            chance = likely(decision, place, frame, later.is_old(label, question.name, labeled), inputs)
            for row in np.flatnonzero(chance >= LIKELY).tolist():
                given = question.form.answer([int(frame.gold[item.key][row]) for item in decisions(question)])
                expected = (label,) if decision.label is None else question.read({*given, label})
                reason = f"{label} ({share(chance[row])}) was added after it was labeled {', '.join(given)}"
                suspect = Suspect(row, question.name, given, expected, 1 - chance[row], chance[row], reason=reason)
                if row not in found or suspect.quality < found[row].quality:
                    found[row] = suspect
    return sorted(found.values(), key=lambda item: (item.quality, item.row))


def suspects_of_gone(
    question: Question, later: Later | None, labeled: Sequence[Sequence[Annotation]], frame: Frame
) -> list[Suspect]:
    """Tasks whose label the question doesn't have any more, those first that are likely to be of one that came later.

    Args:
        question, later, labeled: as in `suspects_of_later`.
        frame: of the question, with held-out posteriors.
    """
    found = []
    answers = question.answers(frame.held_out)
    for row, entries in enumerate(labeled):
        given = next((entry.answers[question.name] for entry in entries if entry.answers.get(question.name)), ())
        if not given or any(question.read(entry.answers.get(question.name, ())) for entry in entries):
            continue
        chance = _chance_of_later(question, later, frame, row)
        reason = f"{GONE} ({', '.join(given)}): choose again"
        found.append(Suspect(row, question.name, given, answers[row], 1 - chance, chance, reason=reason))
    return sorted(found, key=lambda item: (item.quality, item.row))


def _chance_of_later(question: Question, later: Later | None, frame: Frame, row: int) -> float:
    """The chance that a task has one of the labels that came later; 0.5 where nothing is known."""
    columns = []
    for decision in decisions(question):
        posterior = frame.held_out[decision.key][row]
        for place, label in enumerate(question.labels):
            if later is not None and label in later.since and decision.label in (None, label):
                columns.append(float(posterior[place if decision.label is None else 1]))
    known = [chance for chance in columns if np.isfinite(chance)]
    return max(0.5, min(1.0, sum(known))) if known else 0.5


def with_changed_labels(
    findings: Findings,
    question: Question,
    later: Later | None,
    labeled: Sequence[Sequence[Annotation]],
    frame: Frame,
    features: csr_matrix | None,
) -> Findings:
    """What a search found, with the tasks that come back because the question's labels changed, these first.

    For the arguments see `suspects_of_later` and `suspects_of_gone`. Questions that are asked of parts of a task are
    left as they are.
    """
    if frame.units[question.name].of_task is not None:
        return findings
    back = [] if later is None else suspects_of_later(question, later, labeled, frame, features)
    back += suspects_of_gone(question, later, labeled, frame)
    rows = {suspect.row for suspect in back}
    others = [suspect for suspect in findings.suspects if suspect.row not in rows]
    return replace(findings, suspects=[*back, *others]) if back else findings
