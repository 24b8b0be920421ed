"""Bugs, one wrong line each, as somebody might make them: the fault machine is worth what it finds of them.

The classes are those of Sieve (stale, intermediate and unobserved states) and of Acto (operations that the owner gets
wrong), and time. ``was`` occurs in its file exactly once.
"""

from __future__ import annotations

import enum

import attrs

from roadstead.testing.faults.calls import Kind, What

__all__ = ["BUGS", "Bug", "Class"]


@enum.unique
class Class(enum.Enum):
    """What a bug trusts that it must not."""

    STALE = "stale state"
    INTERMEDIATE = "intermediate state"
    UNOBSERVED = "unobserved state"
    OPERATION = "misoperation"
    TIME = "time"


@attrs.frozen(kw_only=True)
class Bug:
    """One line of ``path`` that ``was`` right.

    ``stories`` are those that it should show in, and ``first`` are the faults that are tried on them before others,
    ``then`` those that follow closely where one is not enough; ``at`` are the calls that are tried first. One that is
    ``caught_by`` an ordinary test says nothing about what only the fault machine finds, and does not count. Not
    ``found``: no plan that was tried so far shows it.
    """

    name: str
    kind: Class
    path: str
    was: str
    now: str
    stories: tuple[str, ...] = ("scale by hand", "roll")
    first: tuple[Kind, ...] = ()
    then: tuple[Kind, ...] = ()
    at: tuple[What, ...] = ()
    caught_by: str = ""
    found: bool = True
    temper: str = "directed"


ACT = "scheduler/roadstead/act"
DECIDE = "scheduler/roadstead/decide"

