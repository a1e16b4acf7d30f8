// SPDX-License-Identifier: GPL-3.0-or-later
//! Peers whose address moves: the record gives a host name, with `re-resolve`, and a name server of
//! our own answers with another address, or with the same, or not at all.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::process::Command;

use anyhow::{Context as _, ensure};
use peerdb::Record;
use rustix::process::{Pid, Signal, kill_process};
use scenarios::{Admin, Outcome, address_words};

use super::{permitted, start_services};
use crate::hosts::{Host, outer, pair};
use crate::names::{Answer, NAME, NameServer};

/// The addresses of the link in the other family.
const fn outer6(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host as u16)
}

/// An address of hub in both families.
fn both(host: u8) -> [IpAddr; 2] {
    [outer(host).into(), outer6(host).into()]
}

/// What the name server answers if hub has these addresses.
fn has(hosts: &[u8]) -> Answer {
    Answer::Addresses(hosts.iter().flat_map(|host| both(*host)).collect())
}

/// Gate, which knows hub by its name, and hub at its first address, 2.
struct Site {
    gate: Host,
    hub: Host,
    names: NameServer,
    /// What gate's server says.
    at_gate: Admin,
    family: &'static str,
}

impl Site {
    /// The two are connected, and gate's record of hub has an address of this family.
    fn connected(family: &'static str) -> anyhow::Result<Self> {
        let (mut gate, mut hub) = pair()?;
        let names = NameServer::start(&gate, has(&[2]))?;
        for (host, number) in [(&gate, 1), (&hub, 2)] {
            gain(host, outer6(number).into())?;
            let script = "echo \"${0##*/}${3:+ $3 $4 $5}\" >> scripts";
            host.script("ifup", script)?;
            host.script("ifdown", script)?;
        }
        let peer = format!("{family} {NAME} 4070");
        let common = [("watch", "t"), ("every", "1s"), ("timeout", "1s")];
        let to_hub = [
            ("peer", peer.as_str()),
            ("re-resolve", "t"),
            ("knock", "gate"),
            ("retries", "3"),
            ("ifup", "./ifup"),
            ("ifdown", "./ifdown"),
        ];
        // It is gate's part to come back, so hub is patient.
        let to_gate = [("peer", "PASSIVE"), ("retries", "500")];
        gate.database(
            &[Record::new("hub", [&to_hub[..], &common].concat())],
            &["hub"],
        )?;
        hub.database(
            &[Record::new("gate", [&to_gate[..], &common].concat())],
            &[],
        )?;
        // The server of the lab resolves names by itself.
        let [first, first6] = both(2);
        let (first, any) = match family {
            "INET" => (first, "0.0.0.0:4070"),
            _ => (first6, "[::]:4070"),
        };
        let name = format!("{NAME}={first}");
        for host in [&mut gate, &mut hub] {
            host.start_server_with(&["-u", any, "--host", &name])?;
        }
        let at_gate = start_services(&mut gate, &mut hub)?;
        let socket = gate.path("tripesock").display().to_string();
        gate.start("connect-cli", &["-a", &socket, "events", "--json"])?;
        let site = Site {
            gate,
            hub,
            names,
            at_gate,
            family,
        };
        site.is_told("\"what\":\"live\"")?;
        site.shows("  state       up")?;
        site.has_set_up(&[2])?;
        Ok(site)
    }

    /// The wire is back: hub answers where it is, and nothing more was done for it than to set it
    /// up at these addresses.
    fn comes_back_undisturbed(&mut self, hosts: &[u8]) -> Outcome {
        self.link("up")?;
        self.answers_undisturbed(hosts)
    }

    /// Hub answers, and nothing more was done for it than to set it up at these addresses.
    fn answers_undisturbed(&mut self, hosts: &[u8]) -> Outcome {
        self.hears("WARN USER connect ping-ok hub")?;
        self.has_set_up(hosts)?;
        assert!(!self.is_killed()?);
        Ok(())
    }

