// SPDX-License-Identifier: GPL-3.0-or-later
//! Single values as people read them: times, shares, addresses, failures.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use tripe_admin::{bytes, token};

/// Why the server cannot send a ping, and what to do.
pub(crate) const NO_KEYS: &str = "no keys are agreed with the other host; it does not know this \
                                  host, refuses its knock or key, or gets no packet; look at \
                                  connect-cli status there";

/// What is printed in place of a value that does not exist.
pub(crate) const NOTHING: &str = "-";

/// A round-trip time as the manual writes it.
pub(crate) fn millis(time: Option<f64>) -> String {
    or_nothing(time.map(|time| format!("{time:.1}ms")))
}

/// A share of 1 as per cent, with a decimal where it would otherwise look like none or all.
pub(crate) fn percent(share: Option<f64>) -> String {
    match share.map(|share| share * 100.0) {
        None => NOTHING.to_owned(),
        Some(percent) if percent > 0.0 && percent < 10.0 => format!("{percent:.1}%"),
        Some(percent) if percent > 99.0 && percent < 100.0 => "99%".to_owned(),
        Some(percent) => format!("{percent:.0}%"),
    }
}

/// A span of time in its two greatest units: `45s`, `3m20s`, `2h15m`, `12d3h`.
pub(crate) fn span(seconds: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let Some(first) = UNITS.iter().position(|(_, unit)| seconds >= *unit) else {
        return "0s".to_owned();
    };
    let mut rest = seconds;
    let mut text = String::new();
    for (name, unit) in UNITS.iter().skip(first).take(2) {
        if rest >= *unit {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}{name}", rest / unit);
        }
        rest %= unit;
    }
    text
}

/// A number of things, with the noun in the right number.
pub(crate) fn count<N: Copy + Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// The number of each kind of thing, without those of which there are none. If there are none at
/// all, the text is `none`.
pub(crate) fn counts<const N: usize>(counts: [(usize, &str); N], none: &str) -> String {
    let parts: Vec<String> = counts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| count(number, noun))
        .collect();
    if parts.is_empty() {
        none.to_owned()
    } else {
        parts.join(", ")
    }
}

/// A time in the future, given in milliseconds, rounded up to seconds.
pub(crate) fn wait(millis: u64) -> String {
    span(millis.div_ceil(1000))
}

/// A text, or [`NOTHING`].
pub(crate) fn or_nothing(text: Option<String>) -> String {
    text.unwrap_or_else(|| NOTHING.to_owned())
}

/// An address in the server's words, as people write it: `192.0.2.1:4070`, `[2001:db8::1]:4070`.
pub(crate) fn address(words: &str) -> String {
    let parts = tripe_admin::split(words);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["INET", host, port] => format!("{host}:{port}"),
        ["INET6", host, port] => format!("[{host}]:{port}"),
        _ => clean(words).into_owned(),
    }
}

/// The text with control characters, characters that nobody sees, and bytes that are no text, made
/// visible: what comes from a database or a script must not command the terminal, nor look like
/// something else.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| c.is_control() || peerdb::is_invisible(c);
    let odd = |c: char| hidden(c) || bytes::byte(c).is_some();
    if !text.chars().any(odd) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if let Some(byte) = bytes::byte(c) {
            shown.extend(byte.escape_ascii().map(char::from));
        } else if hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A message without the numbers that the standard library adds to the system's errors: they tell
/// people nothing.
pub(crate) fn without_numbers(text: &str) -> Cow<'_, str> {
    const BEFORE: &str = " (os error ";
    let mut parts = text.split(BEFORE);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    let before = kept.len();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                kept.push_str(rest);
            }
            _ => kept.extend([BEFORE, part]),
        }
    }
    if before == text.len() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(kept)
    }
}

/// Whether a shell takes a character as it is.
pub(crate) fn is_plain(c: char) -> bool {
    (c.is_alphanumeric() && !peerdb::is_invisible(c)) || "_-+=./:,@%".contains(c)
}

