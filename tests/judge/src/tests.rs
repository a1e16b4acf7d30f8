// SPDX-License-Identifier: GPL-3.0-or-later
//! Histories that are as they should be, and histories of which each kind of fault must be found.

use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::ScriptKind::{self, Connect, Disconnect, Ifdown, Ifup, OnDown, OnUp};

use crate::history::CauseKind::{Added, Answered, Reconnecting, Removed, Unreachable};
use crate::history::{
    Asked, Cause, CauseKind, Certainty, Noted, NotedKind, PeerHistory, ScriptRun, Source, Span,
    Told,
};
use crate::noted;
use crate::rest::Health;
use crate::{Row, judge};

/// A history with these causes, each `(when, what)`, and these runs, each `(start, what, end)`.
fn history(causes: &[(u64, CauseKind)], runs: &[(u64, ScriptKind, u64)]) -> PeerHistory {
    PeerHistory {
        causes: causes
            .iter()
            .map(|(at, kind)| Cause {
                kind: *kind,
                when: at_once(*at),
                certainty: Certainty::Certain,
            })
            .collect(),
        runs: runs
            .iter()
            .zip(1..)
            .map(|((start, kind, end), pid)| ScriptRun {
                kind: *kind,
                number: None,
                pid,
                start: Monotonic(*start),
                end: (*end > 0).then_some(Monotonic(*end)),
                beside_another: false,
                source: Source::Script,
            })
            .collect(),
        ..PeerHistory::default()
    }
}

fn at_once(at: u64) -> Span {
    Span {
        from: Monotonic(at),
        to: Monotonic(at),
    }
}

fn told(at: u64, kind: ScriptKind) -> Told {
    Told {
        kind,
        when: at_once(at),
        code: "exit-lost".to_owned(),
    }
}

/// Gives the runs these numbers.
fn numbered(mut history: PeerHistory, numbers: &[u64]) -> PeerHistory {
    for (run, number) in history.runs.iter_mut().zip(numbers) {
        run.number = Some(*number);
    }
    history
}

fn rows(history: &PeerHistory) -> Vec<Row> {
    judge(history, &Health::default())
        .into_iter()
        .map(|finding| finding.row)
        .collect()
}

const NONE: [Row; 0] = [];

#[test]
fn scripts_that_take_turns_after_their_causes_are_right() {
    let causes = [(1, Added), (5, Removed), (10, Added)];
    let runs = [(2, Ifup, 4), (6, Ifdown, 8), (11, Ifup, 12)];
    assert_eq!(rows(&history(&causes, &runs)), NONE);
    assert_eq!(rows(&history(&[], &[])), NONE);
}

#[test]
fn pairs_of_causes_may_be_passed_over() {
    let gone_again = [(1, Added), (2, Removed)];
    assert_eq!(rows(&history(&gone_again, &[])), NONE);
    let collapsed = [
        (1, Added),
        (2, Removed),
        (3, Added),
        (4, Removed),
        (5, Added),
    ];
    let runs = [(6, Ifup, 7)];
    assert_eq!(rows(&history(&collapsed, &runs)), NONE);
    let late = [(1, Added), (3, Removed), (3, Added)];
    let runs = [(2, Ifup, 4), (5, Ifdown, 6), (7, Ifup, 8)];
    assert_eq!(rows(&history(&late, &runs)), NONE);
}

/// What is wrong with a history whose instants are in milliseconds, if the service could run
/// scripts in these times, and has run `ifup` and `ifdown` of other peers that were added at these
/// instants.
#[derive(Clone)]
struct Slow {
    history: PeerHistory,
    times: Vec<(u64, u64)>,
    others: Vec<u64>,
}

const fn millis(at: u64) -> u64 {
    at * 1_000_000
}

impl Slow {
    fn new(causes: &[(u64, CauseKind)], runs: &[(u64, ScriptKind, u64)]) -> Self {
        let causes = causes.iter().map(|(at, kind)| (millis(*at), *kind));
        let runs = runs.iter();
        let runs = runs.map(|(start, kind, end)| (millis(*start), *kind, millis(*end)));
        Slow {
            history: history(&causes.collect::<Vec<_>>(), &runs.collect::<Vec<_>>()),
            times: vec![(0, 70_000)],
            others: (0..70_000).step_by(500).collect(),
        }
    }