    /// The words of hub's address with this number.
    fn address(&self, host: u8) -> String {
        let [four, six] = both(host);
        let address = if self.family == "INET" { four } else { six };
        address_words((address, 4070).into())
    }

    /// Waits until the events have this text.
    fn is_told(&self, text: &str) -> anyhow::Result<()> {
        let events = self.gate.path("connect-cli.log");
        self.gate.wait_for(text, || {
            let events = fs::read_to_string(&events).ok()?;
            events.contains(text).then_some(())
        })
    }

    /// connect-cli at gate.
    fn tool(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.gate.command("connect-cli")?;
        command.arg("-a").arg(self.gate.path("tripesock"));
        command.args(arguments);
        Ok(command)
    }

    /// Waits until `connect-cli info` has this text on hub.
    fn shows(&self, text: &str) -> anyhow::Result<()> {
        let mut command = self.tool(&["info", "hub"])?;
        self.gate.wait_for(text, || {
            let shown = command.output().ok()?.stdout;
            String::from_utf8_lossy(&shown).contains(text).then_some(())
        })
    }

    /// Waits until `ifup` has run for hub at gate with the addresses of these numbers, and `ifdown`
    /// in between. It is an error if others have run.
    fn has_set_up(&self, hosts: &[u8]) -> anyhow::Result<()> {
        let lines = hosts
            .iter()
            .map(|host| format!("ifup {}\n", self.address(*host)));
        let expected = lines.collect::<Vec<_>>().join("ifdown\n");
        let run = self.gate.wait_for(&expected, || {
            let run = fs::read_to_string(self.gate.path("scripts")).ok()?;
            (run.len() >= expected.len()).then_some(run)
        })?;
        ensure!(run == expected, "{run}\ninstead of\n{expected}");
        Ok(())
    }

    /// Whether gate's server was told to remove hub since this was last asked.
    fn is_killed(&mut self) -> anyhow::Result<bool> {
        self.gate.admin()?.ask("NOTIFY so far")?.lines()?;
        let mut killed = false;
        loop {
            let line = self.at_gate.receive()?;
            killed |= line.starts_with("NOTE KILL");
            if line == "NOTE USER so far" {
                return Ok(killed);
            }
        }
    }

    /// Hub has another address now, in both families.
    fn moves(&self, from: u8, to: u8) -> anyhow::Result<()> {
        for address in both(from) {
            lose(&self.hub, address)?;
        }
        both(to).into_iter().try_for_each(|it| gain(&self.hub, it))
    }

    /// What gate's server says next that begins so.
    fn hears(&mut self, prefix: &str) -> anyhow::Result<String> {
        let heard = self.at_gate.receive_until(prefix);
        heard.with_context(|| self.gate.logs())
    }

    /// Hub does not answer any more, or again.
    fn link(&self, state: &str) -> anyhow::Result<()> {
        self.hub.ip(&["link", "set", "wire", state])?;
        // Taking a link down has removed this.
        if state == "up" {
            gain(&self.hub, outer6(2).into())?;
        }
        Ok(())
    }

    /// Ends the script helper, of which `connect` starts another. Names that were looked up by the
    /// first one may be looked up again at once.
    fn helper_dies(&self) -> anyhow::Result<()> {
        let output = self.tool(&["status", "--json"])?.output()?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let pid = status["service"]["scripts"]["pid"].as_i64();
        let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        kill_process(pid.context("no script helper")?, Signal::KILL)?;
        Ok(())
    }
}

/// The site, unless namespaces cannot be had here.
fn site(family: &'static str) -> anyhow::Result<Option<Site>> {
    permitted().then(|| Site::connected(family)).transpose()
}

