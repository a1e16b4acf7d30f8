// SPDX-License-Identifier: GPL-3.0-or-later
//! One connection to the administration socket: two streams of bytes, each of which can be slow,
//! stand still, come in pieces, or end after any byte.

use std::collections::VecDeque;
use std::time::Duration;

use tripe_admin::line::{LineBuffer, MAX_RECEIVED};
use tripe_lab::lines;
use tripe_lab::switches::OverLong;

use crate::instant::Instant;
use crate::plan::Way;
use crate::seen::Who;

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// What this turn has written.
    pub(crate) pending: Vec<u8>,
    /// What is on its way.
    chunks: VecDeque<(Instant, Vec<u8>)>,
    /// When the last of it arrives.
    last: Instant,
    /// When the end of the stream arrives.
    end: Option<Instant>,
    /// Nothing arrives before this.
    pub(crate) stalled_until: Instant,
    /// After how many more bytes the connection is cut.
    pub(crate) cut_after: Option<u32>,
}

/// What has arrived.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) bytes: Vec<u8>,
    /// The stream has ended in order.
    pub(crate) ended: bool,
    /// The connection was cut here.
    pub(crate) cut: bool,
}

impl Pipe {
    /// Sends what is pending, in one piece or in pieces; gives the instants at which to look.
    pub(crate) fn flush(
        &mut self,
        now: Instant,
        delay: Duration,
        pieces: Option<(usize, Duration)>,
        mut due: impl FnMut(Instant),
    ) {
        if self.pending.is_empty() {
            return;
        }
        let mut at = self.next(now, delay);
        let all = std::mem::take(&mut self.pending);
        match pieces {
            // What arrives together is read together.
            None => match self.chunks.back_mut() {
                Some((last, bytes)) if *last == at => bytes.extend_from_slice(&all),
                _ => {
                    self.chunks.push_back((at, all));
                    due(at);
                }
            },
            Some((length, pause)) => {
                for piece in all.chunks(length.max(1)) {
                    self.chunks.push_back((at, piece.to_vec()));
                    due(at);
                    at = at + pause;
                    self.last = at;
                }
            }
        }
    }

    /// The stream ends after what was sent; gives when.
    pub(crate) fn close(&mut self, now: Instant, delay: Duration) -> Instant {
        let at = self.next(now, delay);
        self.end.get_or_insert(at);
        at
    }

    fn next(&mut self, now: Instant, delay: Duration) -> Instant {
        self.last = self.last.max(now + delay).max(self.stalled_until);
        self.last
    }

    /// What is on its way comes in pieces no more: all of it arrives at once. Gives when.
    pub(crate) fn hurry(&mut self, now: Instant) -> Option<Instant> {
        let at = now.max(self.stalled_until);
        if self.last <= at {
            return None;
        }
        self.last = at;
        self.end = self.end.map(|end| end.min(at));
        let all: Vec<u8> = self.chunks.drain(..).flat_map(|(_, piece)| piece).collect();
        if !all.is_empty() {
            self.chunks.push_back((at, all));
        }
        Some(at)
    }

    /// Takes what has arrived by now.
    pub(crate) fn take(&mut self, now: Instant) -> Arrived {
        let mut arrived = Arrived::default();
        if now < self.stalled_until {
            return arrived;
        }
        while let Some((at, _)) = self.chunks.front()
            && *at <= now
            && let Some((_, mut bytes)) = self.chunks.pop_front()
        {
            if let Some(left) = &mut self.cut_after {
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                if *left <= length {
                    bytes.truncate(*left as usize);
                    arrived.cut = true;
                } else {
                    *left -= length;
                }
            }
            if arrived.bytes.is_empty() {
                arrived.bytes = bytes;
            } else {
                arrived.bytes.extend_from_slice(&bytes);
            }
            if arrived.cut {
                self.chunks.clear();
                return arrived;
            }
        }
        arrived.ended = self.chunks.is_empty() && self.end.is_some_and(|end| end <= now);
        arrived
    }
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) who: Who,
    pub(crate) to_server: Pipe,
    pub(crate) to_client: Pipe,
    pub(crate) server_lines: lines::LineBuffer,
    pub(crate) client_lines: LineBuffer,
    /// Whether the server has this end open.
    pub(crate) server_open: bool,
    /// Whether the client has its end open.
    pub(crate) client_open: bool,
    /// How often something was sent, for the draws.
    pub(crate) sent: u64,
}

impl Wire {
    pub(crate) fn new(who: Who, limit: usize, over_long: OverLong) -> Self {
        Wire {
            who,
            to_server: Pipe::default(),
            to_client: Pipe::default(),
            server_lines: lines::LineBuffer::new(limit, over_long),
            client_lines: LineBuffer::new(MAX_RECEIVED),
            server_open: true,
            client_open: true,
            sent: 0,
        }
    }

    pub(crate) const fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToClient => &mut self.to_client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A pipe with a word on its way, a byte a second.
    fn in_pieces() -> Pipe {
        let mut pipe = Pipe::default();
        pipe.pending.extend_from_slice(b"word");
        let mut instants = 0;
        let pieces = Some((1, SECOND));
        pipe.flush(Instant(0), Duration::ZERO, pieces, |_| instants += 1);
        assert_eq!(instants, 4);
        assert_eq!(pipe.take(Instant(0)).bytes, b"w");
        pipe
    }

    #[test]
    fn what_is_left_of_pieces_arrives_at_once_and_what_comes_later_does_not_wait_for_them() {
        let mut pipe = in_pieces();
        let now = Instant(0) + SECOND / 2;
        assert_eq!(pipe.hurry(now), Some(now));
        assert_eq!(pipe.take(now).bytes, b"ord");
        assert_eq!(pipe.hurry(now), None, "nothing is on its way");
        pipe.pending.extend_from_slice(b"next");
        pipe.flush(now, Duration::ZERO, None, |at| assert_eq!(at, now));
        assert_eq!(pipe.take(now).bytes, b"next");
    }

    #[test]
    fn an_end_comes_with_the_pieces_and_none_of_it_before_the_stream_goes_on() {
        let mut pipe = in_pieces();
        pipe.close(Instant(0), Duration::ZERO);
        let now = Instant(0) + SECOND / 2;
        pipe.stalled_until = now + SECOND;
        assert_eq!(pipe.hurry(now), Some(now + SECOND));
        assert!(!pipe.take(now).ended);
        let arrived = pipe.take(now + SECOND);
        assert_eq!(arrived.bytes, b"ord");
        assert!(arrived.ended);
    }
}
