// SPDX-License-Identifier: GPL-3.0-or-later
//! Findings in whole databases and sources, as an operator reads them.

use std::net::IpAddr;

use connect_policy::{check, keys};
use peerdb::source::{Compilation, ResolveError, Resolver, Source};
use peerdb::{Database, Finding, Record, Severity, Writer};

struct Nobody;

impl Resolver for Nobody {
    fn resolve(&self, _: &[String]) -> Vec<Result<Vec<IpAddr>, ResolveError>> {
        Vec::new()
    }
}

fn compile(text: &str) -> Compilation {
    let compilation = Source::parse([("peers.in", text)], keys::is_known).compile(&Nobody);
    assert_eq!(compilation.findings(), []);
    compilation
}

fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_worked_example_is_without_fault() {
    let sample = include_bytes!("../../peerdb/tests/fixtures/sample.cdb");
    assert_eq!(check::database(&Database::read(sample).unwrap()), []);
}

#[test]
fn findings_in_a_source_carry_file_and_line() {
    let text = "[@GLOBAL]
watch = True
ifup = tripe-ifup
domain = example.com
hosts = $(name).$(domain)

[hub]
peer = INET $(hosts) 4070
evry = 30s
conect = ssh hub

[laptop]
peer = PASSIVE
knock = hub
watch = t
auto = t
";
    assert_eq!(
        lines(&check::compilation(&compile(text))),
        [
            "peers.in:2: warning: peer hub: watch = \"True\" is not true here, so it counts as \
             false: write t (or true, y, yes, on), or f if false is meant",
            "peers.in:3: hint: peer hub and 1 other: ifup names the program \"tripe-ifup\" without \
             its directory, so it depends on the service's environment which one is run: write \
             its full name",
            "peers.in:9: warning: peer hub: no program reads evry; was every meant? If one of your scripts \
             reads it, ignore this",
            "peers.in:10: warning: peer hub: no program reads conect; was connect meant? If one of your \
             scripts reads it, ignore this",
            "peers.in:14: warning: peer laptop: knock is for a peer that this host contacts, but \
             peer is PASSIVE: assign the peer's address, or remove knock",
            "peers.in:16: error: peer laptop: the peer is to be added at start-up, but is PASSIVE \
             and has no address: remove auto",
        ]
    );
}

#[test]
fn a_key_that_is_substituted_is_no_misspelling() {
    let text = "[a]\nusers = x\npeer = INET $(users) 1\n";
    assert_eq!(check::compilation(&compile(text)), []);
    // From the database alone that cannot be seen.
    assert_eq!(check::database(&compile(text).database()).len(), 1);
}

#[test]
fn what_many_peers_inherit_is_told_once() {
    let peers = (0..10_000).map(|n| {
        Record::new(
            &format!("p{n:05}"),
            [("peer", format!("INET h{n} 1")), ("mtu", "9".into())],
        )
    });
    let findings = check::database(&Database::from_parts(peers, [], []));
    assert_eq!(
        lines(&findings),
        [
            "warning: peer p00000 and 9999 others: mtu is \"9\", where a whole number from 68 to 65535 \
          is expected: correct it"
        ]
    );
    assert_eq!(findings[0].key.as_deref(), Some("mtu"));
}

#[test]
fn faults_of_the_file_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers.cdb");
    let mut writer = Writer::new();
    writer.put_raw("Phub", "peer=INET+hub+4070;watch");
    writer.put_user("ann", "nobody");
    writer.write(&path).unwrap();
    let findings = check::database(&Database::load(&path).unwrap());
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Error)
    );
    assert_eq!(
        lines(&findings),
        [
            "error: peer hub: the record of hub has \"watch\" without a value, which is left out: \
             compile again",
            "error: the user ann belongs to the peer nobody, which has no record: define it, or \
             remove the user",
        ]
    );
}
