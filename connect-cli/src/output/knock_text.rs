// SPDX-License-Identifier: GPL-3.0-or-later
//! Knocks that the service refuses, as people read of them.

use connect_ipc::control::{DatabaseOrigin, ServiceStatus};
use connect_ipc::knock::{KnockRefusal, RefusedKnock};

use super::text;

/// Why a knock is refused.
pub(crate) const fn reason(reason: KnockRefusal) -> &'static str {
    match reason {
        KnockRefusal::UnknownPeer => "no record has this name",
        KnockRefusal::ActivePeer => "the record of this name is not PASSIVE",
        KnockRefusal::TagMismatch => "it has another key tag than the record",
    }
}

/// Why this knock was refused, with the tags that differ.
fn why(knock: &RefusedKnock) -> String {
    match &knock.recorded_tag {
        Some(recorded) => {
            let given = knock.peer.rsplit_once('.').map_or(&*knock.peer, |it| it.1);
            format!("it has the key tag `{given}', the record here `{recorded}'")
        }
        None => reason(knock.reason).to_owned(),
    }
}

/// How many knocks were refused, and the last of them, if that was not long ago.
pub(crate) fn counted(service: &ServiceStatus) -> Option<String> {
    let (last, _) = refused(service)?;
    let number = text::count(service.counters.refused_knocks.max(1), "knock");
    Some(format!("{number} refused since core started; {last}"))
}

/// The last knock that was refused, if that was not long ago, and what to do about it.
pub(crate) fn refused(service: &ServiceStatus) -> Option<(String, &'static str)> {
    let knock = service.refused_knock.as_ref()?;
    let (name, address) = (&knock.peer, text::address(&knock.address));
    let is_missing = service.database.origin == DatabaseOrigin::None;
    let ago = text::span(knock.seconds);
    let why = match is_missing {
        true => "no database is in use".to_owned(),
        false => why(knock),
    };
    let remedy = match knock.reason {
        _ if is_missing => "make a database that can be used, see its fault",
        KnockRefusal::UnknownPeer => {
            "write a record of this name here, or correct the key knock in the other host's record"
        }
        KnockRefusal::ActivePeer => {
            "write peer = PASSIVE in the record here, or remove knock from the other host's record"
        }
        KnockRefusal::TagMismatch => {
            "correct key in the record here, or knock in the other host's record"
        }
    };
    let text = format!("refused a knock of {name} from {address}, {ago} ago: {why}");
    Some((text, remedy))
}
