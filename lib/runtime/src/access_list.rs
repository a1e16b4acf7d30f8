// SPDX-License-Identifier: GPL-3.0-or-later
//! POSIX access control lists: who may write to a file beside its owner.
//!
//! The mode of a file with a list does not say enough: its bits of the group are only the limit of
//! what the list allows to groups and to the users that it names. The format is the kernel's.

use std::io;
use std::path::Path;

use rustix::fs::lgetxattr;
use rustix::io::Errno;

/// The attribute that has the list.
const ATTRIBUTE: &str = "system.posix_acl_access";

/// The largest list that is read: 511 entries. Nobody can look through a longer one, so it is not
/// trusted.
const LONGEST: usize = 4 + ENTRY * 511;

/// The version of the format, at the start of the list.
const VERSION: [u8; 4] = 2_u32.to_le_bytes();

/// The size of an entry: its tag, what it allows, and the number of the user or group.
const ENTRY: usize = 8;

/// The bit of an entry that allows writing.
const WRITE: u16 = 2;

/// Who may write by an entry of a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Writer {
    /// A user that the list names.
    User(u32),
    /// A group that the list names.
    Group(u32),
    /// The group that the file belongs to.
    OwningGroup,
    /// Everybody else.
    Everybody,
}

/// Who may write to a file by its list, beside its owner. `None` if it has no list.
///
/// # Errors
/// If the system refuses, or the list is malformed.
pub(crate) fn writers(path: &Path) -> io::Result<Option<Vec<Writer>>> {
    let mut list = [0; LONGEST];
    match lgetxattr(path, ATTRIBUTE, &mut list) {
        // The value cannot be longer than the room that it was given.
        Ok(length) => decode(list.get(..length).unwrap_or_default())
            .map(Some)
            .ok_or_else(|| io::Error::other("its access control list is not understood")),
        // The file has no list, or the file system has none.
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `None` if this is not a list.
pub(crate) fn decode(list: &[u8]) -> Option<Vec<Writer>> {
    let (entries, []) = list.strip_prefix(&VERSION)?.as_chunks::<ENTRY>() else {
        return None;
    };
    let mut writers = Vec::new();
    let mut mask = WRITE;
    for &[t0, t1, p0, p1, i0, i1, i2, i3] in entries {
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let allowed = u16::from_le_bytes([p0, p1]);
        let writer = match u16::from_le_bytes([t0, t1]) {
            // The owner.
            0x01 => None,
            0x02 => Some(Writer::User(id)),
            0x04 => Some(Writer::OwningGroup),
            0x08 => Some(Writer::Group(id)),
            // The limit for all but the owner and everybody.
            0x10 => {
                mask = allowed;
                None
            }
            0x20 => Some(Writer::Everybody),
            _ => return None,
        };
        writers.extend(writer.filter(|_| allowed & WRITE != 0));
    }
    if mask & WRITE == 0 {
        writers.retain(|writer| *writer == Writer::Everybody);
    }
    Some(writers)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// No user and no group, in entries that name none.
    const NONE: u32 = u32::MAX;

    /// A list of these entries: tag, what is allowed, user or group.
    pub(crate) fn encode(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut list = VERSION.to_vec();
        for (tag, allowed, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(allowed.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        list
    }

    /// A list that lets the user 77 and the group 88 do this, with this mask.
    pub(crate) fn naming(allowed: u16, mask: u16) -> Vec<u8> {
        encode(&[
            (0x01, 7, NONE),
            (0x02, allowed, 77),
            (0x04, 5, NONE),
            (0x08, allowed, 88),
            (0x10, mask, NONE),
            (0x20, 5, NONE),
        ])
    }

    #[test]
    fn users_that_a_list_names_may_write_as_far_as_the_mask_allows() {
        let named = vec![Writer::User(77), Writer::Group(88)];
        assert_eq!(decode(&naming(7, 7)), Some(named));
        assert_eq!(decode(&naming(5, 7)), Some(vec![]));
        assert_eq!(decode(&naming(7, 5)), Some(vec![]));
        let all = [(0x04, 6, NONE), (0x20, 6, NONE)];
        let both = vec![Writer::OwningGroup, Writer::Everybody];
        assert_eq!(decode(&encode(&all)), Some(both));
        // Everybody is not bounded by the mask.
        let masked = [all[0], all[1], (0x10, 4, NONE)];
        assert_eq!(decode(&encode(&masked)), Some(vec![Writer::Everybody]));
    }

    #[test]
    fn what_is_no_list_is_not_understood() {
        assert_eq!(decode(b""), None);
        assert_eq!(decode(&3_u32.to_le_bytes()), None);
        assert_eq!(decode(&encode(&[(0x40, 7, 1)])), None);
        let whole = naming(7, 7);
        assert_eq!(decode(&whole[..whole.len() - 1]), None);
    }
}
