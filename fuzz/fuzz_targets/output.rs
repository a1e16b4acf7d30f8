// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as what a script writes, cut anywhere by NULs; and each line as it is masked, logged
//! and shown.
#![no_main]

use connect_cli::fuzzing::{clean, json_of, message_of, shell_words};
use connect_core::secrets::Secrets;
use connect_fuzz::assert_shown;
use connect_ifscripts::fuzzing::output;
use connect_ipc::foreign::{Foreign, is_plain};
use connect_runtime::fuzzing::log_entry;
use libfuzzer_sys::fuzz_target;
use tripe_admin::{bytes, challenge};

/// The longest line that is passed on.
const LONGEST: usize = 64 * 1024;

fuzz_target!(|written: &[u8]| {
    let pieces: Vec<&[u8]> = written.split(|byte| *byte == 0).collect();
    let whole = pieces.concat();
    let (lines, dropped) = output(&pieces);
    assert_eq!(output(&[&whole]), (lines.clone(), dropped), "cut elsewhere");
    let ends = whole.iter().filter(|byte| **byte == b'\n').count();
    let begun = whole.last().is_some_and(|byte| *byte != b'\n');
    assert_eq!(
        lines.len() as u64 + dropped,
        (ends + usize::from(begun)) as u64
    );
    let mut secrets = Secrets::default();
    for line in &lines {
        assert!(line.len() <= 3 * LONGEST && !line.contains('\n'));
        masked(line, &mut secrets);
        shown(line);
    }
    let text = bytes::decode(&whole);
    // A character that stands for a byte is sent as this byte.
    if str::from_utf8(&whole).is_err() || !text.chars().any(|c| bytes::byte(c).is_some()) {
        let again = bytes::encode(&text);
        let has_own = whole.windows(2).any(|pair| pair == [0xf4, 0x8f]);
        assert!(has_own || again == whole, "{again:?}");
    }
});

/// What looks like a challenge, or is a known one, is masked.
fn masked(line: &str, secrets: &mut Secrets) {
    let masked = challenge::mask(line);
    assert_eq!(challenge::find(&masked).next(), None, "{masked}");
    assert_eq!(challenge::mask(&masked), masked);
    secrets.learn_from_line(line);
    let mask = secrets.mask(line);
    assert_eq!(mask.lines().count(), line.lines().count());
    let hidden = secrets.hide(line);
    let mut words = line.split(' ');
    if let (Some("CHECKCHAL"), Some(word)) = (words.next(), words.next())
        && word.len() >= 20
        && word.bytes().all(challenge::is_letter)
    {
        assert!(!hidden.split(' ').any(|it| it == word), "{hidden}");
        assert!(!mask.split(' ').any(|it| it == word), "{mask}");
    }
}

/// Nothing in the log, on a terminal or in JSON is hidden or acts on the terminal.
fn shown(line: &str) {
    let (entry, longest) = log_entry(line);
    assert!(entry.chars().all(is_plain), "{entry:?}");
    assert!(entry.len() <= longest + 40, "{}", entry.len());
    assert!(Foreign::new(line).to_string().chars().all(is_plain));
    let cleaned = clean(line);
    assert_shown(cleaned.as_bytes());
    assert!(!cleaned.contains('\n'));
    assert_eq!(clean(&cleaned), cleaned);
    assert_shown(message_of(line).as_bytes());
    match json_of(line) {
        Ok(json) => {
            assert_shown(json.as_bytes());
            assert_eq!(
                serde_json::from_str::<String>(&json).ok().as_deref(),
                Some(line)
            );
        }
        Err(error) => panic!("{error}"),
    }
    let quoted = shell_words(&[line.to_owned()]);
    assert!(quoted == line || quoted.starts_with('\''), "{quoted}");
}
