"""Two writers on one Marathon: noticed from versions and deployments, and never where it may have been ourselves."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from roadstead.reasons import ReasonCode
from roadstead_backends.marathon.messages import App, Deployment
from roadstead_backends.marathon.writers import Writers

NOW = 1_000_000
APP = "/shop/web/r1"


def app(version: str, instances: int = 1, app_id: str = APP) -> App:
    """Return an app of ours."""
    return App(id=app_id, version=version, instances=instances)


def deployment(name: str, version: str = "", *apps: str) -> Deployment:
    """Return a deployment that affects our app, or these."""
    return Deployment(id=name, version=version, affected_apps=apps or (APP,))


def watching(*apps: App) -> Writers:
    """Return what has seen these apps once."""
    writers = Writers()
    writers.see(apps, [], NOW)
    return writers


def test_a_version_that_is_not_ours_is_somebody_elses() -> None:
    """A scaling by hand is told with its numbers, and for a while."""
    writers = watching(app("v1"))
    writers.see([app("v2", 5)], [], NOW + 1)
    reason = writers.reason(APP, NOW + 2)
    assert reason is not None
    assert ReasonCode.CONTESTED is reason.code
    assert (
        "somebody else wrote to app /shop/web/r1 at 00:16:40Z: its version v2 is none of ours, "
        "and its instances went from 1 to 5"
    ) == reason.detail
    assert "version v1 -> v2" == reason.raw
    assert writers.reason(APP, NOW + 600_001) is None


def test_our_own_writes_are_ours() -> None:
    """The version and the deployment that Marathon answered with are expected, in whichever order they are seen."""
    writers = watching(app("v1"))
    writers.wrote(APP, version="v2", deployments=["d2"])
    writers.see([app("v1")], [deployment("d2", "v2")], NOW)
    writers.see([app("v2", 2)], [deployment("d2", "v2")], NOW)
    assert writers.reason(APP, NOW) is None


def test_what_was_there_when_we_began_is_nobodys_fault() -> None:
    """A daemon that was restarted finds its own deployments running, and does not know them."""
    writers = Writers()
    writers.see([app("v7")], [deployment("d7", "v7")], NOW)
    writers.see([app("v7")], [deployment("d7", "v7")], NOW)
    assert writers.reason(APP, NOW) is None


def test_a_lost_answer_accuses_nobody() -> None:
    """The write may have happened: one new version and its deployment are taken as ours, the next one is not."""
    writers = watching(app("v1"))
    writers.lost(APP)
    writers.see([app("v1")], [], NOW)
    writers.see([app("v2")], [], NOW)
    writers.see([app("v2")], [deployment("d2", "v2")], NOW)
    assert writers.reason(APP, NOW) is None
    writers.see([app("v3")], [], NOW)
    assert writers.reason(APP, NOW) is not None


def test_an_app_that_appears_is_ours_with_the_deployment_that_starts_it() -> None:
    """Its creation may have been answered late, or never."""
    writers = watching()
    writers.lost(APP)
    writers.see([app("v1")], [deployment("d1", "v1")], NOW)
    writers.see([app("v1")], [deployment("d1", "v1")], NOW)
    assert writers.reason(APP, NOW) is None
    writers.see([app("v2")], [], NOW)
    assert writers.reason(APP, NOW) is not None


def test_a_deployment_that_is_not_ours_is_told_as_long_as_it_runs() -> None:
    """It holds a lock on our app; how much else it affects says what it is."""
    writers = watching(app("v1"))
    foreign = deployment("d9", "v9", APP, "/other/app")
    writers.see([app("v1")], [foreign], NOW)
    writers.see([app("v1")], [foreign], NOW + 900_000)
    reason = writers.reason(APP, NOW + 900_001)
    assert reason is not None
    assert "deployment d9, which affects 1 more, is none of ours" in reason.detail


def test_deployments_of_others_alone_are_no_matter_of_ours() -> None:
    """What touches none of our apps says nothing about us."""
    writers = watching(app("v1"))
    writers.see([app("v1")], [deployment("d9", "v9", "/other/app")], NOW)
    assert writers.reason(APP, NOW) is None


def test_putting_it_right_does_not_hide_that_somebody_else_wrote() -> None:
    """We put it right within a second, and whoever asks within ten minutes still learns of it."""
    writers = watching(app("v1"))
    writers.see([app("v2")], [], NOW)
    before = writers.reason(APP, NOW)
    writers.wrote(APP, version="v3", deployments=["d3"])
    writers.see([app("v3")], [deployment("d3", "v3")], NOW + 1_000)
    assert before == writers.reason(APP, NOW + 1_000)
    assert before is not None


def test_an_app_that_is_gone_is_forgotten() -> None:
    """A new app of the same name begins anew."""
    writers = watching(app("v1"))
    writers.see([app("v2")], [], NOW)
    writers.see([], [], NOW)
    writers.see([app("v3")], [], NOW)
    assert writers.reason(APP, NOW) is None


@attrs.frozen
class Act:
    """One write of ours, and whether its answer arrives."""

    answered: bool


@given(st.lists(st.builds(Act, answered=st.booleans()) | st.none(), max_size=30))
def test_alone_nobody_is_ever_accused(acts: list[Act | None]) -> None:
    """However our writes and reads alternate, and whichever answers are lost: there is no second writer.

    A write whose answer is lost is followed by a read before the next one, as an unknown outcome is.
    """
    writers, version = watching(app("v0")), 0
    for act in acts:
        if act is not None:
            version += 1
            if act.answered:
                writers.wrote(APP, version=f"v{version}", deployments=[f"d{version}"])
            else:
                writers.lost(APP)
                writers.see([app(f"v{version}")], [deployment(f"d{version}", f"v{version}")], NOW)
        else:
            writers.see([app(f"v{version}")], [deployment(f"d{version}", f"v{version}")], NOW)
        assert writers.reason(APP, NOW) is None
