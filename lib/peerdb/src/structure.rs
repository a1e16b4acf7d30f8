// SPDX-License-Identifier: GPL-3.0-or-later
//! Verification of a constant database's structure before any of its offsets is used.
//!
//! The format is D. J. Bernstein's: a header of 256 (position, slots) pairs, the records (key
//! length, data length, key, data), then 256 hash tables of (hash, position) slots; all numbers
//! are little-endian 32-bit words. Readers of the format take offsets and lengths from the file as
//! they stand; a file that passes here cannot make one read outside the file, ask for more
//! memory than the file is long, overflow its arithmetic, or run for ever.

use crate::text::count;

/// The largest file that is read or written: 256 MiB. Fifty thousand peers need about 20 MiB, so a
/// larger file is not a peer database; and with this limit, all offsets are far below the limits of
/// the format's 32-bit arithmetic.
pub const MAX_FILE_SIZE: u64 = 256 << 20;

/// The number of hash tables, fixed by the format.
const TABLES: usize = 256;

/// The size of the header, and so the offset of the first record.
pub(crate) const HEADER_SIZE: usize = TABLES * 8;

/// What makes a file unusable as a constant database. Offsets are in bytes from its start.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Damage {
    /// The file ends before its header does.
    #[error("it has {}, fewer than the header of a cdb file", count(*.size, "byte"))]
    Short {
        /// The file's size.
        size: usize,
    },
    /// The file is larger than [`MAX_FILE_SIZE`].
    #[error("it is larger than {} MiB", MAX_FILE_SIZE >> 20)]
    Large,
    /// The header says that the records end outside the file.
    #[error("its records are said to end at offset {end}, outside the file")]
    DataEnd {
        /// Where they are said to end.
        end: u32,
    },
    /// A record does not end where the next one or the first table starts.
    #[error("the record at offset {offset} runs past the end of the records")]
    Record {
        /// Where the record starts.
        offset: usize,
    },
    /// A hash table does not lie between the records and the end of the file.
    #[error("hash table {table} lies outside the file's tables")]
    Table {
        /// The table's number, 0 to 255.
        table: usize,
    },
    /// The tables together are longer than the part of the file that holds them.
    #[error("its hash tables overlap")]
    Overlap,
    /// There are records, but no look-up finds any of them.
    #[error("it has {}, but its hash tables name none of them", count(*.records, "record"))]
    NoIndex {
        /// The number of records.
        records: usize,
    },
    /// A slot does not point at a record whose key belongs there.
    #[error("the slot at offset {offset} in hash table {table} does not point at its record")]
    Slot {
        /// The table's number, 0 to 255.
        table: usize,
        /// Where the slot is.
        offset: usize,
    },
}

/// What a sound file holds.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Where each record starts, in the file's order.
    starts: Vec<u32>,
    /// For each record whether a look-up can find it.
    found: Vec<bool>,
}

impl Layout {
    /// The number of records, whether or not a look-up finds them.
    pub(crate) fn records(&self) -> usize {
        self.starts.len()
    }

    /// Every record's key and data in `file`, which must be the file that was verified.
    pub(crate) fn entries<'a>(
        &'a self,
        file: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.starts.iter().map(|start| {
            let at = *start as usize;
            let (key, data) = (word(file, at) as usize, word(file, at + 4) as usize);
            file[at + 8..at + 8 + key + data].split_at(key)
        })
    }

    /// Whether a look-up of its key can find record number `index`. One that cannot be found was
    /// deleted by its writer (tinycdb leaves such gaps), or lost its slot.
    pub(crate) fn is_found(&self, index: usize) -> bool {
        self.found.get(index).copied().unwrap_or(false)
    }

    /// Whether there are no records at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }
}

/// The header as its readers see it.
struct Header<'a>(&'a [u8]);

impl Header<'_> {
    fn table(&self, table: usize) -> (u32, u32) {
        (word(self.0, table * 8), word(self.0, table * 8 + 4))
    }
}

