"""The probe's report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from inference import probe
from inference.request import ModelSpec
from tests.inference import tiny

ROOT = Path(__file__).parents[2]


def run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "inference.probe", *arguments]
    return subprocess.run(command, input=given, capture_output=True, cwd=ROOT, timeout=60, check=False)


def test_as_a_process_it_prints_json_about_each_model(tmp_path: Path) -> None:
    specs = (ModelSpec(name="builtin"), ModelSpec(name="gone", source=str(tmp_path / "gone.safetensors")))
    done = run("--json", "--fast", given=msgspec.json.encode(specs))
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["versions"]["torch"]
    assert report["memory"]["available"] > 0
    good, bad = report["models"]
    assert good["ok"]
    assert (bad["ok"], bad["code"], bad["detail"]) == (False, "model_missing", "gone.safetensors")


def test_looking_is_quick_and_imports_no_torch() -> None:
    code = """
import sys
from inference.probe import probe
from inference.request import ModelSpec
assert probe([ModelSpec(name='builtin')], fast=True)['models'][0]['ok']
sys.exit('torch' in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0


def test_an_unreadable_list_is_said_so() -> None:
    done = run("--fast", given=b'[{"name": "UPPER"}]')
    assert done.returncode == 2
    assert b"not readable" in done.stderr
    assert b"Traceback" not in done.stderr


def test_devices_and_figures() -> None:
    report = probe.probe([])
    assert report["devices"][-1]["device"] == "cpu"
    assert set(report["matmul_gflops"]) == {"float32", "bfloat16"}


@pytest.mark.parametrize("loading", [False, True])
def test_loading_says_more(tmp_path: Path, loading: bool) -> None:
    found = probe.look(ModelSpec(name="x", source=str(tiny.folder(tmp_path / "x"))), loading=loading)
    assert found["ok"]
    assert ("fingerprint" in found) == loading
