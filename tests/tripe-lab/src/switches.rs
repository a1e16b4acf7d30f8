// SPDX-License-Identifier: GPL-3.0-or-later
//! The doubtful points of the protocol as switches: where nobody knows for sure what the real
//! server does, the lab can do either, so that clients are tested against both readings.
//!
//! The numbers are those of tripe-admin.md, section 8.

/// A switch's values and their names.
trait Choice: Sized + Copy + PartialEq + 'static {
    /// Every value with its name; the first is the default.
    const ALL: &'static [(&'static str, Self)];

    fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(text, _)| *text == name)
            .map(|(_, value)| *value)
    }

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("", |(text, _)| *text)
    }

    fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|(text, _)| *text).collect()
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl Choice for $name {
            const ALL: &'static [(&'static str, Self)] = &[$(($text, $name::$variant)),+];
        }
    };
}

choice! {
    /// 1: does a backslash make the server quote a word?
    Backslash {
        /// It is written bare, so that a reader that unquotes loses it.
        #[default]
        Bare = "bare",
        /// It is quoted like a quotation mark.
        Quoted = "quoted",
    }
}
choice! {
    /// 2: what happens to a command line that is too long?
    OverLong {
        /// It is cut into several commands.
        #[default]
        Split = "split",
        /// Its rest is dropped.
        Truncate = "truncate",
        /// The client is disconnected.
        Disconnect = "disconnect",
    }
}
choice! {
    /// 3: how many words may a command have?
    WordLimit {
        /// As many as fit on the line.
        #[default]
        Unlimited = "unlimited",
        /// Sixteen; the rest is silently dropped.
        Sixteen = "sixteen",
    }
}
choice! {
    /// 4: how is an address family without a socket refused?
    DisabledFamily {
        /// With `disabled-address-family`.
        #[default]
        Named = "named",
        /// As if it were unknown: `unknown-address-family` from `PORT`, `resolve-error` from `ADD`.
        Unknown = "unknown",
    }
}
choice! {
    /// 5: in which order does the server tell of a provider's death?
    ProviderDeath {
        /// `NOTE SVCRELEASE` first, then `provider-failed`.
        #[default]
        ReleaseFirst = "release-first",
        /// `provider-failed` first, then `NOTE SVCRELEASE`.
        FailureFirst = "failure-first",
    }
}
choice! {
    /// 6: when does a half-closed client with outstanding jobs lose its services?
    HalfClose {
        /// When its last job is done and the connection is closed.
        #[default]
        AtFinalClose = "final-close",
        /// At the end of its input.
        AtEof = "eof",
    }
}
choice! {
    /// 7: does a cancelled tag get a last line?
    Bgcancel {
        /// Nothing.
        #[default]
        Silent = "silent",
        /// `BGFAIL TAG cancelled`, before the `OK`.
        Reported = "reported",
    }
}
choice! {
    /// 8: how is the time in `ping-ok` written?
    PingFormat {
        /// With one digit after the point.
        #[default]
        Tenths = "tenths",
        /// Without a point.
        Whole = "whole",
        /// With three digits after the point.
        Thousandths = "thousandths",
    }
}
choice! {
    /// 9: does the issuer of a command see its broadcast before or after its answer?
    BroadcastOrder {
        /// The broadcast first.
        #[default]
        First = "first",
        /// The answer first.
        Last = "last",
    }
}
choice! {
    /// 10: which dot of a knock's name ends the prefix?
    KnockTag {
        /// The last.
        #[default]
        LastDot = "last-dot",
        /// The first.
        FirstDot = "first-dot",
    }
}
choice! {
    /// 11: how many notes tell of two peers that swapped addresses?
    AddressSwap {
        /// One for each.
        #[default]
        TwoNotes = "two-notes",
        /// One for the peer that moved.
        OneNote = "one-note",
    }
}
choice! {
    /// 12: how is a job identifier spelt?
    JobIds {
        /// `J` and eight hexadecimal digits.
        #[default]
        Plain = "plain",
        /// Something else, with characters that ask for nothing but care.
        Odd = "odd",
    }
}
choice! {
    /// 13: do `KILL` and `FORCEKX` take `-quiet`?
    QuietOption {
        /// No.
        #[default]
        Refused = "refused",
        /// Yes; `KILL -quiet` sends no `bye`.
        Accepted = "accepted",
    }
}
choice! {
    /// 14: may `SVCINFO` and `SVCFAIL` come without tokens?
    EmptyInfo {
        /// Yes.
        #[default]
        Accepted = "accepted",
        /// No: `bad-syntax`.
        Refused = "refused",
    }
}
choice! {
    /// 15: does `PEERINFO` show the knock string of a peer that has none?
    PeerinfoKnock {
        /// The line is left out.
        #[default]
        WhenSet = "when-set",
        /// The line is there with an empty value.
        Always = "always",
    }
}
choice! {
    /// 16: does `FORCEKX` uncork a corked peer?
    ForcekxCorked {
        /// Yes.
        #[default]
        Uncorks = "uncorks",
        /// No: it does nothing to it.
        StaysCorked = "stays-corked",
    }
}
choice! {
    /// 6.7 of the spec, not an open question but a change in time: who is sent a `bye`?
    Bye {
        /// Ephemeral peers (1.5.0).
        #[default]
        Ephemeral = "ephemeral",
        /// Every peer (since May 2020).
        Everyone = "everyone",
    }
}
choice! {
    /// 6.4 of the spec: when is a client with outstanding jobs, and both directions closed, gone?
    Vanished {
        /// When a line cannot be written to it.
        #[default]
        AtWrite = "write",
        /// At once.
        AtOnce = "at-once",
    }
}