    fn rows(&self) -> Vec<Row> {
        let times = self.times.iter().map(|(from, to)| Span {
            from: Monotonic(millis(*from)),
            to: Monotonic(millis(*to)),
        });
        let others = self.others.iter().map(|at| {
            let causes = [(millis(*at), Added), (millis(*at + 250), Removed)];
            let runs = [
                (millis(*at + 100), Ifup, millis(*at + 200)),
                (millis(*at + 300), Ifdown, millis(*at + 400)),
            ];
            let other = numbered(history(&causes, &runs), &[*at, *at + 1]);
            (format!("q{at}"), other)
        });
        let health = Health::new(times.collect(), &others.collect());
        let found = judge(&self.history, &health).into_iter();
        found.map(|finding| finding.row).collect()
    }

    fn in_times(&self, times: &[(u64, u64)]) -> Vec<Row> {
        let times = times.to_vec();
        Slow {
            times,
            ..self.clone()
        }
        .rows()
    }
}

#[test]
fn a_service_that_could_run_scripts_may_not_pass_over_a_peer_that_stays() {
    let causes = [(1_000, Added), (60_000, Removed)];
    let mut over = Slow::new(&causes, &[]);
    assert_eq!(over.in_times(&[]), NONE, "nobody knows whether it could");
    assert_eq!(over.in_times(&[(0, 1_900)]), NONE, "not long enough");
    assert_eq!(over.in_times(&[(59_200, 70_000)]), NONE);
    let apart = [(0, 1_900), (3_000, 3_900)];
    assert_eq!(over.in_times(&apart), NONE, "something was wrong between");
    assert_eq!(over.in_times(&[(50_000, 55_000)]), NONE, "it may come yet");
    assert_eq!(over.in_times(&[(50_000, 58_000)]), [Row::Lost]);
    assert_eq!(over.rows(), [Row::Lost]);
    over.others = vec![500, 1_300, 60_500];
    assert_eq!(over.in_times(&[(0, 20_000)]), NONE, "others may be first");
    over.others = vec![500];
    assert_eq!(over.rows(), [Row::Lost], "there is no reason for so long");
    over.others = vec![1_450];
    assert_eq!(over.in_times(&[(0, 20_000)]), NONE, "it may come yet");
    over.others = vec![3_000];
    assert_eq!(over.in_times(&[(0, 20_000)]), [Row::Lost]);
    let run = [(1_100, Ifup, 1_200), (60_100, Ifdown, 60_200)];
    assert_eq!(Slow::new(&causes, &run).rows(), NONE);
    // The others have the instants at which they were added for numbers.
    let late = [(50_000, Ifup, 50_100), (60_100, Ifdown, 60_200)];
    for (number, wanted) in [(1_500, &NONE[..]), (49_900, &[Row::Lost])] {
        let mut late = Slow::new(&causes, &late);
        late.history = numbered(late.history, &[number, 60_050]);
        assert_eq!(late.rows(), wanted, "ordered as number {number}");
    }
    let short = Slow::new(&[(1_000, Added), (1_900, Removed)], &[]);
    assert_eq!(short.rows(), NONE, "it may not have been started yet");
}

#[test]
fn a_service_that_could_run_scripts_may_not_leave_a_setup_of_a_peer_that_is_gone_for_long() {
    let causes = [(1_000, Added), (5_000, Removed), (60_000, Added)];
    let mut kept = Slow::new(&causes, &[(1_100, Ifup, 1_200)]);
    assert_eq!(kept.in_times(&[]), NONE, "it may be the same peer for it");
    assert_eq!(kept.rows(), [Row::Lost]);
    kept.history.told = vec![told(millis(5_100), Ifdown)];
    assert_eq!(kept.rows(), NONE);
}

#[test]
fn a_script_that_waits_for_another_one_of_its_lane_is_not_lost() {
    let causes = [
        (1_000, Added),
        (1_900, Removed),
        (3_000, Added),
        (9_000, Removed),
    ];
    for (end, wanted) in [
        (8_000, &NONE[..]),
        (0, &[Row::CutShort]),
        (5_000, &[Row::Lost]),
    ] {
        let runs = [(1_100, Ifup, 1_200), (2_000, Ifdown, end)];
        assert_eq!(Slow::new(&causes, &runs).rows(), wanted, "ends at {end}");
    }
    let runs = [(1_100, Ifup, 9_000), (9_001, Connect, 9_100)];
    let mut connects = Slow::new(&causes[..1], &runs);
    connects.history.has_connection = true;
    assert_eq!(connects.rows(), NONE, "a command waits for ifup");
}

