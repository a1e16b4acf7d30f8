// SPDX-License-Identifier: GPL-3.0-or-later
//! Which divergences a difference explains.

use connect_ipc::scripts::ScriptKind;

use super::super::compare::Divergence;
use super::super::history::{CHALLENGE, Change, History, RecordSite, What};
use super::super::transcript::{CheckEnd, Item, Sequence};

/// What happened before a divergence.
fn stimulus<'a>(divergence: &Divergence, history: &'a History) -> &'a What {
    &history.stimuli[divergence.place.stimulus].what
}

fn is_command(divergence: &Divergence, history: &History, name: &str) -> bool {
    let words = history.command(divergence.place.stimulus);
    words.first().is_some_and(|word| word == name)
}

/// Whether the peer may be found unreachable after this stimulus.
fn may_be_unreachable(divergence: &Divergence, history: &History) -> bool {
    matches!(stimulus(divergence, history), What::Dead(..))
        || is_command(divergence, history, "sabotage")
}

/// Whether the service has just been started.
fn starts(divergence: &Divergence, history: &History) -> bool {
    matches!(
        stimulus(divergence, history),
        What::Begin | What::Restarted | What::ServerRestarted(_)
    )
}

/// Whether the service has just been started, and found the peer.
fn is_found(divergence: &Divergence, history: &History) -> bool {
    match stimulus(divergence, history) {
        What::Begin => history.present.contains(&divergence.place.peer),
        What::ServerRestarted(peers) => peers.contains(&divergence.place.peer),
        What::Restarted => divergence.was_there,
        _ => false,
    }
}

/// The line of something that was told.
fn told(item: Option<&Item>) -> Option<&str> {
    match item {
        Some(Item::Told(line)) => Some(line),
        _ => None,
    }
}

fn only_product(divergence: &Divergence) -> Option<&Item> {
    let product = divergence.product.as_ref();
    product.filter(|_| divergence.manual.is_none())
}

fn only_manual(divergence: &Divergence) -> Option<&Item> {
    let manual = divergence.manual.as_ref();
    manual.filter(|_| divergence.product.is_none())
}

/// The record of a peer as it is after this stimulus, or at the beginning if it was removed.
fn record_after(history: &History, stimulus: usize, peer: &str) -> Option<RecordSite> {
    let records = history.records_after(stimulus);
    let mut records = records.into_iter().chain(history.records.iter().cloned());
    records.find(|record| record.peer == peer)
}

/// Whether the record of the peer has a key: as it is then, or was before it was removed.
fn has(divergence: &Divergence, history: &History, key: &str) -> bool {
    let peer = history.subject(&divergence.place);
    let database = history.database(divergence.place.stimulus);
    match (database.peer(&peer), history.record(&peer)) {
        (Some(record), _) => record.get(key).is_some(),
        (None, Some(record)) => record.get(key).is_some(),
        (None, None) => false,
    }
}

/// Whether the peer is eligible for adoption.
fn is_watched(divergence: &Divergence, history: &History) -> bool {
    let database = history.database(divergence.place.stimulus);
    let record = database.peer(&divergence.place.peer);
    record.is_some_and(|record| record.flag("watch"))
}

/// Whether the record of the peer was removed from the database.
fn is_removed(divergence: &Divergence, history: &History) -> bool {
    let peer = history.subject(&divergence.place);
    let database = history.database(divergence.place.stimulus);
    database.peer(&peer).is_none()
}

fn is_script_lane(divergence: &Divergence) -> bool {
    let sequence = divergence.place.sequence;
    matches!(sequence, Sequence::Interface | Sequence::Connection)
}

/// Both answered the same command, and these are what they failed with.
fn answers(divergence: &Divergence) -> Option<(Option<&str>, Option<&str>)> {
    match (&divergence.product, &divergence.manual) {
        (
            Some(Item::Answer {
                failed: product, ..
            }),
            Some(Item::Answer { failed: manual, .. }),
        ) => Some((product.as_deref(), manual.as_deref())),
        _ => None,
    }
}

