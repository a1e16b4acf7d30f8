// SPDX-License-Identifier: GPL-3.0-or-later
//! When a process was started: this tells it from a later one with the same number. And what else
//! the system says in the same place.

use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::time::{ClockId, clock_gettime};

/// Enough for a line of `/proc/PID/stat`: 52 numbers of at most 20 digits and a name of at most 64
/// bytes.
const STAT_SIZE: usize = 1280;

/// What the system says of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stat {
    /// Its process group.
    pub(crate) group: i32,
    /// Its session.
    pub(crate) session: i32,
    /// When it was started, in clock ticks since boot.
    pub(crate) start_time: u64,
}

impl Stat {
    /// That of process `pid`; `None` if there is no such process or the system does not say.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let path = format!("/proc/{pid}/stat");
        let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut buffer = [0u8; STAT_SIZE];
        let length = rustix::io::read(&file, &mut buffer[..]).ok()?;
        parse(buffer.get(..length)?)
    }
}

/// When process `pid` was started, in clock ticks since boot; `None` if there is no such process
/// or the system does not say.
pub(crate) fn of(pid: i32) -> Option<u64> {
    Stat::of(pid).map(|stat| stat.start_time)
}

/// Fields 5, 6 and 22 of the line. The name in field 2 stands in parentheses and may hold anything,
/// further parentheses included, so fields are counted from the last one.
fn parse(stat: &[u8]) -> Option<Stat> {
    let name_end = stat.iter().rposition(|b| *b == b')')?;
    let rest = str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    // Field 3 is the first after the name.
    let mut fields = rest.split_ascii_whitespace().skip(5 - 3);
    Some(Stat {
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
        start_time: fields.nth(22 - 7)?.parse().ok()?,
    })
}

/// How long ago a process was born that started at `birth`.
pub(crate) fn age(start_time: u64) -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    );
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let seconds = start_time / ticks_per_second;
    let part = start_time % ticks_per_second * 1_000_000_000 / ticks_per_second;
    let started = Duration::from_secs(seconds) + Duration::from_nanos(part);
    now.saturating_sub(started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_tricks_does_not_shift_the_fields() {
        let line = b"77 (a) R 1 (b) S 1 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 1 2 3\n";
        let stat = Stat {
            group: 77,
            session: 77,
            start_time: 123_456,
        };
        assert_eq!(parse(line), Some(stat));
        assert_eq!(parse(b"77 (sh) S 1"), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"\xff)\xff"), None);
    }

    #[test]
    fn our_own_start_time_is_known_and_lies_in_the_past() {
        let own = i32::try_from(std::process::id()).unwrap();
        let start_time = of(own).unwrap();
        assert!(start_time > 0);
        // Whatever the test machine is doing, this process is not a day old.
        assert!(age(start_time) < Duration::from_secs(86_400));
        assert_eq!(age(u64::MAX), Duration::ZERO);
        assert_eq!(of(-1), None);
    }
}
