// SPDX-License-Identifier: GPL-3.0-or-later
//! When a process was started, which tells it from a later one with the same number. And what else
//! the system says in the same file.

use std::io;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::time::{ClockId, clock_gettime};

use crate::exhaustion::unless_exhausted;

/// Enough for a line of `/proc/PID/stat`: 52 numbers of at most 20 digits and a name of at most 64
/// bytes.
const STAT_SIZE: usize = 1280;

/// What the system says of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stat {
    /// Its parent; 0 if that is in another namespace, or if there is none.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session; 0 if that is in another namespace.
    pub session: i32,
    /// When it was started, in clock ticks since boot.
    pub start_time: u64,
}

impl Stat {
    /// That of process `pid`; `None` if there is no such process or the system does not say.
    pub fn of(pid: i32) -> Option<Self> {
        Self::look_at(pid).ok().flatten()
    }

    /// The same.
    ///
    /// # Errors
    /// If we cannot look since descriptors or memory are missing. Then there may be such a process.
    pub fn look_at(pid: i32) -> io::Result<Option<Self>> {
        let path = format!("/proc/{pid}/stat");
        let mut buffer = [0u8; STAT_SIZE];
        let read = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|file| rustix::io::read(&file, &mut buffer[..]));
        match read {
            Ok(length) => Ok(buffer.get(..length).and_then(parse)),
            Err(error) => unless_exhausted(error.into()).map(|()| None),
        }
    }
}

/// When process `pid` was started, in clock ticks since boot; `None` if there is no such process
/// or the system does not say.
pub fn of(pid: i32) -> Option<u64> {
    Stat::of(pid).map(|stat| stat.start_time)
}

/// The same for a process that was made after [`now`] returned `before`. If the clock has not moved
/// on, this is known without asking the system, which would cost half as much as making the
/// process.
///
/// # Errors
/// As [`Stat::look_at`].
pub fn of_new(pid: i32, before: u64) -> io::Result<Option<u64>> {
    if now() == before {
        Ok(Some(before))
    } else {
        Ok(Stat::look_at(pid)?.map(|stat| stat.start_time))
    }
}

/// The session of this process; 0 if its session is in another namespace; [`Stat::session`] has the
/// same rule.
pub fn own_session() -> i32 {
    // The system always knows it.
    nix::unistd::getsid(None).map_or(0, nix::unistd::Pid::as_raw)
}

/// Fields 4, 5, 6 and 22 of the line. The name in field 2 stands in parentheses and may hold
/// anything, further parentheses included, so fields are counted from the last one.
pub(crate) fn parse(stat: &[u8]) -> Option<Stat> {
    let name_end = stat.iter().rposition(|b| *b == b')')?;
    let rest = str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    // Field 3 is the first after the name.
    let mut fields = rest.split_ascii_whitespace().skip(4 - 3);
    Some(Stat {
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
        start_time: fields.nth(22 - 7)?.parse().ok()?,
    })
}

/// The present, as the start time of a process that starts now. To read this clock takes no system
/// call on the usual machines.
pub fn now() -> u64 {
    ticks(since_boot())
}

/// How long ago a process was started.
pub fn age(start_time: u64) -> Duration {
    let ticks_per_second = ticks_per_second();
    let seconds = start_time / ticks_per_second;
    let part = start_time % ticks_per_second * 1_000_000_000 / ticks_per_second;
    let started = Duration::from_secs(seconds) + Duration::from_nanos(part);
    since_boot().saturating_sub(started)
}

/// A time in clock ticks; a part of a tick counts for nothing, as in a start time.
pub fn ticks(time: Duration) -> u64 {
    let ticks_per_second = ticks_per_second();
    let part = u64::from(time.subsec_nanos()) * ticks_per_second / 1_000_000_000;
    time.as_secs() * ticks_per_second + part
}

/// The clock of start times, which goes on while the machine is suspended.
fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_tricks_does_not_shift_the_fields() {
        let line = b"77 (a) R 1 (b) S 5 77 78 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 1 2 3\n";
        let stat = Stat {
            parent: 5,
            group: 77,
            session: 78,
            start_time: 123_456,
        };
        assert_eq!(parse(line), Some(stat));
        assert_eq!(parse(b"77 (sh) S 1"), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"\xff)\xff"), None);
    }

    #[test]
    fn that_of_a_new_process_is_what_the_system_says() {
        for _ in 0..50 {
            let before = now();
            let mut child = std::process::Command::new("true").spawn().unwrap();
            let pid = i32::try_from(child.id()).unwrap();
            assert_eq!(of_new(pid, before).unwrap(), of(pid));
            child.wait().unwrap();
        }
    }

    #[test]
    fn our_own_start_time_is_known_and_lies_in_the_past() {
        let own = i32::try_from(std::process::id()).unwrap();
        let start_time = of(own).unwrap();
        assert!(start_time > 0);
        // Whatever the test machine is doing, this process is not a day old.
        assert!(age(start_time) < Duration::from_secs(86_400));
        assert!(start_time <= now());
        assert_eq!(age(u64::MAX), Duration::ZERO);
        assert_eq!(of(-1), None);
        assert_eq!(Some(own_session()), Stat::of(own).map(|stat| stat.session));
    }
}
