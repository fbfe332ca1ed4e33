"""A benchmark whose peer is missing says what to install."""

import importlib.util
from pathlib import Path

import pytest

from benchmarks import predict, webhook
from benchmarks.common import peers_command


@pytest.mark.parametrize("benchmark", [predict, webhook])
def test_a_peer_that_is_not_installed_is_named_with_what_brings_it(
    benchmark: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("sys.argv", ["benchmark"])
    with pytest.raises(SystemExit, match="--extra label-studio-ml"):
        benchmark.main()  # type: ignore[attr-defined]


def test_peers_that_uv_cannot_bring_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"a==1.*install uv"):
        peers_command(("a==1",))
    (tmp_path / "uv").write_text("#!/bin/sh\necho no such package >&2\nexit 1\n")
    (tmp_path / "uv").chmod(0o755)
    with pytest.raises(SystemExit, match=r"can't install the peers .a==1.*\n*no such package"):
        peers_command(("a==1",))
