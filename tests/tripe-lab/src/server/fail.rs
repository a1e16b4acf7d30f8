// SPDX-License-Identifier: GPL-3.0-or-later
//! Every way in which a command can fail, with its code (tripe-admin.md, 5).

use std::net::SocketAddr;

use data_encoding::{BASE64, BASE64_NOPAD, DecodeError, DecodeKind};

use crate::quote::Line;
use crate::switches::Backslash;

impl std::fmt::Display for Fail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::error::Error for Fail {}

/// Reads base64 with or without padding; the server writes it without.
pub(super) fn read_base64(text: &str) -> Result<Vec<u8>, Fail> {
    let encoding = if text.ends_with('=') {
        BASE64
    } else {
        BASE64_NOPAD
    };
    encoding.decode(text.as_bytes()).map_err(Fail::BadBase64)
}

/// Why a command failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fail {
    /// `DAEMON` works only once.
    AlreadyDaemon,
    /// `ADD`: wrong number of words in the address.
    BadAddrSyntax,
    /// A challenge that is no base64.
    BadBase64(DecodeError),
    /// Wrong arguments: the command's name and usage.
    BadSyntax(&'static str, &'static str),
    /// A text that is no time.
    BadTimeSpec(String),
    /// An unknown letter for `TRACE`.
    BadTraceOption(char),
    /// An unknown letter for `WATCH`.
    BadWatchOption(char),
    /// An address family that the server has no socket for.
    DisabledAddressFamily(&'static str),
    /// A challenge that was not issued here or is used up.
    InvalidChallenge,
    /// A port number out of range.
    InvalidPort(String),
    /// Only the provider may release a service.
    NotServiceProvider(String),
    /// Another peer has the address.
    PeerAddrExists(SocketAddr),
    /// The peer could not be made; a warning told why.
    PeerCreateFail(String),
    /// A peer of this name is there already.
    PeerExists(String),
    /// The ping could not be sent.
    PingSendFailed,
    /// The provider went away before it answered.
    ProviderFailed,
    /// The provider owes too many answers.
    ProviderOverloaded,
    /// No such host.
    ResolveError(String),
    /// The resolver did not answer in time.
    ResolveTimeout(String),
    /// The service is claimed at this version.
    ServiceExists(String, String),
    /// The service is provided at this version only.
    ServiceTooOld(String, String),
    /// A live job has the tag.
    TagExists(String),
    /// No such address family.
    UnknownAddressFamily(String),
    /// No such command.
    UnknownCommand(String),
    /// No such job of this provider.
    UnknownJobid(String),
    /// No such peer.
    UnknownPeer(String),
    /// No such service name for a port.
    UnknownPort(String),
    /// Nobody provides the service.
    UnknownService(String),
    /// No live job has the tag.
    UnknownTag(String),
    /// No such tunnel driver.
    UnknownTunnel(String),
    /// Whatever a provider or a fault says.
    Other(Vec<String>),
}

