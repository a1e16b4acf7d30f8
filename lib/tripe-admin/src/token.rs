// SPDX-License-Identifier: GPL-3.0-or-later
//! Words of an administration line: splitting with quotes, and quoting.
//!
//! The rules are those of tripe-admin(5): white space separates words, a backslash takes the next
//! character literally, single and double quotes both protect white space, and a backslash works
//! inside either kind of quotes.

use std::borrow::Cow;

/// White space between words, as the server sees it (the C locale's `isspace`).
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// The words of one line, taken one at a time; a word that needed no unquoting is borrowed.
///
/// Nothing is ever an error: an unterminated quote or a trailing backslash is closed by the end of
/// the line without complaint.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    /// Starts at the beginning of `line`.
    #[must_use]
    pub const fn new(line: &'a str) -> Self {
        Words { rest: line }
    }

    /// What has not been taken yet, raw, without the white space before it.
    #[must_use]
    pub fn rest(&self) -> &'a str {
        let start = self.rest.bytes().take_while(|b| is_space(*b)).count();
        self.rest.get(start..).unwrap_or_default()
    }

    /// All remaining words as owned strings.
    #[must_use]
    pub fn owned(self) -> Vec<String> {
        self.map(Cow::into_owned).collect()
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let text = self.rest();
        if text.is_empty() {
            self.rest = text;
            return None;
        }
        // The common word has neither quote nor backslash and needs no copy. All the bytes looked
        // for are ASCII, so every cut falls on a character boundary.
        let plain_end = text
            .bytes()
            .position(|byte| SPECIAL[usize::from(byte)])
            .unwrap_or(text.len());
        let (plain, tail) = text.split_at(plain_end);
        if tail.bytes().next().is_none_or(is_space) {
            self.rest = tail;
            return Some(Cow::Borrowed(plain));
        }

        let mut word = String::from(plain);
        let mut quote = None;
        let mut chars = tail.char_indices();
        let mut end = tail.len();
        while let Some((at, c)) = chars.next() {
            match (quote, c) {
                (_, '\\') => {
                    if let Some((_, literal)) = chars.next() {
                        word.push(literal);
                    }
                }
                (Some(open), c) if c == open => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                (None, c) if u8::try_from(c).is_ok_and(is_space) => {
                    end = at;
                    break;
                }
                (_, c) => word.push(c),
            }
        }
        self.rest = tail.get(end..).unwrap_or_default();
        Some(Cow::Owned(word))
    }
}

/// All words of `line` as owned strings.
///
/// ```
/// assert_eq!(tripe_admin::split(r#"a"b c"d '' x\ y"#), ["ab cd", "", "x y"]);
/// ```
#[must_use]
pub fn split(line: &str) -> Vec<String> {
    Words::new(line).owned()
}

/// Whether a word must be quoted to survive [`split`].
///
/// A backslash counts although the server may write it bare (an open question of the protocol):
/// what we send must be safe under either reading.
fn needs_quotes(word: &str) -> bool {
    word.is_empty() || word.bytes().any(|byte| SPECIAL[usize::from(byte)])
}

/// Which bytes a word cannot hold without quotes. A table, since every byte of every line is looked
/// up.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        // Below 256, so nothing is cut off.
        #[expect(clippy::cast_possible_truncation)]
        let this = byte as u8;
        special[byte] = is_space(this) || matches!(this, b'\\' | b'\'' | b'"');
        byte += 1;
    }
    special
};

/// Appends `word` to `line`, after a single space unless the line is still empty, quoted if need
/// be. A newline in `word` is kept, so the caller must refuse or replace it: no quoting can carry
/// one across the connection.
pub fn push_word(line: &mut String, word: &str) {
    if !line.is_empty() {
        line.push(' ');
    }
    if !needs_quotes(word) {
        line.push_str(word);
        return;
    }
    line.push('"');
    for c in word.chars() {
        if matches!(c, '"' | '\\') {
            line.push('\\');
        }
        line.push(c);
    }
    line.push('"');
}

/// One line made of all `words`, quoted as needed.
///
/// ```
/// let line = tripe_admin::token::join(["SVCINFO", "J1", "hello world"]);
/// assert_eq!(line, r#"SVCINFO J1 "hello world""#);
/// ```
pub fn join<I>(words: I) -> String
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut line = String::new();
    for word in words {
        push_word(&mut line, word.as_ref());
    }
    // An empty first word leaves the line empty for push_word only if nothing was written, and
    // an empty word always writes its quotes, so no special case is needed here.
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splitting_follows_the_rules_of_section_1_3() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            (" \t ", &[]),
            ("a  b\tc\r", &["a", "b", "c"]),
            (r"a\ b", &["a b"]),
            (r"\n", &["n"]),
            (r"'it\'s' x", &["it's", "x"]),
            (r#"'say "hi"'"#, &[r#"say "hi""#]),
            (r#""it's""#, &["it's"]),
            (r#"a"b c"d"#, &["ab cd"]),
            (r#""" ''"#, &["", ""]),
            (r#""open end"#, &["open end"]),
            ("trail\\", &["trail"]),
            (r#""trail\"#, &["trail"]),
            ("héé 'ö ü'", &["héé", "ö ü"]),
            (r"\é", &["é"]),
            (
                r#"E111 "Connection refused""#,
                &["E111", "Connection refused"],
            ),
            ("-- -dash", &["--", "-dash"]),
        ];
        for (line, words) in table {
            assert_eq!(split(line), *words, "line {line:?}");
        }
    }

    #[test]
    fn quoting_follows_the_rules_of_section_1_4() {
        let table = [
            ("", r#""""#),
            ("plain", "plain"),
            ("two words", r#""two words""#),
            ("tab\there", "\"tab\there\""),
            (r#"say "hi""#, r#""say \"hi\"""#),
            ("it's", r#""it's""#),
            (r"back\slash", r#""back\\slash""#),
            ("key=value", "key=value"),
            ("key=a b", r#""key=a b""#),
        ];
        for (word, quoted) in table {
            assert_eq!(join([word]), quoted);
        }
    }

    #[test]
    fn words_are_borrowed_where_nothing_was_quoted() {
        let mut words = Words::new("plain 'quoted'");
        assert!(matches!(words.next(), Some(Cow::Borrowed("plain"))));
        assert!(matches!(words.next(), Some(Cow::Owned(w)) if w == "quoted"));
        assert!(words.next().is_none());
    }

    #[test]
    fn the_rest_is_given_raw() {
        let mut words = Words::new("TRACE  free 'text");
        words.next();
        assert_eq!(words.rest(), "free 'text");
    }

    proptest! {
        #[test]
        fn any_words_without_newline_survive_quoting_and_splitting(
            words in proptest::collection::vec("[^\n]{0,12}", 0..8)
        ) {
            prop_assert_eq!(split(&join(&words)), words);
        }

        #[test]
        fn hostile_words_survive_too(
            words in proptest::collection::vec("[ \t\r\x0b\x0c'\"\\\\a\u{e9}]{0,12}", 0..8)
        ) {
            prop_assert_eq!(split(&join(&words)), words);
        }

        #[test]
        fn splitting_never_panics_and_never_yields_more_than_it_got(line in ".{0,200}") {
            let words = split(&line);
            prop_assert!(words.iter().map(String::len).sum::<usize>() <= line.len());
        }
    }
}
