// SPDX-License-Identifier: GPL-3.0-or-later
//! Characters that cannot be seen, or that look like another one: what an editor, a web page or a
//! word processor leaves in a source without anybody noticing.

use std::fmt;

/// What a text is for, and so which characters are surely not meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// A program reads it: a key, or the value of a key that some program knows.
    Machine,
    /// It names something. It may be written in any script, but not in several within one word.
    Name,
    /// It may be for people, who like their quotation marks and dashes.
    Text,
}

/// A character that is hardly meant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Suspect {
    /// The character.
    pub character: char,
    /// Which one of the text it is, from 1.
    pub position: usize,
    /// How many characters the text has.
    pub length: usize,
    appearance: Appearance,
}

/// What a suspect looks like.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Appearance {
    Nothing,
    /// A character of ASCII.
    Twin(char),
    /// A digit, which no program takes for one.
    Digit,
    /// A letter of another script in a word of Latin letters.
    OtherScript,
}

/// The characters of ASCII, each with those that look like it in most fonts. Forms of the whole
/// set, such as the full-width one, are told by their range.
const TWINS: [(char, &str); 72] = [
    ('a', "\u{430}\u{3b1}\u{251}"),
    ('b', "\u{44c}\u{184}\u{185}"),
    ('c', "\u{441}\u{3f2}\u{217d}"),
    ('d', "\u{501}\u{217e}"),
    ('e', "\u{435}\u{4bd}\u{212e}\u{454}\u{3b5}"),
    ('f', "\u{17f}\u{584}\u{3dd}"),
    ('g', "\u{261}\u{581}\u{18d}"),
    ('h', "\u{4bb}\u{570}\u{210e}"),
    ('i', "\u{456}\u{131}\u{3b9}\u{2170}\u{269}"),
    ('j', "\u{458}\u{3f3}"),
    ('k', "\u{43a}\u{3ba}\u{138}"),
    ('l', "\u{4cf}\u{217c}\u{1c0}\u{5c0}"),
    ('m', "\u{43c}\u{217f}"),
    ('n', "\u{578}\u{57c}\u{3b7}\u{43f}"),
    ('o', "\u{43e}\u{3bf}\u{585}\u{5e1}\u{1d0f}\u{3c3}"),
    ('p', "\u{440}\u{3c1}\u{3f1}"),
    ('q', "\u{51b}\u{563}"),
    ('r', "\u{433}\u{2c85}"),
    ('s', "\u{455}\u{1bd}"),
    ('t', "\u{442}\u{3c4}"),
    ('u', "\u{3c5}\u{57d}\u{446}\u{1d1c}"),
    ('v', "\u{475}\u{3bd}\u{2174}"),
    ('w', "\u{51d}\u{461}\u{3c9}\u{448}"),
    ('x', "\u{445}\u{3c7}\u{2179}"),
    ('y', "\u{443}\u{3b3}\u{4af}\u{28f}"),
    ('z', "\u{1d22}"),
    ('A', "\u{410}\u{391}\u{13aa}"),
    ('B', "\u{412}\u{392}\u{13f4}"),
    ('C', "\u{421}\u{3f9}\u{216d}\u{13df}"),
    ('D', "\u{216e}\u{13a0}"),
    ('E', "\u{415}\u{395}\u{13ac}"),
    ('F', "\u{3dc}"),
    ('G', "\u{50c}\u{13c0}"),
    ('H', "\u{41d}\u{397}\u{13bb}"),
    ('I', "\u{406}\u{399}\u{4c0}\u{2160}"),
    ('J', "\u{408}\u{37f}\u{13ab}"),
    ('K', "\u{41a}\u{39a}\u{212a}\u{13e6}"),
    ('L', "\u{216c}\u{13de}"),
    ('M', "\u{41c}\u{39c}\u{216f}\u{13b7}"),
    ('N', "\u{39d}"),
    ('O', "\u{41e}\u{39f}\u{555}"),
    ('P', "\u{420}\u{3a1}\u{13e2}"),
    ('Q', "\u{51a}"),
    ('R', "\u{13a1}\u{1a6}"),
    ('S', "\u{405}\u{54f}\u{13da}"),
    ('T', "\u{422}\u{3a4}\u{13a2}"),
    ('U', "\u{54d}"),
    ('V', "\u{474}\u{2164}\u{13d9}"),
    ('W', "\u{51c}\u{13b3}"),
    ('X', "\u{425}\u{3a7}\u{2169}"),
    ('Y', "\u{423}\u{3a5}\u{4ae}"),
    ('Z', "\u{396}\u{13c3}"),
    (
        '"',
        "\u{201c}\u{201d}\u{201e}\u{201f}\u{ab}\u{bb}\u{2033}\u{2036}\u{2ba}\u{301d}\u{301e}",
    ),
    (
        '\'',
        "\u{2018}\u{2019}\u{201a}\u{201b}\u{2032}\u{2035}\u{2b9}\u{2bb}\u{2bc}\u{2bd}\u{b4}\u{2ca}\
         \u{5f3}\u{a78c}",
    ),
    ('`', "\u{2cb}\u{1fef}"),
    (
        '-',
        "\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{2212}\u{2043}\u{2d7}\u{fe58}\u{fe63}\
         \u{2796}\u{5be}",
    ),
    ('/', "\u{2215}\u{2044}\u{2571}\u{29f8}\u{27cb}\u{3033}"),
    ('\\', "\u{2216}\u{29f5}\u{29f9}\u{fe68}"),
    (
        '.',
        "\u{2024}\u{2026}\u{3002}\u{b7}\u{2027}\u{2219}\u{22c5}\u{fe52}\u{6d4}",
    ),
    (':', "\u{2d0}\u{2236}\u{a789}\u{fe30}\u{fe55}\u{703}\u{589}"),
    (';', "\u{37e}\u{61b}\u{fe54}"),
    (',', "\u{60c}\u{3001}\u{fe50}\u{66b}"),
    ('=', "\u{a78a}\u{1400}\u{2550}\u{fe66}\u{30a0}"),
    ('~', "\u{223c}\u{2dc}\u{301c}\u{2053}"),
    ('*', "\u{2217}\u{204e}\u{2731}\u{66d}\u{fe61}"),
    ('|', "\u{2223}\u{2502}\u{2758}\u{23d0}"),
    ('[', "\u{3014}\u{2772}\u{27e6}\u{2045}\u{3010}"),
    (']', "\u{3015}\u{2773}\u{27e7}\u{2046}\u{3011}"),
    ('(', "\u{2768}\u{207d}\u{fe59}\u{fd3e}"),
    (')', "\u{2769}\u{207e}\u{fe5a}\u{fd3f}"),
    ('<', "\u{2039}\u{2c2}\u{276e}\u{fe64}"),
    ('>', "\u{203a}\u{2c3}\u{276f}\u{fe65}"),
];

