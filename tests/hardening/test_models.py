"""Models that cannot be read, are not what they should be, or never finish loading."""

from __future__ import annotations

import pytest

from roadstead.decide.report import RolloutState
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import LOCAL
from tests.hardening.conftest import first, pid_of, run_cli

pytestmark = pytest.mark.slow

ONE = LOCAL.replace("replicas: 2", "replicas: 1")


def _odd(*flags: str) -> str:
    """A deployment of one replica whose server gets these flags."""
    runtime = f"runtime: {{name: odd, args: [{', '.join(flags)}]}}"
    return ONE.replace("replicas: 1", f"replicas: 1\n    {runtime}\n    rollout: {{progress_deadline: 8s}}")


def test_a_model_with_a_wrong_digest_is_said_in_one_sentence(daemon: Daemon) -> None:
    """Which folder, which digest it has and which one was asked for, and not what a checker's command line was."""
    folder = daemon.folder / "models" / "minilm" / "1"
    (folder / "model.bin").write_text("changed")
    daemon.write(ONE.replace("models/minilm}", f"models/minilm, digest: '{'0' * 64}'}}"))
    daemon.start()
    until(lambda: "has digest" in run_cli(daemon, "status").all)

    why = run_cli(daemon, "why", "minilm")

    assert f"model: model in {folder} has digest " in why.all
    assert f", the fleet file says {'0' * 64}; checked at" in why.all
    assert "check_model.py" not in why.all
    assert 0 == daemon.deployment().listed


def test_a_model_that_the_server_cannot_read_is_said_in_the_server_s_words(daemon: Daemon) -> None:
    """`status` has them, and `apply`, which ends with 1: there is nothing to go back to."""
    daemon.write(_odd("--broken"))
    daemon.start()
    until(lambda: daemon.deployment().state is RolloutState.FAILED)

    words = "it said last: model.bin: the file is not a model"
    applied = run_cli(daemon, "apply", "--yes")

    assert words in run_cli(daemon, "status").all
    assert (1, True) == (applied.code, words in applied.all)


@pytest.mark.parametrize(
    ("flag", "cause"),
    [
        ("--loading", "was not ready within 8s; revision"),
        pytest.param("--broken", "it said last: model.bin: the file is not a model", marks=pytest.mark.nightly),
    ],
)
def test_a_revision_that_never_gets_ready_leaves_the_one_that_serves_alone(
    daemon: Daemon, flag: str, cause: str
) -> None:
    """The old process serves throughout; `apply` ends with 5 after `progress_deadline`, and says what was wrong."""
    daemon.write(_odd())
    daemon.start()
    serving = pid_of(first(daemon.until_listed(1)))
    until(lambda: any(group.proven for group in daemon.deployment().groups))

    daemon.write(_odd(flag))
    applied = run_cli(daemon, "apply", "--yes")

    assert (5, True) == (applied.code, cause in applied.err)
    assert serving == pid_of(first(daemon.until_listed(1)))
