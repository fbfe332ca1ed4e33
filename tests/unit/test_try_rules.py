"""What rules are tried out on."""

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

from backend.adapters.rules.loader import FolderRules
from backend.ports import LoadedRules, ProjectRecord, RuleSample
from backend.workflows.try_rules import SAMPLE_SIZE, tried_rules
from tests.unit.house import House, reviews


class Untried(FolderRules):
    """Remembers the samples it was given."""

    given: tuple[RuleSample, ...]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.given = ()

    def is_tried(self, sample_ids: Set[str]) -> bool:
        return sample_ids == {sample.id for sample in self.given}

    def try_out(self, samples: Sequence[RuleSample]) -> LoadedRules:
        self.given = tuple(samples)
        return self.load()


def only(rules: Untried) -> RuleSample:
    assert len(rules.given) == 1
    return rules.given[0]


def test_rules_are_tried_on_some_tasks_of_every_project_again_when_its_questions_change(
    house: House, tmp_path: Path
) -> None:
    rules = Untried(tmp_path / "rules")
    deps = replace(house.deps, rules=rules)
    house.label_studio.add_tasks(house.project, reviews(340)[40:])
    house.learn()
    tried_rules(deps)
    sample = only(rules)
    assert sample.project_id == house.project
    assert len(sample.tasks) == SAMPLE_SIZE
    assert len({str(task) for task in sample.tasks}) == SAMPLE_SIZE
    rules.given = ()
    tried_rules(deps)
    assert only(rules) == sample
    config = sample.questions[0].name
    record = house.deps.database.project(house.key)
    assert record is not None
    house.deps.database.save_project(replace(record, label_config=record.label_config.replace(config, "mood")))
    tried_rules(deps)
    assert [question.name for question in only(rules).questions] == ["mood"]


def test_a_project_whose_label_config_is_broken_costs_the_others_nothing(house: House, tmp_path: Path) -> None:
    house.learn()
    broken = ProjectRecord("9.1-aaaaaaaa", 9, label_config="<View")
    house.deps.database.save_project(broken)
    house.deps.database.save_tasks(broken.key, house.deps.database.tasks(house.key))
    rules = Untried(tmp_path / "rules")
    tried_rules(replace(house.deps, rules=rules))
    assert {sample.project_id: bool(sample.tasks) for sample in rules.given} == {house.project: True, 9: False}
