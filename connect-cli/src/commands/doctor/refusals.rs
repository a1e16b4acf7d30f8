// SPDX-License-Identifier: GPL-3.0-or-later
//! Which files a living script helper refuses to run, since others could change them.

use std::fs;
use std::path::Path;

use connect_runtime::lock_holder::Holder;
use connect_runtime::ownership::{Distrust, Ownership, Strictness};

/// The option with which a script helper refuses nothing.
const ALLOWED: &[u8] = b"--allow-unsafe-scripts";

/// The rule that a script helper goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusals(Option<Ownership>);

impl Refusals {
    /// That of this process; without one, or if the system does not say what it is, no file is
    /// refused.
    pub(crate) fn of(helper: Option<Holder>) -> Self {
        Refusals(helper.and_then(|helper| rule(helper.pid)))
    }

    /// Whether a rule is known.
    pub(crate) const fn are_known(self) -> bool {
        self.0.is_some()
    }

    /// Why this file would not be run; `None` if it would, or if this user cannot know.
    pub(crate) fn reason(self, file: &Path) -> Option<Distrust> {
        match self.0?.check(file, Strictness::Script) {
            Ok(()) | Err(Distrust::Missing { .. } | Distrust::Unreadable { .. }) => None,
            Err(distrust) => Some(distrust),
        }
    }
}

/// A script helper without rights of its own refuses nothing, and one that was told to.
fn rule(pid: i32) -> Option<Ownership> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    if command_line
        .split(|byte| *byte == 0)
        .any(|word| word == ALLOWED)
    {
        return None;
    }
    privileged(&status)
}

/// The user and group of a process that has more rights than anybody has, from what the system says
/// of it.
pub(crate) fn privileged(status: &str) -> Option<Ownership> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    // The real one stands first.
    let effective = |name| field(name)?.split_ascii_whitespace().nth(1)?.parse().ok();
    let uid: u32 = effective("Uid:")?;
    let gid: u32 = effective("Gid:")?;
    let capabilities = u64::from_str_radix(field("CapPrm:")?.trim(), 16).ok()?;
    (uid == 0 || capabilities != 0).then(|| Ownership::of(uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uid: u32, capabilities: &str) -> String {
        format!("Name:\tx\nUid:\t9\t{uid}\t0\t0\nGid:\t1\t2\t3\t4\nCapPrm:\t{capabilities}\n")
    }

    #[test]
    fn only_a_process_with_rights_refuses_files() {
        let none = "0000000000000000";
        assert!(privileged(&status(0, none)).is_some());
        assert!(privileged(&status(7, "0000000000001000")).is_some());
        assert!(privileged(&status(7, none)).is_none());
        assert!(privileged("Name:\tx\n").is_none());
    }

    #[test]
    fn a_rule_refuses_what_others_can_change() {
        let shared = tempfile::tempdir_in("/tmp").unwrap();
        let file = shared.path().join("up");
        fs::write(&file, "").unwrap();
        // The directory above lets everybody write.
        let rule = Refusals(Some(Ownership::ourselves()));
        let reason = rule.reason(&file).map(|distrust| distrust.remedy());
        assert_eq!(reason.as_deref(), Some("chmod go-w /tmp"));
        assert!(rule.reason(Path::new("/bin/sh")).is_none());
        assert!(Refusals(None).reason(&file).is_none());
    }
}
