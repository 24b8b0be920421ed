"""A cap of spread over all revisions of a deployment, of which Marathon knows one at a time."""

from __future__ import annotations

from collections import Counter

import attrs
from hypothesis import given
from hypothesis import strategies as st

from roadstead.model import PlacementSpec, Spread, Template
from roadstead.template import revision
from roadstead.world import GroupKey
from roadstead_backends.marathon.crowding import crowded
from roadstead_backends.marathon.messages import App, Task
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.translate import app, stored
from roadstead_backends.marathon.view import Known
from tests.marathon_backend.orders import order_of, template_with

OPTIONS = MarathonOptions(urls=("http://h",))


def known(hosts: list[str], *, source: str, max_per: int | None = 1, name: str = "web") -> Known:
    """Return an app with a running task on each of these hosts."""
    template: Template = template_with(placement=PlacementSpec(spread=Spread(by="hostname", max_per=max_per)))
    template = attrs.evolve(template, model=attrs.evolve(template.model, source=source))
    order = order_of(template)
    order = attrs.evolve(order, key=GroupKey(name, revision(template)))
    made = app(order, len(hosts), OPTIONS)
    tasks = tuple(
        Task(id=f"{source}.instance-{number}._app.1", state="TASK_RUNNING", host=host)
        for number, host in enumerate(hosts)
    )
    found = App(id=f"/{name}{source}", labels=made["labels"], instances=len(hosts), tasks=tasks)
    said = stored(found)
    assert said is not None
    return Known(app=found, stored=said, marks={})


def reasons(*apps: Known) -> dict[str, str]:
    """Return what is said of each app."""
    found = crowded({one.app.id: one for one in apps}, lambda task, _: task.host)
    return {app_id: reason.detail for app_id, reason in found.items()}


def test_two_revisions_in_one_place_are_said_to_be_too_many() -> None:
    """Each keeps the cap by itself, which is all that Marathon sees."""
    said = reasons(known(["h1", "h2"], source="/m/1"), known(["h2"], source="/m/2"))
    detail = (
        "at most 1 for each hostname are allowed, and with other revisions there are 2 on h2: "
        "Marathon counts within each revision"
    )
    assert {"/web/m/1": detail, "/web/m/2": detail} == said


def test_revisions_that_share_no_place_are_fine() -> None:
    """And so are other deployments in the same place, and those without a cap."""
    assert {} == reasons(known(["h1"], source="/m/1"), known(["h2"], source="/m/2"))
    assert {} == reasons(known(["h1"], source="/m/1"), known(["h1"], source="/m/2", name="other"))
    assert {} == reasons(known(["h1"], source="/m/1", max_per=None), known(["h1"], source="/m/2", max_per=None))


PLACES = st.lists(st.sampled_from(["h1", "h2", "h3"]), max_size=4)


@given(old=PLACES, new=PLACES, most=st.integers(1, 3))
def test_it_is_said_of_who_stands_in_a_place_that_has_more_than_the_cap(
    old: list[str], new: list[str], most: int
) -> None:
    """Counted over both; an app without tasks shares nothing."""
    found = reasons(known(old, source="/m/1", max_per=most), known(new, source="/m/2", max_per=most))
    counts = Counter([*old, *new])
    full = {host for host, count in counts.items() if count > most}
    expected = {name for name, hosts in (("/web/m/1", old), ("/web/m/2", new)) if full & set(hosts)}
    assert (expected if old and new else set()) == found.keys()