#[test]
fn what_excuses_a_missing_script_at_the_end_excuses_it_before() {
    let causes = [(1_000, Added), (60_000, Removed)];
    let mut without = Slow::new(&causes, &[]);
    without.history.causes[0].certainty = Certainty::WithoutRecord;
    assert_eq!(without.rows(), NONE);
    let mut unsure = Slow::new(&causes, &[]);
    for cause in &mut unsure.history.causes {
        cause.certainty = Certainty::LastMoment;
    }
    assert_eq!(unsure.rows(), NONE);
    let mut found = Slow::new(&causes, &[(60_100, Ifdown, 60_200)]);
    found.history.before_service = true;
    assert_eq!(found.rows(), NONE);
    let runs = [
        (1_100, Ifup, 1_200),
        (1_300, Ifdown, 1_400),
        (60_100, Ifdown, 60_200),
    ];
    let mut asked_for = Slow::new(&causes, &runs);
    assert!(asked_for.rows().contains(&Row::Lost));
    asked_for.history.asked = vec![asked(Ifdown, millis(1_250), None)];
    assert_eq!(asked_for.rows(), NONE);
    let brief = [(1_000, Added), (1_900, Removed)];
    let mut noted = Slow::new(&brief, &[(1_100, Ifup, 0)]);
    noted.history.runs[0].source = Source::Setup;
    assert_eq!(noted.rows(), NONE, "an order that was never carried out");
}

#[test]
fn an_ifup_again_without_ifdown_between_is_doubled() {
    let causes = [(1, Added), (5, Removed), (6, Added)];
    let runs = [(2, Ifup, 3), (7, Ifup, 8)];
    assert_eq!(rows(&history(&causes, &runs)), [Row::Doubled]);
}

#[test]
fn an_ifdown_again_without_ifup_between_is_doubled() {
    let causes = [(1, Added), (5, Removed)];
    let runs = [(2, Ifup, 3), (6, Ifdown, 7), (8, Ifdown, 9)];
    assert_eq!(rows(&history(&causes, &runs)), [Row::Doubled]);
}

#[test]
fn a_pair_of_runs_without_a_pair_of_causes_is_doubled_twice() {
    let causes = [(1, Added)];
    let runs = [(2, Ifup, 3), (4, Ifdown, 5), (6, Ifup, 7)];
    assert_eq!(rows(&history(&causes, &runs)), [Row::Doubled; 2]);
}

#[test]
fn a_run_that_starts_before_its_cause_is_doubled() {
    let causes = [(1, Added), (9, Removed)];
    let runs = [(2, Ifup, 3), (4, Ifdown, 5)];
    assert_eq!(rows(&history(&causes, &runs)), [Row::Doubled]);
}

#[test]
fn a_cause_that_was_seen_late_may_have_come_before_its_run() {
    let mut history = history(&[(1, Added)], &[(2, Ifup, 3)]);
    history.causes[0].when.to = Monotonic(4);
    assert_eq!(rows(&history), NONE);
}

#[test]
fn a_number_that_was_started_twice_is_doubled() {
    let causes = [(1, Added)];
    let runs = [(2, Ifup, 3), (4, Ifup, 5)];
    let history = numbered(history(&causes, &runs), &[7, 7]);
    assert_eq!(rows(&history), [Row::Doubled]);
}

#[test]
fn numbers_that_start_in_another_order_are_out_of_order() {
    let causes = [(1, Added), (2, Removed)];
    let runs = [(3, Ifdown, 4), (5, Ifup, 6)];
    let history = numbered(history(&causes, &runs), &[8, 7]);
    assert_eq!(rows(&history), [Row::OutOfOrder]);
}

#[test]
fn an_ifdown_before_the_first_ifup_is_out_of_order() {
    let causes = [(1, Added), (2, Removed), (5, Added)];
    let runs = [(3, Ifdown, 4), (6, Ifup, 7)];
    assert_eq!(rows(&history(&causes, &runs)), [Row::OutOfOrder]);
}