fn gain(host: &Host, address: IpAddr) -> anyhow::Result<()> {
    let bits = if address.is_ipv4() { 24 } else { 64 };
    let address = format!("{address}/{bits}");
    // Nobody else can have it, so it need not be waited for.
    let nodad: &[&str] = if bits == 64 { &["nodad"] } else { &[] };
    let add = ["addr", "replace", &address, "dev", "wire"];
    host.ip(&[&add[..], nodad].concat()).map(drop)
}

fn lose(host: &Host, address: IpAddr) -> anyhow::Result<()> {
    let bits = if address.is_ipv4() { 24 } else { 64 };
    let address = format!("{address}/{bits}");
    host.ip(&["addr", "del", &address, "dev", "wire"]).map(drop)
}

fn a_peer_is_followed(family: &'static str) -> Outcome {
    let Some(mut site) = site(family)? else {
        return Ok(());
    };
    site.names.answers(has(&[4]));
    site.moves(2, 4)?;
    site.hears("NOTE KILL hub")?;
    let added = site.hears("NOTE ADD hub ")?;
    assert!(added.ends_with(&site.address(4)), "{added}");
    site.hears("NOTE KXDONE hub")?;
    site.shows("  state       up")?;
    site.has_set_up(&[2, 4])?;
    let (from, to) = (site.address(2), site.address(4));
    let data = format!("\"data\":{{\"from\":\"{from}\",\"to\":\"{to}\"}}");
    let fields = format!("\"kind\":\"new-address\",{data}");
    site.is_told(&fields)?;
    let log = fs::read_to_string(site.gate.path("connect.log"))?;
    let line = log.lines().find(|line| line.contains("has a new address"));
    let line = line.with_context(|| log.clone())?;
    for field in [format!("from=\"{from}\""), format!("to=\"{to}\"")] {
        assert!(line.contains(&field), "{line}");
    }
    site.shows("added again at the new address")?;
    Ok(())
}

#[test]
fn a_peer_whose_name_has_another_address_is_added_again_there_with_its_scripts_in_order() -> Outcome
{
    a_peer_is_followed("INET")
}

#[test]
fn the_same_is_true_of_an_address_of_the_other_family() -> Outcome {
    a_peer_is_followed("INET6")
}

#[test]
fn nothing_is_disturbed_when_the_name_still_has_the_address_beside_others() -> Outcome {
    let Some(mut site) = site("INET")? else {
        return Ok(());
    };
    site.names.answers(has(&[9, 2]));
    site.link("down")?;
    site.names.is_asked()?;
    site.shows("the name still has the address in use")?;
    site.hears("WARN USER connect reconnecting hub")?;
    site.comes_back_undisturbed(&[2])
}

#[test]
fn an_answer_that_never_comes_is_told_and_disturbs_nothing() -> Outcome {
    let Some(mut site) = site("INET")? else {
        return Ok(());
    };
    site.names.answers(Answer::Silence);
    site.link("down")?;
    site.names.is_asked()?;
    site.is_told("\"kind\":\"lookup-failed\"")?;
    site.shows("no answer within 10 s")?;
    let log = fs::read_to_string(site.gate.path("connect.log"))?;
    let told = "cannot look up the host name of a peer that does not answer";
    assert!(log.contains(told), "{log}");
    site.comes_back_undisturbed(&[2])
}

#[test]
fn an_answer_that_flaps_does_not_move_a_peer_again_at_once() -> Outcome {
    let Some(mut site) = site("INET")? else {
        return Ok(());
    };
    site.names.answers(has(&[4]));
    site.link("down")?;
    let added = site.hears("NOTE ADD hub ")?;
    assert!(added.ends_with(&site.address(4)), "{added}");
    site.has_set_up(&[2, 4])?;
    site.names.answers(has(&[2]));
    site.helper_dies()?;
    site.names.is_asked()?;
    site.shows("but it was moved a short time ago")?;
    site.link("up")?;
    site.moves(2, 4)?;
    site.answers_undisturbed(&[2, 4])
}
