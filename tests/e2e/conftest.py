"""A project that several stories share."""

import pytest

from tests.conftest import Demo
from tests.e2e.team import Team


@pytest.fixture(scope="session")
def connected(demo: Demo) -> Team:
    """A connected project at rest. Each story leaves it so, whatever version it shows then."""
    team = Team.with_reviews(demo, 20)
    team.connect()
    return team