/// The pause after a failed check grows, so that fewer of them fail in the same time; and a peer
/// with which keys were agreed on is checked at once, so that more are answered. One that is
/// sabotaged is checked at once, too, so the service of the manual may lose two intervals, beside
/// the one that depends on the phase. If a peer was dead and answers again, the service of the
/// manual first waits until the attempt that is under way is over.
pub(super) fn when_checks_come(divergence: &Divergence, history: &History) -> bool {
    match (&divergence.product, &divergence.manual) {
        (Some(Item::Times(product)), Some(Item::Times(manual))) => product < manual && *product > 0,
        (Some(Item::Answered(product)), Some(Item::Answered(manual))) => {
            let more = u64::from(product.saturating_sub(*manual));
            let lost = match stimulus(divergence, history) {
                What::Dead(peer, _) if *peer == divergence.place.peer => {
                    let record = record_after(history, divergence.place.stimulus, peer);
                    record.map_or(0, |record| record.timeout() / record.every())
                }
                What::Command(words) if *words == ["sabotage", &divergence.place.peer] => 2,
                _ => 0,
            };
            has(divergence, history, "connect") && (2..=1 + lost).contains(&more)
        }
        _ => false,
    }
}

/// A ping that was under way while the host was suspended is sent again, and not counted.
pub(super) fn suspended(divergence: &Divergence, history: &History) -> bool {
    let is_lost = matches!(only_manual(divergence),
        Some(Item::Check { attempts: 2, ended: CheckEnd::Reply, told }) if told.len() == 2);
    matches!(stimulus(divergence, history), What::Suspended(..)) && is_lost
}

/// The period does not include the round trip, so that more checks may come in the same time: one,
/// and one more for each 250, beside the one that depends on the phase.
pub(super) fn shorter_period(divergence: &Divergence, _: &History) -> bool {
    match (&divergence.product, &divergence.manual) {
        (Some(Item::Answered(product)), Some(Item::Answered(manual))) => {
            (2..=2 + manual / 250).contains(&product.saturating_sub(*manual))
        }
        _ => false,
    }
}

/// A refused ping counts as a failed attempt, and the next attempt follows after `timeout`, where
/// the service of the manual waits for `every`. So more checks are answered, or fewer if `timeout`
/// is longer. What is done about a peer that is unreachable is done only if at least as many pings
/// are refused as a check has attempts.
pub(super) fn refused_pings(divergence: &Divergence, history: &History) -> bool {
    let What::RefusedPings(peer, times) = stimulus(divergence, history) else {
        return false;
    };
    let Some(record) = record_after(history, divergence.place.stimulus, peer) else {
        return false;
    };
    let fails = *times >= record.retries();
    let is_explained = match (&divergence.product, &divergence.manual) {
        (Some(Item::Answered(product)), Some(Item::Answered(manual))) => {
            let waits = u64::from(*times) * record.timeout();
            product.saturating_sub(*manual) <= times + 2
                && u64::from(manual.saturating_sub(*product)) <= waits / record.every() + 2
        }
        (Some(Item::Check { ended, told, .. }), _) if !fails => {
            let is_refused = |line: &String| line.contains(" ping-failed ");
            match ended {
                CheckEnd::Refused => told.iter().all(is_refused),
                CheckEnd::Reply => true,
                _ => false,
            }
        }
        (None, Some(Item::Check { ended, .. })) if !fails => *ended == CheckEnd::Refused,
        _ => fails && divergence.place.sequence != Sequence::Jobs,
    };
    divergence.place.peer == *peer && is_explained
}

/// New keys are made with each attempt to connect.
pub(super) fn new_keys(divergence: &Divergence, history: &History) -> bool {
    let forced = Item::Command(format!("FORCEKX {}", divergence.place.peer));
    only_product(divergence) == Some(&forced) && has(divergence, history, "connect")
}

/// The service of the manual cannot name these peers to the server: it can neither add nor ping nor
/// kill them.
pub(super) fn option_names(divergence: &Divergence, history: &History) -> bool {
    let adds = is_command(divergence, history, "active");
    let may_be_gone = adds
        || may_be_unreachable(divergence, history)
        || starts(divergence, history)
        || matches!(stimulus(divergence, history), What::RefusedPings(..));
    let is_affected = match divergence.place.sequence {
        Sequence::Main => true,
        Sequence::Interface | Sequence::Connection => may_be_gone,
        // That its pings are refused, and so none is under way, shows itself in the figures.
        Sequence::Jobs => adds || is_command(divergence, history, "info"),
    };
    is_affected && history.subject(&divergence.place).starts_with('-')
}

