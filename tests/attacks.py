"""The attacks that the project is measured by, where each is tried, and what came of it.

`python -m tests.attacks > docs/assurance.md` reads the results of the last `make test` and of the last nightly run of
`make adversary`. Names without a package are in `tests.malicious`; what is no test there is a forgery, or a table of
them, which a test runs through the real prover.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from tests.adversary.score import SLOWEST
from tests.malicious import cases_accounts, cases_outputs, cases_selectors, cases_tables, cases_tree
from tests.malicious.cases import makers

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / ".cache" / "tests.xml"
NIGHTLY = ROOT / "docs" / "adversary.json"
EVERY_LABEL = (cases_accounts, cases_outputs, cases_selectors, cases_tables, cases_tree)
"""Importing them registers which labels their forgeries break."""

Results = Mapping[tuple[str, str], Mapping[str, str]]
"""Module and test -> parameters -> "passed", "skipped" or "failed"."""

Nightly = Mapping[str, Mapping[str, Any]]
"""Part of `make adversary` -> its `Score`, and where and when."""

_LABEL = "test_every_constraint.test_a_witness_that_breaks_it_is_named_and_refused"
RUN_BY = {
    **{module.__name__: _LABEL for module in EVERY_LABEL},
    "tests.malicious.test_every_constraint": _LABEL,
    "tests.malicious.test_every_record_constraint":
        "test_every_record_constraint.test_a_witness_that_breaks_it_is_named_and_refused",
    "tests.malicious.cheats": "test_cheats.test_a_cheat_is_named_and_refused",
    "tests.malicious.cheats_records": "test_risk_cheats.test_a_cheat_is_named_and_refused",
    "tests.malicious.cheats_outputs": "test_outputs.test_a_cheat_is_named_and_refused",
    "tests.malicious.wrong_records": "test_risk_cheats.test_wrong_records_are_refused_where_they_end",
    "tests.malicious.changed_statements": "test_risk_statement.test_a_statement_changed_after_proving_is_refused",
    "tests.malicious.test_shards": "test_shards.test_shards_that_are_good_one_by_one",
    "tests.api.web.forgeries": "tests.api.web.test_page_code.test_each_forgery_fails_at_its_step",
}  # fmt: skip
"""Module of forgeries -> the test that tries them."""


class Attack(NamedTuple):
    """What a cheating exchange, user or stranger does, and the tests, forgeries or tables of forgeries that try it."""

    what: str
    tried: tuple[str, ...]


def _verifier(module: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests.verifier.{module}.{name}" for name in names)


def _api(module: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests.api.{module}.{name}" for name in names)


def _suite(module: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests.adversary.{module}.{name}" for name in names)


ATTACKS: dict[int, Attack] = {
    1: Attack("a node that sums other than its children, or hashes other sums",
              ("cases_tree.smaller_sum", "cases_tree.emitted_sum", "cases_tree.value_row_sum")),
    2: Attack("a negative or wrapped balance: p - X, 2^64 - 1",
              ("cheats.amount_below_zero", "cheats.amount_of_2_64_minus_1",
               "cheats_records.deficit_in_a_byte_below_zero")),
    3: Attack("totals that wrap the field",
              ("test_limits.test_r1_a_total_that_wraps_the_field_is_stopped_by_its_bound_alone",
               "cheats_outputs.total_plus_the_modulus_by_a_carry")),
    4: Attack("two values packed into one field element, so that one pays for the other",
              ("test_attack_list.test_4_no_two_tuples_of_the_leg_table_meet", "cheats.aliased_value_of_a_child")),
    5: Attack("shards dropped, repeated, reordered, renumbered, or with masks that do not cancel",
              ("test_shards.CHANGES", "test_shards.test_a_proof_of_another_shard",
               "cases_outputs.another_mask_than_the_neighbour_s", "cheats_outputs.mask_word_read_in_two_ways")),
    6: Attack("a leaf outside of what is counted, with a valid path",
              ("cheats.leaf_that_nobody_made", "cheats.node_that_nobody_counts")),
    7: Attack("one leaf for two users", ("cheats.leaf_counted_twice", "cases_selectors.leaf_counted_twice")),
    8: Attack("a user left out", ("cheats.leaf_that_nobody_counts", "cases_accounts.dropped_close")),
    9: Attack("junk collateral against good debt",
              ("test_attack_list.test_9_junk_against_good_debt_shows_the_debt_and_the_deficit",)),
    10: Attack("another haircut tier, another instrument's curve, a holding split over entries",
               ("cheats_records.haircut_of_the_tier_before", "cheats_records.curve_of_another_instrument",
                "cheats_records.leg_of_the_next_instrument", "cheats_records.one_atom_above_the_first_tier",
                "cheats_records.first_tier_with_the_cap_of_the_second", "cheats_records.first_tier_twice",
                "cheats_records.tiers_in_another_order",
                "test_risk_cheats.test_any_other_split_over_tiers_only_loses_health")),
    11: Attack("an instrument outside the table", ("cheats.leg_outside_the_table",)),
    12: Attack("value moved between instruments",
               ("cheats_records.value_moved_between_instruments", "cheats.debt_counted_towards_another_total")),
    13: Attack("value moved between users", ("cheats.value_of_another_child", "wrong_records.moved_deficit")),
    14: Attack("any witness cell changed, any rule of the circuit or bus broken alone",
               ("test_every_constraint.LABELS", "test_every_record_constraint.LABELS", "test_every_bus",
                "tests.adversary.test_cells")),
    15: Attack("a tree over other amounts than were summed", ("cases_accounts.hashed_one_amount_summed_another",)),
    16: Attack("circuit, key or parameters chosen by the prover", ("changed_statements.AFTERWARDS",)),
    17: Attack("leaf taken for a node, path too long or short",
               ("cases_tree.account_poses_as_node", "test_forgeries.test_an_account_poses_as_the_node_above_a_victim",
                *_api("web.forgeries", "named"))),
    18: Attack("another spelling: x + p, 1.0, keys twice, bytes at the end",
               ("cheats.byte_of_256", *_verifier("test_proof", "test_a_word_plus_p_is_refused"),
                *_api("web.forgeries", "_spellings"))),
    19: Attack("symbols, decimals or prices changed after proving",
               ("test_risk_statement.test_a_statement_changed_after_proving_is_refused",)),
    20: Attack("an old snapshot or address signature shown again",
               (*_api("reserves.test_challenge", "test_a_replay_is_named"),
                *_api("publishing.test_publish", "test_what_does_not_follow_is_not_published"))),
    21: Attack("two roots for one sequence number",
               (*_api("publishing.test_publish", "test_a_second_checkpoint_of_one_size_is_never_recorded"),
                *_verifier("log.test_proof_and_fraud", "test_two_roots_of_one_size_are_fraud"))),
    22: Attack("history rewritten between two visits",
               (*_api("publishing.test_publish", "test_a_rewritten_log_is_found", "test_a_shortened_log_is_found"),
                *_verifier("log.test_command", "test_checkpoints_that_are_not_continued"))),
    23: Attack("a leaf guessed from a dictionary, a user linked over snapshots",
               ("test_limits.test_no_value_commitment_is_used_twice",)),
    24: Attack("buckets above what is held",
               ("cheats_records.collateral_counted_towards_the_free_coins",
                "cheats_records.free_coins_published_as_collateral",
                "test_attack_list.test_24_what_helps_as_collateral_is_held", "changed_statements.bucket_more")),
    25: Attack("node chains that are cut off or go in circles; padding that contributes",
               ("test_forgeries.test_a_node_that_contains_itself", "cases_tree.node_that_never_ends")),
    26: Attack("anything chosen after the challenge that depends on it",
               ("test_every_transcript_step.test_a_step_done_otherwise_is_refused",
                *_verifier("test_malicious", "test_nothing_may_be_chosen_after_its_challenge"),
                *_verifier("test_transcript", "test_every_challenge_depends_on_every_byte_before_it",
                           "test_start_binds_protocol_circuit_parameters_rows_and_statement"))),
    27: Attack("openings or final polynomial that the transcript does not know",
               _verifier("test_malicious", "test_a_false_final_polynomial", "test_a_false_opening_leaves_no_polynomial")
               + _verifier("test_transcript", "test_the_schedule_does_each_thing_once")),
    28: Attack("another terminal of a bus",
               _verifier("test_malicious_witness", "test_lookups_and_totals_hold",
                         "test_true_totals_of_another_ledger")),
    29: Attack("a final polynomial of another length", _verifier("test_stark", "test_sections_have_one_length")),
    30: Attack("one query, layer, column or sibling more or fewer",
               _verifier("test_stark", "test_sections_have_one_length", "test_one_change_one_reason")
               + _verifier("test_fri", "test_exactly_the_asked_leaves_are_opened")
               + _verifier("test_merkle", "test_siblings_are_consumed_exactly")),
    31: Attack("queries, rate, arity or grinding claimed by the file",
               _verifier("test_params", "test_any_other_profile_is_refused", "test_the_digest_covers_every_field")
               + _verifier("test_stark", "test_other_parameters_are_refused")),
    32: Attack("another trace height", _verifier("test_stark", "test_other_heights_are_refused")),
    33: Attack("a lie at the out-of-domain point",
               (*_verifier("test_malicious", "test_a_false_opening_fails_at_every_position"),
                "test_lies.test_a_lie_about_a_column_is_seen_at_the_queries", "test_fri_cheats")),
    34: Attack("an out-of-domain point inside a domain",
               _verifier("test_malicious", "test_zeta_in_a_domain_is_a_clean_refusal",
                         "test_a_challenge_in_the_base_field_is_refused")),
    35: Attack("a proof of work that is wrong, reused, or not asked for",
               _verifier("test_malicious", "test_skipped_work_is_refused")
               + _verifier("test_stark", "test_a_nonce_serves_once")),
    36: Attack("an opened row of another width, a value in the neighbouring matrix",
               _verifier("test_malicious", "test_rows_are_committed_to_as_wide_as_the_circuit")),
    37: Attack("one hash for inputs of two lengths",
               _verifier("test_hashing", "test_rows_of_different_length_never_meet", "test_kinds_never_meet")),
    38: Attack("selectors off by one, flags of 2, two flags at once, padding with a multiplicity",
               ("cases_selectors.entry_counted_twice", "cases_selectors.account_poses_as_dummy",
                "test_tables.test_multiplicities_on_hidden_rows_count_nothing",
                "test_boundaries.test_a_domain_off_by_one_is_refused")),
    39: Attack("a wrapped multiplicity, a tuple on another bus",
               (*_verifier("test_malicious_witness", "test_a_wrapped_multiplicity_does_not_help"),
                "test_tables.test_a_wrong_multiplicity_is_named_and_refused",
                "test_every_bus.test_every_lie_about_a_fraction_is_named")),
    40: Attack("quotient chunks exchanged", _verifier("test_malicious", "test_swapped_chunks_are_refused")),
    41: Attack("a mask that shares a coefficient with a claim",
               _verifier("test_malicious", "test_the_mask_has_its_own_coefficient")),
    42: Attack("randomness used twice",
               (*_verifier("test_stark", "test_two_proofs_of_one_witness_share_nothing_secret"),
                "tests.prover.test_zero_knowledge.test_streams_differ_by_label_seed_and_context",
                "test_reused_randomness", *_suite("test_secrets", "test_proofs_of_one_witness_share_nothing",
                                                  "test_no_stream_is_drawn_from_twice"))),
    43: Attack("a proof of another snapshot or circuit version",
               _verifier("test_stark", "test_another_relation_is_refused",
                         "test_parts_of_another_proof_of_the_same_statement")),
    44: Attack("wrong constants of the tree hash",
               _verifier("test_poseidon", "test_a_damaged_table_cannot_be_imported", "test_self_test_refuses")),
    45: Attack("giant lengths, noise: bounded memory, and only the typed error",
               _verifier("test_proof", "test_counts_are_bounded_before_anything_is_built",
                         "test_noise_is_refused_by_name")
               + _verifier("test_stark", "test_every_byte_counts", "test_random_damage_is_refused_by_name")
               + _suite("test_adversary", "test_every_byte_of_small_files", "test_the_corpus", "test_costly_shapes")),
    46: Attack("kill -9 at every write",
               (*_api("publishing.test_crash", "test_killed_at_every_write"),
                "tests.exchange.test_crash.test_nothing_acknowledged_is_lost",
                "tests.prover.shards.test_run.test_killed_at_any_point_it_goes_on_to_the_same_bytes",
                *_api("publishing.test_witness", "test_killed_at_every_write_it_forgets_nothing_that_it_gave_away"),
                *_suite("test_faults", "test_a_store_survives"))),
    47: Attack("a full disk, a database that cannot be written, a clock that jumps back",
               _api("publishing.test_crash", "test_a_full_disk_at_every_write")
               + _api("publishing.test_publish", "test_a_database_that_cannot_be_written")
               + _api("publishing.test_witness", "test_a_clock_that_jumps_back_makes_no_newer_cosignature_older")
               + _suite("test_faults", "test_a_disk_that_fails_is_one_line_and_503",
                        "test_a_clock_that_is_set_back_stops_no_cancel")),
    48: Attack("slow, huge, malformed and concurrent requests",
               _api("publishing.test_writing", "test_files_that_are_not_taken", "test_lists_that_are_none",
                    "test_schemathesis_finds_nothing")
               + _api("publishing.test_witness_http", "test_nobody_waits_for_a_witness_that_drips")
               + _api("service.test_limits", "test_over_http")
               + _suite("test_faults", "test_a_head_that_does_not_end_is_broken_off",
                        "test_a_flood_of_cancels_does_not_turn_the_venue_away")),
    49: Attack("another user's bundle by guessing, timing or a cache",
               _api("service.test_handing", "test_all_others_get_one_answer", "test_a_refusal_takes_the_same_work",
                    "test_a_refusal_takes_the_same_time", "test_accounts_of_usual_size_look_alike",
                    "test_padding_is_as_long_in_packed_headers")),
    50: Attack("a witness asked for two histories at once",
               _api("publishing.test_witness", "test_a_race_rolls_nothing_back",
                    "test_many_at_once_are_one_after_the_other", "test_two_histories_are_not_cosigned")),
    51: Attack("what happened to venues: every incident on record",
               ("tests.exchange.test_incidents", "tests.exchange.test_recent_incidents")),
}  # fmt: skip

_PROOFS = ("proofs", "every byte of a proof", "differential")
_FILES = ("bundles", "every byte", "differential", "fuzz", "large files")
TRIED_NIGHTLY = {
    **dict.fromkeys((13, 17), ("bundles",)),
    14: ("cells", "mutated witnesses", "rules", "bus lies"),
    18: _FILES,
    23: ("secrets",),
    **dict.fromkeys(range(26, 38), _PROOFS),
    39: ("bus lies",),
    41: ("secrets",),
    42: ("secrets",),
    43: _PROOFS,
    45: (*_PROOFS, *_FILES),
    46: ("faults: kill", "faults: power"),
    47: ("faults: failing disk", "faults: clocks"),
    48: ("faults: HTTP", "faults: handed in twice", "faults: duplicate delivery", "faults: overload"),
}
"""Number of the attack -> parts of `make adversary` that try it among other things, by the beginning of their names."""


def place(name: str) -> tuple[str, str]:
    """Module, and what in it; empty for all of it."""
    whole = name if name.startswith("tests.") else f"tests.malicious.{name}"
    if (ROOT / (whole.replace(".", "/") + ".py")).is_file():
        return whole, ""
    module, _, attribute = whole.rpartition(".")
    return module, attribute


def read_results(path: Path = RESULTS) -> Results:
    """What pytest wrote with `--junitxml`; nothing where it was not run."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    if path.is_file():
        for case in ElementTree.parse(path).iter("testcase"):
            test, _, parameters = case.attrib["name"].partition("[")
            outcome = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
            found.setdefault((case.attrib["classname"], test), {})[parameters.removesuffix("]")] = outcome
    return found


