"""The sample project: film reviews written for Prelabel, with the label that a careful reader gives each.

The gold labels are kept apart from the reviews, so that a demo can't import them into Label Studio by mistake: there
they play the annotators, and they measure how far the suggestions are right.
"""

import json
from pathlib import Path

LABEL_CONFIG = """\
<View>
  <Header value="Rating $rating · awards $awards · box office $box_office million USD · year $year" size="5"/>
  <Text name="text" value="$text"/>
  <Choices name="sentiment" toName="text" choice="single" showInline="true">
    <Choice value="Positive"/>
    <Choice value="Negative"/>
    <Choice value="Neutral"/>
  </Choices>
</View>
"""
"""Label Studio's label config of the sample project: one question, `sentiment`, with three labels."""

_FOLDER = Path(__file__).parent


def load_reviews() -> list[dict[str, object]]:
    """The reviews as task data, in the file's order; some have no `awards` or no `box_office`, as in real data."""
    return _rows("reviews.jsonl")


def load_gold() -> dict[str, str]:
    """Review id -> "Positive", "Negative" or "Neutral", in the order of the reviews."""
    return {str(row["id"]): str(row["label"]) for row in _rows("gold.jsonl")}


def _rows(name: str) -> list[dict[str, object]]:
    # Not splitlines(): it also splits at characters that JSON allows inside a string.
    lines = (_FOLDER / name).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]
