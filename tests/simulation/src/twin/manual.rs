// SPDX-License-Identifier: GPL-3.0-or-later
//! The service of the manual in a twin.

use std::sync::Arc;

use connect_ipc::scripts::{Ended, ScriptKind, Stream};
use manual_service::{Child, Input, Kind, Output, Service};
use peerdb::Database;

use super::provider::{Act, News, Provider, Start};

/// The service of the manual.
pub(crate) struct Manual {
    service: Service,
    startup: bool,
    out: Vec<Output>,
}

impl Manual {
    pub(crate) fn new(startup: bool) -> Self {
        Manual {
            service: Service::new(env!("CARGO_PKG_VERSION")),
            startup,
            out: Vec::new(),
        }
    }

    fn handle(&mut self, input: Input<'_>, now: u64) {
        self.service.handle(input, now, &mut self.out);
    }
}

impl Provider for Manual {
    fn start(&mut self, database: Arc<Database>, now: u64) {
        self.handle(Input::Database(database), now);
        let startup = self.startup;
        self.handle(Input::Start { startup }, now);
    }

    /// The manual does not say what the service does at its end: nothing.
    fn leave(&mut self, _: u64) {}

    fn lost(&mut self, now: u64) {
        self.handle(Input::Lost, now);
    }

    /// The manual does not speak of it, and nobody tells a service.
    fn slept(&mut self, _: u64, _: u64) {}

    fn lines(&mut self, lines: &[String], now: u64) {
        for line in lines {
            self.handle(Input::Line(line), now);
        }
    }

    /// The manual does not say what a database is that cannot be read: it has not changed
    /// (`Tolerance::UnreadableDatabase`).
    fn database(&mut self, read: Result<Arc<Database>, String>, now: u64) {
        if let Ok(database) = read {
            self.handle(Input::Database(database), now);
        }
    }

    fn child(&mut self, id: u64, news: News, now: u64) {
        let child = match news {
            News::Wrote(Stream::Stdout, line) => Child::Wrote(manual_service::Stream::Stdout, line),
            News::Wrote(Stream::Stderr, line) => Child::Wrote(manual_service::Stream::Stderr, line),
            News::Ended(Ended::Exited(status)) => Child::Exited(status),
            News::Ended(Ended::Signal(signal)) => Child::Signalled(signal),
            News::Ended(Ended::Unknown(status)) => Child::Unknown(status),
            // These are ends that only the product's script helper knows.
            News::Ended(Ended::NotStarted(_) | Ended::TimedOut | Ended::Stopped | Ended::Lost) => {
                return;
            }
        };
        self.handle(Input::Child(id, child), now);
    }

    fn time(&mut self, now: u64) {
        self.handle(Input::Time, now);
    }

    fn next_deadline(&mut self) -> Option<u64> {
        self.service.next_deadline()
    }

    fn acts(&mut self) -> Vec<Act> {
        let act = |output| match output {
            Output::Line(line) => Act::Line(line),
            Output::Start(order) => Act::Start(Start {
                id: order.id,
                kind: match order.kind {
                    Kind::Ifup => ScriptKind::Ifup,
                    Kind::Ifdown => ScriptKind::Ifdown,
                    Kind::Connect => ScriptKind::Connect,
                    Kind::Disconnect => ScriptKind::Disconnect,
                },
                peer: order.peer,
                argv: order.argv,
                environment: order.environment.into_iter().collect(),
            }),
        };
        self.out.drain(..).map(act).collect()
    }
}