/// Checks the whole of `file`.
///
/// The work is linear in the file's size but for one binary search a slot, and the memory grows
/// with the number of records that are really there, never with a number that the file only claims.
///
/// # Errors
///
/// The first fault met.
pub(crate) fn verify(file: &[u8]) -> Result<Layout, Damage> {
    if file.len() as u64 > MAX_FILE_SIZE {
        return Err(Damage::Large);
    }
    let Some(header) = file.get(..HEADER_SIZE).map(Header) else {
        return Err(Damage::Short { size: file.len() });
    };
    // By the format's convention the records end where the first table, even an empty one, starts.
    let (end, _) = header.table(0);
    let data_end = end as usize;
    if !(HEADER_SIZE..=file.len()).contains(&data_end) {
        return Err(Damage::DataEnd { end });
    }
    let starts = walk_records(file, data_end)?;
    let found = walk_tables(file, &header, data_end, &starts)?;
    // Without any record, this would look like an empty database, and all peers would be removed.
    if !starts.is_empty() && !found.contains(&true) {
        let records = starts.len();
        return Err(Damage::NoIndex { records });
    }
    Ok(Layout { starts, found })
}

fn walk_records(file: &[u8], data_end: usize) -> Result<Vec<u32>, Damage> {
    let mut starts = Vec::new();
    let mut at = HEADER_SIZE;
    while at < data_end {
        let damage = Damage::Record { offset: at };
        if data_end - at < 8 {
            return Err(damage);
        }
        let (key, data) = (word(file, at) as usize, word(file, at + 4) as usize);
        let room = data_end - at - 8;
        if key > room || data > room - key {
            return Err(damage);
        }
        // The file is at most 256 MiB long, so an offset in it always fits.
        starts.push(u32::try_from(at).map_err(|_| damage)?);
        at += 8 + key + data;
    }
    Ok(starts)
}

fn walk_tables(
    file: &[u8],
    header: &Header<'_>,
    data_end: usize,
    starts: &[u32],
) -> Result<Vec<bool>, Damage> {
    let mut found = vec![false; starts.len()];
    let mut room = file.len() - data_end;
    for table in 0..TABLES {
        let (position, slots) = header.table(table);
        if slots == 0 {
            continue;
        }
        let (position, slots) = (position as usize, slots as usize);
        let outside = Damage::Table { table };
        let length = slots.checked_mul(8).ok_or(outside)?;
        let end = position.checked_add(length).ok_or(outside)?;
        if position < data_end || end > file.len() {
            return Err(outside);
        }
        // Without this, 256 tables over the same bytes would multiply the work by as much.
        room = room.checked_sub(length).ok_or(Damage::Overlap)?;
        walk_table(file, table, position, slots, starts, &mut found)?;
    }
    Ok(found)
}

/// Checks every slot of one table and marks the records that a look-up through it finds.
fn walk_table(
    file: &[u8],
    table: usize,
    position: usize,
    slots: usize,
    starts: &[u32],
    found: &mut [bool],
) -> Result<(), Damage> {
    let slot = |index: usize| {
        let at = position + index * 8;
        (word(file, at), word(file, at + 4))
    };
    // A look-up starts at the key's own slot and ends at the first empty one. The distance back to
    // the last empty slot shows for each slot whether its look-up gets there. A first pass through
    // the table finds that distance for its beginning.
    let mut since_empty = (0..slots)
        .rev()
        .position(|index| slot(index).1 == 0)
        .unwrap_or(slots);
    for index in 0..slots {
        let (hash, record) = slot(index);
        if record == 0 {
            since_empty = 0;
            continue;
        }
        let damage = Damage::Slot {
            table,
            offset: position + index * 8,
        };
        let number = starts.binary_search(&record).map_err(|_| damage)?;
        let at = record as usize;
        let key = &file[at + 8..at + 8 + word(file, at) as usize];
        let home = (hash >> 8) as usize % slots;
        let distance = (index + slots - home) % slots;
        if hash != key_hash(key)
            || (hash & 0xff) as usize != table
            || distance > since_empty
            || found[number]
        {
            return Err(damage);
        }
        found[number] = true;
        since_empty += 1;
    }
    Ok(())
}

