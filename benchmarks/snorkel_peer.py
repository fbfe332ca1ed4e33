"""Snorkel's side of `apply_rules`: runs in an environment of its own. Arguments: tasks (JSON), votes (.npy) to write.

Prints the seconds that applying took.
"""

import sys
import time

import numpy as np
import pandas as pd
import spam_rules  # beside this file: the peer's environment doesn't have ours
from snorkel.labeling import LabelingFunction, PandasLFApplier

spam_rules.SPAM, spam_rules.HAM, spam_rules.ABSTAIN = 0, 1, -1

if __name__ == "__main__":
    tasks = pd.read_json(sys.argv[1], orient="records", dtype=False, convert_dates=False)
    applier = PandasLFApplier([LabelingFunction(function.__name__, function) for function in spam_rules.FUNCTIONS])
    started = time.perf_counter()
    votes = applier.apply(tasks, progress_bar=False)
    print(time.perf_counter() - started)
    np.save(sys.argv[2], votes)
