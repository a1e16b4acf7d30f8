// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks of the quotes and backslashes in a command, as tripe-admin(5) or a shell reads them.
//! Neither reports mistakes in them when the database is made: the server closes open quotes at the
//! end, and the shell only runs much later.

use peerdb::count;

/// What is wrong with the quotes of a value.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub(crate) enum QuoteFault {
    /// A quotation mark without its counterpart.
    #[error(
        "has the quotation mark {mark} at {position} of {}, which is not closed (there {}): close it, \
         or write \\{mark} for the mark itself",
        count(*.length, "character"),
        match *.marks {
            1 => "is 1 of it".to_owned(),
            marks => format!("are {marks} of it"),
        }
    )]
    Unclosed {
        mark: char,
        position: usize,
        length: usize,
        marks: usize,
    },
    /// The program's name has white space in it, which came in by quotes.
    #[error(
        "has quotes that make {0:?} the name of the program, with its white space: put the quotes \
         around each argument that needs them"
    )]
    Program(String),
    /// Something directly after a closing mark.
    #[error(
        "has quotes that end within a word, at {position} of {}: put white space after them, or around the \
         whole word",
        count(*.length, "character")
    )]
    MidWord { position: usize, length: usize },
    /// A backslash with nothing after it.
    #[error(
        "ends with a backslash, which has no meaning there: remove it, or write \\\\ for the \
         backslash itself"
    )]
    LastBackslash,
    /// A backslash before a line break, as a shell would have it.
    #[error(
        "has a backslash before a line break, at {position} of {}, which makes the line break part of a \
         word: remove it, since a line break separates words as a space does",
        count(*.length, "character")
    )]
    LineBreak { position: usize, length: usize },
}

/// Who reads the quotes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reader {
    /// The rules of tripe-admin(5).
    Words,
    /// A shell.
    Shell,
}

/// What is wrong with the quotes in `value`.
pub(super) fn check(value: &str, reader: Reader) -> Option<QuoteFault> {
    if !value.contains(['"', '\'', '\\']) {
        return None;
    }
    let length = value.chars().count();
    // The mark that is open, and where.
    let mut open: Option<(char, usize)> = None;
    let mut middle = None;
    let mut backslash = None;
    // Whether the word's quotes were closed just now, having begun the word.
    let mut closed = false;
    let mut begun = false;
    let mut before = ' ';
    let mut chars = value.chars().zip(1..);
    while let Some((c, position)) = chars.next() {
        let starts = before.is_whitespace() && open.is_none();
        let single = reader == Reader::Shell && matches!(open, Some(('\'', _)));
        if closed && c.is_alphanumeric() {
            middle = middle.or(Some(position));
        }
        closed = false;
        match (open, c) {
            (_, '\\') if !single => match chars.next() {
                None => backslash = Some(QuoteFault::LastBackslash),
                Some(('\n', _)) if reader == Reader::Words => {
                    let fault = QuoteFault::LineBreak { position, length };
                    backslash = backslash.or(Some(fault));
                }
                Some(_) => {}
            },
            (None, '#') if starts && reader == Reader::Shell => {
                chars.find(|(c, _)| *c == '\n');
            }
            (None, '"' | '\'') => {
                open = Some((c, position));
                begun = starts;
            }
            (Some((mark, start)), c) if c == mark => {
                open = None;
                closed = begun && position > start + 1;
            }
            _ => {}
        }
        before = c;
    }
    if let Some((mark, position)) = open {
        return Some(unclosed(value, mark, position));
    }
    if reader == Reader::Shell || backslash.is_some() {
        return backslash;
    }
    let program = tripe_admin::Words::new(value).next().unwrap_or_default();
    if program.contains(char::is_whitespace) {
        return Some(QuoteFault::Program(program.into()));
    }
    middle.map(|position| QuoteFault::MidWord { position, length })
}

fn unclosed(value: &str, mark: char, position: usize) -> QuoteFault {
    QuoteFault::Unclosed {
        mark,
        position,
        length: value.chars().count(),
        marks: value.chars().filter(|c| *c == mark).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn balanced_quotes_pass() {
        for value in [
            "/bin/up",
            "/bin/up 'a b' \"c d\"",
            "/bin/up --name='a b'",
            r"/bin/up it\'s",
            r#"/bin/up "say \"hi\"""#,
            "/bin/up 'it'\\''s'",
            "/bin/up ''x",
            "'/bin/up' x",
            "/bin/up \"it's\"",
            r"/bin/up a\ b \\",
        ] {
            assert_eq!(check(value, Reader::Words), None, "{value}");
        }
        for value in [
            "ssh hub 'a b' | head -1",
            "echo \"it's\"",
            "echo 'a\\'",
            "ssh hub \\\n  -v",
            "echo \\\\",
            "true # \\",
            "x=1 # don't\necho 'a'",
            "echo \"$(echo \"x\")\"",
            "echo 'a'b",
        ] {
            assert_eq!(check(value, Reader::Shell), None, "{value}");
        }
    }

    #[test]
    fn quotes_that_are_wrong_are_told() {
        for (value, reader, words) in [
            (
                "'/bin/x",
                Reader::Words,
                "the quotation mark ' at 1 of 7 characters",
            ),
            (
                "/bin/x \"a b",
                Reader::Words,
                "at 8 of 11 characters, which is not closed (there is 1 of it)",
            ),
            ("/bin/x don't", Reader::Words, "at 11 of 12"),
            ("/bin/x 'a\\'", Reader::Words, "is not closed"),
            (
                "\"/bin/true \"a b",
                Reader::Words,
                "make \"/bin/true a\" the name",
            ),
            ("\"/bin/true a\"", Reader::Words, "the name of the program"),
            (
                "/bin/true \"a \"b c",
                Reader::Words,
                "end within a word, at 15 of 17",
            ),
            ("'", Reader::Shell, "at 1 of 1 character, which"),
            ("/bin/x '' 'a ''b", Reader::Words, "(there are 5 of it)"),
            ("/bin/x a\\", Reader::Words, "ends with a backslash"),
            ("/bin/x \\\\\\", Reader::Words, "ends with a backslash"),
            (
                "ssh hub \\",
                Reader::Shell,
                "write \\\\ for the backslash itself",
            ),
            (
                "/bin/x \\\n-v\\\n-w",
                Reader::Words,
                "before a line break, at 8 of 15 characters",
            ),
            ("ssh hub 'a b | head", Reader::Shell, "is not closed"),
            (
                "echo \"a 'b'",
                Reader::Shell,
                "the quotation mark \" at 6 of 11",
            ),
            ("echo don't", Reader::Shell, "is not closed"),
        ] {
            let found = check(value, reader).map(|fault| fault.to_string());
            assert!(
                found.as_ref().is_some_and(|found| found.contains(words)),
                "{value}: {found:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(value in "[\"'\\\\a #\n\u{e9}]{0,20}") {
            let _ = check(&value, Reader::Words);
            let _ = check(&value, Reader::Shell);
        }
    }
}
