// SPDX-License-Identifier: GPL-3.0-or-later
//! A value with its substitutions found, but not yet made.

use super::report::SourceError;

/// How deeply brackets may be nested. Nobody needs three levels; with the limit, a hostile source
/// cannot exhaust the stack.
const MAX_DEPTH: usize = 20;

/// Which addresses of a host are wanted.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Families {
    /// IPv4 addresses, flag `4`.
    pub v4: bool,
    /// IPv6 addresses, flag `6`.
    pub v6: bool,
    /// All addresses and not only one, flag `*`.
    pub all: bool,
}

/// A value as it was written, cut into text and substitutions.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Template(pub(crate) Box<[Piece]>);

/// A piece of a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    /// Text that stands for itself.
    Text(Box<str>),
    /// `$(KEY)`
    Key(Template),
    /// `$[HOST]`
    Host(Families, Template),
}

impl Template {
    /// Finds the substitutions in `text`.
    ///
    /// # Errors
    ///
    /// A bracket is not closed, or brackets are nested too deep.
    pub(crate) fn parse(text: &str) -> Result<Self, SourceError> {
        Parser { rest: text }.template(None, 0)
    }

    /// The text, if there is no substitution in it.
    pub(crate) fn literal(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    /// Everything up to `close`, which is taken too, or to the end.
    fn template(&mut self, close: Option<Bracket>, depth: usize) -> Result<Template, SourceError> {
        if depth > MAX_DEPTH {
            return Err(SourceError::TooDeep { limit: MAX_DEPTH });
        }
        let mut pieces = Vec::new();
        let mut text = String::new();
        loop {
            let stop = self
                .rest
                .find(|c| c == '$' || close.is_some_and(|close| c == close.closing()));
            let (plain, rest) = self.rest.split_at(stop.unwrap_or(self.rest.len()));
            text.push_str(plain);
            let mut chars = rest.chars();
            match (chars.next(), close) {
                (None, None) => break,
                (None, Some(close)) => {
                    return Err(SourceError::Unclosed {
                        opening: close.opening().into(),
                        closing: close.closing(),
                    });
                }
                (Some('$'), _) => match opening(rest) {
                    Some((bracket, length)) => {
                        if !text.is_empty() {
                            pieces.push(Piece::Text(std::mem::take(&mut text).into()));
                        }
                        self.rest = rest.get(length..).unwrap_or_default();
                        pieces.push(self.substitution(bracket, depth + 1)?);
                    }
                    None => {
                        text.push('$');
                        self.rest = chars.as_str();
                    }
                },
                (Some(_), _) => {
                    self.rest = chars.as_str();
                    break;
                }
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.into()));
        }
        Ok(Template(pieces.into()))
    }

    /// The rest of a substitution whose opening has been taken.
    fn substitution(&mut self, bracket: Bracket, depth: usize) -> Result<Piece, SourceError> {
        let inner = self.template(Some(bracket), depth)?;
        if inner.literal().is_some_and(|name| name.trim().is_empty()) {
            return Err(SourceError::NamesNothing {
                text: bracket.empty(),
            });
        }
        Ok(match bracket {
            Bracket::Key => Piece::Key(inner),
            Bracket::Host(families) => Piece::Host(families, inner),
        })
    }
}

/// The kind of a substitution, told by its bracket.
#[derive(Clone, Copy)]
enum Bracket {
    Key,
    Host(Families),
}

impl Bracket {
    fn opening(self) -> &'static str {
        match self {
            Bracket::Key => "$(",
            Bracket::Host(_) => "$[",
        }
    }

    fn closing(self) -> char {
        match self {
            Bracket::Key => ')',
            Bracket::Host(_) => ']',
        }
    }

    fn empty(self) -> &'static str {
        match self {
            Bracket::Key => "$()",
            Bracket::Host(_) => "$[]",
        }
    }
}

/// The kind of substitution that `text`, which begins with `$`, begins with, and the length of its
/// opening in bytes; `None` if the dollar sign stands for itself.
fn opening(text: &str) -> Option<(Bracket, usize)> {
    let mut families = Families::default();
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '(' if at == 1 => return Some((Bracket::Key, 2)),
            '[' => return Some((Bracket::Host(families), at + 1)),
            '4' => families.v4 = true,
            '6' => families.v6 = true,
            '*' => families.all = true,
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    fn key(name: &str) -> Piece {
        Piece::Key(Template([text(name)].into()))
    }

    fn parse(text: &str) -> Vec<Piece> {
        Template::parse(text).unwrap().0.into_vec()
    }

    #[test]
    fn text_without_substitutions_stands_for_itself() {
        for plain in [
            "", "plain", "$", "$$", "a$b", "$4", "$4x[", "100$", ")](", "$ (x)", "${x}",
        ] {
            assert_eq!(Template::parse(plain).unwrap().literal(), Some(plain));
        }
    }

    #[test]
    fn substitutions_are_found() {
        assert_eq!(
            parse("INET $(host) $(port)"),
            [text("INET "), key("host"), text(" "), key("port")]
        );
        assert_eq!(parse("$(a)(b)$"), [key("a"), text("(b)$")]);
        let host = |families, inner| [Piece::Host(families, Template(inner))];
        assert_eq!(
            parse("$[$(name).$(domain)]"),
            host(
                Families::default(),
                [key("name"), text("."), key("domain")].into()
            )
        );
        assert_eq!(
            parse("$6*[h)]"),
            host(
                Families {
                    v4: false,
                    v6: true,
                    all: true
                },
                [text("h)")].into()
            )
        );
        assert_eq!(
            parse("$($(which)-host)"),
            [Piece::Key(Template([key("which"), text("-host")].into()))]
        );
    }

    #[test]
    fn unclosed_and_empty_brackets_are_errors() {
        for (text, opening) in [
            ("$(", "$("),
            ("x $[y", "$["),
            ("$[$(a]", "$("),
            ("$4[a)", "$["),
        ] {
            assert!(matches!(
                Template::parse(text),
                Err(SourceError::Unclosed { opening: found, .. }) if *found == *opening
            ));
        }
        for text in ["$()", "$( )", "a$*[]"] {
            assert!(matches!(
                Template::parse(text),
                Err(SourceError::NamesNothing { .. })
            ));
        }
    }

    #[test]
    fn hostile_nesting_is_an_error() {
        assert!(matches!(
            Template::parse(&"$(".repeat(1_000_000)),
            Err(SourceError::TooDeep { .. })
        ));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[$()\\[\\]46*a \u{e9}]{0,40}") {
            let _ = Template::parse(&text);
        }
    }
}
