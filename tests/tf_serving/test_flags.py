"""The server's command line and configuration files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from roadstead_plugins.runtimes.tf_serving.server.configs import (
    ConfigError,
    read_batching,
    read_models,
    read_monitoring,
)
from roadstead_plugins.runtimes.tf_serving.server.flags import EXIT_USAGE, parse
from tests.tf_serving.conftest import ROOT

BASE = "--model_base_path=/models/m"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ([], "one of --model_base_path and --model_config_file is required"),
        ([BASE, "--batching_parameters_file=x"], "--batching_parameters_file is set without --enable_batching"),
        ([BASE, "--rest_api_port=8500"], "--rest_api_port cannot be the same as --port"),
        ([BASE, "--port=0"], "--port and --rest_api_port are both 0"),
        ([BASE, "--port=70000"], "'70000' is not a port; give a number below 65536"),
        ([BASE, "--enable_batching=maybe"], "'maybe' is neither true nor false"),
        ([BASE, "--grpc_channel_arguments=a"], "'a' is not KEY=VALUE"),
        ([BASE, "--per_process_gpu_memory_fraction=2"], "'2' is not a fraction; give a number from 0 to 1"),
        ([BASE, "--file_system_poll_wait_seconds=-1"], "'-1' is negative; give 0 or more seconds"),
        ([BASE, "--tensorflow_session_parallelism=-1"], "'-1' is not a count; give 0 or more"),
        ([BASE, "--model_nam=x"], "unrecognized arguments: --model_nam=x"),
    ],
)
def test_a_wrong_flag_is_named(flags: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each mistake ends with the code of a usage error and a line that names the flag or the value."""
    with pytest.raises(SystemExit) as error:
        parse(flags)
    assert EXIT_USAGE == error.value.code
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "expected"), [("", False), ("--enable_batching", True), ("--enable_batching=false", False)]
)
def test_truth_values_are_written_as_tensorflow_writes_them(flag: str, expected: bool) -> None:
    """A flag alone is true; ``=true`` and ``=false`` say it."""
    assert expected == parse([BASE, *filter(None, [flag])]).enable_batching


def test_channel_arguments_are_numbers_where_they_can_be() -> None:
    """A value that looks like a number is passed on as one, any other as text."""
    options = parse([BASE, "--grpc_channel_arguments=grpc.so_reuseport=1,grpc.default_authority=a"])
    assert (("grpc.so_reuseport", 1), ("grpc.default_authority", "a")) == options.channel_arguments


def test_every_flag_is_documented() -> None:
    """The reference names each flag that ``--help`` does, and no other."""
    page = (ROOT / "docs" / "reference" / "embedded-server.md").read_text()
    source = (ROOT / "plugins/roadstead_plugins/runtimes/tf_serving/server/flags.py").read_text()
    declared = set(re.findall(r'add\(\s*"(--\w+)"', source))
    table = page[page.index("## Flags") : page.index("## Life")]
    rows = [line for line in table.splitlines() if line.startswith("| `--")]
    assert declared == {flag for row in rows for flag in re.findall(r"`(--\w+)`", row.split("|")[1])}


MODEL = 'name: "m" base_path: "/m" model_platform: "tensorflow"'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            f"model_config_list {{ config {{ {MODEL} }} config {{ {MODEL} }} }}",
            "Illegal to list model m multiple times",
        ),
        ('model_config_list { config { name: "m" base_path: "m" } }', "Expected model m to have an absolute path"),
        ('model_config_list { config { name: "m" } }', "model 'm' needs both a name and a base_path"),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_platform: "caffe" } }',
            "'caffe' is not supported",
        ),
        ("custom_model_config { }", "does not yet support custom model config"),
    ],
)
def test_a_model_configuration_that_cannot_be_served_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """The file and what is wrong in it are named."""
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(complaint)) as error:
        read_models(path)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must not be negative"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [4, 2, 8]", "allowed_batch_sizes must rise"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [4]", "allowed_batch_sizes must rise and end with"),
        ("enable_large_batch_splitting { value: true }", "enable_large_batch_splitting"),
    ],
)
def test_batching_parameters_that_cannot_be_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """Values outside what they may be, and fields that we do not act on, are errors."""
    path = tmp_path / "batching.config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        read_batching(path)


def test_metrics_are_served_only_where_the_file_says(tmp_path: Path) -> None:
    """Without the file, or without ``enable``, there are none; the path has TensorFlow Serving's default."""
    path = tmp_path / "monitoring.config"
    assert read_monitoring(None) is None
    for text, expected in (
        ("", None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { enable: true path: "/m" }', "/m"),
    ):
        path.write_text(text)
        assert expected == read_monitoring(path)
    with pytest.raises(ConfigError, match="cannot read"):
        read_monitoring(tmp_path / "missing")
