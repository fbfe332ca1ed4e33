"""Controls: how Label Studio writes the questions that we can answer. `CONTROLS` names them; nothing else does."""

from backend.adapters.label_studio.controls.base import Control
from backend.adapters.label_studio.controls.choices import ChoicesControl
from backend.adapters.label_studio.controls.labels import LabelsControl, ParagraphLabelsControl
from backend.adapters.label_studio.controls.number import NumberControl
from backend.adapters.label_studio.controls.pairwise import PairwiseControl
from backend.adapters.label_studio.controls.rating import RatingControl
from backend.adapters.label_studio.controls.taxonomy import TaxonomyControl
from backend.domain.questions import Choices, Number, Pairwise, Paragraphs, Rating, Spans, Taxonomy

CONTROLS: dict[str, Control] = {
    Choices.kind: ChoicesControl(),
    Taxonomy.kind: TaxonomyControl(),
    Rating.kind: RatingControl(),
    Pairwise.kind: PairwiseControl(),
    Number.kind: NumberControl(),
    Spans.kind: LabelsControl(),
    Paragraphs.kind: ParagraphLabelsControl(),
}
"""By the question's kind."""
