// SPDX-License-Identifier: GPL-3.0-or-later
//! Any text as a message on one of our sockets.
#![no_main]

use connect_ipc::frame::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = decode::<connect_ipc::hello::Hello>(text);
    let _ = decode::<connect_ipc::pinger::ToPinger>(text);
    let _ = decode::<connect_ipc::pinger::FromPinger>(text);
    let _ = decode::<connect_ipc::scripts::ToScripts>(text);
    let _ = decode::<connect_ipc::scripts::FromScripts>(text);
    let _ = decode::<connect_ipc::control::Envelope>(text);
    let _ = decode::<connect_ipc::control::Answer>(text);
});
