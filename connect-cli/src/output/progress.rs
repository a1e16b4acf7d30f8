// SPDX-License-Identifier: GPL-3.0-or-later
//! Shows on standard error that work which takes longer than half a second is still in progress.

use std::io::{self, IsTerminal as _, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long work may take before anything is shown, and the time between two dots.
const INTERVAL: Duration = Duration::from_millis(500);

/// Goes back to the beginning of the line and clears it.
const ERASE: &str = "\r\x1b[K";

/// Does some work, and says what is being done if it takes longer than half a second and standard
/// error is a terminal.
pub(crate) fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if io::stderr().is_terminal() {
        shown(what, INTERVAL, io::stderr(), work)
    } else {
        work()
    }
}

/// Does some work, saying so to `terminal` after each `moment`.
fn shown<T>(
    what: &str,
    moment: Duration,
    mut terminal: impl Write + Send,
    work: impl FnOnce() -> T,
) -> T {
    thread::scope(|scope| {
        let (finished, wait) = mpsc::channel::<()>();
        scope.spawn(move || {
            let mut signs = 0_usize;
            // When the work ends, the other end of the channel is dropped.
            while let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(moment) {
                signs += 1;
                let dots = ".".repeat(signs.min(40));
                // The work goes on even if the terminal cannot be written to.
                let _ = write!(terminal, "{ERASE}{what} {dots}").and_then(|()| terminal.flush());
            }
            if signs > 0 {
                let _ = write!(terminal, "{ERASE}").and_then(|()| terminal.flush());
            }
        });
        let result = work();
        drop(finished);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_work_shows_nothing() {
        let mut screen = Vec::new();
        assert_eq!(shown("x", Duration::MAX, &mut screen, || 7), 7);
        assert!(screen.is_empty());
    }

    #[test]
    fn long_work_shows_what_is_done_and_cleans_up() {
        /// A terminal that tells when it was written to, so that the work can wait for it.
        struct Screen<'a>(&'a mut Vec<u8>, mpsc::Sender<()>);
        impl Write for Screen<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                let _ = self.1.send(());
                Ok(())
            }
        }
        let mut text = Vec::new();
        let (sender, written) = mpsc::channel();
        shown(
            "compiling",
            Duration::from_millis(1),
            Screen(&mut text, sender),
            || {
                written.recv().unwrap();
                written.recv().unwrap();
            },
        );
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.starts_with("\r\x1b[Kcompiling .\r\x1b[Kcompiling .."),
            "{text:?}"
        );
        assert!(text.ends_with(ERASE), "{text:?}");
    }
}