#[test]
fn an_ifdown_of_a_peer_from_before_the_service_may_come_first() {
    let causes = [(1, Added), (2, Removed), (5, Added)];
    let runs = [(3, Ifdown, 4), (6, Ifup, 7)];
    let mut found = history(&causes, &runs);
    found.before_service = true;
    assert_eq!(rows(&found), NONE);
    // It is set up already, and has to be brought down.
    let mut stays = history(&causes[..1], &[]);
    stays.before_service = true;
    assert_eq!(rows(&stays), NONE);
    let mut again = history(&causes[..1], &[(2, Ifup, 3)]);
    again.before_service = true;
    assert_eq!(rows(&again), [Row::Doubled]);
    let mut lost = history(&causes[..2], &[]);
    lost.before_service = true;
    assert_eq!(rows(&lost), [Row::Lost]);
}

/// What the journal has, each `(number, script, what, when it was read)`.
fn journal(mut history: PeerHistory, entries: &[(u64, ScriptKind, NotedKind, u64)]) -> PeerHistory {
    let noted = entries.iter().map(|(number, kind, what, seen)| {
        let (kind, what, seen) = (*kind, *what, Monotonic(*seen));
        (*number, Noted { kind, what, seen })
    });
    noted::complete(&mut history.runs, &noted.collect());
    history
}

const STARTED: NotedKind = NotedKind::Started { pid: 77 };

#[test]
fn a_connect_that_was_ended_before_it_wrote_its_start_counts_as_started() {
    let causes = [(1, Added), (5, Removed)];
    let runs = [(2, Ifup, 4), (7, Disconnect, 8), (9, Ifdown, 10)];
    let mut silent = numbered(history(&causes, &runs), &[10, 12, 13]);
    silent.has_connection = true;
    assert_eq!(rows(&silent), [Row::OutOfOrder], "nobody knows of it");
    // The entry was read late: after the next script had started.
    for seen in [4, 6, 8, 20] {
        let known = journal(silent.clone(), &[(11, Connect, STARTED, seen)]);
        assert_eq!(rows(&known), NONE, "read at {seen}");
    }
    // What the script has written itself counts once.
    let both = journal(silent, &[(10, Ifup, STARTED, 3), (11, Connect, STARTED, 6)]);
    assert_eq!(both.runs.len(), 4);
    assert_eq!(rows(&both), NONE);
    // A second one is not excused.
    let twice = [(11, Connect, STARTED, 5), (12, Connect, STARTED, 6)];
    let mut doubled = journal(history(&causes[..1], &[(2, Ifup, 4)]), &twice);
    doubled.has_connection = true;
    let wanted = [Row::CutShort, Row::CutShort, Row::Doubled];
    assert_eq!(rows(&doubled), wanted);
}

#[test]
fn an_ifdown_without_an_ifup_in_the_record_is_run_for_each_setup_that_was_noted() {
    let undone = |causes: &[(u64, CauseKind)], runs: &[(u64, ScriptKind, u64)], numbers: &[u64]| {
        let mut history = numbered(history(causes, runs), numbers);
        history.only_undone.interface = true;
        history
    };
    let made = |number, seen| (number, Ifup, NotedKind::Made, seen);
    let causes = [(1, Added), (5, Removed), (6, Added)];
    let right = undone(&causes, &[(7, Ifdown, 9)], &[11]);
    assert_eq!(
        rows(&journal(right.clone(), &[made(10, 2), made(12, 7)])),
        NONE
    );
    assert_eq!(rows(&right), NONE, "nothing was noted");
    let lost = undone(&causes[..2], &[], &[]);
    assert_eq!(rows(&lost), NONE, "it came and went while core was away");
    assert_eq!(rows(&journal(lost, &[made(10, 2)])), [Row::Lost]);
    let twice = undone(&causes, &[(7, Ifdown, 8), (9, Ifdown, 10)], &[11, 12]);
    assert_eq!(rows(&journal(twice, &[made(10, 2)])), [Row::Doubled]);
}

/// The helper was held up, and wrote both down together.
#[test]
fn what_the_journal_has_may_be_older_than_what_was_told_of_the_script_that_follows() {
    // No script has written its start.
    let rows = |history: &PeerHistory| {
        let mut found = rows(history);
        found.retain(|row| *row != Row::CutShort);
        found
    };
    for (undone, what) in [(true, NotedKind::Made), (false, STARTED)] {
        let mut lost = history(&[(1, Added), (5, Removed)], &[]);
        lost.only_undone.interface = undone;
        let seen = journal(lost.clone(), &[(10, Ifup, what, 9)]);
        assert_eq!(rows(&seen), [Row::Lost]);
        lost.told = vec![told(8, Ifdown)];
        assert_eq!(rows(&journal(lost, &[(10, Ifup, what, 9)])), NONE);
        let mut earlier = seen;
        earlier.told = vec![told(0, Ifdown)];
        assert_eq!(rows(&earlier), [Row::Lost], "that was another one");
    }
}

