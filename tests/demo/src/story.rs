// SPDX-License-Identifier: GPL-3.0-or-later
//! What happens in the demo, step by step. Each step waits for what it announces.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use peerdb::source::{Source, SystemResolver};
use scenarios::{PATIENCE, Service, Site, build_aloud, program};
use tripe_lab::Follower;

use crate::screen::Screen;

/// The loopback address of each host, so that the two differ in address as real ones do.
const GATE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 21);
const HUB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 22);

/// Makes a host: a directory with a lab server, but no database yet.
fn host(address: Ipv4Addr) -> anyhow::Result<Site> {
    Site::new()?
        .without_database()
        .lab(|config| {
            config.udp = vec![SocketAddr::from((address, 0))];
            config.time_scale = 1;
        })
        .build()
}

/// Compiles a host's database from a source text.
fn compile(site: &Site, text: &str) -> anyhow::Result<()> {
    std::fs::write(site.path("peers.in"), text)?;
    let compilation =
        Source::read([site.path("peers.in")], |_| false).compile(&SystemResolver::default());
    for finding in compilation.findings() {
        eprintln!("{finding}");
    }
    if compilation.has_errors() {
        bail!("the demo's database does not compile");
    }
    compilation.writer().write(site.path("peers.cdb"))?;
    Ok(())
}

/// Waits for a broadcast.
fn expect(follower: &mut Follower, prefix: &str) -> anyhow::Result<()> {
    follower
        .next_within(PATIENCE, prefix, |what| what.is_broadcast(prefix))
        .with_context(|| format!("waited for {prefix:?}"))?;
    Ok(())
}

pub(crate) fn tell() -> anyhow::Result<()> {
    let screen = Screen::new();
    screen.heading("building the programs (the first time takes some minutes)");
    build_aloud()?;

    screen.heading("two hosts: gate and hub. The lab servers ENCRYPT NOTHING");
    let gate = host(GATE)?;
    let hub = host(HUB)?;
    let over = Arc::new(AtomicBool::new(false));
    let printers = [
        screen.follow("gate", &gate.lab, Arc::clone(&over)),
        screen.follow("hub", &hub.lab, Arc::clone(&over)),
    ];
    let ended = act(screen, &gate, &hub);
    over.store(true, Ordering::Relaxed);
    for printer in printers {
        // A printer that panicked has shown so itself.
        let _ = printer.join();
    }
    ended
}

/// Gives each host a peer database, and gate a script.
fn prepare(gate: &Site, hub: &Site) -> anyhow::Result<()> {
    gate.script(
        "ifup",
        "echo \"would configure $2 ($P_IFNAME) for $1 at $3 $4 $5\"",
    )?;
    let checks = "watch = t\nevery = 2s\ntimeout = 1s\nretries = 3\n";
    compile(
        gate,
        &format!(
            "[@GLOBAL]\nifname = vpn-$(name)\nifup = ./ifup\n{checks}\n\
             [hub]\nauto = t\npeer = {}\nknock = gate\n",
            hub.address()
        ),
    )?;
    // The passive side is patient, as the manual advises: it is gate's part to come back.
    let patience = "watch = t\nevery = 3s\ntimeout = 2s\nretries = 10\n";
    compile(
        hub,
        &format!("[gate]\npeer = PASSIVE\nmobile = t\n{patience}"),
    )
}

