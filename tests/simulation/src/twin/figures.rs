// SPDX-License-Identifier: GPL-3.0-or-later
//! What `info` should say of the pings of a peer, by what was sent, answered and told.

/// The pings of a peer since it was adopted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// The times of successful pings.
    times: Vec<f64>,
    lost: u64,
    failures: u64,
    /// What happened to the last ping that has ended.
    last: Option<Result<f64, ()>>,
    /// Whether a ping is under way.
    pending: bool,
    /// Whether the end of the last ping was counted as a timeout before it was told.
    counted: bool,
}

impl Figures {
    /// A ping is sent.
    pub(crate) fn begin(&mut self) {
        self.pending = true;
    }

    /// It is the first of a check.
    pub(crate) fn new_check(&mut self) {
        self.failures = 0;
    }

    /// The ping was answered.
    pub(crate) fn reply(&mut self, time: f64) {
        self.pending = false;
        self.counted = false;
        self.times.push(time);
        self.last = Some(Ok(time));
    }

    /// The ping was not answered.
    pub(crate) fn timeout(&mut self) {
        self.pending = false;
        self.counted = true;
        self.lose();
    }

    /// The ping ended in another way.
    pub(crate) fn nothing(&mut self) {
        self.pending = false;
    }

    /// A timeout was told. If the ping was answered, the peer was sabotaged.
    pub(crate) fn told_timeout(&mut self) {
        if !std::mem::replace(&mut self.counted, true) {
            self.times.pop();
            self.lose();
        }
    }

    fn lose(&mut self) {
        self.lost += 1;
        self.failures += 1;
        self.last = Some(Err(()));
    }

    /// Whether this is a key about pings.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// What is right, if `line` is a line of `info` about pings that is wrong.
    pub(crate) fn correct(&self, line: &str) -> Option<String> {
        let (key, value) = line.split_once('=')?;
        let right = self.value(key)?;
        (value != right).then_some(right)
    }

    /// What `info` should say.
    fn value(&self, key: &str) -> Option<String> {
        let time = |time: f64| match self.times.as_slice() {
            [] => "-".to_owned(),
            _ => format!("{time:.1}ms"),
        };
        let count = f64::from(u32::try_from(self.times.len()).unwrap_or(u32::MAX));
        let mean = self.times.iter().sum::<f64>() / count;
        let squares = self.times.iter().map(|time| (time - mean).powi(2));
        Some(match key {
            "failures" => self.failures.to_string(),
            "last-ping" => match self.last {
                None => "-".to_owned(),
                Some(Ok(last)) => time(last),
                Some(Err(())) => "timeout".to_owned(),
            },
            "max-ping" => time(self.times.iter().copied().fold(0.0, f64::max)),
            "mean-ping" => time(mean),
            "min-ping" => time(self.times.iter().copied().fold(f64::INFINITY, f64::min)),
            "n-lost" => self.lost.to_string(),
            "n-ping" => self.times.len().to_string(),
            "sd-ping" => time((squares.sum::<f64>() / count).sqrt()),
            "state" if self.pending => "check".to_owned(),
            "state" => "idle".to_owned(),
            _ => return None,
        })
    }
}