/// Scripts of a lane wait for each other, so what is reported about one does not come among others.
pub(super) fn order_of_scripts(divergence: &Divergence, _: &History) -> bool {
    divergence.product == divergence.manual && is_script_lane(divergence)
}

/// Nothing is taken down that was never set up.
pub(super) fn ifdown_without_ifup(divergence: &Divergence, history: &History) -> bool {
    let undoes = match only_manual(divergence) {
        Some(Item::Script { kind, .. }) => {
            matches!(kind, ScriptKind::Ifdown | ScriptKind::Disconnect)
        }
        Some(item) => item.tells(&[
            "NOTE USER connect ifdown ",
            "WARN USER connect ifdown ",
            "NOTE USER connect disconnect ",
            "WARN USER connect disconnect ",
        ]),
        None => false,
    };
    undoes
        && (matches!(stimulus(divergence, history), What::AddAndKill(_))
            || was_added_without_script(divergence, history))
}

/// Whether the peer was added while its record was removed or named neither of the two scripts, so
/// that nothing was run for it then, and the record names the one now that sets up.
fn was_added_without_script(divergence: &Divergence, history: &History) -> bool {
    let peer = &divergence.place.peer;
    let [maker, undoer] = match divergence.place.sequence {
        Sequence::Connection => ["connect", "disconnect"],
        _ => ["ifup", "ifdown"],
    };
    let names = |place, key| {
        let database = history.database(place);
        database.peer(peer).is_some_and(|it| it.get(key).is_some())
    };
    let mut before = 0..divergence.place.stimulus;
    names(divergence.place.stimulus, maker)
        && before.any(|place| {
            may_be_added(peer, place, history) && !names(place, maker) && !names(place, undoer)
        })
}

/// Whether this stimulus may have a peer added while the service is there.
fn may_be_added(peer: &str, place: usize, history: &History) -> bool {
    let words = history.command(place);
    let user = |(user, of): &(String, String)| of == peer && words.last() == Some(user);
    match &history.stimuli[place].what {
        What::Add(added) | What::KillAndAdd(added) | What::Knock(added) => added == peer,
        What::Command(_) | What::Cancelled(..) => words == ["active", peer],
        What::Passive(..) => history.users.iter().any(user),
        What::Begin | What::Restarted | What::ServerRestarted(_) => {
            history.startup && history.auto.iter().any(|added| added == peer)
        }
        _ => false,
    }
}

/// A `connect` that is under way is ended with its peer, or before the next one.
pub(super) fn connect_is_ended(divergence: &Divergence, _: &History) -> bool {
    only_product(divergence) == Some(&Item::Stopped(ScriptKind::Connect))
}

/// An `ifdown` has the values of the record that its `ifup` had.
pub(super) fn record_of_ifdown(divergence: &Divergence, _: &History) -> bool {
    match (&divergence.product, &divergence.manual) {
        (
            Some(Item::Script {
                kind: ScriptKind::Ifdown,
                argv,
                environment,
            }),
            Some(Item::Script {
                kind: ScriptKind::Ifdown,
                argv: other,
                environment: present,
            }),
        ) => argv == other && environment != present,
        _ => false,
    }
}

/// A first line that cannot be a challenge is not sent to the server.
pub(super) fn first_line_of_connect(divergence: &Divergence, _: &History) -> bool {
    let greets = |line: &str| line.starts_with("GREET ") && !line.ends_with(CHALLENGE);
    matches!(only_manual(divergence), Some(Item::Command(line)) if greets(line))
}

/// What may be a challenge is hidden in reports about connections.
pub(super) fn hidden_challenges(divergence: &Divergence, _: &History) -> bool {
    let (product, manual) = (
        told(divergence.product.as_ref()),
        told(divergence.manual.as_ref()),
    );
    matches!((product, manual), (Some(product), Some(manual))
        if product == manual.replace(CHALLENGE, "<challenge>") && product != manual)
}