fn asked(kind: ScriptKind, at: u64, started: Option<(i32, u64)>) -> Asked {
    Asked {
        kind,
        at: Monotonic(at),
        started: started.map(|(pid, heard)| (pid, Monotonic(heard))),
    }
}

#[test]
fn what_an_operator_has_asked_for_is_a_cause_of_its_own() {
    let causes = [(1, Added), (8, Removed)];
    let runs = [(2, Ifup, 3), (5, Ifup, 6), (7, Ifdown, 8), (9, Ifdown, 10)];
    let plain = history(&causes, &runs);
    assert_eq!(rows(&plain), [Row::Doubled; 3]);
    // The runs have the process numbers 1 to 4.
    for (ifup, ifdown) in [(Some((2, 6)), Some((3, 8))), (None, None)] {
        let mut known = plain.clone();
        known.asked = vec![asked(Ifup, 4, ifup), asked(Ifdown, 4, ifdown)];
        assert_eq!(rows(&known), NONE);
    }
    let mut early = plain.clone();
    early.asked = vec![asked(Ifup, 4, None)];
    assert_eq!(
        rows(&early),
        [Row::Doubled; 2],
        "one request excuses one run"
    );
    early.asked = vec![asked(Ifup, 6, None)];
    assert_eq!(rows(&early), [Row::Doubled; 3], "it was asked for later");
    // For the service, the first pair of causes was one, so each run is compared with an earlier
    // one.
    let causes = [
        (1, Added),
        (2, Removed),
        (3, Added),
        (5, Removed),
        (7, Added),
    ];
    let runs = [(4, Ifup, 5), (6, Ifdown, 7), (8, Ifup, 9), (11, Ifdown, 12)];
    let mut last = history(&causes, &runs);
    for (at, expected) in [(10, &NONE[..]), (12, &[Row::Lost])] {
        last.asked = vec![asked(Ifdown, at, None)];
        assert_eq!(rows(&last), expected);
    }
    let mut beside = history(&causes[..1], &[(2, Ifup, 5), (4, Ifup, 6)]);
    beside.asked = vec![asked(Ifup, 3, Some((2, 4)))];
    assert_eq!(
        rows(&beside),
        [Row::Overlapping],
        "it has to wait like any other"
    );
}

#[test]
fn what_excuses_two_runs_is_read_as_it_excuses_most() {
    // An operator asks for an ifup that runs after the due one, when an ifdown was told as lost
    // that had started. If the loss excused the ifup, a cause would be missing for the last ifdown.
    let causes = [
        (1, Added),
        (3, Removed),
        (4, Added),
        (9, Removed),
        (11, Added),
    ];
    let runs = [
        (2, Ifup, 3),
        (4, Ifdown, 7),
        (7, Ifup, 10),
        (11, Ifup, 12),
        (13, Ifdown, 14),
        (15, Ifup, 16),
    ];
    let mut read = history(&causes, &runs);
    read.asked = vec![asked(Ifup, 5, None)];
    read.told = vec![told(7, Ifdown)];
    assert_eq!(rows(&read), NONE);
    read.runs.push(ScriptRun {
        start: Monotonic(17),
        ..read.runs[5].clone()
    });
    assert_eq!(rows(&read), [Row::Doubled], "one run too many");
}

#[test]
fn scripts_of_a_lane_at_the_same_time_overlap() {
    let causes = [(1, Added), (3, Removed)];
    let runs = [(2, Ifup, 9), (4, Ifdown, 5)];
    assert_eq!(rows(&history(&causes, &runs)), [Row::Overlapping]);
}

#[test]
fn a_script_that_found_another_alive_overlaps_though_that_one_wrote_no_end() {
    let causes = [(1, Added), (3, Removed)];
    let mut history = history(&causes, &[(2, Ifup, 0), (4, Ifdown, 5)]);
    assert_eq!(rows(&history), [Row::CutShort]);
    history.runs[1].beside_another = true;
    assert_eq!(rows(&history), [Row::Overlapping, Row::CutShort]);
}