def read_nightly(path: Path = NIGHTLY) -> Nightly:
    """What `make adversary --write` left; nothing where it never ran."""
    return json.loads(path.read_text("utf-8"))["scores"] if path.is_file() else {}


def cases_of(name: str, results: Results) -> list[str]:
    """Outcomes of the test cases in which the test, forgery or table of this name is tried."""
    module, attribute = place(name)
    if not attribute:
        return [outcome for (of, _), cases in results.items() if of == module for outcome in cases.values()]
    if attribute.startswith("test_"):
        return list(results.get((module, attribute), {}).values())
    cases = results.get(place(RUN_BY[module]), {})
    made = [label for label in cases if any(maker.__name__ == attribute for maker, _ in makers(label))]
    chosen = made or [label for label in cases if attribute in label.split("-")]
    return [cases[label] for label in chosen or cases]


def row(number: int, attack: Attack, results: Results, nightly: Nightly) -> str:
    """One line of the page's table."""
    names = ", ".join(f"`{name.removeprefix('tests.')}`" for name in attack.tried)
    found = [outcome for name in attack.tried for outcome in cases_of(name, results)]
    parts = TRIED_NIGHTLY.get(number, ())
    scores = [score for name, score in nightly.items() if name.startswith(parts)]
    tried = sum(score["tried"] for score in scores)
    wrong = sorted(set(found) - {"passed"})
    wrong += [word for word in ("accepted", "foreign") if any(score[word] for score in scores)]
    result = ", ".join(f"**{word}**" for word in wrong) or ("refused" if found else "")
    return f"| {number} | {attack.what} | {names} | {_count(len(found))} | {_count(tried)} | {result} |"