/// Warnings that the manual does not have.
pub(super) fn more_warnings(divergence: &Divergence, history: &History) -> bool {
    let line = told(only_product(divergence)).unwrap_or_default();
    let words: Vec<&str> = line.split(' ').skip(3).collect();
    let of_connect = ["unexpected-eof", "bad-challenge", "greet-failed"];
    let is_more = match words.as_slice() {
        ["connect", _, what, ..] => of_connect.contains(what),
        ["peerdb-error", ..] => true,
        ["knock-add-failed", ..] => true,
        _ => false,
    };
    // The manual has only one warning for all that is added without a command.
    let automatic = told(only_manual(divergence)).unwrap_or_default();
    is_more
        || automatic.contains(" auto-add-failed ")
            && !divergence.was_there
            && matches!(stimulus(divergence, history), What::Knock(_))
}

/// A peer of `%AUTO` without a record is warned of as one that the server refuses to add.
pub(super) fn auto_without_record(divergence: &Divergence, history: &History) -> bool {
    let peer = &divergence.place.peer;
    let line = format!("WARN USER connect auto-add-failed {peer} unknown-peer {peer}");
    history.startup
        && starts(divergence, history)
        && told(only_product(divergence)) == Some(&line)
        && is_removed(divergence, history)
}

/// A line that does not fit is cut.
pub(super) fn lines_that_fit(divergence: &Divergence, _: &History) -> bool {
    let (product, manual) = (
        told(divergence.product.as_ref()),
        told(divergence.manual.as_ref()),
    );
    matches!((product, manual), (Some(product), Some(manual))
        if product.ends_with("...\"") && product.len() > 200 && manual.len() > 200)
}

/// A peer whose record was removed is brought down by the record that it was brought up with, and a
/// new interval holds at once.
pub(super) fn database(divergence: &Divergence, history: &History) -> bool {
    let is_brought_down = only_product(divergence).is_some()
        && is_script_lane(divergence)
        && is_removed(divergence, history);
    let is_sooner = match (&divergence.product, &divergence.manual) {
        (Some(Item::Answered(product)), Some(Item::Answered(manual))) => product > manual,
        _ => false,
    };
    let changes_every = match stimulus(divergence, history) {
        What::Database(Change::Back) => true,
        // With `connect` the default is another one.
        What::Database(Change::Key(peer, "every" | "connect", _)) => {
            let place = divergence.place.stimulus;
            let [before, after] = [place.saturating_sub(1), place]
                .map(|place| record_after(history, place, peer).map(|record| record.every()));
            *peer == divergence.place.peer && after < before
        }
        _ => false,
    };
    is_brought_down || is_sooner && changes_every
}

/// `kick` serves `knock` peers, `sabotage` names its failure, and peers of `%AUTO` that are there
/// are left alone.
pub(super) fn commands(divergence: &Divergence, history: &History) -> bool {
    let is_knock_peer = has(divergence, history, "knock") && !has(divergence, history, "connect");
    let kicked = is_command(divergence, history, "kick")
        && is_knock_peer
        && divergence.place.sequence != Sequence::Interface;
    let sabotaged = is_command(divergence, history, "sabotage")
        && answers(divergence).is_some_and(|(product, manual)| {
            product.is_some_and(|words| words.starts_with("peer-not-adopted")) && manual.is_some()
        });
    let is_auto = is_found(divergence, history)
        && history.auto.contains(&divergence.place.peer)
        && match only_manual(divergence) {
            Some(Item::Command(line)) => line.starts_with("ADD "),
            Some(Item::Told(line)) => line.contains(" auto-add-failed "),
            _ => false,
        };
    kicked || sabotaged || is_auto
}

/// At `--startup` all peers with a record are set up, not only those that are adopted.
pub(super) fn startup_of_all(divergence: &Divergence, history: &History) -> bool {
    history.startup
        && is_found(divergence, history)
        && only_product(divergence).is_some()
        && is_script_lane(divergence)
        && !is_watched(divergence, history)
}

/// A peer that knocks is reconnected, where the manual has it killed.
pub(super) fn knock_peers(divergence: &Divergence, history: &History) -> bool {
    may_be_unreachable(divergence, history)
        && has(divergence, history, "knock")
        && !has(divergence, history, "connect")
        && divergence.place.sequence != Sequence::Jobs
}

