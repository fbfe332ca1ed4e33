"""`prelabel rules suggest`: what is proposed, how it is measured, and what taking a rule over writes."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.sparse import csc_matrix
from typer.testing import CliRunner

from backend.adapters.llm.prompt_templates import JinjaTemplates
from backend.adapters.rules.loader import FolderRules
from backend.adapters.rules.rule_files import RuleFiles
from backend.adapters.sql.llm_records import SqlLlmRecords
from backend.domain.llm.options import LlmPolicyName
from backend.domain.llm.records import LlmReply, ModelPrice, Sample
from backend.domain.mining.measure import changed, is_mined, precision
from backend.domain.mining.mine import mine
from backend.domain.mining.signs import Kind, Sign, Signs, rows_with, rule_of, signs_of
from backend.domain.questions import Choices, Rating, decisions
from backend.domain.statistics import exact
from backend.domain.votes import VoteMatrix, apply_rules
from backend.entrypoints.cli import installation
from backend.entrypoints.cli.main import cli
from backend.errors import ConfigurationError, RuleError
from backend.ports import Deps
from backend.ports.llm import LlmPorts
from backend.settings import Settings
from backend.workflows.suggest_rules import SuggestedRules, suggest_rules
from tests.llm_fakes import FakeLlmEndpoint
from tests.screen import screen
from tests.unit.house import House, nothing, reviews

YES_NO = decisions(Choices("q", "text", ("no", "yes")))[0]


def suggested(house: House, *, asks_llm: bool = True) -> SuggestedRules:
    return suggest_rules(house.deps, house.key, RuleFiles(house.folder / "rules"), nothing, asks_llm=asks_llm)


@pytest.fixture
def labeled(house: House) -> House:
    """Reviews of which half are labeled: rules in use know "good" and "bad", but not "fine" and "weak"."""
    house.label_studio.add_tasks(house.project, reviews(200)[40:])
    house.annotate(house.task_ids[:100])
    house.reconcile()
    return house


def test_words_that_no_rule_knows_are_proposed_and_measured_on_labels_that_had_no_part(labeled: House) -> None:
    found = suggested(labeled).proposals
    weak = next(item for item in found if "weak" in item.rule.get("keywords", ()))  # type: ignore[operator]
    assert weak.rule["vote"] == "Negative"
    assert weak.n_tasks == 200
    measuring = [
        task for task in labeled.task_ids[:100] if not is_mined(labeled.key, task) and "weak" in text(labeled, task)
    ]
    assert weak.precision.n >= len(measuring) > 5
    assert weak.precision.n_right >= len(measuring)
    assert weak.n_changed > 0
    assert {item.after for item in weak.examples} == {"Negative"}
    assert not any(item.task_id in labeled.task_ids[:100] for item in weak.examples)


def text(house: House, task: int) -> str:
    return str(house.fake.tasks[task].task.data["text"])


def test_a_rule_that_is_taken_over_votes_and_is_not_proposed_again(
    labeled: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_home(monkeypatch, labeled)
    before = sorted(path.name for path in (labeled.folder / "rules").iterdir())
    listed = json.loads(run("suggest", str(labeled.project), "--json"))
    assert sorted(path.name for path in (labeled.folder / "rules").iterdir()) == before
    first = listed["proposals"][0]
    shown = run("suggest", str(labeled.project))
    assert first["name"] in shown
    assert "held-out votes" in shown
    taken = json.loads(run("suggest", str(labeled.project), "--take", first["name"], "--json"))
    written = Path(taken[first["name"]])
    assert written.parent == labeled.folder / "rules"
    content = written.read_text()
    assert "Delete this file to undo it." in content
    assert yaml.safe_load(content) == {"rules": [first["rule"]]}
    loaded = FolderRules(labeled.folder / "rules").load()
    assert first["name"] in {rule.name for rule in loaded.rules}
    assert first["name"] not in {item.name for item in suggested(labeled).proposals}
    with pytest.raises(RuleError, match="is not proposed"):
        CliRunner().invoke(
            cli, ["rules", "suggest", str(labeled.project), "--take", first["name"]], catch_exceptions=False
        )


def test_nothing_is_written_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "praise.yaml").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"praise\.yaml is there already"):
        RuleFiles(tmp_path).add("", {"name": "praise"}, "")
    assert (tmp_path / "praise.yaml").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["praise.yaml"]
    assert RuleFiles(tmp_path).add("films", {"name": "../praise"}, "") == tmp_path / "films" / "praise.yaml"


def test_what_nothing_is_proposed_for_is_named_with_the_reason(house: House) -> None:
    with pytest.raises(ConfigurationError, match="Nothing is known of this project"):
        suggested(house)
    house.annotate(house.task_ids[:8])
    house.reconcile()
    assert suggested(house).left_out == {"sentiment": "8 tasks are labeled; 40 are needed"}


def test_spans_are_left_out_aloud(labeled: House) -> None:
    config = labeled.fake.info.label_config.replace(
        "</View>", '<Labels name="marks" toName="text"><Label value="A"/></Labels></View>'
    )
    labeled.fake.info = replace(labeled.fake.info, label_config=config)
    labeled.reconcile()
    found = suggested(labeled)
    assert found.left_out == {"marks": "rules for spans are not proposed"}
    assert {item.question for item in found.proposals} == {"sentiment"}


def test_labels_that_all_measure_make_no_rules(labeled: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.workflows.suggest_rules.is_mined", lambda *_: False)
    assert suggested(labeled).left_out == {
        "sentiment": "of 100 labeled tasks 0 may make rules, the others are kept to measure them; 10 are needed"
    }


def test_labels_that_are_all_the_same_say_nothing(house: House) -> None:
    for task in house.task_ids:
        house.label_studio.annotate(house.project, task, {"sentiment": ("Positive",)})
    house.reconcile()
    assert suggested(house).left_out == {"sentiment": "all labels are the same"}


SEVERAL = """<View><Text name="text" value="$text"/>
<Choices name="topics" toName="text" choice="multiple"><Choice value="Plot"/><Choice value="Cast"/></Choices>
<Rating name="stars" toName="text" maxRating="3"/>
<Taxonomy name="place" toName="text">
<Choice value="World"><Choice value="Land"/><Choice value="Sea"/></Choice></Taxonomy>
</View>"""


def test_each_question_of_a_project_gets_rules_of_its_own(house: House) -> None:
    data: list[dict[str, object]] = [
        {
            "text": f"{('story', 'actors', 'story and actors')[row % 3]} on {('fields', 'waves')[row % 2]}",
            "price": row % 5,
        }
        for row in range(120)
    ]
    house.project = house.label_studio.add_project(SEVERAL, data)
    house.key = f"{house.project}.1767225600-aaaaaaaa"
    for row, task in enumerate(house.task_ids[:90]):
        answers = {
            "topics": (("Plot",), ("Cast",), ("Plot", "Cast"))[row % 3],
            "stars": ("3" if row % 5 > 2 else "1",),
            "place": (f"World / {('Land', 'Sea')[row % 2]}",),
        }
        house.label_studio.annotate(house.project, task, answers)
    house.reconcile()
    found = suggested(house)
    assert not found.left_out
    said = {(item.question, str(item.rule["vote"])): item.rule for item in found.proposals}
    assert said["topics", "Plot"]["keywords"] == ["story"]
    assert said["topics", "Cast"]["keywords"] == ["actors"]
    assert said["place", "World / Sea"]["keywords"] == ["waves"]
    assert said["stars", "3"]["when"] == {"field": "price", "at_least": 3}
    assert all(item.precision.n_right == item.precision.n > 0 for item in found.proposals)
    assert len({item.name for item in found.proposals}) == len(found.proposals)


WRITTEN = """rules:
- {name: weak, type: keyword, field: text, keywords: [weak], vote: Negative}
- {name: weaker, type: keyword, field: text, keywords: [weak], vote: Negative}
- {name: fetch, type: model, url: "http://evil.example", vote: Negative}
- {name: unknown, type: keyword, field: text, keywords: [fine], vote: Wonderful}
- {name: broken, type: regex, field: text, pattern: "(", vote: Positive}
- {name: odd, type: regex, field: text, pattern: "[02468]$", vote: {not: Negative}}
- {name: never, type: keyword, field: text, keywords: [zzz], vote: Positive}
"""


def with_llm(house: House, endpoint: FakeLlmEndpoint) -> None:
    class Prices:
        def of(self, model: str) -> ModelPrice | None:
            return ModelPrice(1.0, 2.0) if model == "small" else None

    parts = LlmPorts(
        endpoint=endpoint,
        records=SqlLlmRecords(f"sqlite:///{house.folder}/llm.sqlite3", lambda: house.clock),
        templates=JinjaTemplates(None),
        prices=Prices(),
        fetch_image=lambda url: url,
    )
    house.deps = replace(house.deps, llm=parts)
    house.llm_policy = replace(
        house.llm_policy,
        policy=LlmPolicyName.SAMPLE,
        models=("small",),
        budget_usd=1.0,
        definitions={"Negative": "bad"},
    )


def test_an_llm_writes_rules_that_are_read_and_measured_and_paid_for_once(labeled: House) -> None:
    endpoint = FakeLlmEndpoint(lambda _: LlmReply((Sample(json.dumps({"yaml": WRITTEN})),), 200, 100, 0.5))
    with_llm(labeled, endpoint)
    found = suggested(labeled, asks_llm=False)
    assert not endpoint.asked
    assert "not asked" in found.left_out["sentiment, small"]
    found = suggested(labeled)
    reasons = found.left_out
    assert reasons["small: fetch"] == "its type must be one of compare, heuristic, keyword, regex"
    assert reasons["suggested_wonderful_fine"] == "it votes for a label that the question doesn't have"
    assert "not a regular expression" in reasons["suggested_positive"]
    assert reasons["suggested_positive_zzz"] == "it votes on no task of the project"
    # Mining found these words before.
    assert reasons["suggested_negative_weak_2"] == "another rule says nearly the same"
    (shout,) = [item for item in found.proposals if item.by == "small"]
    assert shout.rule["vote"] == {"not": "Negative"}
    assert shout.precision.n_right > shout.precision.n / 2
    assert suggested(labeled, asks_llm=False).proposals == found.proposals
    (request,) = endpoint.asked
    sent = {json.loads(line)["task"]["text"] for line in request.user.splitlines()}
    kept_back = {text(labeled, task) for task in labeled.task_ids[:100] if not is_mined(labeled.key, task)}
    assert sent
    assert not sent & kept_back
    assert '"Negative": bad' in request.system
    assert labeled.deps.llm is not None
    spending = labeled.deps.llm.records.spending(labeled.key)
    assert spending.spent == pytest.approx((200 * 1.0 + 100 * 2.0) / 1e6)
    assert spending.held == 0


@pytest.mark.parametrize("text", ["rules: 5", "- &a [*a]", "{", "- 5", "rules:\n- {name: a, type: history}"])
def test_yaml_that_is_no_rules_is_refused_with_a_reason(tmp_path: Path, text: str) -> None:
    specs, refused = RuleFiles(tmp_path).parse(text)
    assert specs == ()
    assert refused


def test_a_reply_without_rules_takes_nothing_from_what_was_mined(labeled: House) -> None:
    alone = suggested(labeled).proposals
    with_llm(labeled, FakeLlmEndpoint(lambda _: LlmReply((Sample("no rules today"),), 10, 10, 0.1)))
    found = suggested(labeled)
    assert found.proposals == alone
    assert found.left_out == {"sentiment, small": "unreadable"}


def test_a_project_that_forbids_llms_sends_nothing(labeled: House) -> None:
    endpoint = FakeLlmEndpoint(lambda _: LlmReply())
    with_llm(labeled, endpoint)
    labeled.llm_policy = replace(labeled.llm_policy, forbidden=True)
    assert "forbids" in suggested(labeled).left_out["sentiment, LLM"]
    assert not endpoint.asked


def votes_of(column: list[int]) -> VoteMatrix:
    return VoteMatrix(YES_NO, ("r",), np.array(column, dtype=np.int16)[:, None])


def test_the_interval_is_the_textbooks() -> None:
    # R: binom.test(8, 10, conf.level = 0.9)$conf.int
    assert exact(8, 10, 0.9) == pytest.approx((0.4930987, 0.9632292), abs=1e-6)
    assert exact(0, 0, 0.9) == (0.0, 1.0)
    assert exact(3, 3, 0.9)[1] == 1.0


def test_with_enough_votes_on_audit_tasks_these_count_alone() -> None:
    votes, gold = votes_of([1] * 60), np.array([1] * 20 + [0] * 40)
    audit = np.arange(60) < 20
    stated = precision([(votes, gold)], "r", audit)
    assert (stated.n_right, stated.n) == (20, 20)
    stated = precision([(votes, gold)], "r", np.arange(60) < 19)
    assert (stated.n_right, stated.n) == (20, 60)


def test_intervals_hold_on_unseen_tasks_although_the_best_of_many_signs_were_chosen() -> None:
    random = np.random.default_rng(0)
    held = []
    for _ in range(20):
        # 1,000 words of which each is as good as chance.
        has = random.random((600, 1000)) < 0.2
        signs = Signs(
            tuple(Sign(Kind.WORD, "text", str(place)) for place in range(1000)), csc_matrix(has, dtype=np.int32)
        )
        truth = (random.random(600) < 0.5).astype(np.int64)
        made, measures, unseen = np.arange(40), np.arange(40, 80), np.arange(80, 600)
        likely = np.full((600, 2), np.nan)
        likely[made] = np.eye(2)[truth[made]]
        for rule in mine(signs, likely, np.zeros((600, 2), dtype=np.bool_), 10):
            where = rows_with(signs, [int(sign.said) for sign in rule.signs])
            cast = np.where(where, rule.label, -1)
            nobody = np.zeros(measures.size, dtype=np.bool_)
            stated = precision([(votes_of(cast[measures].tolist()), truth[measures])], "r", nobody)
            assert (truth[made] == rule.label)[where[made]].mean() > 0.75
            right = (truth[unseen] == rule.label)[where[unseen]].mean()
            held.append(stated.interval[0] <= right <= stated.interval[1])
    assert len(held) >= 30
    assert np.mean(held) >= 0.9


def test_fields_patterns_and_beginnings_make_rules_that_say_what_was_seen() -> None:
    data: list[dict[str, object]] = [
        {
            "text": f"How many apples in basket {number}?"
            if number % 3
            else f"Who ate the apples in {number}, 50% of it?",
            "price": number,
            "budget": 30,
            "land": ("fr", "us")[number % 2],
            "file": f"/data/upload/{number}.txt",
        }
        for number in range(60)
    ]
    signs = signs_of(data, least=3)
    question = Rating("stars", "text", ("1", "2"))
    kinds = {sign.kind for sign in signs.each}
    assert kinds >= {Kind.WORD, Kind.BEGINNING, Kind.PATTERN, Kind.FIELD}
    assert not any(sign.field == "file" for sign in signs.each)
    said = {(sign.kind, sign.said) for sign in signs.each}
    assert {(Kind.BEGINNING, "how many"), (Kind.PATTERN, "percent"), (Kind.FIELD, "price_above_budget")} <= said
    specs = [{"name": str(place), **rule_of([sign]), "vote": "2"} for place, sign in enumerate(signs.each)]
    read = RuleFiles.read(specs)
    assert not read.set_aside
    votes, faults = apply_rules(read.rules, data, (question,))
    assert not faults.counts
    # Each rule votes exactly where its sign is.
    assert np.array_equal(votes["stars"].votes >= 0, signs.found.toarray() > 0)


def test_a_trusted_vote_changes_what_is_unsure_and_not_what_is_sure() -> None:
    posterior = np.array([[0.6, 0.4], [0.999, 0.001], [np.nan, np.nan], [np.nan, np.nan]])
    after = changed(YES_NO, posterior, votes_of([1, 1, 1, -1]), "r", 0.9)
    assert after.tolist() == [1, 0, 1, -1]


@dataclass(frozen=True)
class FakeApp:
    deps: Deps
    settings: Settings


def at_home(monkeypatch: pytest.MonkeyPatch, house: House) -> None:
    settings = Settings.model_validate({"lf_rules_dir": house.folder / "rules"})
    monkeypatch.setattr(installation, "looked_at", lambda: FakeApp(house.deps, settings))
    monkeypatch.setattr(installation, "key_of", lambda _, project: f"{project}.1767225600-aaaaaaaa")


def run(*arguments: str) -> str:
    with screen(100) as shown:
        result = CliRunner().invoke(cli, ["rules", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return shown.getvalue()