fn act(screen: Screen, gate: &Site, hub: &Site) -> anyhow::Result<()> {
    screen.heading("compiling a peer database on each");
    prepare(gate, hub)?;

    screen.heading("starting the connect services; gate knocks at hub");
    let mut at_gate = gate.lab.follow();
    let mut at_hub = hub.lab.follow();
    let hub_service = hub.connect(&["--startup"])?;
    let gate_service = gate.connect(&["--startup"])?;
    expect(&mut at_hub, "NOTE KNOCK gate")?;
    expect(&mut at_hub, "NOTE ADD gate")?;
    expect(&mut at_gate, "NOTE KXDONE hub")?;

    screen.heading("both look after each other: gate pings every two seconds, hub every three");
    wait_for_replies(gate, "hub", 3)?;
    screen.heading("what an operator sees meanwhile");
    for (name, site, service) in [("gate", gate, &gate_service), ("hub", hub, &hub_service)] {
        println!("\n$ connect-cli status      (on {name})");
        show_status(site, service)?;
    }
    println!();

    screen.heading("the network fails: no ping is answered, gate tries to connect again");
    let network = network_fails(screen, gate, &mut at_gate)?;
    screen.heading("hub's server dies and is started again, with all its peers forgotten");
    let server = server_dies(gate, &mut at_gate, hub)?;

    screen.heading("what happened");
    println!("  the demo cut the network for {}", network.times);
    println!("  the demo stopped hub's server for {}", server.times);
    let outages = network.lost + server.lost;
    let answered: u64 = gate.info("hub", "n-ping")?.parse()?;
    // There are none, unless this machine is overloaded.
    let others = lost_pings(gate)?.saturating_sub(outages);
    println!(
        "  otherwise {answered} of {} pings from gate to hub were answered",
        answered + others
    );
    println!(
        "  {outages} more went out during the two outages: no answer to them is how gate noticed"
    );
    Ok(())
}

/// A time in which the hosts could not reach each other.
struct Outage {
    /// How long it lasted, in words.
    times: String,
    /// How many pings gate lost.
    lost: u64,
}

/// An outage from `began`, whose cause was removed at `repaired`; now the hosts reach each other.
fn over(began: Instant, repaired: Instant, lost: u64) -> Outage {
    let times = format!(
        "{:.1} s; the connection was back {:.1} s later, by itself",
        (repaired - began).as_secs_f32(),
        repaired.elapsed().as_secs_f32()
    );
    Outage { times, lost }
}

fn network_fails(screen: Screen, gate: &Site, at_gate: &mut Follower) -> anyhow::Result<Outage> {
    let lost = lost_pings(gate)?;
    let began = Instant::now();
    gate.lab.pause_network()?;
    expect(at_gate, "WARN USER connect ping-timeout hub attempt 3 of 3")?;
    expect(at_gate, "WARN USER connect reconnecting hub")?;
    screen.heading("the network is back");
    let repaired = Instant::now();
    gate.lab.resume_network()?;
    expect(at_gate, "WARN USER connect ping-ok hub")?;
    Ok(over(began, repaired, lost_pings(gate)? - lost))
}

fn server_dies(gate: &Site, at_gate: &mut Follower, hub: &Site) -> anyhow::Result<Outage> {
    let lost = lost_pings(gate)?;
    let began = Instant::now();
    hub.lab.crash();
    expect(at_gate, "WARN USER connect ping-timeout hub attempt 1 of 3")?;
    let mut at_hub = hub.lab.follow();
    let repaired = Instant::now();
    hub.lab.start()?;
    expect(&mut at_hub, "NOTE SVCCLAIM connect")?;
    expect(&mut at_hub, "NOTE ADD gate")?;
    expect(at_gate, "WARN USER connect ping-ok hub")?;
    Ok(over(began, repaired, lost_pings(gate)? - lost))
}

/// How many pings to hub gate has lost.
fn lost_pings(gate: &Site) -> anyhow::Result<u64> {
    Ok(gate.info("hub", "n-lost")?.parse()?)
}

/// Waits until a peer has answered so many pings.
fn wait_for_replies(site: &Site, peer: &str, replies: usize) -> anyhow::Result<()> {
    let mut follower = site.lab.follow_from_start();
    for _ in 0..replies {
        follower.next_within(PATIENCE, "a reply", |what| {
            what.is_sent("BGINFO") && what.to_string().contains("ping-ok")
        })?;
    }
    site.info(peer, "n-ping").map(drop)
}

fn show_status(site: &Site, service: &Service) -> anyhow::Result<()> {
    let status = Command::new(program("connect-cli")?)
        .arg("--control")
        .arg(service.control())
        .arg("status")
        .current_dir(site.directory())
        .status()?;
    anyhow::ensure!(status.success(), "connect-cli status: {status}");
    Ok(())
}