/// Words as a shell reads them: in quotes where they would not be taken as they are.
pub(crate) fn shell_words<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> String {
    let quoted = words.into_iter().map(|word| {
        let word = word.as_ref();
        if !word.is_empty() && word.chars().all(is_plain) {
            word.to_owned()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<String>>().join(" ")
}

/// The failure of a command with wrong arguments; its name and usage come after this code.
const BAD_SYNTAX: &str = "bad-svc-syntax";

/// What such a failure means if the usage is empty.
const NO_ARGUMENTS: &str = "the command takes no arguments";

/// What a failure's code means and what can be done, where that is known.
fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "unknown-peer" => {
            "there is no such peer; `connect-cli status' lists the peers that the server has or \
             should have; `connect-cli reload' loads a record that was compiled just now"
        }
        "peer-not-added" => {
            "the server does not have the peer now; `connect-cli active' makes a connection, \
             unless the peer has to make it"
        }
        "peer-not-dynamic" => {
            "its record has neither connect nor knock, so it cannot be connected again from here; \
             for a passive peer, run kick on the other host, which makes the connection"
        }
        "peer-not-adopted" => {
            "the service does not ping it now: the server does not have it, or its record lacks \
             watch = true"
        }
        "no-pinger" | "pinger-silent" => {
            "connect-pinger is not connected or does not answer, so no peer is pinged; `connect-cli \
             doctor' says more"
        }
        "server-silent" => {
            "the tripe server does not answer; check whether its process hangs or is stopped"
        }
        "peer-exists" => "the server already has the peer",
        "passive-peer" => "the peer is passive, so the other host makes the connection",
        "malformed-peer" => "its record lacks something; `connect-cli db check' says what",
        "unknown-user" => "no peer's record has this user",
        "unknown-svc-command" => "`connect-cli submit help' lists the commands",
        BAD_SYNTAX => "the command takes other arguments",
        "unknown-command" => "`connect-cli admin HELP' lists the commands",
        "too-many-commands" => {
            "the tripe server has that many commands of operators to answer; it may hang: \
             `connect-cli status' says so"
        }
        "command-not-sent" => {
            "the service cannot write this command in a form that the server reads"
        }
        "connect-timeout" => "no greeting with the challenge came in time",
        "no-challenge" => "the tripe server has given no challenge; its log may say why",
        "server-unavailable" | "server-lost" => {
            "the service has no connection to the tripe server; `connect-cli status' says more"
        }
        "service-exists" => "another program of the same or a later version provides the service",
        "unknown-service" => "nobody provides this service",
        "apply-in-progress" => {
            "another operator is applying the changes; wait until that has ended"
        }
        "provider-failed" => "the service ended before it had answered",
        _ => return None,
    })
}

/// As [`hint`], for the codes of requests for scripts.
fn script_hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "no-script" => "its record names no such script",
        "no-script-helper" => {
            "connect-ifscripts is not connected, so no script is run; `connect-cli doctor' says more"
        }
        "peer-not-ready" => {
            "the service is about to run scripts of the peer by itself; try again in a moment"
        }
        "too-many-scripts" => {
            "that many scripts that operators requested are pending; wait until some have ended"
        }
        _ => return None,
    })
}

/// As [`hint`], for the codes with which the server refuses what the service asks of it.
fn server_hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "peer-addr-exists" => "another peer has this address at the server",
        "peer-create-fail" => {
            "the server could not make the peer, in most cases because it has no public key of \
             it; its log says why"
        }
        "bad-addr-syntax" => "the server does not understand this address",
        "disabled-address-family" => "the server does not use this kind of address",
        "resolve-error" => "this name has no address, or cannot be looked up",
        "resolve-timeout" => "looking up the address of this name took too long",
        "ping-send-failed" => NO_KEYS,
        "unknown-tunnel" => "the server has no such tunnel; correct tunnel in the record",
        "bad-time-spec" => "this is not a time; write a number of seconds, or one with m, h or d",
        _ => return None,
    })
}

/// How a script ended, for a sentence that begins with it; `None` if the words are about something
/// else. They are those of the warnings (the manual, "Warnings").
pub(crate) fn script_end(words: &[String]) -> Option<String> {
    let word = clean(words.get(1).map_or("", String::as_str));
    Some(match words.first()?.as_str() {
        "exit-nonzero" => format!("ended with status {word}"),
        "exit-signal" => format!("was killed by signal {}", word.trim_start_matches('S')),
        "exit-unknown" => format!("ended with unknown status {word}"),
        "not-started" => format!("was not started: {word}"),
        "timed-out" => "was ended at its time limit".to_owned(),
        "exit-lost" => "has ended, but nobody knows how".to_owned(),
        _ => return None,
    })
}

