"""A Label Studio that gets another address keeps what we know of it, and two of them stay apart."""

from dataclasses import replace

import pytest

from backend.errors import LabelStudioError
from backend.ports import ProjectRecord
from backend.workflows.moved import mark_at
from tests.fakes import FakeLabelStudio

CONFIG = '<View><Text name="text" value="$text"/></View>'
SECRET = "what our webhooks send"
OLD, NEW = "0ld0ld0l", "4e34e34e"


@pytest.fixture
def label_studio() -> FakeLabelStudio:
    fake = FakeLabelStudio()
    for _ in range(3):
        fake.add_project(CONFIG)
    return fake


def known(label_studio: FakeLabelStudio, mark: str, title: str = "A project") -> list[ProjectRecord]:
    return [
        ProjectRecord(f"{fake.info.uid}-{mark}", number, title=title) for number, fake in label_studio.fakes.items()
    ]


def test_a_new_installation_knows_nothing_of_others(label_studio: FakeLabelStudio) -> None:
    assert mark_at(label_studio, [], NEW, SECRET) is None
    assert label_studio.calls == []


def test_what_was_begun_at_this_address_goes_on_without_a_question(label_studio: FakeLabelStudio) -> None:
    both = known(label_studio, OLD) + known(label_studio, NEW)
    assert mark_at(label_studio, both, NEW, SECRET) == NEW
    assert label_studio.calls == []


def test_it_is_known_by_its_projects(label_studio: FakeLabelStudio) -> None:
    assert mark_at(label_studio, known(label_studio, OLD), NEW, SECRET) == OLD


def test_projects_that_were_deleted_meanwhile_dont_matter(label_studio: FakeLabelStudio) -> None:
    before = known(label_studio, OLD)
    del label_studio.fakes[1], label_studio.fakes[2]
    assert mark_at(label_studio, before, NEW, SECRET) == OLD


def test_a_renamed_project_is_known_by_our_webhook(label_studio: FakeLabelStudio) -> None:
    before = known(label_studio, OLD, title="Its name of before")
    assert mark_at(label_studio, before, NEW, SECRET) is None
    label_studio.set_webhook(2, None, "http://old:9090/webhook", SECRET)
    assert mark_at(label_studio, before, NEW, SECRET) == OLD


def test_another_label_studio_with_the_same_numbers_is_not_taken_for_it(label_studio: FakeLabelStudio) -> None:
    before = known(label_studio, OLD)
    for number, fake in label_studio.fakes.items():
        # Made at another time.
        fake.info = replace(fake.info, uid=f"{number}.1767225601")
    assert mark_at(label_studio, before, NEW, SECRET) is None


def test_while_it_doesnt_answer_nothing_is_decided(label_studio: FakeLabelStudio) -> None:
    label_studio.fail_next["project"] = LabelStudioError("away", 502)
    with pytest.raises(LabelStudioError, match="away"):
        mark_at(label_studio, known(label_studio, OLD), NEW, SECRET)


def test_a_project_that_we_may_not_see_leaves_it_to_the_others(label_studio: FakeLabelStudio) -> None:
    label_studio.fail_next["project"] = LabelStudioError("not yours", 403)
    assert mark_at(label_studio, known(label_studio, OLD), NEW, SECRET) == OLD
