"""What a fleet file says of a Marathon is checked before anybody is asked anything."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.model import ModelSpec, Template
from roadstead.wire import to_wire
from roadstead.world import GroupKey
from roadstead_backends.marathon import names
from roadstead_backends.marathon.app_options import AppOptions, Network, app_options
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.plugin import roadstead_backends

_segments = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    "url", ["marathon:8080", "ftp://h", "https://", "https://h:port", "https://h?x=1", "https://me:secret@h"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """And a password in one is never repeated in the message."""
    with pytest.raises(ValueError, match="address") as caught:
        MarathonOptions(urls=(url,))
    assert "secret" not in str(caught.value)


def test_a_marathon_without_address_is_refused() -> None:
    """There is no default that could be right."""
    with pytest.raises(ValueError, match="urls is empty"):
        MarathonOptions(urls=())


@pytest.mark.parametrize("sign_in", [{"token_file": Path("t")}, {"user": "me", "password_file": Path("p")}])
@pytest.mark.parametrize("mesos", [None, "http://master.example:5050"])
def test_credentials_go_over_tls_or_stay_on_this_machine(sign_in: dict[str, object], mesos: str | None) -> None:
    """Every address that they would be sent to is looked at, that of Mesos as well."""
    for plain in ("http://localhost:8080", "http://127.0.0.9", "http://[::1]:80", "https://marathon.example"):
        assert MarathonOptions(urls=(plain,), **sign_in).signs_in  # type: ignore[arg-type]  # two kinds of it
    urls = ("https://a.example", "http://b.example") if mesos is None else ("https://a.example",)
    with pytest.raises(ValueError, match="not https"):
        MarathonOptions(urls=urls, mesos=mesos, **sign_in)  # type: ignore[arg-type]  # two kinds of it


@pytest.mark.parametrize(
    "half",
    [{"user": "me"}, {"password_file": Path("p")}, {"client_key": Path("k")}, {"client_certificate": Path("c")}],
)
def test_half_of_what_belongs_together_is_refused(half: dict[str, object]) -> None:
    """A name without its password would only be found out by a refusal."""
    with pytest.raises(ValueError, match="belong together"):
        MarathonOptions(urls=("https://h",), **half)  # type: ignore[arg-type]  # one of four


def test_one_way_to_sign_in_is_enough() -> None:
    """Only one header can be sent."""
    with pytest.raises(ValueError, match="two ways"):
        MarathonOptions(urls=("https://h",), user="me", password_file=Path("p"), token_file=Path("t"))


@given(st.lists(_segments, max_size=3), _segments, _segments, st.from_regex(r"[a-z2-7]{10}", fullmatch=True))
def test_an_app_is_named_by_path_fleet_deployment_and_revision(
    path: list[str], fleet: str, deployment: str, revision: str
) -> None:
    """Nothing is between them but slashes, so two groups never share a name, and Marathon takes all of them."""
    parent = "/" + "/".join(path)
    found = names.app_id(parent, fleet, GroupKey(deployment, revision))
    assert [*path, fleet, deployment, revision] == found.removeprefix("/").split("/")
    assert names.is_path(found)
    assert MarathonOptions(urls=("https://h",), path=parent).path == parent


@pytest.mark.parametrize("path", ["", "models", "/Models", "/models/", "//models", "/mo_dels", "/-a", "/a-", "/a/../b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    """Marathon would refuse every app below it."""
    with pytest.raises(ValueError, match="no path of a Marathon group"):
        MarathonOptions(urls=("https://h",), path=path)


def test_what_a_deployment_says_to_marathon_is_read_from_its_template() -> None:
    """It comes as JSON, and nothing is the default of everything."""
    said = AppOptions(role="models", accepted_roles=("models", "*"), network=Network.CONTAINER, network_name="dcos")
    template = Template(model=ModelSpec(name="m", source="/m"), backend_options=json.dumps(to_wire(said)))
    assert said == app_options(template)
    assert AppOptions() == app_options(attrs.evolve(template, backend_options=""))


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "no role"},
        {"accepted_roles": ("fine", "not/ fine")},
        {"network_name": "dcos"},
        {"backoff_percent": 99},
        {"labels": {"roadstead.dev/owner": "me"}},
    ],
)
def test_options_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    """Before any app is made of them."""
    with pytest.raises(ValueError, match=r"role|network|percent|ours|100"):
        AppOptions(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_the_backend_is_described_to_the_fleet_file() -> None:
    """Every option has a description, for the file's reference."""
    (plugin,) = roadstead_backends()
    assert ("marathon", MarathonOptions, AppOptions) == (plugin.name, plugin.options, plugin.deployment_options)
    for options in (MarathonOptions, AppOptions):
        assert all(field.metadata.get("doc") for field in attrs.fields(options))