/// The character of ASCII that `c`, which is none, looks like.
pub(crate) fn twin(c: char) -> Option<char> {
    if matches!(c, '\u{ff01}'..='\u{ff5e}') {
        return char::from_u32(u32::from(c) - 0xfee0);
    }
    let mut twins = TWINS.iter();
    twins
        .find(|(_, like)| like.contains(c))
        .map(|(ascii, _)| *ascii)
}

/// Whether a character leaves no mark: a control or format character, or a space that is none of
/// ASCII.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    let blank = c.is_whitespace() && !c.is_ascii();
    let format = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffc}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}');
    c.is_control() || blank || format
}

/// Whether a letter is of the Latin script, whatever its accents.
fn is_latin(c: char) -> bool {
    matches!(c,
        'A'..='Z' | 'a'..='z' | '\u{aa}'..='\u{24f}' | '\u{250}'..='\u{2af}'
        | '\u{1d00}'..='\u{1dbf}' | '\u{1e00}'..='\u{1eff}' | '\u{2c60}'..='\u{2c7f}'
        | '\u{a720}'..='\u{a7ff}' | '\u{ab30}'..='\u{ab6f}' | '\u{fb00}'..='\u{fb06}')
}

/// The first character of a text that is hardly meant.
///
/// ```
/// use peerdb::characters::{Purpose, suspect};
///
/// assert_eq!(suspect("watch", Purpose::Machine), None);
/// let suspect = suspect("w\u{430}tch", Purpose::Machine).map(|suspect| suspect.to_string());
/// assert_eq!(suspect.as_deref(), Some("U+0430, which looks like a, at 2 of 5"));
/// ```
#[must_use]
pub fn suspect(text: &str, purpose: Purpose) -> Option<Suspect> {
    // As good as every text.
    if text
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n'))
    {
        return None;
    }
    let mut rest = text;
    let mut position = 1;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let letters = rest.find(|c: char| !c.is_alphabetic());
        let (word, tail) = match letters {
            Some(0) => rest.split_at(first.len_utf8()),
            end => rest.split_at(end.unwrap_or(rest.len())),
        };
        let found = match letters {
            Some(0) => symbol(first, before, purpose).map(|appearance| (0, first, appearance)),
            _ => letter(word, purpose),
        };
        if let Some((offset, character, appearance)) = found {
            return Some(Suspect {
                character,
                position: position + offset,
                length: text.chars().count(),
                appearance,
            });
        }
        position += word.chars().count();
        before = word.chars().next_back().unwrap_or(first);
        rest = tail;
    }
    None
}

