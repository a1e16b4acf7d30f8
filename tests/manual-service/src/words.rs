// SPDX-License-Identifier: GPL-3.0-or-later
//! Words: how a line is split into words, how a word is quoted, and what a time interval is.

/// tripe-admin(5), "Line format": the words of a line. A backslash takes the next character as it
/// is, and single and double quotes protect white space. What is left open ends with the line.
pub(crate) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut characters = line.chars().peekable();
    loop {
        while characters.next_if(char::is_ascii_whitespace).is_some() {}
        if characters.peek().is_none() {
            return words;
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = characters.next_if(|c| quote.is_some() || !c.is_ascii_whitespace()) {
            if c == '\\' {
                word.extend(characters.next());
            } else if quote == Some(c) {
                quote = None;
            } else if quote.is_none() && (c == '\'' || c == '"') {
                quote = Some(c);
            } else {
                word.push(c);
            }
        }
        words.push(word);
    }
}

/// tripe-admin(5), "Line format": a line of these words. A word that is empty, or has quotes,
/// backslashes or white space in it, is put in double quotes. A line cannot hold a newline, so one
/// becomes a space, and a command has at most 255 characters.
pub(crate) fn join(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    let mut line = quoted.join(" ").replace(['\n', '\r', '\0'], " ");
    line.truncate(line.floor_char_boundary(255));
    line
}

fn quote(word: &str) -> String {
    let special = |c: char| c.is_ascii_whitespace() || "\\'\"".contains(c);
    if word.is_empty() || word.contains(special) {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        word.to_owned()
    }
}

/// The manual, "Operation": a time interval is a nonnegative integer followed optionally by d, h,
/// m or s; if no suffix is given, seconds are assumed. This is the interval in nanoseconds.
pub(crate) fn interval(text: &str) -> Option<u64> {
    let digits = text.strip_suffix(['d', 'h', 'm', 's']).unwrap_or(text);
    let seconds = match &text[digits.len()..] {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        _ => 1,
    };
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| is_number)?;
    count.checked_mul(seconds)?.checked_mul(1_000_000_000)
}
