// SPDX-License-Identifier: GPL-3.0-or-later
//! Which process has the journal of scripts while no script helper is connected: the next helper
//! waits for it, and core does not know of that.

use std::path::{Path, PathBuf};

use connect_ipc::control::ServiceStatus;
use connect_runtime::lock_holder::Holder;
use connect_runtime::paths::{PACKAGED_JOURNAL, PACKAGED_RUNTIME};

use super::finding::Section;
use crate::common::Common;

/// Names the process, as far as the lock file may be read.
pub(super) fn check(common: &Common, service: &ServiceStatus, section: &mut Section<'_>) {
    if service.scripts.helper.connected {
        return;
    }
    let runtime = common.runtime();
    let packaged = runtime.path() == Path::new(PACKAGED_RUNTIME);
    let packaged = packaged.then(|| PathBuf::from(PACKAGED_JOURNAL));
    for directory in [Some(runtime.journal()), packaged].into_iter().flatten() {
        if let Some(holder) = Holder::find(&directory, None) {
            let pid = holder.pid;
            section.warning(
                format!(
                    "{holder} has the journal of scripts in {}, so that no other script helper \
                     can begin",
                    directory.display()
                ),
                &format!(
                    "if it is stopped or hangs, end it with `kill -KILL {pid}'; its scripts go on"
                ),
            );
        }
    }
}