/// What is suspect about a character that is no letter.
fn symbol(c: char, before: char, purpose: Purpose) -> Option<Appearance> {
    if matches!(c, '\t' | '\n') {
        return None;
    }
    if is_invisible(c) {
        // These join letters of several scripts, and parts of pictures.
        let joins = matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0f}') && !before.is_ascii();
        return (purpose != Purpose::Text || !joins).then_some(Appearance::Nothing);
    }
    if c.is_ascii() || purpose == Purpose::Text {
        return None;
    }
    match twin(c) {
        Some(twin) => Some(Appearance::Twin(twin)),
        None => (purpose == Purpose::Machine && c.is_numeric()).then_some(Appearance::Digit),
    }
}

/// What is suspect about a word of letters, and which of them it is. A word that is wholly of
/// another script is meant, unless a program reads it and each letter looks like one of ASCII.
fn letter(word: &str, purpose: Purpose) -> Option<(usize, char, Appearance)> {
    if word.is_ascii() {
        return None;
    }
    let machine = purpose == Purpose::Machine;
    let ascii = word.chars().any(|c| c.is_ascii());
    let disguised = machine && word.chars().all(|c| twin(c).is_some());
    let mut letters = word.chars().enumerate();
    letters.find_map(|(offset, c)| {
        let foreign = !is_latin(c);
        let appearance = match twin(c) {
            Some(twin) if disguised || ascii && (foreign || machine) => Appearance::Twin(twin),
            // These are letters too, but no part of any word.
            _ if is_invisible(c) => Appearance::Nothing,
            None if ascii && foreign => Appearance::OtherScript,
            _ => return None,
        };
        (!c.is_ascii()).then_some((offset, c, appearance))
    })
}

