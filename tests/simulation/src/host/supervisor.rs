// SPDX-License-Identifier: GPL-3.0-or-later
//! Starting processes, ending them, and the connections that core's helpers make.

use std::time::Duration;

use connect_core::machine::ConnectionId;
use connect_pinger::machine::Input as PingerInput;

use super::Host;
use super::core::Arrival;
use super::links::Message;
use crate::plan::Part;
use crate::queue::Step;
use crate::seen::{Seen, Watcher};
use crate::world::shared::Shared;

impl Host {
    /// Starts a process, if it does not live.
    pub(crate) fn start<W: Watcher>(&mut self, part: Part, shared: &mut Shared<W>) {
        let held = self.process(part).held_until.take();
        if let Some(until) = held.filter(|until| *until > shared.now) {
            self.process(part).held_until = held;
            return shared.queue.push(until, Step::Start(self.id, part));
        }
        match part {
            Part::Server => self.start_server(shared),
            Part::Core => self.start_core(shared),
            Part::Pinger => self.start_pinger(shared),
            Part::Scripts => self.start_scripts(shared),
        }
    }

    /// Kills a helper, which its supervisor starts again.
    pub(crate) fn kill_helper<W: Watcher>(&mut self, part: Part, shared: &mut Shared<W>) {
        if !self.process(part).lives {
            return;
        }
        let now = shared.now;
        let pause = self.process(part).end(now);
        let reach = match part {
            Part::Pinger => {
                self.drop_pinger();
                &mut self.helpers.pinger.reach
            }
            _ => {
                self.drop_scripts();
                &mut self.helpers.scripts.reach
            }
        };
        let connection = reach.connection.take();
        shared.see(self.id, Seen::Died(part));
        if let Some(connection) = connection {
            self.links.close(self.id, connection, false, shared);
        }
        // It takes a moment to be loaded.
        let pause = pause.max(Duration::from_millis(20));
        shared.after(pause, Step::Start(self.id, part));
    }

    /// Core has a helper started again.
    pub(crate) fn restart_helper<W: Watcher>(&mut self, part: Part, shared: &mut Shared<W>) {
        shared.summary.coverage.of("helper restarted by core").done += 1;
        shared.see(self.id, Seen::RestartedHelper(part));
        self.kill_helper(part, shared);
    }

    /// A helper tries to reach core.
    pub(crate) fn reach<W: Watcher>(&mut self, part: Part, life: u32, shared: &mut Shared<W>) {
        let process = self.process(part);
        if !process.lives || process.life != life {
            return;
        }
        let core = &self.core.process;
        if let Some(until) = core
            .stands_until
            .filter(|until| core.lives && *until > shared.now)
        {
            // It is connected, and waits for an answer.
            return shared.queue.push(until, Step::Reach(self.id, part, life));
        }
        let lives = core.lives;
        let reach = match part {
            Part::Pinger => &mut self.helpers.pinger.reach,
            _ => &mut self.helpers.scripts.reach,
        };
        if reach.connection.is_some() {
            return;
        }
        if !lives {
            let pause = reach.lost(false);
            return shared.after(pause, Step::Reach(self.id, part, life));
        }
        let connection = self.links.connect(part, false);
        reach.made(connection);
        self.links.send(self.id, connection, Message::Hello, shared);
        self.links
            .send(self.id, connection, Message::Connected, shared);
    }

    /// Something arrives on a connection between core and a helper.
    pub(crate) fn message<W: Watcher>(
        &mut self,
        connection: ConnectionId,
        message: Message,
        shared: &mut Shared<W>,
    ) {
        let Some(link) = self.links.open.get(&connection) else {
            return;
        };
        let (part, is_other) = (link.part, link.is_other);
        if message.is_to_core() {
            if link.core_open {
                self.message_to_core(connection, part, message, shared);
            }
        } else if link.helper_open && is_other {
            self.message_to_other(connection, &message, shared);
        } else if link.helper_open {
            self.message_to_helper(connection, part, message, shared);
        }
    }

    fn message_to_core<W: Watcher>(
        &mut self,
        connection: ConnectionId,
        part: Part,
        message: Message,
        shared: &mut Shared<W>,
    ) {
        let arrival = match message {
            Message::Hello => {
                let pid = i32::try_from(self.process(part).life).unwrap_or(i32::MAX);
                Arrival::Helper(connection, part, pid)
            }
            Message::FromPinger(message) => Arrival::Pinger(connection, message),
            Message::FromScripts(message) => Arrival::Scripts(connection, message),
            Message::HelperEnded => {
                self.links.close(self.id, connection, true, shared);
                Arrival::Gone(connection)
            }
            _ => return,
        };
        self.tell_core(arrival, shared);
    }

    fn message_to_helper<W: Watcher>(
        &mut self,
        connection: ConnectionId,
        part: Part,
        message: Message,
        shared: &mut Shared<W>,
    ) {
        let reach = match part {
            Part::Pinger => &mut self.helpers.pinger.reach,
            _ => &mut self.helpers.scripts.reach,
        };
        if reach.connection != Some(connection) {
            return;
        }
        if matches!(message, Message::ToPinger(_) | Message::ToScripts(_)) {
            reach.accepted();
        }
        match message {
            Message::Connected if part == Part::Pinger => {
                self.tell_pinger(PingerInput::CoreConnected {}, shared);
            }
            Message::Connected => self.scripts_connected(shared),
            Message::ToPinger(message) => self.tell_pinger(PingerInput::Core(message), shared),
            Message::ToScripts(message) => {
                let input = connect_ifscripts::machine::Input::Core(message);
                self.tell_scripts(input, shared);
            }
            Message::Refused | Message::CoreEnded => {
                let refused = matches!(message, Message::Refused);
                self.lose_core(connection, part, refused, shared);
            }
            Message::Hello
            | Message::FromPinger(_)
            | Message::FromScripts(_)
            | Message::HelperEnded => {}
        }
    }

    /// A helper has lost core, and tries to reach it again.
    fn lose_core<W: Watcher>(
        &mut self,
        connection: ConnectionId,
        part: Part,
        refused: bool,
        shared: &mut Shared<W>,
    ) {
        let reach = match part {
            Part::Pinger => &mut self.helpers.pinger.reach,
            _ => &mut self.helpers.scripts.reach,
        };
        let pause = reach.lost(refused);
        self.links.close(self.id, connection, false, shared);
        if part == Part::Pinger {
            self.tell_pinger(PingerInput::CoreLost {}, shared);
        }
        let life = self.process(part).life;
        shared.after(pause, Step::Reach(self.id, part, life));
    }

    /// The connection between core and a helper ends. Whether there was one.
    pub(crate) fn cut_helper<W: Watcher>(&mut self, part: Part, shared: &mut Shared<W>) -> bool {
        let reach = match part {
            Part::Pinger => &self.helpers.pinger.reach,
            _ => &self.helpers.scripts.reach,
        };
        let Some(connection) = reach.connection else {
            return false;
        };
        let (id, links) = (self.id, &mut self.links);
        links.send(id, connection, Message::HelperEnded, shared);
        links.send(id, connection, Message::CoreEnded, shared);
        true
    }
}