/// A failure: the words as they came, and what they mean.
pub(crate) fn failure(words: &[String]) -> String {
    let line = token::join(words);
    let line = clean(&line);
    let code = words.first().map_or("", String::as_str);
    let hint = match words {
        [code, _, usage] if code == BAD_SYNTAX && usage.is_empty() => Some(NO_ARGUMENTS),
        _ => hint(code).or_else(|| script_hint(code)),
    };
    match hint.or_else(|| server_hint(code)) {
        Some(hint) => format!("{line}: {hint}"),
        None if line.is_empty() => "failed without a reason".to_owned(),
        None => line.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_of_the_page_has_a_hint() {
        let page = include_str!("../../../man/connect.8");
        let errors = page.split(".Ss Errors").nth(1).unwrap();
        let errors = errors.split(".El").next().unwrap();
        let codes = errors
            .lines()
            .filter_map(|line| line.strip_prefix(".It Cm "));
        // An item may have two codes. What follows a code are its arguments.
        let codes = codes.flat_map(|item| item.split(" , "));
        let codes: Vec<&str> = codes.filter_map(|it| it.split(' ').next()).collect();
        assert!(codes.len() > 15, "{codes:?}");
        for code in codes {
            assert!(hint(code).or(server_hint(code)).is_some(), "{code}");
        }
    }

    #[test]
    fn shares_of_little_and_nearly_all_do_not_look_like_none_and_all() {
        for (share, text) in [
            (None, "-"),
            (Some(0.0), "0%"),
            (Some(0.001), "0.1%"),
            (Some(0.055), "5.5%"),
            (Some(0.25), "25%"),
            (Some(0.999), "99%"),
            (Some(1.0), "100%"),
        ] {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0s"),
            (45, "45s"),
            (200, "3m20s"),
            (3_600, "1h"),
            (8_100, "2h15m"),
            (3_601, "1h"),
            (86_400 * 12 + 3 * 3_600 + 59, "12d3h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn addresses_are_put_as_people_write_them() {
        for (words, text) in [
            ("INET 192.0.2.1 4070", "192.0.2.1:4070"),
            ("INET6 2001:db8::1 4070", "[2001:db8::1]:4070"),
            ("E5 \"no address\"", "E5 \"no address\""),
            ("", ""),
        ] {
            assert_eq!(address(words), text);
        }
    }

    #[test]
    fn nothing_from_outside_commands_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(clean(&bytes::decode(b"a\xffb")), "a\\xffb");
        assert!(matches!(clean("plain ü"), Cow::Borrowed(_)));
        assert_eq!(failure(&["odd\x07".into()]), "odd\\u{7}");
    }

    #[test]
    fn the_numbers_of_system_errors_are_left_out() {
        for (text, shown) in [
            ("plain", "plain"),
            ("x (No such file (os error 2)); y", "x (No such file); y"),
            ("a (os error 2) b (os error 13)", "a b"),
            ("a (os error x), (os error 2", "a (os error x), (os error 2"),
        ] {
            assert_eq!(without_numbers(text), shown);
        }
    }

    #[test]
    fn a_shell_reads_words_as_they_were() {
        assert_eq!(shell_words(["/x/up", "a=b", "[::1]"]), "/x/up a=b '[::1]'");
        assert_eq!(
            shell_words(["two words", "", "it's"]),
            r"'two words' '' 'it'\''s'"
        );
    }

    #[test]
    fn failures_are_explained_where_they_are_known() {
        let words = |line: &str| tripe_admin::split(line);
        assert_eq!(failure(&words("")), "failed without a reason");
        assert_eq!(failure(&words("strange 'a b'")), "strange \"a b\"");
        assert!(
            failure(&words("unknown-peer bob"))
                .starts_with("unknown-peer bob: there is no such peer")
        );
        assert_eq!(
            failure(&words("peer-addr-exists INET 192.0.2.1 4070")),
            "peer-addr-exists INET 192.0.2.1 4070: another peer has this address at the server"
        );
        assert_eq!(
            failure(&words("bad-svc-syntax uptime ''")),
            "bad-svc-syntax uptime \"\": the command takes no arguments"
        );
        assert_eq!(
            failure(&words("bad-svc-syntax kick PEER")),
            "bad-svc-syntax kick PEER: the command takes other arguments"
        );
    }
}