impl Suspect {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self.appearance {
            Appearance::Nothing if self.character.is_whitespace() => {
                "write an ordinary space, or none".into()
            }
            Appearance::Nothing => "remove it".into(),
            Appearance::Twin(twin) => format!("write {twin} from the keyboard"),
            Appearance::Digit => "write the digits 0 to 9".into(),
            Appearance::OtherScript => "write the word in one script".into(),
        }
    }
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U+{:04X}, ", u32::from(self.character))?;
        let looks = match (self.appearance, self.character) {
            (Appearance::Twin(twin), _) if !matches!(twin, '"' | '\'') => {
                write!(f, "which looks like {twin}")?;
                ""
            }
            (Appearance::Nothing, '\u{a0}') => "an invisible no-break space",
            (Appearance::Nothing, '\u{200b}') => "an invisible zero-width space",
            (Appearance::Nothing, '\u{feff}') => "an invisible byte order mark",
            (Appearance::Nothing, c) if c.is_whitespace() => "an invisible space",
            (Appearance::Nothing, _) => "an invisible character",
            (Appearance::Twin(_), _) => "which looks like a quotation mark",
            (Appearance::Digit, _) => "which looks like a digit",
            (Appearance::OtherScript, _) => {
                "a letter that does not look Latin but stands in a Latin word"
            }
        };
        f.write_str(looks)?;
        write!(f, ", at {} of {}", self.position, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str, purpose: Purpose) -> String {
        suspect(text, purpose).map_or_else(String::new, |suspect| suspect.to_string())
    }

    #[test]
    fn what_people_write_passes() {
        use Purpose::{Machine, Name, Text};
        for (text, purpose) in [
            ("", Machine),
            ("INET hub.example.com 4070", Machine),
            ("caf\u{e9} Stra\u{df}e \u{c6}r\u{f8}", Machine),
            ("\u{43f}\u{43e}\u{440}\u{442}-1", Name),
            ("\u{440}\u{43e}\u{440}\u{430}", Name),
            ("\u{391}\u{398}\u{397}\u{39d}\u{391}", Name),
            ("\u{6771}\u{4eac}", Name),
            ("\u{201c}Paris\u{201d} \u{2013} \u{2026}", Text),
            ("\u{646}\u{645}\u{6cc}\u{200c}\u{62e}", Text),
            ("a\tb\nc", Machine),
        ] {
            assert_eq!(found(text, purpose), "", "{text}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_found_everywhere() {
        for (c, name) in [
            ('\u{a0}', "no-break space"),
            ('\u{202f}', "invisible space"),
            ('\u{3000}', "invisible space"),
            ('\u{200b}', "zero-width space"),
            ('\u{feff}', "byte order mark"),
            ('\u{ad}', "invisible character"),
            ('\u{202e}', "invisible character"),
            ('\u{3164}', "invisible character"),
            ('\u{e0041}', "invisible character"),
            ('\u{85}', "invisible space"),
            ('\u{7f}', "invisible character"),
            ('\r', "invisible space"),
            ('\0', "invisible character"),
        ] {
            for purpose in [Purpose::Machine, Purpose::Name, Purpose::Text] {
                let text = found(&format!("ab{c}c"), purpose);
                assert!(text.contains(name) && text.ends_with("at 3 of 4"), "{text}");
            }
        }
    }

    #[test]
    fn what_looks_like_something_else_is_found() {
        use Purpose::{Machine, Name, Text};
        for (text, purpose, words) in [
            ("w\u{430}tch", Machine, "looks like a, at 2 of 5"),
            (
                "\u{440}\u{435}\u{435}\u{440}",
                Machine,
                "looks like p, at 1 of 4",
            ),
            ("hub1 w\u{43e}rk", Name, "looks like o, at 7 of 9"),
            ("h\u{444}b", Name, "does not look Latin"),
            ("hub \u{43d}et", Text, "does not look Latin"),
            ("s\u{131}te", Machine, "looks like i"),
            (
                "\u{201c}/bin/true\u{201d}",
                Machine,
                "quotation mark, at 1 of 11",
            ),
            ("\u{2019}x\u{2019}", Name, "quotation mark"),
            ("10\u{2013}20", Machine, "looks like -"),
            ("\u{ff35}p", Text, "looks like U"),
            ("\u{ff1d}", Machine, "looks like ="),
            ("\u{662}0s", Machine, "looks like a digit"),
            ("\u{1d7d0}0", Machine, "looks like a digit"),
            ("\u{1d430}atch", Machine, "does not look Latin"),
        ] {
            assert!(
                found(text, purpose).contains(words),
                "{text}: {}",
                found(text, purpose)
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}") {
            for purpose in [Purpose::Machine, Purpose::Name, Purpose::Text] {
                if let Some(suspect) = suspect(&text, purpose) {
                    prop_assert!(!suspect.remedy().is_empty());
                    prop_assert_eq!(
                        text.chars().nth(suspect.position - 1),
                        Some(suspect.character)
                    );
                }
            }
        }
    }
}