/// A peer that is there is killed before it is added, where the manual has the addition fail.
pub(super) fn killed_first(divergence: &Divergence, history: &History) -> bool {
    let adds = match stimulus(divergence, history) {
        What::Command(words) | What::Cancelled(words, _) | What::RefusedAdd(words) => {
            words[0] == "active"
        }
        What::Passive(_, greets) => greets.is_some(),
        What::Knock(name) => *name == divergence.place.peer,
        _ => false,
    };
    let fails = |item: &Item| item.tells(&["WARN USER connect auto-add-failed"]);
    let answered = answers(divergence).is_some_and(|(product, manual)| {
        product.is_none() && manual.is_some_and(|words| words.starts_with("peer-exists "))
    });
    let is_done = |item: &Item| match item {
        Item::Command(line) => line.starts_with("KILL ") || line.starts_with("ADD "),
        _ => false,
    };
    let follows =
        only_product(divergence).is_some_and(|it| is_script_lane(divergence) || is_done(it));
    // One that was added again is first checked after its interval.
    let is_later = match (&divergence.product, &divergence.manual) {
        (Some(Item::Answered(product)), Some(Item::Answered(manual))) => {
            (1..=3).contains(&manual.saturating_sub(*product))
        }
        _ => false,
    };
    adds && divergence.was_there
        && (follows || is_later || only_manual(divergence).is_some_and(fails) || answered)
}

/// A peer that is not meant to last is added so, which the manual does not know yet.
pub(super) fn ephemeral(divergence: &Divergence, _: &History) -> bool {
    match (&divergence.product, &divergence.manual) {
        (Some(Item::Command(product)), Some(Item::Command(manual))) => {
            let without = product.replacen(" -ephemeral ", " ", 1);
            without != *product && words(&without) == words(manual)
        }
        _ => false,
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Passive peers are no active ones.
pub(super) fn active_peers(divergence: &Divergence, history: &History) -> bool {
    is_command(divergence, history, "list-active")
        && match (&divergence.product, &divergence.manual) {
            (Some(Item::Answer { lines, .. }), Some(Item::Answer { lines: others, .. })) => {
                let missing = others.iter().filter(|line| !lines.contains(line));
                let is_passive = |peer: &String| {
                    let record = history.record(peer);
                    record.and_then(|record| record.get("peer")) == Some("PASSIVE")
                };
                missing.into_iter().all(is_passive) && lines.iter().all(|it| others.contains(it))
            }
            _ => false,
        }
}

/// A user whose peer has no record is refused at once.
pub(super) fn user_without_record(divergence: &Divergence, history: &History) -> bool {
    let refused = matches!(&divergence.product,
        Some(Item::Answer { failed: Some(words), .. }) if words.starts_with("unknown-peer "));
    refused && is_command(divergence, history, "passive") && is_removed(divergence, history)
}

/// `help` is a command of every service.
pub(super) fn help(divergence: &Divergence, history: &History) -> bool {
    is_command(divergence, history, "help")
        && answers(divergence)
            .is_some_and(|(product, manual)| product.is_none() && manual.is_some())
}

/// The manual names no words for what fails without a command of the server. The first words of the
/// two are the same, or are one of these pairs. What the server says is handed on as it is.
pub(super) fn words_of_failures(divergence: &Divergence, _: &History) -> bool {
    const PAIRS: [[&str; 2]; 5] = [
        ["connect-timeout", "timeout"],
        ["passive-peer", "unknown-peer"],
        ["peer-not-added", "unknown-peer"],
        ["peer-not-dynamic", "unknown-peer"],
        ["unknown-svc-command", "bad-svc-syntax"],
    ];
    /// With these the server refuses `ADD` (tripe-admin.md, 6).
    const OF_THE_SERVER: [&str; 8] = [
        "bad-addr-syntax",
        "bad-syntax",
        "invalid-port",
        "peer-addr-exists",
        "peer-create-fail",
        "peer-exists",
        "resolve-error",
        "resolve-timeout",
    ];
    let Some((Some(product), Some(manual))) = answers(divergence) else {
        return false;
    };
    let [product, manual] = [product, manual].map(|it| it.split(' ').next().unwrap_or_default());
    let is_ours = !OF_THE_SERVER.contains(&product);
    product == manual && is_ours || PAIRS.contains(&[product, manual])
}
