"""Five small projects whose results are recorded, so that a change of the code that should change none is seen to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.rules.loader import FolderRules
from backend.adapters.sql.database import SqlDatabase
from backend.adapters.versions.folders import VersionFolders
from backend.domain.policy import Policy
from backend.domain.tasks import Answer
from backend.entrypoints.sample import LABEL_CONFIG, load_gold, load_reviews
from backend.ports import Deps
from backend.workflows.check.search import check
from backend.workflows.train import learn
from tests.fakes import FakeLabelStudio, FakeQueue

LONG_S = 10_000.0
"""Comparing classifiers may take so long: what is chosen must not hang on how busy a machine is."""
GENRES = ("drama", "comedy", "crime", "space")
WORDS = {
    "drama": ("grief", "family", "a quiet death", "letters from home"),
    "comedy": ("jokes", "a wedding cake", "laughter", "two clumsy thieves"),
    "crime": ("a detective", "murder", "two clumsy thieves", "the vault"),
    "space": ("a rocket", "orbit", "the last astronaut", "Mars"),
}
RULES = '''
from backend.domain.rules import Not, labeling_function


@labeling_function(question="genres", labels=["comedy"])
def laughs(task):
    """laughter"""
    return ["comedy"] if "laughter" in task.text or "jokes" in task.text else None


@labeling_function(question="genres", labels=["crime"])
def investigates(task):
    """a detective"""
    if "detective" in task.text or "murder" in task.text:
        return ["crime"]
    return Not("crime") if "Mars" in task.text else None


@labeling_function(question="stars", labels=["1", "2", "3", "4", "5"])
def repeats_the_score(task):
    """score"""
    return None if task.score is None else str(min(5, max(1, round(task.score))))


@labeling_function(question="topic", labels=["Animal / Cat", "Animal / Dog", "Plant"])
def names_it(task):
    """cat"""
    return "Animal / Cat" if "cat" in task.text else "Animal / Dog" if "dog" in task.text else None


@labeling_function(question="sentiment", labels=["Positive", "Negative"])
def praises(task):
    """good"""
    return "Positive" if "good" in (task.text or "") else "Negative" if "bad" in (task.text or "") else None
'''


@dataclass(frozen=True)
class FrozenProject:
    """A project and what people answer in it.

    answers: for each task in turn the annotators' answers, question -> labels; none where it stays open.
    """

    name: str
    label_config: str
    tasks: Sequence[Mapping[str, object]]
    answers: Sequence[Sequence[Mapping[str, Answer]]]


def frozen_projects() -> list[FrozenProject]:
    """All five."""
    return [_demo(), _multiple(), _rating(), _taxonomy(), _three_annotators()]


def _demo() -> FrozenProject:
    reviews, gold = load_reviews()[:150], load_gold()
    given = [gold[str(review["id"])] for review in reviews]
    # Some of the people's labels are wrong, so that something is suspect.
    wrong = {"Positive": "Negative", "Negative": "Positive", "Neutral": "Positive"}
    answers = [
        [{"sentiment": (wrong[label] if row % 17 == 5 else label,)}] if row % 2 else []
        for row, label in enumerate(given)
    ]
    return FrozenProject("demo", LABEL_CONFIG, reviews, answers)


def _multiple() -> FrozenProject:
    config = (
        '<View><Text name="text" value="$text"/><Choices name="genres" toName="text" choice="multiple">'
        + "".join(f'<Choice value="{genre}"/>' for genre in GENRES)
        + "</Choices></View>"
    )
    tasks, answers = [], []
    for row in range(96):
        of_task = sorted({GENRES[row % 4], GENRES[row * 7 % 5 % 4]})
        said = " and ".join(WORDS[genre][(row // 4 + place) % 4] for place, genre in enumerate(of_task))
        tasks.append({"text": f"Scene {row}: {said}, seen twice", "minutes": 80 + row % 50})
        answers.append([{"genres": tuple(of_task if row % 11 else of_task[:1])}] if row % 3 else [])
    return FrozenProject("multiple choice", config, tasks, answers)


def _rating() -> FrozenProject:
    config = '<View><Text name="text" value="$text"/><Rating name="stars" toName="text" maxRating="5"/></View>'
    tones = ("dreadful", "weak", "fair", "strong", "superb")
    tasks: list[Mapping[str, object]] = []
    answers: list[Sequence[Mapping[str, Answer]]] = []
    for row in range(90):
        stars = (row * 3) % 5
        task: dict[str, object] = {
            "text": f"A {tones[stars]} evening, number {row}, with {tones[(stars + row % 2) % 5]} songs"
        }
        if row % 4 == 0:
            task["score"] = stars + 1 + (row % 3 - 1) * 0.4
        tasks.append(task)
        answers.append([{"stars": (str(stars + 1 if row % 13 else 5 - stars),)}] if row % 2 == 0 else [])
    return FrozenProject("rating", config, tasks, answers)


def _taxonomy() -> FrozenProject:
    config = """<View><Text name="text" value="$text"/><Taxonomy name="topic" toName="text" maxUsages="1">
    <Choice value="Animal"><Choice value="Cat"/><Choice value="Dog"/></Choice><Choice value="Plant"/>
    </Taxonomy></View>"""
    words = {"Animal / Cat": "a cat that purrs", "Animal / Dog": "a dog that barks", "Plant": "moss on a stone"}
    labels = sorted(words)
    tasks: list[Mapping[str, object]] = []
    answers: list[Sequence[Mapping[str, Answer]]] = []
    for row in range(84):
        label = labels[row * 5 % 3]
        hint = (
            words[label] if row % 4 else words[label].split(" that")[0].replace("cat", "kitten").replace("dog", "hound")
        )
        tasks.append({"text": f"Photo {row}: {hint}, in the {'garden' if row % 2 else 'yard'}"})
        answers.append([{"topic": (labels[(row * 5 + 1) % 3] if row % 19 == 6 else label,)}] if row % 2 == 0 else [])
    return FrozenProject("taxonomy", config, tasks, answers)


def _three_annotators() -> FrozenProject:
    config = """<View><Text name="text" value="$text"/><Choices name="sentiment" toName="text">
    <Choice value="Positive"/><Choice value="Negative"/></Choices></View>"""
    tasks: list[Mapping[str, object]] = []
    answers: list[Sequence[Mapping[str, Answer]]] = []
    for row in range(90):
        positive = row % 2 == 0
        word = ("good", "fine")[row % 4 == 0] if positive else ("bad", "weak")[row % 4 == 1]
        tasks.append({"text": f"A {word} film about {('plot', 'cast', 'music', 'pace')[row % 4]} number {row}"})
        truth = ("Negative", "Positive")[positive]
        other = ("Positive", "Negative")[positive]
        # The third is careless, the second sometimes.
        said = [truth, other if row % 9 == 4 else truth, other if row % 3 == 1 else truth]
        answers.append([{"sentiment": (label,)} for label in said] if row % 2 == row // 2 % 2 else [])
    return FrozenProject("three annotators", config, tasks, answers)


def installation(folder: Path, now: Callable[[], float]) -> tuple[Deps, FakeLabelStudio]:
    """The workflows' parts in a folder, with a Label Studio in memory."""
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "frozen.py").write_text(RULES)
    label_studio = FakeLabelStudio()
    deps = Deps(
        label_studio=label_studio,
        database=SqlDatabase(f"sqlite:///{folder}/models/prelabel.sqlite3", now),
        versions=VersionFolders(folder / "models", f"sqlite:///{folder}/models/prelabel.sqlite3"),
        rules=FolderRules(folder / "rules"),
        queue=FakeQueue(),
        parse_label_config=parse_label_config,
        policy=lambda _: Policy(top_tasks=8, choice_s=LONG_S, audit_share=0.1),
        now=now,
    )
    return deps, label_studio


def learned(deps: Deps, label_studio: FakeLabelStudio, project: FrozenProject) -> str:
    """Import a project, label it in two rounds with a training after each, check it; returns its key."""
    number = label_studio.add_project(project.label_config, project.tasks)
    fake = label_studio.fakes[number]
    label_studio.fakes[number].overlap = max(len(given) for given in project.answers)
    key = f"{fake.info.uid}-aaaaaaaa"
    pairs = list(zip(sorted(fake.tasks), project.answers, strict=True))
    for half in (pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]):
        for task_id, given in half:
            for annotator, answers in enumerate(given, 1):
                label_studio.annotate(number, task_id, answers, annotator=annotator)
        learn(deps, key, _nobody, force=True)
    check(deps, key, _nobody)
    return key


def _nobody(step: str, done: int, total: int) -> None:
    """No one watches."""