#[test]
fn only_a_connect_may_be_ended_and_only_for_a_reason() {
    let up = [(2, Ifup, 3), (4, Connect, 0)];
    let mut alone = history(&[(1, Added)], &up);
    alone.has_connection = true;
    assert_eq!(rows(&alone), [Row::CutShort]);
    let down = [(7, Disconnect, 8), (9, Ifdown, 10)];
    let runs = [&up[..], &down].concat();
    let mut removed = history(&[(1, Added), (5, Removed)], &runs);
    removed.has_connection = true;
    assert_eq!(rows(&removed), NONE);
    removed.causes[1].when = at_once(3);
    assert_eq!(
        rows(&removed),
        NONE,
        "it was ended before it wrote its start, or right after"
    );
    removed.runs[2].end = None;
    assert_eq!(rows(&removed), [Row::CutShort], "the disconnect");
    let mut again = history(
        &[(1, Added), (5, Reconnecting)],
        &[(2, Ifup, 3), (4, Connect, 0), (6, Connect, 7)],
    );
    again.has_connection = true;
    assert_eq!(rows(&again), NONE);
}

#[test]
fn the_lanes_are_judged_by_themselves() {
    let causes = [(1, Added), (5, Removed)];
    let runs = [
        (2, Ifup, 9),
        (3, Connect, 4),
        (6, Disconnect, 7),
        (10, Ifdown, 11),
    ];
    let mut both = history(&causes, &runs);
    both.has_connection = true;
    assert_eq!(rows(&both), NONE);
    let mut one = history(&causes, &[(2, Ifup, 9), (10, Ifdown, 11)]);
    assert_eq!(rows(&one), NONE);
    one.causes.pop();
    one.runs.pop();
    one.has_connection = true;
    assert_eq!(rows(&one), [Row::Lost], "the connect");
}

#[test]
fn a_peer_without_an_ifup_at_the_end_has_lost_it() {
    assert_eq!(rows(&history(&[(1, Added)], &[])), [Row::Lost]);
    let causes = [(1, Added), (3, Removed), (5, Added)];
    let runs = [(2, Ifup, 3), (4, Ifdown, 5)];
    assert_eq!(rows(&history(&causes, &runs)), [Row::Lost]);
}

#[test]
fn a_peer_that_is_gone_and_was_not_taken_down_has_lost_its_ifdown() {
    let causes = [(1, Added), (3, Removed)];
    assert_eq!(rows(&history(&causes, &[(2, Ifup, 3)])), [Row::Lost]);
}

#[test]
fn a_loss_that_was_told_is_excused_and_only_one() {
    let mut lost = history(&[(1, Added)], &[]);
    lost.told = vec![told(3, Ifup)];
    assert_eq!(rows(&lost), NONE);
    // Told of an earlier run.
    let causes = [(1, Added), (5, Removed), (7, Added)];
    let mut lost = history(&causes, &[(2, Ifup, 3), (6, Ifdown, 7)]);
    lost.told = vec![told(4, Ifup)];
    assert_eq!(rows(&lost), [Row::Lost]);
    let causes = [
        (1, Added),
        (3, Removed),
        (5, Added),
        (8, Removed),
        (9, Added),
    ];
    let runs = [(2, Ifup, 3), (6, Ifup, 7), (10, Ifup, 11)];
    let mut between = history(&causes, &runs);
    assert_eq!(rows(&between), [Row::Doubled; 2]);
    between.told = vec![told(4, Ifdown)];
    assert_eq!(rows(&between), [Row::Doubled]);
    between.told.push(told(9, Ifdown));
    assert_eq!(rows(&between), NONE);
}

#[test]
fn a_peer_that_was_added_without_a_record_needs_no_ifup() {
    let mut history = history(&[(1, Added)], &[]);
    history.causes[0].certainty = Certainty::WithoutRecord;
    assert_eq!(rows(&history), NONE);
    let causes = [(1, Added), (3, Removed)];
    let mut down = super::tests::history(&causes, &[(4, Ifdown, 5)]);
    down.causes[0].certainty = Certainty::WithoutRecord;
    assert_eq!(rows(&down), NONE);
}

