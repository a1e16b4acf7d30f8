// SPDX-License-Identifier: GPL-3.0-or-later
//! What storms are to reach: all names under which faults and scripts are counted.

/// All of them, of seeds from [`GREETED_FROM`](super::GREETED_FROM) on. A list of its own, so that
/// a kind that no plan has any more is missed.
pub const NAMES: &[&str] = &[
    "added again",
    "address",
    "cancel job",
    "client leaves",
    "command",
    "core suspended",
    "cut admin connection",
    "cut helper connection",
    "database",
    "database: another value",
    "database: as before",
    "database: broken",
    "database: missing",
    "database: new record",
    "database: not watched for a moment",
    "database: of another site",
    "database: record removed",
    "displace",
    "greeting",
    "greeting: awaited",
    "greeting: made up",
    "greeting: too late",
    "journal lost",
    "journal lost: damaged",
    "journal lost: removed",
    "kill core",
    "kill core: last state",
    "kill core: no state",
    "kill core: older state",
    "kill core: state of another server",
    "kill pinger",
    "kill script helper",
    "kill server",
    "knock",
    "late answers",
    "lines in pieces",
    "lookup",
    "name of another peer",
    "name that flaps",
    "name with error",
    "name with late answer",
    "name without answer",
    "next protocol",
    "operator",
    "operator: applies changes",
    "operator: asks for changes",
    "operator: asks for the state",
    "operator: does not read events",
    "operator: floods",
    "operator: leaves in an answer",
    "operator: reads events",
    "operator: reads records",
    "operator: reloads",
    "operator: runs a script",
    "others change peers",
    "others change peers: add",
    "others change peers: add and kill",
    "others change peers: goodbye",
    "others change peers: kill",
    "others change peers: kill and add",
    "partner dead",
    "partner moves",
    "path",
    "path: delays",
    "path: down both ways",
    "path: down one way",
    "path: duplicates",
    "path: healed",
    "path: loses",
    "path: reorders",
    "pinger suspended",
    "quit",
    "reboot",
    "refuse",
    "restart server",
    "restart server: with its peers",
    "restart server: without peers",
    "script helper suspended",
    "script: cannot be started",
    "script: closes its output",
    "script: deaf to TERM",
    "script: ended by a signal",
    "script: fails",
    "script: floods",
    "script: greets",
    "script: hangs",
    "script: leaves a process behind",
    "script: slow",
    "script: stays without a challenge",
    "script: succeeds",
    "script: writes no challenge",
    "second helper",
    "server suspended",
    "suspend",
    "upgrade",
    "wall clock",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::{GREETED_FROM, Plan, Profile, Scale};
    use super::*;

    /// What the plans of some large sites have.
    fn planned() -> BTreeSet<&'static str> {
        let mut found = BTreeSet::new();
        for seed in GREETED_FROM..GREETED_FROM + 4 {
            let scale = Scale {
                hosts: 3,
                peers: 8,
                time: Duration::from_secs(60 * 86_400),
                profile: Profile::Storm,
            };
            let plan = Plan::generate(seed, scale);
            for timed in &plan.faults {
                found.insert(timed.fault.name());
                found.extend(timed.fault.detail());
            }
            for record in plan.site.hosts.iter().flat_map(|host| &host.records) {
                let scripts = &record.scripts;
                let lists = [
                    &scripts.ifup,
                    &scripts.ifdown,
                    &scripts.connect,
                    &scripts.disconnect,
                    &scripts.on_up,
                    &scripts.on_down,
                ];
                let habits = lists.into_iter().flatten();
                found.extend(habits.map(|it| it.habit.name()));
            }
        }
        found
    }

    #[test]
    fn the_list_is_what_plans_have() {
        let mut expected = planned();
        // These come of what plans have.
        expected.extend(["added again", "lookup"]);
        assert_eq!(NAMES.iter().copied().collect::<BTreeSet<_>>(), expected);
    }
}
