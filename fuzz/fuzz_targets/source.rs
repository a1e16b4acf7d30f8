// SPDX-License-Identifier: GPL-3.0-or-later
//! Any text as the source of a peer database.
#![no_main]

use connect_policy::{check, keys};
use libfuzzer_sys::fuzz_target;
use peerdb::source::Source;

/// Knows no host, so that nothing leaves the process.
struct Nobody;

impl peerdb::source::Resolver for Nobody {
    fn resolve(
        &self,
        hosts: &[String],
    ) -> Vec<Result<Vec<std::net::IpAddr>, peerdb::source::ResolveError>> {
        hosts.iter().map(|_| Ok(Vec::new())).collect()
    }
}

fuzz_target!(|text: &str| {
    let compilation = Source::parse([("fuzz", text)], keys::is_known).compile(&Nobody);
    if !compilation.has_errors() {
        let _ = check::compilation(&compilation);
    }
});
