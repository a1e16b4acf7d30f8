// SPDX-License-Identifier: GPL-3.0-or-later
//! How much core has begun and not ended, for tests that check the limits of its tables.

/// How much of each kind core has begun and not ended. When nothing happens any more, all of it
/// becomes zero, except scripts that go on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Backlog {
    /// Commands that wait until the server has listed its peers.
    pub held: usize,
    /// Jobs of the server that are neither answered nor cancelled.
    pub jobs: usize,
    /// Peers that are being added.
    pub additions: usize,
    /// `passive` commands that wait for their greeting.
    pub greetings: usize,
    /// Changes of the database that are being applied, or wait for that.
    pub applying: usize,
    /// Commands and jobs that the server has not answered.
    pub at_server: usize,
    /// Pings that the pinger has ordered and that are not due yet, and operators who wait for the
    /// result of one.
    pub pings_queued: usize,
    /// Messages that wait for the pinger.
    pub for_pinger: usize,
    /// Scripts that have not ended.
    pub runs: usize,
    /// Orders and changes of setups that the script helper has not accepted.
    pub orders_untaken: usize,
    /// Peers for whose scripts nothing was decided since core or the server started.
    pub undecided: usize,
    /// Connections that read the state.
    pub readers: usize,
}
