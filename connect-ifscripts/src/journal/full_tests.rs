// SPDX-License-Identifier: GPL-3.0-or-later
//! The journal on a file system that others fill.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use connect_runtime::clock;

use super::tests::{Bench, ordered};
use super::*;

/// Names the file system to a test that runs on it.
const PLACE: &str = "CONNECT_TEST_FILE_SYSTEM";

/// Runs a test of this name once more, on a small file system of its own in a mount namespace of
/// its own, and gives where that is. `None` where it has run there, or cannot.
fn on_a_small_file_system(test: &str) -> Option<PathBuf> {
    if let Some(place) = std::env::var_os(PLACE) {
        return Some(place.into());
    }
    let dir = tempfile::tempdir().unwrap();
    let namespace = ["unshare", "--user", "--map-root-user", "--mount"];
    let mount = "mount -t tmpfs -o size=16m none \"$1\"";
    let shell = |text: &str| {
        let mut command = Command::new(namespace[0]);
        command
            .args(&namespace[1..])
            .args(["sh", "-ec", text, "sh"]);
        command.arg(dir.path());
        command
    };
    if !shell(mount).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no file system can be mounted here");
        return None;
    }
    let run = format!("{mount}; shift; exec \"$@\"");
    let mut command = shell(&run);
    command.arg(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--nocapture", test])
        .env(PLACE, dir.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains(" 1 passed"),
        "{said}{errors}"
    );
    None
}

/// Uses up all the room there is.
fn fill(place: &Path) {
    let mut file = File::create(place.join("others")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

#[test]
fn a_file_system_that_others_fill_loses_nothing() {
    let test = "journal::full_tests::a_file_system_that_others_fill_loses_nothing";
    let Some(place) = on_a_small_file_system(test) else {
        return;
    };
    let mut bench = Bench::within(tempfile::tempdir_in(&place).unwrap());
    fill(&place);
    // Past the size at which a segment is renewed, for which there is no room.
    for number in 0..80 {
        bench.note(&ordered(number, 4_000));
        bench.flush();
    }
    assert_eq!(bench.segments().len(), 1);
    let fault = bench.journal.fault().unwrap();
    assert!(fault.contains("is full; free some space"), "{fault}");
    assert!(!fault.contains("twice"), "{fault}");
    // The next helper writes all of it again, in the room that the last one had.
    let read = bench.reopen().unwrap();
    assert!(bench.is_same(&read));
    assert!(
        bench.journal.retry_at.is_none(),
        "{:?}",
        bench.journal.fault()
    );
    let read = bench.reopen().unwrap();
    assert!(bench.is_same(&read));
    // There is room again.
    std::fs::remove_file(place.join("others")).unwrap();
    bench
        .journal
        .tend(&Ledger::default(), Pace::Busy, clock::now());
    assert_eq!(bench.journal.fault(), None);
}
