// SPDX-License-Identifier: GPL-3.0-or-later
//! Measures compiling, writing, checking, loading and comparing a database of many peers:
//! `cargo run --release -p connect-policy --example measure [PEERS]`.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::time::Instant;

use connect_policy::{check, keys};
use peerdb::Database;
use peerdb::source::{ResolveError, Resolver, Source};

/// A source as large installations have them: everything common inherited, three keys of its own
/// for each peer.
fn source(peers: usize) -> Result<String, std::fmt::Error> {
    let mut text = String::from(
        "[@GLOBAL]\ndomain = vpn.example.com\nmyhost = gate\nladdr = $[$(myhost).$(domain)]\n\
         raddr = $[$(name).$(domain)]\nifname = v-$(name)\nifup = /usr/sbin/tripe-ifup\n\
         [@ACTIVE]\nport = 4070\npeer = INET $(host) $(port)\nwatch = t\nevery = 30s\n",
    );
    for n in 0..peers {
        write!(
            text,
            "\n# Site {n}\n[site{n:05}]\n@inherit = @ACTIVE\nhost = site{n:05}.example.com\n\
             knock = hq.gate\nauto = t\n"
        )?;
    }
    Ok(text)
}

/// Answers at once, so that only the compiler is measured.
struct Immediate;

impl Resolver for Immediate {
    fn resolve(&self, hosts: &[String]) -> Vec<Result<Vec<IpAddr>, ResolveError>> {
        vec![Ok(vec![IpAddr::from([192, 0, 2, 1])]); hosts.len()]
    }
}

/// The memory that this process has in use, in bytes.
fn resident() -> Result<usize, Box<dyn Error>> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages = pages.split(' ').nth(1).ok_or("no second field")?;
    Ok(pages.parse::<usize>()? * 4096)
}

fn main() -> Result<(), Box<dyn Error>> {
    let peers = std::env::args()
        .nth(1)
        .map_or(Ok(10_000), |peers| peers.parse())?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("peers.cdb");

    let text = source(peers)?;
    let start = Instant::now();
    let source = Source::parse([("peers.in", text.as_str())], keys::is_known);
    println!(
        "parse    {:>9.1?}  ({} lines)",
        start.elapsed(),
        text.lines().count()
    );
    let start = Instant::now();
    let compilation = source.compile(&Immediate);
    println!(
        "compile  {:>9.1?}  ({} findings)",
        start.elapsed(),
        compilation.findings().len()
    );
    let start = Instant::now();
    compilation.writer().write(&path)?;
    println!(
        "write    {:>9.1?}  ({} bytes)",
        start.elapsed(),
        fs::metadata(&path)?.len()
    );
    let start = Instant::now();
    let findings = check::compilation(&compilation);
    println!(
        "check    {:>9.1?}  ({} findings)",
        start.elapsed(),
        findings.len()
    );
    drop((compilation, text));

    // The first load pays for pages that the heap keeps; what a second one adds is its own.
    let start = Instant::now();
    let first = Database::load(&path)?;
    println!("load     {:>9.1?}", start.elapsed());
    let mut more = Vec::new();
    let before = resident()?;
    for _ in 0..8 {
        more.push(Database::load(&path)?);
    }
    let bytes = (resident()? - before) / 8 / peers;
    let text: usize = first
        .peers()
        .map(|peer| {
            peer.iter()
                .map(|(key, value)| key.len() + value.len())
                .sum::<usize>()
        })
        .sum();
    println!(
        "memory   {bytes} bytes a peer, {} of them keys and values",
        text / peers
    );

    let start = Instant::now();
    let found = first
        .peers()
        .filter(|peer| first.peer(peer.name()).is_some())
        .count();
    println!("look up  {:>9.1?}  ({found} peers)", start.elapsed());
    let start = Instant::now();
    let changes = peerdb::diff(&first, more.first().unwrap_or(&first));
    println!(
        "diff     {:>9.1?}  ({} changes)",
        start.elapsed(),
        changes.len()
    );
    Ok(())
}
