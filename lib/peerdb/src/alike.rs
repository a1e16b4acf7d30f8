// SPDX-License-Identifier: GPL-3.0-or-later
//! Names that look the same and are not: with letters composed or decomposed, or wholly of another
//! script whose letters look like Latin ones.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use crate::characters::{Purpose, is_invisible, suspect, twin};
use crate::text::Name;

/// Letters with the very shape of a Latin one. Fewer than those that can be mistaken for one beside
/// it: whole words of these look Latin, and few words of any language are made of these alone.
const SHAPES: &str = "\u{430}\u{441}\u{435}\u{43e}\u{440}\u{445}\u{443}\u{456}\u{458}\u{455}\u{4bb}\
     \u{501}\u{51b}\u{51d}\u{4cf}\u{410}\u{412}\u{415}\u{41a}\u{41c}\u{41d}\u{41e}\u{420}\u{421}\
     \u{422}\u{425}\u{423}\u{405}\u{406}\u{408}\u{4c0}\u{51a}\u{51c}\u{3bf}\u{3bd}\u{3f2}\u{3f3}\
     \u{391}\u{392}\u{395}\u{396}\u{397}\u{399}\u{39a}\u{39c}\u{39d}\u{39f}\u{3a1}\u{3a4}\u{3a5}\
     \u{3a7}\u{3f9}\u{37f}\u{585}\u{578}\u{57d}";

/// Why a name may not be the one that is meant.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum NameDoubt {
    /// Another name looks the same.
    Alike {
        /// The other one, in words.
        other: Name,
        /// The first character that differs, here and there; `None` is the end of the name.
        differs: (Option<char>, Option<char>),
    },
    /// It is not Latin, but looks so.
    Latin {
        /// How it looks.
        latin: Name,
    },
}

impl fmt::Display for NameDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = |c: Option<char>| {
            c.map_or_else(
                || "its end".to_owned(),
                |c| format!("U+{:04X}", u32::from(c)),
            )
        };
        match self {
            NameDoubt::Alike { other, differs } => write!(
                f,
                "its name looks like that of {other}, but has {} where that has {}: write both the \
                 same, or names that look different",
                code(differs.0),
                code(differs.1)
            ),
            NameDoubt::Latin { latin } => write!(
                f,
                "its name looks like {latin}, but its letters are not Latin: write {latin} from the \
                 keyboard if that is meant"
            ),
        }
    }
}

/// The names that may not be the ones that are meant, in their order. Of several that look the same
/// the first is not told; `in_words` says how that one is called in a message. A name that is known
/// to have a suspect character is left to whoever tells that.
pub fn doubts<'a>(
    names: impl IntoIterator<Item = &'a str> + Clone,
    in_words: impl Fn(&str) -> String,
) -> Vec<(&'a str, NameDoubt)> {
    // As good as every database.
    if names.clone().into_iter().all(str::is_ascii) {
        return Vec::new();
    }
    let mut known: HashMap<Cow<'_, str>, &str> = HashMap::new();
    let mut doubts = Vec::new();
    for name in names {
        let first = *known.entry(skeleton(name)).or_insert(name);
        if suspect(name, Purpose::Name).is_some() || suspect(first, Purpose::Name).is_some() {
            continue;
        }
        if first != name {
            let other = in_words(first).into();
            let differs = difference(name, first);
            doubts.push((name, NameDoubt::Alike { other, differs }));
        } else if looks_latin(name) {
            let latin = skeleton(name).into_owned().into();
            doubts.push((name, NameDoubt::Latin { latin }));
        }
    }
    doubts
}

/// What a name looks like: letters decomposed, and Latin ones in the place of those that look so.
fn skeleton(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return Cow::Borrowed(name);
    }
    let seen = name.nfd().filter(|c| !is_invisible(*c));
    Cow::Owned(seen.map(|c| twin(c).unwrap_or(c)).collect())
}

/// Whether a name has letters that are not Latin, all of which have the shape of Latin ones.
fn looks_latin(name: &str) -> bool {
    let has_shape = |c: char| SHAPES.contains(c) || matches!(c, '\u{ff21}'..='\u{ff5a}');
    name.chars().any(has_shape)
        && name
            .chars()
            .all(|c| c.is_ascii() || has_shape(c) || !c.is_alphabetic())
}

/// The first character that differs in two names.
fn difference(a: &str, b: &str) -> (Option<char>, Option<char>) {
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let pair = (a.next(), b.next());
        if pair.0 != pair.1 || pair.0.is_none() {
            return pair;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Vec<String> {
        doubts(names.iter().copied(), |first| format!("[{first}]"))
            .iter()
            .map(|(name, doubt)| format!("{name}: {doubt}"))
            .collect()
    }

    #[test]
    fn names_that_are_meant_pass() {
        for names in [
            ["hub", "hub1", "hubl"].as_slice(),
            &["caf\u{e9}", "cafe", "cafe\u{300}"],
            &[
                "\u{43f}\u{43e}\u{440}\u{442}-1",
                "\u{43f}\u{43e}\u{440}\u{442}-2",
            ],
            &["\u{391}\u{398}\u{397}\u{39d}\u{391}", "\u{6771}\u{4eac}"],
            &[
                "r\u{e9}sum\u{e9}",
                "\u{e9}\u{e8}",
                "\u{43c}\u{43e}\u{441}\u{442}",
            ],
            &["m\u{b2}", "m2"],
        ] {
            assert_eq!(found(names), Vec::<String>::new(), "{names:?}");
        }
    }

    #[test]
    fn names_that_look_the_same_are_told() {
        for (first, second, words) in [
            (
                "caf\u{e9}",
                "cafe\u{301}",
                "has U+0065 where that has U+00E9",
            ),
            (
                "cafe\u{301}",
                "caf\u{e9}",
                "has U+00E9 where that has U+0065",
            ),
            (
                "papa",
                "\u{440}\u{430}\u{440}\u{430}",
                "has U+0440 where that has U+0070",
            ),
            ("\u{440}ap 1", "pap 1", ""),
            (
                "nopt",
                "\u{43f}\u{43e}\u{440}\u{442}",
                "has U+043F where that has U+006E",
            ),
            (
                "\u{439}",
                "\u{438}\u{306}",
                "has U+0438 where that has U+0439",
            ),
            ("\u{212b}", "\u{c5}", "has U+00C5 where that has U+212B"),
            (
                "\u{ac00}",
                "\u{1100}\u{1161}",
                "has U+1100 where that has U+AC00",
            ),
        ] {
            let found = found(&[first, second]);
            if words.is_empty() {
                // The letter that does not belong there is told by itself.
                assert_eq!(found, Vec::<String>::new(), "{first}");
                continue;
            }
            let start = format!("{second}: its name looks like that of [{first}], but {words}: ");
            let told = found.iter().find(|line| line.starts_with(&start));
            assert!(told.is_some(), "{found:?}");
        }
    }

    #[test]
    fn a_name_that_only_looks_latin_is_told() {
        for (name, latin) in [
            ("\u{440}\u{430}\u{440}\u{430}", "papa"),
            ("\u{440}\u{430}\u{440}\u{430}-1", "papa-1"),
            ("hub \u{440}\u{430}", "hub pa"),
            ("\u{391}\u{39d}\u{39d}\u{391}", "ANNA"),
            ("\u{ff48}\u{ff55}\u{ff42}", "hub"),
        ] {
            let start =
                format!("{name}: its name looks like {latin}, but its letters are not Latin");
            let found = found(&[name]);
            assert!(
                found.len() == 1 && found[0].starts_with(&start),
                "{found:?}"
            );
        }
    }
}
