"""Apps of others, found in files and on a Marathon, as a fleet file."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from roadstead.cli.group import cli
from roadstead.config import read_fleet
from roadstead.model import Adoption, Fleet, Template
from roadstead.spi.importing import ImportSource
from roadstead_backends.marathon.emulator.testing import Plan, Settings, emulated
from roadstead_backends.marathon.foreign import imports
from roadstead_backends.marathon.importing import imported
from roadstead_backends.marathon.names import OWNER_ID
from roadstead_backends.marathon.options import MarathonOptions
from tests.config.corpus import built_in
from tests.marathon_backend.test_importing import MINILM, OPTIONS, STOCK


@pytest.mark.parametrize(
    "document",
    [
        MINILM,
        [MINILM],
        {"app": MINILM},
        {"apps": [MINILM]},
        {"id": "/", "apps": [], "groups": [{"id": "/prod", "groups": [], "apps": [{**MINILM, "id": "minilm"}]}]},
    ],
)
def test_all_that_marathon_answers_or_is_sent_is_read(document: object) -> None:
    """An app, a list, and groups in which ids may be relative."""
    assert (imported(MINILM, OPTIONS),) == imports(ImportSource(text=json.dumps(document), options=OPTIONS))


def test_ours_are_left_out() -> None:
    """They are in a fleet file already."""
    ours = {**MINILM, "labels": {OWNER_ID: "0f1e2d"}}
    assert () == imports(ImportSource(text=json.dumps([ours]), options=OPTIONS))


@pytest.mark.parametrize("text", ["{", "[1]", "just words"])
def test_what_is_no_app_is_refused(text: str) -> None:
    """With the reason."""
    with pytest.raises(ValueError, match=r"neither JSON nor YAML|is no app"):
        imports(ImportSource(text=text, options=OPTIONS))


def _in_order(template: Template | None) -> Template:
    """Return it with its constraints in one order: Marathon keeps them as a set."""
    assert template is not None
    constraints = tuple(sorted(template.placement.constraints, key=repr))
    return attrs.evolve(template, placement=attrs.evolve(template.placement, constraints=constraints))


def test_a_marathon_is_imported_as_the_files_that_were_sent_to_it(tmp_path: Path) -> None:
    """Read over its API, with all that it fills in: the same deployments; both fleet files are valid."""
    settings = Settings(features=frozenset({"gpu_resources", "secrets"}))
    volumes = MINILM["container"]["volumes"][:3]
    sent = {**MINILM, "container": {**MINILM["container"], "volumes": volumes}, "dependencies": [], "instances": 0}
    with emulated(Plan(by_hand=True, settings=settings)) as marathon:
        for one in (sent, STOCK):
            status, answer = marathon.ask("POST", "/v2/apps?force=true", one)
            assert 201 == status, answer
        options = MarathonOptions(urls=(marathon.url,), gpu_attribute="gpu_model")
        live = imports(ImportSource(text=None, options=options))
        files = tuple(imported(one, options) for one in (STOCK, sent))
        assert [(one.native, _in_order(one.template), one.replicas, one.rollout) for one in files] == [
            (one.native, _in_order(one.template), one.replicas, one.rollout) for one in live
        ]
        written = _import(tmp_path / "live.yaml", marathon.url, "--adopt")
        assert Adoption("dc1", "/prod/minilm") == written.deployments["minilm"].adopt
    (tmp_path / "apps.json").write_text(json.dumps([sent]), encoding="utf-8")
    again = _import(tmp_path / "file.yaml", str(tmp_path / "apps.json"), "--set", f"urls={marathon.url}")
    assert written.deployments["minilm"].targets[0].template == again.deployments["minilm"].targets[0].template
    assert "# lost: secrets" in (tmp_path / "file.yaml").read_text(encoding="utf-8")


def _import(path: Path, source: str, *more: str) -> Fleet:
    words = ["-f", str(path), "import", "--from", "marathon", source, "--cluster", "dc1"]
    done = CliRunner().invoke(cli, [*words, "--set", "gpu_attribute=gpu_model", *more])
    assert 0 == done.exit_code, done.output
    assert "/prod/minilm -> minilm: " in done.output
    return read_fleet(path, built_in())
