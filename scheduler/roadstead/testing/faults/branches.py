"""Telling a story for many plans at once: where they part, so does the process, and what is the same is told once."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

import attrs

from roadstead.testing.faults.calls import Call, Fault, Kind
from roadstead.testing.faults.moments import Moments
from roadstead.testing.faults.plans import WINDOW
from roadstead.testing.faults.props import Props
from roadstead.testing.faults.stage import Stage
from roadstead.testing.faults.telling import Rest, Scenario, Telling, tell_guided

__all__ = ["Plan", "branched", "learnt"]

Plan = tuple[Fault, ...]
_LASTING = frozenset({Kind.MEMORY_REMOVED, Kind.JOURNAL_OVERWRITTEN})
"""What is done to files that stay open: what they are like by now is nothing that can be compared."""

T = TypeVar("T")


@attrs.define
class _Branch:
    """What is to be told from one fault on: this plan itself, if it is ``wanted``, and those that go on from it."""

    wanted: bool = False
    after: dict[int, dict[Kind, _Branch]] = attrs.field(factory=dict)

    def plans(self) -> Iterable[Plan]:
        """Yield every plan that goes on from here, and how."""
        if self.wanted:
            yield ()
        for number, kinds in self.after.items():
            for kind, branch in kinds.items():
                yield from ((Fault(number, kind), *more) for more in branch.plans())


def _tree(plans: Iterable[Plan]) -> _Branch:
    root = _Branch()
    for plan in plans:
        at = root
        for fault in plan:
            at = at.after.setdefault(fault.number, {}).setdefault(fault.kind, _Branch())
        at.wanted = True
    return root


def branched(
    scenario: Scenario,
    props: Props,
    folder: Path,
    plans: Iterable[Plan],
    judge: Callable[[Plan, Telling | str], T],
    known: dict[bytes, Rest] | None = None,
) -> dict[Plan, T]:
    """Tell ``scenario`` on new ``props`` with each of ``plans``, and return what ``judge`` makes of each telling.

    A plan whose call is never made is judged by a telling that did not apply it; one whose process ended in an error
    by the words of that. Daemons keep their stores in ``folder``, which is empty, and in others beside it, which are
    removed. Processes are made by forking: this one has no threads.
    """
    telling = _Branching(_tree(plans), folder, judge, known)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        telling.run(scenario, props)
    finally:
        gc.enable()
        gc.unfreeze()
    return telling.made


def learnt(scenario: Scenario, props: Props, folder: Path) -> dict[bytes, Rest]:
    """Tell ``scenario`` without faults, and return what comes of each of its moments, as :func:`branched` may know it.

    Daemons keep their stores in ``folder``, which is empty.
    """
    telling = _Branching(_Branch(wanted=True), folder, lambda _, told: told, {})
    telling.run(scenario, props)
    return telling.learnt


class _AllToldError(BaseException):
    """There is no branch any more; no daemon may catch this."""


class _Branching(Generic[T]):
    """One process of the many that tell a story: ``made`` is what came of the plans that it told, or had told."""

    def __init__(
        self,
        branch: _Branch,
        folder: Path,
        judge: Callable[[Plan, Telling | str], T],
        known: dict[bytes, Rest] | None,
    ) -> None:
        self.made: dict[Plan, T] = {}
        self._known = known
        self.learnt: dict[bytes, Rest] = {}
        self._trail: list[tuple[bytes, int, int, int]] = []
        self._moments: Moments | None = None
        self._branch = branch
        self._plan: Plan = ()
        self._folder = folder
        self._judge = judge
        self._pipe: int | None = None
        self._stage: Stage | None = None

    def run(self, scenario: Scenario, props: Props) -> None:
        """Tell the story; returns only in the process that this was called in."""
        try:
            told = tell_guided(scenario, props, self._folder, self)
        except _AllToldError:
            pass
        except BaseException:
            if self._pipe is None:
                raise
            self._give_up(traceback.format_exc(limit=-3))
        else:
            self._finish(told)
        if self._pipe is not None:
            self._leave()

    # ---- as a guide ----

    def begun(self, stage: Stage) -> None:
        """Know where the story is told."""
        self._stage = stage
        self._moments = Moments(stage)

    def choose(self, call: Call) -> Kind | None:
        """Part here with those for whom something goes wrong with ``call``; in each of them, say what."""
        for kind, branch in self._branch.after.pop(call.number, {}).items():
            if self._is_child((*self._plan, Fault(call.number, kind)), branch):
                return kind
        if not self._branch.wanted and not self._branch.after:
            raise _AllToldError
        return None

    def foresee(self, place: object) -> Rest | None:
        """Return what came of another telling from a moment on that was like this one."""
        if self._known is None or self._branch.after or not self._is_comparable():
            return None
        assert self._stage is not None
        assert self._moments is not None
        digest = self._moments.digest(place)
        rest = self._known.get(digest)
        if rest is None:
            stage = self._stage
            self._trail.append((digest, stage.turns, len(stage.wrong), len(stage.started)))
            return None
        self._stage.judge_disk()
        return rest

    # ---- how it works ----

    def _is_comparable(self) -> bool:
        """Return whether what is on disk is known, and all calls were made that another fault may be tried at."""
        assert self._stage is not None
        if any(fault.kind in _LASTING for fault in self._plan):
            return False
        return not self._plan or len(self._stage.injector.calls) > self._plan[-1].number + WINDOW

    def _is_child(self, plan: Plan, branch: _Branch) -> bool:
        """Fork, and return whether this is the new process; in the other one, wait for what comes of it."""
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reading)
            if self._pipe is not None:
                os.close(self._pipe)
            self._pipe, self.made, self._branch, self._plan = writing, {}, branch, plan
            self.learnt, self._trail = {}, []
            self._folder = self._folder.with_name(f"{self._folder.name}.{os.getpid()}")
            assert self._stage is not None
            self._stage.move(self._folder)
            return True
        os.close(writing)
        with os.fdopen(reading, "rb") as replies:
            reply = replies.read()
        _, status = os.waitpid(process, 0)
        if reply and status == 0:
            made, learnt = pickle.loads(reply)  # noqa: S301  # our own process wrote it
            self.made.update(made)
            self.learnt.update(learnt)
            if self._known is not None:
                self._known.update(learnt)
        else:
            shutil.rmtree(self._folder.with_name(f"{self._folder.name}.{process}"), ignore_errors=True)
            for more in branch.plans():
                self.made[(*plan, *more)] = self._judge((*plan, *more), f"its process ended with status {status}")
        return False

    def _finish(self, told: Telling) -> None:
        """Judge the story told to its end, for its plan and for those that came to no branch of theirs."""
        if told.ending is not None:
            for digest, turns, wrong, started in self._trail:
                self.learnt[digest] = Rest(
                    wrong=told.wrong[wrong:],
                    ending=told.ending,
                    turns=told.turns - turns,
                    started=told.started - started,
                )
        for more in self._branch.plans():
            self.made[(*self._plan, *more)] = self._judge((*self._plan, *more), told)

    def _give_up(self, words: str) -> None:
        for more in self._branch.plans():
            self.made[(*self._plan, *more)] = self._judge((*self._plan, *more), words)

    def _leave(self) -> NoReturn:
        """End this process, at once and whatever happens: what it has open belongs to others, too."""
        status = 1
        try:
            assert self._pipe is not None
            shutil.rmtree(self._folder, ignore_errors=True)
            with os.fdopen(self._pipe, "wb") as reply:
                pickle.dump((self.made, self.learnt), reply)
            status = 0
        finally:
            os._exit(status)