/// A switch or a value of one that does not exist.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SwitchError {
    /// No switch has this name.
    #[error("there is no switch `{0}`; the switches are: {1}")]
    Name(String, String),
    /// The switch has no such value.
    #[error("switch `{0}` has no value `{1}`; its values are: {2}")]
    Value(&'static str, String, String),
    /// The text has no `=`.
    #[error("expected NAME=VALUE, not `{0}`")]
    Syntax(String),
}

macro_rules! switches {
    ($($(#[$doc:meta])* $field:ident: $type:ident = $text:literal),+ $(,)?) => {
        /// The setting of every switch.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Switches { $($(#[$doc])* pub $field: $type),+ }

        impl Switches {
            /// Every switch's name and the names of its values, the default first.
            #[must_use]
            pub fn table() -> Vec<(&'static str, Vec<&'static str>)> {
                vec![$(($text, <$type>::names())),+]
            }

            /// The present setting, by names.
            #[must_use]
            pub fn settings(&self) -> Vec<(&'static str, &'static str)> {
                vec![$(($text, self.$field.name())),+]
            }

            /// Sets the switch `name` to `value`.
            ///
            /// # Errors
            ///
            /// If there is no such switch or no such value.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), SwitchError> {
                match name {
                    $($text => {
                        self.$field = <$type>::named(value).ok_or_else(|| {
                            SwitchError::Value($text, value.into(), <$type>::names().join(", "))
                        })?;
                    })+
                    _ => {
                        let names: Vec<&str> = vec![$($text),+];
                        return Err(SwitchError::Name(name.into(), names.join(", ")));
                    }
                }
                Ok(())
            }
        }
    };
}

switches! {
    /// See [`Backslash`].
    backslash: Backslash = "backslash",
    /// See [`OverLong`].
    over_long: OverLong = "over-long",
    /// See [`WordLimit`].
    word_limit: WordLimit = "word-limit",
    /// See [`DisabledFamily`].
    disabled_family: DisabledFamily = "disabled-family",
    /// See [`ProviderDeath`].
    provider_death: ProviderDeath = "provider-death",
    /// See [`HalfClose`].
    half_close: HalfClose = "half-close",
    /// See [`Bgcancel`].
    bgcancel: Bgcancel = "bgcancel",
    /// See [`PingFormat`].
    ping_format: PingFormat = "ping-format",
    /// See [`BroadcastOrder`].
    broadcasts: BroadcastOrder = "broadcasts",
    /// See [`KnockTag`].
    knock_tag: KnockTag = "knock-tag",
    /// See [`AddressSwap`].
    address_swap: AddressSwap = "address-swap",
    /// See [`JobIds`].
    job_ids: JobIds = "job-ids",
    /// See [`QuietOption`].
    quiet_option: QuietOption = "quiet-option",
    /// See [`EmptyInfo`].
    empty_info: EmptyInfo = "empty-info",
    /// See [`PeerinfoKnock`].
    peerinfo_knock: PeerinfoKnock = "peerinfo-knock",
    /// See [`ForcekxCorked`].
    forcekx_corked: ForcekxCorked = "forcekx-corked",
    /// See [`Bye`].
    bye: Bye = "bye",
    /// See [`Vanished`].
    vanished: Vanished = "vanished",
}

impl Switches {
    /// Reads `NAME=VALUE` and sets that switch.
    ///
    /// # Errors
    ///
    /// If the text has another form, or names no switch or no value of it.
    pub fn apply(&mut self, setting: &str) -> Result<(), SwitchError> {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| SwitchError::Syntax(setting.into()))?;
        self.set(name, value)
    }

    /// The default setting, then every setting that differs from it in one switch, each with a
    /// name such as `over-long=truncate`: what a test loops over to meet both readings of each
    /// doubtful point.
    #[must_use]
    pub fn each() -> Vec<(String, Switches)> {
        let mut all = vec![(String::from("default"), Switches::default())];
        for (name, values) in Switches::table() {
            for value in values.iter().skip(1) {
                let mut switches = Switches::default();
                // The names come from the table, so they are known.
                if switches.set(name, value).is_ok() {
                    all.push((format!("{name}={value}"), switches));
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_each_is_the_default() {
        let settings = Switches::default().settings();
        for ((name, values), (also, value)) in Switches::table().into_iter().zip(settings) {
            assert_eq!((name, values[0]), (also, value));
            assert!(values.len() > 1, "{name}");
        }
    }

    #[test]
    fn each_setting_is_another_one() {
        let all = Switches::each();
        assert_eq!(all.len(), 21);
        for (i, (name, switches)) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|(_, s)| s != switches), "{name}");
        }
    }

    #[test]
    fn what_does_not_exist_is_told() {
        let mut switches = Switches::default();
        assert_eq!(switches.apply("bye=everyone"), Ok(()));
        assert_eq!(switches.bye, Bye::Everyone);
        for (text, part) in [
            ("nonsense", "NAME=VALUE"),
            ("nonsense=1", "no switch `nonsense`"),
            ("bye=nobody", "ephemeral, everyone"),
        ] {
            let error = switches.apply(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