#[test]
fn what_may_have_happened_before_the_server_died_may_have_runs() {
    let mut history = history(
        &[(1, Added), (2, Removed), (3, Added), (4, Removed)],
        &[(2, Ifup, 3), (4, Ifdown, 5), (6, Ifup, 7), (8, Ifdown, 9)],
    );
    for cause in &mut history.causes[2..] {
        cause.certainty = Certainty::LastMoment;
    }
    assert_eq!(rows(&history), NONE);
    history.runs.truncate(2);
    assert_eq!(rows(&history), NONE);
    history.runs.clear();
    history.causes.drain(..2);
    assert_eq!(rows(&history), NONE);
}

#[test]
fn a_reconnection_is_a_cause_for_another_connect() {
    let causes = [(1, Added), (5, Reconnecting)];
    let ups = [(2, Ifup, 3), (4, Connect, 5), (6, Connect, 7)];
    let mut history = history(&causes, &ups);
    history.has_connection = true;
    assert_eq!(rows(&history), NONE);
    history.causes.pop();
    assert_eq!(rows(&history), [Row::Doubled]);
}

/// A history of a peer with hooks.
fn hooked(causes: &[(u64, CauseKind)], runs: &[(u64, ScriptKind, u64)]) -> PeerHistory {
    PeerHistory {
        has_hooks: true,
        ..history(causes, runs)
    }
}

#[test]
fn hooks_take_turns_between_ifup_and_ifdown() {
    let causes = [
        (1, Added),
        (3, Answered),
        (5, Unreachable),
        (7, Answered),
        (9, Removed),
    ];
    let runs = [
        (2, Ifup, 3),
        (4, OnUp, 5),
        (6, OnDown, 7),
        (8, OnUp, 9),
        (10, OnDown, 11),
        (12, Ifdown, 13),
    ];
    assert_eq!(rows(&hooked(&causes, &runs)), NONE);
    // What came and went while the one before waited is passed over.
    let runs = [
        (2, Ifup, 3),
        (4, OnUp, 5),
        (10, OnDown, 11),
        (12, Ifdown, 13),
    ];
    assert_eq!(rows(&hooked(&causes, &runs)), NONE);
}

#[test]
fn a_hook_is_run_once_for_one_cause_and_on_down_only_after_on_up() {
    let causes = [(1, Added), (3, Answered), (5, Unreachable)];
    let runs = [(2, Ifup, 3), (4, OnUp, 5), (6, OnDown, 7)];
    let again = |more: (u64, ScriptKind, u64)| {
        let runs = [&runs[..], &[more]].concat();
        rows(&hooked(&causes, &runs))
    };
    assert_eq!(again((8, OnDown, 9)), [Row::Doubled]);
    assert_eq!(again((8, OnUp, 9)), [Row::Doubled, Row::Lost]);
    let runs = [(2, Ifup, 3), (6, OnDown, 7)];
    assert_eq!(rows(&hooked(&causes, &runs)), [Row::OutOfOrder]);
    let runs = [(2, Ifup, 3), (4, OnUp, 5)];
    assert_eq!(rows(&hooked(&causes, &runs)), [Row::Lost]);
    let runs = [(2, Ifup, 3)];
    assert_eq!(rows(&hooked(&causes[..2], &runs)), [Row::Lost]);
}

#[test]
fn a_hook_that_runs_beside_or_overtakes_an_interface_script_is_found() {
    let causes = [(1, Added), (3, Answered)];
    let runs = [(2, Ifup, 5), (4, OnUp, 6)];
    assert_eq!(rows(&hooked(&causes, &runs)), [Row::Overlapping]);
    let runs = [(4, OnUp, 5), (6, Ifup, 7)];
    let history = numbered(hooked(&causes, &runs), &[2, 1]);
    assert_eq!(rows(&history), [Row::OutOfOrder]);
}

#[test]
fn only_ifup_and_ifdown_hold_up_a_connection_command() {
    use crate::starts::{Start, Started, beside};
    use connect_ipc::RunId;
    let under_way = |kind| std::iter::once((RunId(1), kind));
    assert_eq!(beside(under_way(Ifup), RunId(2), Connect), 1);
    assert_eq!(beside(under_way(OnUp), RunId(2), Connect), 0);
    assert_eq!(beside(under_way(OnUp), RunId(2), Ifdown), 1);
    for (kind, is_right) in [(OnUp, true), (Ifup, false)] {
        let mut started = Started::default();
        let start = |run, kind| Start {
            run: RunId(run),
            kind,
            beside: 0,
        };
        started.take(&start(2, Connect)).unwrap();
        assert_eq!(started.take(&start(1, kind)).is_ok(), is_right);
    }
}
