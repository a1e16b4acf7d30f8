// SPDX-License-Identifier: GPL-3.0-or-later
//! What the system refuses only because there are no descriptors or no memory left.
//!
//! Such a refusal says nothing about what was asked for. A process that takes it for an answer
//! believes that a child has ended, or that an earlier process has left nothing, and runs a script
//! again.

use std::io;

use rustix::io::Errno;

/// The error, if the system has refused something since descriptors or memory are missing.
///
/// # Errors
/// That error.
pub fn unless_exhausted(error: io::Error) -> io::Result<()> {
    if is_exhaustion(&error) {
        Err(error)
    } else {
        Ok(())
    }
}

/// Whether descriptors or memory were missing: to ask again later may help.
#[must_use]
pub fn is_exhaustion(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(is_one)
}

/// Whether that is the cause of this error.
#[must_use]
pub fn is_cause_of(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let system = cause.downcast_ref::<io::Error>();
        let number = cause.downcast_ref::<Errno>();
        system.is_some_and(is_exhaustion) || number.is_some_and(|number| is_one(*number))
    })
}

const fn is_one(number: Errno) -> bool {
    matches!(number, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_refusal_for_want_of_descriptors_is_told_from_an_answer() {
        let system = |number: Errno| io::Error::from(number);
        for number in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert!(is_exhaustion(&system(number)));
            assert!(unless_exhausted(system(number)).is_err());
            let causes = [
                Err::<(), _>(number).context("cannot open it").unwrap_err(),
                Err::<(), _>(system(number))
                    .context("cannot open it")
                    .unwrap_err(),
            ];
            assert!(causes.iter().all(is_cause_of), "{number:?}");
        }
        assert!(unless_exhausted(system(Errno::NOENT)).is_ok());
        assert!(!is_cause_of(&anyhow::Error::from(Errno::ACCESS)));
        assert!(!is_cause_of(&anyhow::Error::msg("something else")));
    }
}
