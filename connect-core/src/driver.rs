// SPDX-License-Identifier: GPL-3.0-or-later
//! The machine together with the trace of `--debug` and the recording, which see all inputs and
//! outputs.
//!
//! ```text
//!   event loop --Input--> [Driver] --Input--> Machine --Output--> [Driver] --> event loop
//!                            +--> trace, recording
//! ```

use connect_runtime::clock;

use crate::machine::{Input, Machine, Output};
use crate::recording::Recorder;
use crate::secrets::Secrets;
use crate::trace::{self, Direction};

/// The machine, its outputs of this turn, and what observes it.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) machine: Machine,
    outputs: Vec<Output>,
    secrets: Secrets,
    /// Whether the protocol is traced (`--debug`).
    trace: bool,
    recorder: Option<Recorder>,
    /// Whether the turn has not ended since the last input.
    in_turn: bool,
}

impl Driver {
    /// A driver of a machine that has had no input yet.
    #[must_use]
    pub(crate) fn new(machine: Machine, trace: bool, recorder: Option<Recorder>) -> Self {
        Driver {
            machine,
            outputs: Vec::new(),
            secrets: Secrets::default(),
            trace,
            recorder,
            in_turn: false,
        }
    }

    /// Gives an input to the machine, with the present time.
    pub(crate) fn feed(&mut self, input: Input<'_>) {
        let now = clock::now();
        self.in_turn = !matches!(input, Input::EndOfTurn);
        if !self.trace && self.recorder.is_none() {
            return self.machine.handle(input, now, &mut self.outputs);
        }
        let line = match &input {
            Input::ServerLine(line) => Some(line.to_string()),
            _ => None,
        };
        let recorded = self.recorder.as_ref().and_then(|r| r.input(&input));
        let before = self.outputs.len();
        self.machine.handle(input, now, &mut self.outputs);
        let outputs = self.outputs.get(before..).unwrap_or_default();
        for output in outputs {
            if let Output::Secret(secret) = output {
                self.secrets.learn(secret);
            }
        }
        if let Some(line) = &line {
            self.secrets.learn_from_line(line);
        }
        if let (Some(recorder), Some(input)) = (&mut self.recorder, recorded) {
            recorder.record(now, &input, outputs, &self.secrets);
        }
        if self.trace {
            if let Some(line) = &line {
                trace::print(Direction::Received, line, &mut self.secrets);
            }
            for output in self.outputs.get(before..).unwrap_or_default() {
                if let Output::ServerLines(lines) = output {
                    for line in tripe_admin::bytes::decode(lines).lines() {
                        trace::print(Direction::Sent, line, &mut self.secrets);
                    }
                }
            }
        }
    }

    /// Whether there was an input since the last end of a turn.
    #[must_use]
    pub(crate) const fn is_in_turn(&self) -> bool {
        self.in_turn
    }

    /// Takes the outputs of this turn.
    pub(crate) fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }
}
