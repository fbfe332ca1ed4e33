"""Settings of single projects."""

import pytest
from pydantic import ValidationError

from backend.adapters.project_settings import ProjectParams


@pytest.mark.parametrize("mask", ["(", r"\d*"])
def test_a_mask_that_no_task_can_be_masked_with_is_refused_when_it_is_set(mask: str) -> None:
    with pytest.raises(ValidationError, match="mask"):
        ProjectParams(llm_masks=(mask,))
