// SPDX-License-Identifier: GPL-3.0-or-later
//! Words for what is wrong with scripts as a whole: their journal, and places that they wait for.

use connect_ipc::control::{LaneStatus, ServiceStatus};
use connect_ipc::scripts::LONG;
use connect_ipc::setup::Lane;
use connect_ipc::write_fault::WriteFault;

use super::text;

/// The journal and the places in the headline, each if something is wrong.
pub(crate) fn headline(service: &ServiceStatus) -> Vec<String> {
    let journal = service.scripts.journal_fault.as_ref().map(|journal| {
        let since = text::span(journal.seconds);
        format!("journal of scripts at fault for {since}")
    });
    let full = full_lanes(service).map(|(lane, _, seconds)| {
        let since = text::span(seconds);
        format!("{} waiting for places for {since}", lane.scripts())
    });
    journal.into_iter().chain(full).collect()
}

/// Each thing that is wrong, in a sentence with its remedy.
pub(crate) fn faults(service: &ServiceStatus) -> Vec<String> {
    let journal = service.scripts.journal_fault.as_ref();
    let journal = journal.map(|WriteFault { fault, seconds }| {
        format!(
            "the journal of scripts has had a fault for {}: {fault}",
            text::span(*seconds)
        )
    });
    let full = full_lanes(service).map(|(lane, status, seconds)| {
        format!(
            "{} {} scripts are under way, which is the limit, and others have waited for a place \
             for {}; end those that hang, or raise {} of connect-ifscripts",
            status.running,
            lane.scripts(),
            text::span(seconds),
            places_option(lane)
        )
    });
    journal.into_iter().chain(full).collect()
}

/// The lanes in which scripts have waited for a place for long, and for how many seconds.
fn full_lanes(service: &ServiceStatus) -> impl Iterator<Item = (Lane, LaneStatus, u64)> {
    let lanes = service.scripts.lanes;
    Lane::ALL.into_iter().filter_map(move |lane| {
        let status = *lanes.get(lane);
        let seconds = status.full.filter(|full| *full >= LONG.as_secs())?;
        Some((lane, status, seconds))
    })
}

/// The option of the script helper that says how many scripts of a lane may run at once.
pub(crate) const fn places_option(lane: Lane) -> &'static str {
    match lane {
        Lane::Interface => "--children",
        Lane::Connection => "--connect-children",
    }
}
