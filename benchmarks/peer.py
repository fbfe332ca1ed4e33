"""The peer: label-studio-ml 1.0.9 serving TF-IDF + logistic regression, fitted on the sample's gold labels.

python -m benchmarks.peer FOLDER PORT
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from label_studio_ml.api import init_app
from label_studio_ml.model import LabelStudioMLBase
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from werkzeug.serving import make_server

from backend.entrypoints.sample import load_gold, load_reviews


class TextClassifier(LabelStudioMLBase):  # type: ignore[misc]
    """What a user of label-studio-ml writes for the same job."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        gold = load_gold()
        texts = [str(review["text"]) for review in load_reviews()]
        self.pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10.0))
        self.pipeline.fit(texts, [gold[str(review["id"])] for review in load_reviews()])

    def predict(self, tasks: Sequence[Mapping[str, Any]], **_: Any) -> list[dict[str, Any]]:
        """One prediction for each task."""
        texts = [str(task["data"].get("text", "")) for task in tasks]
        proba = self.pipeline.predict_proba(texts)
        labels = self.pipeline.classes_[proba.argmax(axis=1)]
        return [
            {
                "result": [
                    {"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": [str(label)]}}
                ],
                "score": float(row.max()),
            }
            for label, row in zip(labels, proba, strict=True)
        ]

    def fit(self, *_: Any, **__: Any) -> dict[str, str]:
        """Accept an event; the cost measured is that of taking it in."""
        return {"status": "ok"}


if __name__ == "__main__":
    application = init_app(TextClassifier, model_dir=sys.argv[1])
    make_server("127.0.0.1", int(sys.argv[2]), application, threaded=True).serve_forever()
