// SPDX-License-Identifier: GPL-3.0-or-later
//! Printing the report of one run.

use std::io::Write as _;

use super::{Report, table};
use crate::options::Setting;
use judge::Row;

/// How many faults of each kind are listed.
const LISTED: usize = 10;

/// Prints a report.
pub(crate) fn print(report: &Report, setting: &Setting) -> anyhow::Result<()> {
    let text = if setting.json {
        let mut text = serde_json::to_string(report)?;
        text.push('\n');
        text
    } else {
        format!("{}{}", details(report), table::single(report))
    };
    // Whoever reads may have seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// The faults, and histories of peers that have some.
pub(crate) fn details(report: &Report) -> String {
    let mut text = String::new();
    for history in &report.histories {
        text.push_str(&format!("\n{}:\n", history.peer));
        for line in &history.lines {
            text.push_str(&format!("  {line}\n"));
        }
    }
    if !report.faults.is_empty() {
        text.push_str("\nFaults:\n");
    }
    for row in Row::ALL {
        let of_row = || report.faults.iter().filter(|fault| fault.row == row);
        for fault in of_row().take(LISTED) {
            let peer = fault.peer.as_deref().unwrap_or("the service");
            let (seconds, millis) = (fault.at / 1_000, fault.at % 1_000);
            let (row, what) = (row.name(), &fault.text);
            text.push_str(&format!(
                "  {seconds:>4}.{millis:03} {peer}: {row}: {what}\n"
            ));
        }
        let more = of_row().count().saturating_sub(LISTED);
        if more > 0 {
            let row = row.name();
            text.push_str(&format!("  and {more} more: {row}; --json has all\n"));
        }
    }
    if let Some(directory) = &report.directory {
        text.push_str(&format!("\nThe logs are in {directory}.\n"));
    }
    text
}
