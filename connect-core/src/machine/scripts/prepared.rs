// SPDX-License-Identifier: GPL-3.0-or-later
//! A script that may be run now, and what its run changes.

use std::sync::Arc;

use connect_ipc::RunId;
use connect_ipc::frame::{MAX_FRAME, length};
use connect_ipc::scripts::{Run, ScriptKind};
use connect_ipc::setup::SetupState;
use connect_policy::hooks::{self, DefaultHooks, Occasion};
use connect_policy::scripts::{Script, interface_script, shell_script};
use connect_policy::{ValueError, size};
use peerdb::Record;

/// What surrounds a run in its message: `{"run":[` and `]}`.
const AROUND: usize = 10;

/// A script that may be run now.
pub(in crate::machine) struct Prepared {
    pub(in crate::machine) peer: String,
    pub(in crate::machine) kind: ScriptKind,
    pub(in crate::machine) record: Record,
    /// `None` if the record does not name one.
    pub(in crate::machine) script: Result<Option<Script>, ValueError>,
    /// The new state of the peer's setup that the script belongs to; `None` if it does not change.
    pub(in crate::machine) setup: Option<SetupState>,
    /// The runs that it undoes, if it is not known that one of them was started.
    pub(in crate::machine) undoes: Vec<RunId>,
}

impl Prepared {
    /// A script that does not change the setup.
    pub(super) fn new(
        name: &str,
        kind: ScriptKind,
        record: Record,
        script: Result<Option<Script>, ValueError>,
    ) -> Self {
        Prepared {
            peer: name.to_owned(),
            kind,
            record,
            script,
            setup: None,
            undoes: Vec::new(),
        }
    }

    /// A peer's `ifdown`.
    pub(in crate::machine) fn ifdown(
        name: &str,
        record: &Record,
        algorithms: &[(String, String)],
    ) -> Self {
        let kind = ScriptKind::Ifdown;
        let script = interface_script(record, kind, vec![name.to_owned()], algorithms);
        Self::new(name, kind, record.clone(), script)
    }

    /// A hook, with what it is told beside the record: the algorithms and the occasion.
    pub(in crate::machine) fn hook(
        name: &str,
        kind: ScriptKind,
        record: Record,
        defaults: &DefaultHooks,
        (algorithms, occasion): (&[(String, String)], &Occasion),
    ) -> Self {
        let script = hooks::script(&record, defaults, kind, algorithms, occasion);
        Self::new(name, kind, record, script)
    }

    /// `connect` or `disconnect`, through the shell.
    pub(in crate::machine) fn shell(name: &str, kind: ScriptKind, record: Record) -> Self {
        let script = shell_script(&record, kind);
        Self::new(name, kind, record, script)
    }

    /// The run with this number; `None` if the record names no script.
    ///
    /// # Errors
    /// Why it cannot be run: its value cannot be executed, or it does not fit into a message.
    pub(super) fn run(self, run: RunId, limit: Option<u32>) -> Result<Option<Run>, String> {
        let Some(script) = self.script.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let mut run = Run {
            run,
            peer: self.peer,
            kind: self.kind,
            command: script.command,
            environment: script.environment,
            limit,
            setup: self.setup,
            undoes: self.undoes,
        };
        let mut size = order_size(&run);
        if size > MAX_FRAME
            && let Some(SetupState::Made(made)) = &mut run.setup
        {
            // Then its `ifdown` uses the record of the time when it is run.
            Arc::make_mut(made).record.clear();
            size = order_size(&run);
        }
        if size > MAX_FRAME {
            return Err(size::too_large(size));
        }
        Ok(Some(run))
    }
}

/// The size of the message that orders a run.
fn order_size(run: &Run) -> usize {
    length(run) + AROUND
}