def nightly_section(nightly: Nightly) -> list[str]:
    """What `make adversary` tried, part by part."""
    lines = [
        "## Nightly run",
        "",
        "| part | tried | accepted | foreign exceptions | seconds | slowest case | seed | commit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, score in sorted(nightly.items()):
        counts = (_count(score["tried"]), score["accepted"], score["foreign"], f"{score['seconds']:,.0f}")
        slowest = f"{score['notes'][SLOWEST]:,} ms" if SLOWEST in score["notes"] else ""
        figures = " | ".join(map(str, (*counts, slowest, score["seed"], score["commit"][:7])))
        part = name if score["size"] == "nightly" else f"{name} ({score['size']})"
        lines.append(f"| {part} | {figures} |")
    return lines


def page(results: Results, nightly: Nightly) -> str:
    """docs/assurance.md."""
    cases = sum(map(len, results.values()))
    lines = [
        "# Assurance: every attack on the list, where it is tried, and what came of it",
        "",
        "Generated by `make assurance` from the last run of the tests and the last nightly run of `make adversary`; a",
        "test compares all but numbers and results. *Cases* counts tests, and forgeries that a test runs through the",
        "real prover; *nightly* what random and exhaustive parts tried against the same check and others. Who cheats",
        "whom: [threat-model.md](threat-model.md). Mutants of the verifier's own code: [mutation.md](mutation.md).",
        "",
        "| | attack | tried by | cases | nightly | result |",
        "|---|---|---|---|---|---|",
        *(row(number, attack, results, nightly) for number, attack in ATTACKS.items()),
        "",
        f"All tests of that run: {_count(cases)}.",
        "",
        *nightly_section(nightly),
    ]
    return "\n".join(lines) + "\n"


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


if __name__ == "__main__":
    print(page(read_results(), read_nightly()), end="")