/// The little-endian word at `at`; the callers have checked that it lies in `bytes`.
fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// The format's hash of a key.
fn key_hash(key: &[u8]) -> u32 {
    key.iter().fold(5381, |hash: u32, byte| {
        hash.wrapping_mul(33) ^ u32::from(*byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A correct file of the given records, built here so that the test depends on no other code.
    fn build(records: &[(&str, &str)]) -> Vec<u8> {
        let mut file = vec![0; HEADER_SIZE];
        let mut slots = vec![Vec::new(); TABLES];
        for (key, data) in records {
            let hash = key_hash(key.as_bytes());
            slots[(hash & 0xff) as usize].push((hash, u32::try_from(file.len()).unwrap()));
            for length in [key.len(), data.len()] {
                file.extend(u32::try_from(length).unwrap().to_le_bytes());
            }
            file.extend(key.as_bytes());
            file.extend(data.as_bytes());
        }
        for (table, entries) in slots.iter().enumerate() {
            let length = entries.len() * 2;
            put(&mut file, table * 8, u32::MAX);
            let position = u32::try_from(file.len()).unwrap();
            put(&mut file, table * 8, position);
            put(&mut file, table * 8 + 4, u32::try_from(length).unwrap());
            let mut filled = vec![(0, 0); length];
            for entry in entries {
                let mut at = (entry.0 >> 8) as usize % length;
                while filled[at].1 != 0 {
                    at = (at + 1) % length;
                }
                filled[at] = *entry;
            }
            for (hash, record) in filled {
                file.extend(hash.to_le_bytes());
                file.extend(record.to_le_bytes());
            }
        }
        file
    }

    fn put(file: &mut [u8], at: usize, word: u32) {
        file[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }

    /// The table that holds the one record of `build(&[("Phub", ...)])`.
    fn only_table(file: &[u8]) -> (usize, usize) {
        let header = Header(&file[..HEADER_SIZE]);
        let table = (0..TABLES).find(|t| header.table(*t).1 > 0).unwrap();
        (table, header.table(table).0 as usize)
    }

    #[test]
    fn sound_files_pass() {
        let layout = verify(&build(&[])).unwrap();
        assert!(layout.is_empty());
        assert_eq!(layout.records(), 0);

        let names: Vec<String> = (0..500).map(|n| format!("Ppeer{n}")).collect();
        let records: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "a=1")).collect();
        let layout = verify(&build(&records)).unwrap();
        assert_eq!(layout.records(), 500);
        assert!((0..500).all(|n| layout.is_found(n)));
        assert!(!layout.is_found(500));

        // The same key twice, and an empty record, are legal.
        let layout = verify(&build(&[("", ""), ("a", "1"), ("a", "2")])).unwrap();
        assert_eq!(layout.records(), 3);
        assert!(layout.is_found(2));
    }

    #[test]
    fn the_hash_is_the_formats() {
        assert_eq!(key_hash(b""), 5381);
        assert_eq!(key_hash(b"Hello, world!"), 0x5643_69e8);
    }

    #[test]
    fn every_truncation_is_noticed() {
        let file = build(&[("Phub", "a=1"), ("%AUTO", "hub")]);
        for length in 0..file.len() {
            assert!(verify(&file[..length]).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn hostile_headers_are_refused() {
        let good = build(&[("Phub", "a=1")]);
        let size = u32::try_from(good.len()).unwrap();
        for end in [0, 8, 2047, size + 1, u32::MAX - 7, u32::MAX] {
            let mut file = good.clone();
            put(&mut file, 0, end);
            assert_eq!(verify(&file).unwrap_err(), Damage::DataEnd { end });
        }
        let (table, _) = only_table(&good);
        assert_ne!(
            table, 0,
            "the record must not be in the table that ends the records"
        );
        for position in [0, 2048, size, u32::MAX] {
            let mut file = good.clone();
            put(&mut file, table * 8, position);
            assert_eq!(verify(&file).unwrap_err(), Damage::Table { table });
        }
        for slots in [3, 0x2000_0000, u32::MAX] {
            let mut file = good.clone();
            put(&mut file, table * 8 + 4, slots);
            assert_eq!(verify(&file).unwrap_err(), Damage::Table { table });
        }
        // A second table over the bytes of the first.
        let mut file = good.clone();
        let other = if table == 7 { 8 } else { 7 };
        let entry: Vec<u8> = file[table * 8..table * 8 + 8].to_vec();
        file[other * 8..other * 8 + 8].copy_from_slice(&entry);
        assert!(verify(&file).is_err());
    }

    #[test]
    fn hostile_lengths_are_refused() {
        let good = build(&[("Phub", "a=1")]);
        for (key, data) in [
            (u32::MAX, 3),
            (4, u32::MAX),
            (u32::MAX, u32::MAX),
            (0x8000_0000, 0x8000_0000),
            (5, 3),
            (4, 4),
        ] {
            let mut file = good.clone();
            put(&mut file, HEADER_SIZE, key);
            put(&mut file, HEADER_SIZE + 4, data);
            let damage = verify(&file).unwrap_err();
            assert_eq!(
                damage,
                Damage::Record {
                    offset: HEADER_SIZE
                },
                "{key} {data}"
            );
        }
        // Too short: what is left over is no record.
        let mut file = good;
        put(&mut file, HEADER_SIZE + 4, 0);
        assert!(matches!(verify(&file), Err(Damage::Record { .. })));
    }

    #[test]
    fn hostile_slots_are_refused() {
        let good = build(&[("Phub", "a=1")]);
        let (table, position) = only_table(&good);
        let at = (position..)
            .step_by(8)
            .find(|at| word(&good, at + 4) != 0)
            .unwrap();
        let damage = Err(Damage::Slot { table, offset: at });
        for record in [1, 2047, 2049, u32::MAX] {
            let mut file = good.clone();
            put(&mut file, at + 4, record);
            assert_eq!(verify(&file).map(drop), damage);
        }
        for hash in [0, word(&good, at) ^ 0x100, u32::MAX] {
            let mut file = good.clone();
            put(&mut file, at, hash);
            assert_eq!(verify(&file).map(drop), damage);
        }
    }

    #[test]
    fn a_slot_out_of_its_look_ups_way_is_refused() {
        let good = build(&[("Phub", "a=1")]);
        let (table, position) = only_table(&good);
        let mut file = good.clone();
        file[position..position + 8].copy_from_slice(&good[position + 8..position + 16]);
        file[position + 8..position + 16].copy_from_slice(&good[position..position + 8]);
        assert!(matches!(verify(&file), Err(Damage::Slot { table: t, .. }) if t == table));
    }

    #[test]
    fn a_record_without_a_slot_is_not_found() {
        let mut file = build(&[("Phub", "a=1"), ("Pgate", "a=2")]);
        let header: Vec<u8> = file[..HEADER_SIZE].to_vec();
        let table = (key_hash(b"Phub") & 0xff) as usize;
        let (position, slots) = Header(&header).table(table);
        for index in 0..slots as usize {
            put(&mut file, position as usize + index * 8 + 4, 0);
        }
        let layout = verify(&file).unwrap();
        assert!(!layout.is_found(0));
        assert!(layout.is_found(1));
        assert!(!layout.is_empty());

        // With no record found at all, the tables are what is wrong.
        let mut file = build(&[("Phub", "a=1"), ("Pgate", "a=2")]);
        for table in 0..TABLES {
            put(&mut file, table * 8 + 4, 0);
        }
        assert_eq!(verify(&file).map(drop), Err(Damage::NoIndex { records: 2 }));
    }

    #[test]
    fn two_slots_of_one_record_are_refused() {
        let mut file = build(&[("Phub", "a=1")]);
        let (table, position) = only_table(&file);
        let slot = (position..)
            .step_by(8)
            .find(|at| word(&file, at + 4) != 0)
            .unwrap();
        let copy: Vec<u8> = file[slot..slot + 8].to_vec();
        file[position..position + 8].copy_from_slice(&copy);
        file[position + 8..position + 16].copy_from_slice(&copy);
        assert!(matches!(verify(&file), Err(Damage::Slot { table: t, .. }) if t == table));
    }
}
