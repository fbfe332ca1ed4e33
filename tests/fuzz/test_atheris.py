"""The coverage-guided fuzzer of the label config parser, for a while."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.effort import FACTOR, cases

RUNS = 20_000
"""In a full run."""
SECONDS_A_RUN = 10


@pytest.mark.timeout(1800 * max(FACTOR, 1))
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this machine (Linux on x86_64 only)"
)
def test_no_input_that_reaches_a_new_branch_breaks_the_parser(tmp_path: Path) -> None:
    options = [
        f"-runs={cases(RUNS)}",
        f"-timeout={SECONDS_A_RUN}",
        "-rss_limit_mb=2048",
        "-max_len=100",
        "-len_control=0",
    ]
    options += [] if FACTOR else ["-seed=7"]
    command = [sys.executable, "-m", "tests.fuzz.atheris_config", *options, f"-artifact_prefix={tmp_path}/"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    (ran,) = re.findall(r"Done (\d+) runs", done.stderr) or ["0"]
    assert int(ran) >= cases(RUNS)