BUGS = (
    # ---- stale ----
    Bug(
        name="rows of what is gone stay on disk",
        kind=Class.STALE,
        path=f"{ACT}/memory.py",
        was="for name in before.keys() - after.keys()]",
        now="for name in ()]",
        stories=("roll without room",),
        caught_by="tests/act/test_stores.py::test_the_last_of_any_memories_comes_back",
    ),
    Bug(
        name="what was learnt without acting is not saved",
        kind=Class.STALE,
        path=f"{ACT}/memory.py",
        was="for kind in (_DEPLOYMENTS, _CLAIMS, _BACK_OFF, _SCALING)",
        now="for kind in (_CLAIMS, _BACK_OFF, _SCALING)",
        first=(Kind.CRASH_BEFORE,),
    ),
    Bug(
        name="the memory of the last turn is saved",
        kind=Class.STALE,
        path=f"{ACT}/reconciler.py",
        was="self._store.save(made.memory, ",
        now="self._store.save(self._memory, ",
        stories=("create",),
        caught_by="tests/act/test_session.py::test_identity_survives_and_the_next_session_goes_on",
    ),
    Bug(
        name="a silent cluster is forgotten",
        kind=Class.STALE,
        path=f"{ACT}/cluster.py",
        was="error=error, snapshot=before.snapshot)",
        now="error=error, snapshot=None)",
        stories=("cluster lost and back", "scale by hand"),
        first=(Kind.LOST_BEFORE,),
        caught_by="tests/act/test_executor.py::test_an_unreachable_cluster_keeps_its_last_snapshot",
    ),
    Bug(
        name="servers of a silent cluster are not asked",
        kind=Class.STALE,
        path=f"{ACT}/observer.py",
        was="silent = view.snapshot is None or",
        now='silent = hasattr(view, "error") or',
        stories=("cluster lost and back", "scale by hand"),
        first=(Kind.LOST_BEFORE,),
    ),
    Bug(
        name="a table is not offered again when the gateway settled on another",
        kind=Class.STALE,
        path=f"{ACT}/gateway.py",
        was="newest.view.settled and self._compared.holds(newest.view, table)",
        now="newest.view.settled",
        stories=("roll",),
        first=(Kind.SECOND_DAEMON,),
        caught_by="tests/act/test_gateway.py::test_a_table_in_the_place_of_which_another_is_in_force_is_offered_again",
        found=False,
    ),
    Bug(
        name="a cluster that stops answering touches nothing",
        kind=Class.STALE,
        path="scheduler/roadstead/assembly.py",
        was="turned = isinstance(old, Reachable) != isinstance(new, Reachable)",
        now="turned = False",
        stories=("cluster lost and back", "migrate"),
    ),
    Bug(
        name="endpoints on a cluster that a new daemon never saw leave the table",
        kind=Class.STALE,
        path=f"{ACT}/routing.py",
        was="keeping = frozenset(inherited) if unsure else frozenset()",
        now="keeping = frozenset[str]()",
        stories=("cluster lost and back",),
        first=(Kind.CRASH_BEFORE,),
        caught_by="tests/act/test_routing.py::test_what_a_gateway_lists_stays_until_every_cluster_was_seen_once",
    ),
    Bug(
        name="servers count as unready until a new daemon has asked them",
        kind=Class.STALE,
        path=f"{ACT}/observer.py",
        was="if self._world is None:",
        now="if self._world is not None:",
        first=(Kind.CRASH_BEFORE,),
    ),
    # ---- intermediate ----
    Bug(
        name="what became of steps is forgotten",
        kind=Class.INTERMEDIATE,
        path=f"{ACT}/reconciler.py",
        was="self._outcomes = outcomes = self._executor",
        now="outcomes = self._executor",
        first=(Kind.THROTTLED,),
    ),
    Bug(
        name="steps are taken whose memory could not be saved",
        kind=Class.INTERMEDIATE,
        path=f"{ACT}/reconciler.py",
        was="attrs.evolve(made, steps=()))",
        now="made)",
        stories=("create",),
        first=(Kind.DISK_FULL,),
        caught_by="tests/act/test_session.py::test_a_full_disk_stops_every_step_and_is_said",
    ),
    Bug(
        name="Retry-After is not handed on",
        kind=Class.INTERMEDIATE,
        path=f"{ACT}/calls.py",
        was="retry_after=error.after_ms if isinstance(error, Retryable) else None",
        now="retry_after=None",
        first=(Kind.THROTTLED,),
        caught_by="tests/act/test_executor.py::test_a_step_is_tried_three_times_at_most",
    ),
    Bug(
        name="Retry-After is cut short within a turn",
        kind=Class.INTERMEDIATE,
        path=f"{ACT}/executor.py",
        was="return max(own, error.after_ms / 1000)",
        now="return min(own, error.after_ms / 1000)",
        first=(Kind.THROTTLED,),
        caught_by="tests/act/test_executor.py::test_waiting_stays_within_the_turn_s_budget",
    ),
    Bug(
        name="Retry-After does not lengthen a wait",
        kind=Class.INTERMEDIATE,
        path=f"{DECIDE}/back_off.py",
        was="wait_ms=max(wait_ms, outcome.retry_after or 0)",
        now="wait_ms=wait_ms",
        first=(Kind.THROTTLED,),
    ),
    Bug(
        name="a refused step is taken again at once",
        kind=Class.INTERMEDIATE,
        path=f"{DECIDE}/back_off.py",
        was="if wait is None or wait.wait_ms <= 0:",
        now="if wait is None or wait.wait_ms <= 1_500:",
        first=(Kind.THROTTLED,),
    ),
    Bug(
        name="a failed call counts for nothing",
        kind=Class.INTERMEDIATE,
        path=f"{DECIDE}/back_off.py",
        was="{OutcomeKind.FAILED, OutcomeKind.REJECTED, OutcomeKind.NO_CAPACITY}",
        now="{OutcomeKind.REJECTED, OutcomeKind.NO_CAPACITY}",
        first=(Kind.THROTTLED,),
    ),
    Bug(
        name="the refusal of a step is told to nobody",
        kind=Class.INTERMEDIATE,
        path=f"{ACT}/executor.py",
        was="or run.fresh_until is not None:\n                    return failed(step, self._turn, error)",
        now="or run.fresh_until is not None:\n                    return None",
        first=(Kind.THROTTLED,),
        caught_by="tests/act/test_executor.py::test_a_step_is_tried_three_times_at_most",
    ),
    Bug(
        name="a reload that was asked for is never asked for again",
        kind=Class.INTERMEDIATE,
        path=f"{ACT}/reloads.py",
        was="if known is not None and not known.done():",
        now="if known is not None:",
        stories=("reload",),
        first=(Kind.LOST_BEFORE,),
    ),
    # ---- unobserved ----
    Bug(
        name="a table whose offer was lost is not offered again",
        kind=Class.UNOBSERVED,
        path=f"{ACT}/gateway.py",
        was="if table == self._offered and (self._is_in_force(table) or now - self._offered_at < AGAIN.seconds):",
        now="if table == self._offered:",
        stories=("roll",),
        first=(Kind.LOST_BEFORE,),
        caught_by="tests/act/test_gateway.py::test_a_table_that_is_not_accepted_is_offered_again_after_a_while",
    ),
    Bug(
        name="one lost answer makes a server unready",
        kind=Class.UNOBSERVED,
        path=f"{ACT}/probing.py",
        was="believed = entry.state.status is ModelStatus.AVAILABLE and patient",
        now="believed = False",
        first=(Kind.LOST_BEFORE,),
        caught_by="tests/act/test_probing.py::test_an_available_model_is_believed_until_it_failed_to_answer_often_enough",
    ),
    Bug(
        name="a probe that fails ends the thread that asks",
        kind=Class.UNOBSERVED,
        path=f"{ACT}/prober.py",
        was="except Exception as error:",
        now="except TimeoutError as error:",
        first=(Kind.FAILS,),
        caught_by="tests/act/test_probing.py::test_a_broken_runtime_is_no_answer_with_its_words",
    ),
    Bug(
        name="what is written to a removed memory is seen by nobody",
        kind=Class.UNOBSERVED,
        path=f"{ACT}/memory.py",
        was="if self._connection is not None and not self._path.exists():",
        now="if self._connection is not None and not self._path.parent.exists():",
        first=(Kind.MEMORY_REMOVED,),
    ),
    Bug(
        name="a journal that was damaged while it ran stays so",
        kind=Class.UNOBSERVED,
        path=f"{ACT}/journal.py",
        was="            if not _is_damage(error):\n                raise",
        now="            raise",
        first=(Kind.JOURNAL_OVERWRITTEN,),
        at=(What.JOURNAL,),
        caught_by="tests/act/test_journal.py::test_damage_in_the_middle_of_work_is_survived",
    ),
    Bug(
        name="a removal counts as done while a cluster is silent",
        kind=Class.UNOBSERVED,
        path=f"{ACT}/intents.py",
        was="if unseen or not fleet.intents.remove:",
        now="if not fleet.intents.remove:",
        first=(Kind.PARTITION,),
        stories=("delete what no file has any more",),
        at=(What.OBSERVE,),
        then=(Kind.CRASH_BEFORE,),
        caught_by="tests/act/test_intents.py::test_a_removal_ends_when_every_cluster_says_that_nothing_is_left",
    ),
    Bug(
        name="destructive steps are taken whatever became of what they rest on",
        kind=Class.UNOBSERVED,
        path=f"{ACT}/preconditions.py",
        was="        if missing is not None:\n            return missing",
        now="        if missing is not None:\n            continue",
        stories=("roll", "scale by hand", "drain", "migrate"),
        first=(Kind.NODE_AWAY,),
        caught_by="tests/act/test_executor.py::test_nothing_is_given_up_when_what_the_plan_counts_on_is_not_there",
    ),
    Bug(
        name="that a cluster or a gateway falls silent is said by nobody",
        kind=Class.UNOBSERVED,
        path=f"{DECIDE}/merging.py",
        was="    if _answering(before) != _answering(after):\n        return None\n",
        now="",
        stories=("cluster lost and back", "roll"),
        first=(Kind.LOST_BEFORE, Kind.PARTITION),
        at=(What.OBSERVE, What.VIEW),
    ),
    # ---- intermediate, once more ----
    Bug(
        name="what became of steps is not taken over from the cluster's thread",
        kind=Class.INTERMEDIATE,
        path=f"{ACT}/executor.py",
        was="            self.outcomes += run.outcomes\n            self._patience",
        now="            self._patience",
        first=(Kind.THROTTLED,),
        caught_by="tests/act/test_executor.py::test_each_step_is_one_call_with_its_precondition",
    ),
    Bug(
        name="a failure says nothing about the step",
        kind=Class.INTERMEDIATE,
        path=f"{ACT}/calls.py",
        was="        case RoadsteadError():\n            return OutcomeKind.FAILED",
        now="        case RoadsteadError():\n            return OutcomeKind.UNKNOWN",
        first=(Kind.THROTTLED,),
        caught_by="tests/act/test_executor.py::test_every_error_is_an_outcome",
    ),
    Bug(
        name="the own back-off counts where the cluster asked for more",
        kind=Class.INTERMEDIATE,
        path=f"{ACT}/executor.py",
        was="if error.after_ms is not None else own",
        now="if error.after_ms is None else own",
        first=(Kind.THROTTLED,),
        caught_by="tests/act/test_executor.py::test_what_may_succeed_a_moment_later_is_tried_again",
    ),
    Bug(
        name="whoever is counted on need not serve any more",
        kind=Class.UNOBSERVED,
        path=f"{ACT}/preconditions.py",
        was='    return None if serving else f"{standing.replica} is counted on and does not serve"',
        now='    return None if found else f"{serving}"',
        stories=("drain",),
        first=(Kind.NODE_AWAY,),
        caught_by="tests/act/test_executor.py::test_nothing_is_given_up_when_what_the_plan_counts_on_is_not_there",
    ),
    Bug(
        name="a probe that fails is a word about the model",
        kind=Class.UNOBSERVED,
        path=f"{ACT}/prober.py",
        was="return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error=text)",
        now="return ModelState(status=ModelStatus.FAILED, incarnation=server.incarnation, error=text)",
        first=(Kind.FAILS,),
    ),
    Bug(
        name="a lost answer counts twice",
        kind=Class.UNOBSERVED,
        path=f"{ACT}/probing.py",
        was="entry.unknown + 1 if state",
        now="entry.unknown + 2 if state",
        first=(Kind.LOST_BEFORE,),
        caught_by="tests/act/test_probing.py::test_an_available_model_is_believed_until_it_failed_to_answer_often_enough",
    ),
    Bug(
        name="load is not looked at any more after the clock was set back",
        kind=Class.TIME,
        path=f"{DECIDE}/scaling.py",
        was="if known is None or not 0 <= elapsed <= 2 * self.turn.ms:",
        now="if known is None or elapsed > 2 * self.turn.ms:",
        stories=("scale by load",),
        first=(Kind.CLOCK_BACK,),
    ),
    Bug(
        name="an hour that a clock jumped is an hour without load",
        kind=Class.TIME,
        path=f"{DECIDE}/scaling.py",
        was="if known is None or not 0 <= elapsed <= 2 * self.turn.ms:",
        now="if known is None or elapsed < 0:",
        stories=("scale by load",),
        first=(Kind.CLOCK_FORTH,),
    ),
    # ---- time ----
    Bug(
        name="a clock that jumps forth ends every grace",
        kind=Class.TIME,
        path=f"{DECIDE}/course.py",
        was="min(max(0, case.now - known.at), longest)",
        now="max(0, case.now - known.at)",
        stories=("take down slowly",),
        first=(Kind.CLOCK_FORTH,),
        caught_by="tests/decide/test_reload.py::test_another_version_is_loaded_by_the_very_same_processes",
    ),
    Bug(
        name="a clock that jumps back takes away what was waited",
        kind=Class.TIME,
        path=f"{DECIDE}/course.py",
        was="min(max(0, case.now - known.at), longest)",
        now="min(case.now - known.at, longest)",
        stories=("scale by hand", "drain"),
        first=(Kind.CLOCK_BACK,),
        caught_by="tests/decide/test_clock.py::test_a_clock_that_is_set_back_holds_up_no_drain",
    ),
    Bug(
        name="a clock that jumps back counts as time that passed",
        kind=Class.TIME,
        path=f"{DECIDE}/course.py",
        was="min(max(0, case.now - known.at), longest)",
        now="min(abs(case.now - known.at), longest)",
        stories=("scale by hand", "drain", "roll, and change one's mind"),
        first=(Kind.CLOCK_BACK,),
        caught_by="tests/decide/test_clock.py::test_a_clock_that_is_set_back_holds_up_no_drain",
    ),
    Bug(
        name="a clock that jumps back makes a wait an hour longer",
        kind=Class.TIME,
        path=f"{DECIDE}/back_off.py",
        was="min(max(0, now - wait.at), longest_ms)",
        now="min(now - wait.at, longest_ms)",
        then=(Kind.CLOCK_BACK,),
        stories=("scale by hand",),
        first=(Kind.THROTTLED_LONG,),
        at=(What.APPLY,),
    ),
    Bug(
        name="a clock that jumps forth ends every wait",
        kind=Class.TIME,
        path=f"{DECIDE}/back_off.py",
        was="min(max(0, now - wait.at), longest_ms)",
        now="max(0, now - wait.at)",
        stories=("scale by hand",),
        then=(Kind.CLOCK_FORTH,),
        first=(Kind.THROTTLED_LONG,),
        at=(What.APPLY,),
    ),
    Bug(
        name="the same time is taken off a wait again and again",
        kind=Class.TIME,
        path=f"{DECIDE}/back_off.py",
        was="wait_ms=max(0, wait.wait_ms - elapsed), at=now)",
        now="wait_ms=max(0, wait.wait_ms - elapsed), at=wait.at)",
        stories=("scale by hand",),
        first=(Kind.THROTTLED_LONG,),
        at=(What.APPLY,),
    ),
    # ---- of plans for what changed ----
    Bug(
        name="what changed is planned for, though the owner changed the file",
        kind=Class.UNOBSERVED,
        path=f"{DECIDE}/merging.py",
        was="if last is None or last.fleet is not fleet or last.plan",
        now="if last is None or last.plan",
        stories=("scale two, one after the other",),
        first=(Kind.DUPLICATED, Kind.REORDERED),
    ),
    Bug(
        name="what changed is planned for, though the last plan was not remembered",
        kind=Class.INTERMEDIATE,
        path=f"{DECIDE}/merging.py",
        was="last.fleet is not fleet or last.plan.memory is not memory:",
        now="last.fleet is not fleet:",
        stories=("taken out of the file while it drains and another one grows",),
        first=(Kind.DISK_FULL,),
        at=(What.MEMORY,),
    ),
    Bug(
        name="that something else stands for a deployment touches nothing",
        kind=Class.UNOBSERVED,
        path=f"{DECIDE}/merging.py",
        was=" | _changed_settled(before, after)\n",
        now="\n",
        stories=("anybody may disturb it, says somebody",),
        temper="like Kubernetes",
    ),
    Bug(
        name="only the first of those that are counted on must still serve",
        kind=Class.UNOBSERVED,
        path=f"{ACT}/preconditions.py",
        was="for standing in step.standing:",
        now="for standing in step.standing[:1]:",
        stories=("roll", "drain", "migrate"),
        first=(Kind.NODE_AWAY,),
        at=(What.OBSERVE,),
    ),
)
