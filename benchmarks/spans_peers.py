"""The peers of `benchmarks.spans`: spaCy's blank NER, and skweak's HMM over votes.

python -m benchmarks.spans_peers spacy|skweak FILE

Runs in an environment of its own. Reads FILE (JSON: documents as tokens and spans, votes, and for each run the rows
that are labeled) and writes FILE.out: for each run the spans of each test document, and the seconds it took.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PACKAGES = {"spacy": ("spacy==3.8.18",), "skweak": ("skweak==0.3.3",)}
"""What each one's environment has."""
NAMES = {"spacy": "spaCy blank NER", "skweak": "skweak HMM"}
STEPS = 800
"""Batches of 8 documents that spaCy learns from, each document at least five times."""

Spans = list[tuple[int, int, str]]


def spacy_ner(data: dict[str, Any], rows: Sequence[int], seed: int) -> list[Spans]:
    """spaCy's NER without pretrained vectors, on the labeled documents alone."""
    import spacy  # noqa: PLC0415
    from spacy.tokens import Doc, Span  # noqa: PLC0415
    from spacy.training import Example  # noqa: PLC0415
    from spacy.util import fix_random_seed  # noqa: PLC0415

    fix_random_seed(seed)
    random.seed(seed)
    language = spacy.blank("en")
    recognizer = language.add_pipe("ner")
    for label in data["labels"]:
        recognizer.add_label(label)
    examples = []
    for row in rows:
        right = Doc(language.vocab, data["train"][row])
        right.ents = [Span(right, *span) for span in data["gold"][row]]
        examples.append(Example(Doc(language.vocab, data["train"][row]), right))
    optimizer = language.initialize(lambda: examples)
    rounds = max(5, min(40, STEPS * 8 // len(examples)))
    for _ in range(rounds):
        random.shuffle(examples)
        for at in range(0, len(examples), 8):
            language.update(examples[at : at + 8], drop=0.2, sgd=optimizer)
    docs = language.pipe([Doc(language.vocab, words) for words in data["test"]])
    return [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in docs]


def skweak_hmm(data: dict[str, Any], _rows: Sequence[int], _seed: int) -> list[Spans]:
    """skweak's HMM, fitted on the votes of the train part, labels of people unseen."""
    import spacy  # noqa: PLC0415
    from skweak.aggregation import HMM  # noqa: PLC0415
    from spacy.tokens import Doc, Span  # noqa: PLC0415

    vocab = spacy.blank("en").vocab

    def docs(part: str) -> list[Any]:
        made = []
        for words, votes in zip(data[part], data[f"{part}_votes"], strict=True):
            doc = Doc(vocab, words)
            for source, spans in enumerate(votes):
                doc.spans[f"source{source}"] = [Span(doc, *span) for span in spans]
            made.append(doc)
        return made

    model = HMM("hmm", data["labels"])
    model.fit(docs("train"))
    return [
        [(span.start, span.end, span.label_) for span in doc.spans["hmm"]] if "hmm" in doc.spans else []
        for doc in model.pipe(docs("test"))
    ]


METHODS: dict[str, Callable[[dict[str, Any], Sequence[int], int], list[Spans]]] = {
    "spacy": spacy_ner,
    "skweak": skweak_hmm,
}


def main() -> None:
    """Run every run of the file."""
    method, path = METHODS[sys.argv[1]], Path(sys.argv[2])
    data = json.loads(path.read_text())
    found = []
    for run in data["runs"]:
        started = time.perf_counter()
        spans = method(data, run["rows"], run["seed"])
        found.append({"spans": spans, "seconds": time.perf_counter() - started})
    Path(f"{path}.out").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
