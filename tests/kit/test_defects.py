"""Every test of the kit can fail: for each there is a backend with one defect that does not pass it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import pytest

from roadstead.spi.backend import Backend
from roadstead.testing.conformance import AREAS, BackendConformance
from roadstead_backends.simulated.cluster import SimulatedCluster
from roadstead_backends.simulated.tempers import DIRECTED, KUBERNETES, NATIVE, Temper
from tests.kit import doing_wrong as doing
from tests.kit import showing_wrong as showing
from tests.kit.clusters import SimulatedSubject, wrapped
from tests.kit.wrapping import Bare, Faithful

Wrap = Callable[[SimulatedCluster], Backend]

_LOOKS = 200

UNHEALED = attrs.evolve(NATIVE, able=attrs.evolve(NATIVE.able, heals_alone=False))
UNPLACED = attrs.evolve(NATIVE, picks=None)


@attrs.frozen
class Defect:
    """A backend that is wrong in one place, and the kind of cluster that it is wrong about."""

    wrong: Wrap
    temper: Temper = DIRECTED


DEFECTS: Mapping[str, Defect] = {
    # contract
    "test_a_created_group_carries_all_that_it_was_ordered_with": Defect(showing.ForgetsTheGeneration),
    "test_the_first_look_after_a_change_shows_it": Defect(showing.LooksLate),
    "test_a_group_of_no_replicas_is_kept": Defect(showing.HidesEmptyGroups),
    "test_two_groups_do_not_touch_each_other": Defect(showing.HasOneVersionForAll),
    "test_growing_keeps_the_replicas_that_are_there": Defect(doing.RestartsWhenItGrows),
    "test_an_existing_group_takes_owner_and_generation_and_restarts_nothing": Defect(doing.KeepsTheOldOwner),
    "test_an_existing_group_never_takes_another_template": Defect(showing.ShowsTheLastTemplate),
    "test_a_reloading_group_takes_another_model_version_and_restarts_nothing": Defect(doing.NeverReloads),
    "test_an_unknown_group_can_be_deleted": Defect(doing.RefusesToDeleteNothing),
    "test_a_deleted_group_and_its_replicas_are_gone_in_the_end": Defect(doing.OnlyEmpties),
    "test_a_group_that_lost_a_replica_can_be_deleted": Defect(doing.WaitsForTheLost),
    "test_replicas_that_are_stopping_are_still_seen": Defect(showing.HidesWhoStops),
    "test_a_group_can_be_made_again_under_its_old_key": Defect(showing.CountsVersionsFromOne),
    "test_a_native_cluster_places_and_starts_by_itself": Defect(Faithful, UNPLACED),
    # observing
    "test_it_has_the_methods_for_what_it_says_it_can": Defect(Bare),
    "test_a_snapshot_carries_the_capabilities_of_now": Defect(showing.ShowsOldCapabilities),
    "test_what_did_not_change_is_the_same_object": Defect(showing.CopiesGroups),
    "test_every_replica_has_an_id_of_its_own": Defect(showing.NumbersReplicasByGroup),
    "test_a_replica_has_what_belongs_to_its_phase": Defect(showing.PutsSlotsSomewhere),
    "test_a_running_replica_has_an_endpoint_of_its_own": Defect(showing.GivesOneAddress),
    "test_node_names_are_unique": Defect(showing.ShowsNodesTwice),
    "test_what_our_replicas_hold_is_not_foreign": Defect(showing.TakesOursForForeign),
    "test_usage_is_of_running_replicas_only": Defect(showing.MeasuresTheAbsent),
    "test_whoever_watches_is_woken_by_a_change": Defect(showing.NeverWakes),
    "test_what_a_server_printed_can_be_read_in_whole_lines": Defect(showing.CutsLines),
    "test_an_unknown_replica_has_no_logs": Defect(showing.HasNoLogsOfNobody),
    "test_the_next_daemon_finds_everything_as_it_was": Defect(doing.KillsWhenItCloses),
    "test_the_next_daemon_can_change_what_it_finds": Defect(doing.ChangesOnlyItsOwn),
    # idempotency
    "test_creating_twice_is_refused_and_makes_nothing": Defect(doing.IgnoresThatItExists),
    "test_repeating_a_count_changes_nothing": Defect(showing.CountsCallsAsVersions),
    "test_deleting_again_while_it_ends_does_no_harm": Defect(doing.RefusesToDeleteAgain),
    "test_deleting_again_what_is_gone_does_no_harm": Defect(doing.ConflictsOverTheGone),
    "test_binding_again_to_the_same_node_is_fine": Defect(doing.RefusesToBindAgain),
    "test_a_creation_whose_reply_was_lost_can_be_asked_again": Defect(doing.TakesLostForUnreachable),
    "test_a_change_whose_reply_was_lost_was_made_once": Defect(doing.MakesLostChangesAgain),
    "test_a_deletion_whose_reply_was_lost_can_be_asked_again": Defect(doing.TakesALostDeletionForRetryable),
    "test_a_lost_request_changed_nothing_and_can_be_made_again": Defect(doing.TakesLostForDone),
    "test_a_bind_whose_reply_was_lost_can_be_asked_again": Defect(doing.RefusesToBindAgain),
    # preconditions
    "test_a_count_for_an_old_version_is_refused": Defect(doing.IgnoresOldVersions),
    "test_a_count_for_a_group_that_is_gone_is_refused": Defect(doing.RecreatesTheGone),
    "test_a_deletion_for_an_old_version_is_refused": Defect(doing.DeletesOldVersions),
    "test_a_deletion_of_what_should_not_exist_is_refused": Defect(doing.DeletesOldVersions),
    "test_a_version_comes_only_once": Defect(showing.TakesTheCountForTheVersion),
    "test_a_lost_replica_is_a_change_of_the_group": Defect(showing.TakesTheCountForTheVersion),
    "test_binding_leaves_the_version": Defect(showing.PutsPhasesInTheVersion),
    "test_restarting_leaves_the_version": Defect(showing.PutsProcessesInTheVersion),
    "test_a_version_as_it_is_now_always_does": Defect(showing.ShowsTheFirstVersion),
    # ownership
    "test_what_belongs_to_others_is_not_shown_but_told_of": Defect(showing.TellsOfNobody),
    "test_nobody_else_is_told_of_where_nobody_is": Defect(showing.TellsOfUs),
    "test_a_group_of_others_cannot_be_changed": Defect(doing.TakesWhatIsNotOurs),
    "test_a_group_of_others_cannot_be_deleted": Defect(doing.DeletesWhatIsNotOurs),
    # placement
    "test_a_slot_stays_one_until_it_is_bound": Defect(doing.BindsByItself),
    "test_a_bound_slot_starts_on_its_node": Defect(doing.BindsToTheFirst),
    "test_binding_elsewhere_is_refused": Defect(doing.BindsWhatItCan),
    "test_binding_a_slot_that_is_gone_is_refused": Defect(doing.BindsWhatItCan),
    "test_an_unknown_node_has_no_room": Defect(doing.RejectsUnknownNodes),
    "test_what_is_larger_than_a_node_is_refused": Defect(doing.FillsNodesOver),
    "test_what_runs_takes_its_room": Defect(doing.FillsNodesOver),
    "test_a_replica_gets_the_devices_that_it_was_bound_to": Defect(showing.HidesDevices),
    # scaling
    "test_exactly_the_named_replicas_go": Defect(doing.RetiresTheOthers),
    "test_no_more_of_the_named_go_than_must": Defect(doing.RetiresAllThatAreNamed),
    "test_nobody_goes_while_a_group_grows": Defect(doing.RetiresAndGrows),
    "test_a_name_that_nobody_has_retires_nobody_in_particular": Defect(doing.WaitsForTheNamed),
    "test_slots_go_before_running_replicas": Defect(doing.GivesUpServersFirst),
    "test_retired_replicas_end_and_the_others_do_not_notice": Defect(doing.RestartsWhenItShrinks),
    "test_who_is_on_its_way_out_is_not_counted": Defect(doing.CountsWhoStops),
    "test_a_group_at_zero_grows_again_with_new_replicas": Defect(showing.UsesIdsAgain, NATIVE),
    "test_asking_for_the_same_count_replaces_who_was_lost": Defect(doing.LeavesTheLost),
    "test_who_was_lost_is_replaced_while_nobody_asks": Defect(showing.SaysThatItHeals, UNHEALED),
    "test_a_slot_that_is_given_up_is_gone_at_once": Defect(showing.LetsSlotsLinger),
    # restarts
    "test_a_restarted_replica_is_another_incarnation_of_itself": Defect(showing.CountsNoRestarts),
    "test_restarting_one_leaves_the_others": Defect(doing.RestartsTheGroup),
    "test_restarting_nobody_is_refused": Defect(doing.RestartsNobody),
    "test_a_crashed_server_is_never_taken_for_the_one_before": Defect(showing.ForgetsEnds),
    # eviction
    "test_an_evicted_replica_ends_and_the_others_do_not_notice": Defect(doing.EvictsTheGroup),
    "test_an_evicted_replica_is_replaced_when_the_group_is_asked_for": Defect(doing.EvictsForGood),
    "test_evicting_again_while_it_ends_does_no_harm": Defect(doing.RefusesToEvictAgain),
    "test_evicting_nobody_is_refused": Defect(doing.EvictsNobody),
    # drift
    "test_nothing_has_drifted_that_nobody_else_changed": Defect(showing.SeesDriftInCounts),
    "test_what_somebody_else_changed_is_shown_with_both_values": Defect(showing.ShowsNoDrift),
    "test_a_change_by_somebody_else_is_a_change_of_the_group": Defect(showing.MissesMeddlingInTheVersion),
    # reverting
    "test_what_was_changed_is_as_it_was_made_again": Defect(doing.RevertsByAskingAnew),
    "test_replicas_that_were_made_meanwhile_are_told_apart": Defect(showing.TellsNoStrayApart),
    "test_putting_back_what_nobody_changed_changes_nothing": Defect(doing.RevertsWhatIsAsItWas),
    "test_a_decision_from_before_the_change_puts_nothing_back": Defect(doing.RevertsOldDecisions),
    "test_putting_back_a_group_that_is_gone_makes_none": Defect(doing.RevertsTheGone),
    "test_one_group_is_put_back_and_not_its_neighbour": Defect(doing.RevertsAllAtOnce),
    "test_a_revert_whose_reply_was_lost_can_be_asked_again": Defect(doing.RevertsOnceOnly),
    # settling
    "test_it_stands_before_there_is_a_group_and_is_shown_at_once": Defect(doing.SettlesWithTheGroup, KUBERNETES),
    "test_another_floor_takes_the_place_of_the_one_before": Defect(doing.NeverLowers, KUBERNETES),
    "test_what_is_removed_stands_no_more": Defect(doing.RemovesAllThatStands, KUBERNETES),
    "test_what_stands_as_before_is_the_same_object": Defect(showing.CopiesWhatStands, KUBERNETES),
    "test_groups_do_not_notice_what_stands_for_them": Defect(doing.SettlesByTouchingGroups, KUBERNETES),
    "test_what_was_asked_and_not_answered_can_be_asked_again": Defect(doing.TakesALostFloorForDone, KUBERNETES),
    "test_what_stands_for_others_is_left_alone": Defect(doing.SettlesForOthers, KUBERNETES),
    # failures
    "test_a_conflict_names_the_cluster_and_the_group": Defect(doing.NamesNoCluster),
    "test_every_refusal_is_told_in_the_contract_s_words": Defect(doing.TakesForbiddenForRejected),
    "test_a_refused_deletion_leaves_the_group": Defect(doing.DeletesAgain),
    "test_what_cannot_be_seen_is_not_told_as_empty": Defect(showing.ShowsNothingWhenCutOff),
    "test_a_change_that_cannot_be_asked_for_is_not_made": Defect(doing.DoubtsWhatItKnows),
    "test_servers_run_on_while_nobody_can_reach_the_cluster": Defect(doing.KillsWhenCutOff),
    # side by side
    "test_it_does_what_the_simulated_cluster_does": Defect(doing.MissesEveryFourth),
}

_SOUND = {UNPLACED: NATIVE, UNHEALED: NATIVE}
"""The kind of cluster that a defective one is like, where the defect is the cluster's and not the backend's."""


class Quick(BackendConformance):
    """The kit, with stories short enough to be told twice."""

    examples = 5


def _subject(wrap: Wrap, temper: Temper) -> SimulatedSubject:
    subject = wrapped(temper, wrap)
    subject.looks = _LOOKS
    return subject


def _ask(test: str, subject: SimulatedSubject) -> None:
    """Ask one test of a cluster; that it is not asked after all is a mistake of the table."""
    try:
        getattr(Quick(), test)(subject)
    except pytest.skip.Exception as skipped:
        raise LookupError(f"{test} was not asked: {skipped}") from skipped


def test_every_test_of_the_kit_has_a_defect_that_it_finds() -> None:
    """The table below leaves none out, and names none that is not there."""
    tests = [name for area in AREAS for name in vars(area) if name.startswith("test_")]
    assert sorted(tests) == sorted(DEFECTS)


@pytest.mark.parametrize("test", DEFECTS)
def test_a_backend_without_the_defect_passes(test: str) -> None:
    """What the next test finds is the defect and nothing else."""
    temper = DEFECTS[test].temper
    _ask(test, _subject(Faithful, _SOUND.get(temper, temper)))


@pytest.mark.parametrize("test", DEFECTS)
def test_a_backend_with_the_defect_fails(test: str) -> None:
    """One wrong place in a backend is enough."""
    defect = DEFECTS[test]
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:  # whatever it fails with
        _ask(test, _subject(defect.wrong, defect.temper))
    assert not isinstance(caught.value, LookupError), caught.value
