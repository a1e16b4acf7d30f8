// SPDX-License-Identifier: GPL-3.0-or-later
//! Which process has the journal of scripts while no script helper is connected, or while there is
//! no service: the next helper waits for it, and core does not know of that.

use std::path::{Path, PathBuf};

use connect_ipc::control::ServiceStatus;
use connect_runtime::lock_holder::Holder;
use connect_runtime::paths::{PACKAGED_JOURNAL, PACKAGED_RUNTIME};

use super::finding::Section;
use super::left_scripts;
use super::units::TARGET;
use crate::common::Common;

/// Names the process while no helper is connected to this service.
pub(super) fn check(common: &Common, service: &ServiceStatus, section: &mut Section<'_>) {
    if service.scripts.helper.connected {
        return;
    }
    for (directory, holder) in holders(common) {
        section.warning(
            format!(
                "{holder} locks the journal of scripts in {}, so that no other script helper can \
                 begin",
                directory.display()
            ),
            &format!("if it is stopped or hangs, {}", end(holder)),
        );
    }
    check_left_scripts(common, "start the script helper", section);
}

/// Names the process while there is no service: a helper whose service has ended, or is ending,
/// gives its scripts time.
pub(super) fn check_without_service(common: &Common, section: &mut Section<'_>) {
    for (_, holder) in holders(common) {
        let under_way = match holder.children() {
            1 => "1 script that it started is under way".to_owned(),
            count => format!("{count} scripts that it started are under way"),
        };
        section.warning(
            format!(
                "a script helper still runs ({holder}): when a service ends, its helper waits \
                 for scripts for up to --stop-wait; {under_way}"
            ),
            &format!(
                "start the service, which goes on with the scripts, or wait; if the helper is \
                 stopped or hangs, {}",
                end(holder)
            ),
        );
    }
    let start = if is_packaged(common) {
        format!("start the service (`systemctl start {TARGET}')")
    } else {
        "start the service (`connect --daemon', with the options that it had)".to_owned()
    };
    check_left_scripts(common, &start, section);
}

/// Tells which scripts run or wait.
fn check_left_scripts(common: &Common, start: &str, section: &mut Section<'_>) {
    for directory in journals(common) {
        left_scripts::check(&directory, start, section);
    }
}

/// The script helper of this service, as far as it is known.
pub(super) fn find(common: &Common) -> Option<Holder> {
    holders(common).map(|(_, holder)| holder).next()
}

/// The process that has each journal of this service, as far as the lock files may be read.
fn holders(common: &Common) -> impl Iterator<Item = (PathBuf, Holder)> {
    journals(common).filter_map(|directory| {
        let holder = Holder::find(&directory, None)?;
        Some((directory, holder))
    })
}

/// Where this service may have its journal of scripts.
fn journals(common: &Common) -> impl Iterator<Item = PathBuf> {
    let packaged = is_packaged(common).then(|| PathBuf::from(PACKAGED_JOURNAL));
    [Some(common.runtime().journal()), packaged]
        .into_iter()
        .flatten()
}

/// Whether it is the service of the packaged units.
fn is_packaged(common: &Common) -> bool {
    common.runtime().path() == Path::new(PACKAGED_RUNTIME)
}

/// How to end a helper that does not end by itself.
fn end(holder: Holder) -> String {
    format!("end it with `kill -KILL {}'; its scripts go on", holder.pid)
}
