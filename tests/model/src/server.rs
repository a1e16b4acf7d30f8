// SPDX-License-Identifier: GPL-3.0-or-later
//! The server, with at most one peer, which has another interface each time that it is added.

use std::collections::VecDeque;

use connect_ipc::setup::ServerRun;

/// The one peer.
pub(crate) const PEER: &str = "p";

/// What the server has said and core has not read.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Line(String),
    /// The end of the answer that an operator's run waits for.
    Requested(String),
    /// The connection is lost.
    Lost,
}

/// The server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    run: u64,
    /// How often the peer was added.
    additions: u32,
    pub(crate) is_present: bool,
    /// Whether core is connected and wants notes.
    is_watched: bool,
    pub(crate) said: VecDeque<Said>,
}

impl Server {
    /// Which run it is.
    pub(crate) const fn run(&self) -> ServerRun {
        ServerRun {
            device: 1,
            inode: self.run,
            made: (0, 0),
        }
    }

    /// The peer is added, or killed.
    pub(crate) fn toggle(&mut self) {
        self.is_present = !self.is_present;
        self.additions += u32::from(self.is_present);
        if self.is_watched {
            let note = if self.is_present {
                format!("NOTE ADD {PEER} tun{} INET 192.0.2.1 1", self.additions)
            } else {
                format!("NOTE KILL {PEER}")
            };
            self.say(note);
        }
    }

    /// It is started again, without its peer.
    pub(crate) fn restart(&mut self) {
        self.run += 1;
        self.is_present = false;
        self.hang_up();
        self.said.push_back(Said::Lost);
    }

    /// Core is gone.
    pub(crate) fn hang_up(&mut self) {
        self.is_watched = false;
        self.said.clear();
    }

    fn say(&mut self, line: String) {
        self.said.push_back(Said::Line(line));
    }

    /// Core has written a line; `asks` if an operator's run waits for the answer to `ALGS`.
    pub(crate) fn hear(&mut self, line: &str, asks: bool) {
        let command = line.split(' ').next().unwrap_or_default();
        let info = match command {
            "WATCH" => {
                self.is_watched = true;
                Ok(None)
            }
            "LIST" => Ok(self.is_present.then(|| PEER.to_owned())),
            "IFNAME" => self.of_peer(format!("tun{}", self.additions)),
            "ADDR" => self.of_peer("INET 192.0.2.1 1".to_owned()),
            "ALGS" => self.of_peer("cipher=none".to_owned()),
            _ => Ok(None),
        };
        let end = match info {
            Ok(info) => {
                if let Some(info) = info {
                    self.say(format!("INFO {info}"));
                }
                "OK".to_owned()
            }
            Err(failure) => format!("FAIL {failure}"),
        };
        self.said.push_back(match command {
            "ALGS" if asks => Said::Requested(end),
            _ => Said::Line(end),
        });
    }

    fn of_peer(&self, info: String) -> Result<Option<String>, String> {
        if self.is_present {
            Ok(Some(info))
        } else {
            Err(format!("unknown-peer {PEER}"))
        }
    }
}
