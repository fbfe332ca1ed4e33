"""What the long-running processes import: each library stays in memory for as long as they run."""

import subprocess
import sys

import pytest

from backend.entrypoints import with_uv

HEAVY = ("pandas", "pyarrow", "cleanlab", "modAL", "openai", "matplotlib")


@pytest.mark.parametrize("module", ["web.app", "run.scheduler", "cli.main"])
def test_processes_that_run_no_jobs_go_without_what_jobs_need(module: str) -> None:
    code = f"import sys, backend.entrypoints.{module}; print([name for name in {HEAVY} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said == "[]\n"


def test_data_frames_work_where_they_are_needed() -> None:
    code = (
        "import backend, pandas, sklearn.preprocessing as p;"
        "print(p.StandardScaler().set_output(transform='pandas').fit_transform(pandas.DataFrame({'a': [1.0, 3.0]})))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["a", "0", "-1.0", "1", "1.0"]


def test_windows_is_told_what_to_use() -> None:
    code = "import sys, backend; sys.platform = 'win32'; import backend.entrypoints.cli.main"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == with_uv.NOT_ON_WINDOWS + "\n"
