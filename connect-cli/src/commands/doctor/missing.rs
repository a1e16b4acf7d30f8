// SPDX-License-Identifier: GPL-3.0-or-later
//! The peers that should be up and are not, and what to do about them.

use super::finding::Section;
use crate::output::summary::Summary;

/// Reports them, if there are any.
pub(super) fn report(summary: &Summary, section: &mut Section<'_>) {
    let Some(missing) = summary.missing() else {
        return;
    };
    let unsent = summary.unsent();
    let packets = if unsent.is_none() || summary.has_unanswered() {
        "if it is down, run `connect-cli status' on its host, and check that UDP reaches it; "
    } else {
        ""
    };
    let remedy = format!(
        "`connect-cli info PEER' says more about each; {packets}`connect-cli active PEER' adds one \
         that is gone or absent, unless it is passive"
    );
    section.warning(missing, &remedy);
    if let Some(unsent) = unsent {
        section.warning(
            format!("no ping can be sent to {unsent}: no keys are agreed with the other host"),
            "run `connect-cli status' on the other host: it does not know this host, refuses its \
             knock or key, or gets no packet",
        );
    }
}