impl Fail {
    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Fail::AlreadyDaemon => "already-daemon",
            Fail::BadAddrSyntax => "bad-addr-syntax",
            Fail::BadBase64(_) => "bad-base64",
            Fail::BadSyntax(..) => "bad-syntax",
            Fail::BadTimeSpec(_) => "bad-time-spec",
            Fail::BadTraceOption(_) => "bad-trace-option",
            Fail::BadWatchOption(_) => "bad-watch-option",
            Fail::DisabledAddressFamily(_) => "disabled-address-family",
            Fail::InvalidChallenge => "invalid-challenge",
            Fail::InvalidPort(_) => "invalid-port",
            Fail::NotServiceProvider(_) => "not-service-provider",
            Fail::PeerAddrExists(_) => "peer-addr-exists",
            Fail::PeerCreateFail(_) => "peer-create-fail",
            Fail::PeerExists(_) => "peer-exists",
            Fail::PingSendFailed => "ping-send-failed",
            Fail::ProviderFailed => "provider-failed",
            Fail::ProviderOverloaded => "provider-overloaded",
            Fail::ResolveError(_) => "resolve-error",
            Fail::ResolveTimeout(_) => "resolve-timeout",
            Fail::ServiceExists(..) => "service-exists",
            Fail::ServiceTooOld(..) => "service-too-old",
            Fail::TagExists(_) => "tag-exists",
            Fail::UnknownAddressFamily(_) => "unknown-address-family",
            Fail::UnknownCommand(_) => "unknown-command",
            Fail::UnknownJobid(_) => "unknown-jobid",
            Fail::UnknownPeer(_) => "unknown-peer",
            Fail::UnknownPort(_) => "unknown-port",
            Fail::UnknownService(_) => "unknown-service",
            Fail::UnknownTag(_) => "unknown-tag",
            Fail::UnknownTunnel(_) => "unknown-tunnel",
            Fail::Other(words) => words.first().map_or("", String::as_str),
        }
    }

    /// Code and arguments as one line.
    fn text(&self) -> String {
        let line = self.write(Line::new("", Backslash::Quoted)).finish();
        line.trim_start().to_owned()
    }

    /// Adds code and arguments to a line.
    pub(super) fn write(&self, line: Line) -> Line {
        if let Fail::Other(words) = self {
            return line.words(words);
        }
        let line = line.word(self.code());
        match self {
            Fail::AlreadyDaemon
            | Fail::InvalidChallenge
            | Fail::PingSendFailed
            | Fail::ProviderFailed
            | Fail::ProviderOverloaded
            | Fail::Other(_) => line,
            Fail::BadAddrSyntax => line.word("[FAMILY] ADDRESS [PORT]"),
            Fail::BadBase64(error) => line.word(match error.kind {
                DecodeKind::Symbol => "invalid character",
                DecodeKind::Length => "truncated input",
                DecodeKind::Trailing | DecodeKind::Padding => "invalid padding",
            }),
            Fail::BadSyntax(command, usage) => line.word(command).word(usage),
            Fail::BadTraceOption(letter) | Fail::BadWatchOption(letter) => {
                line.word(letter.encode_utf8(&mut [0; 4]))
            }
            Fail::DisabledAddressFamily(family) => line.word(family),
            Fail::PeerAddrExists(addr) => line.addr(*addr),
            Fail::ServiceExists(service, version) | Fail::ServiceTooOld(service, version) => {
                line.word(service).word(version)
            }
            Fail::BadTimeSpec(word)
            | Fail::InvalidPort(word)
            | Fail::NotServiceProvider(word)
            | Fail::PeerCreateFail(word)
            | Fail::PeerExists(word)
            | Fail::ResolveError(word)
            | Fail::ResolveTimeout(word)
            | Fail::TagExists(word)
            | Fail::UnknownAddressFamily(word)
            | Fail::UnknownCommand(word)
            | Fail::UnknownJobid(word)
            | Fail::UnknownPeer(word)
            | Fail::UnknownPort(word)
            | Fail::UnknownService(word)
            | Fail::UnknownTag(word)
            | Fail::UnknownTunnel(word) => line.word(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for text in ["Zg", "Zg=="] {
            assert_eq!(read_base64(text).as_deref(), Ok(&b"f"[..]), "{text}");
        }
        for (text, words) in [
            ("!!!!", "bad-base64 'invalid character'"),
            ("Zm 9v", "bad-base64 'truncated input'"),
            ("Z", "bad-base64 'truncated input'"),
            ("Zg=", "bad-base64 'truncated input'"),
            ("Zh", "bad-base64 'invalid padding'"),
            ("Z=g=", "bad-base64 'invalid character'"),
        ] {
            let said = read_base64(text).unwrap_err().to_string();
            assert_eq!(said.replace('"', "'"), words, "{text}");
        }
    }
}
