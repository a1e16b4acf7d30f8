// SPDX-License-Identifier: GPL-3.0-or-later
//! Writing a `peers.cdb` so that no reader ever sees an incomplete one.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cdb::CDBMake;
use rustix::fs::{Gid, Uid};
use tempfile::NamedTempFile;
use tripe_admin::token;

use crate::database::Database;
use crate::decode::{AUTO, LOCAL, PEER, USER};
use crate::record::Record;
use crate::structure::{self, HEADER_SIZE, MAX_FILE_SIZE};

/// The mode of a file that did not exist before: readable by all, since the services that read it
/// run as other users than the one who compiles it, and it holds no secrets.
const NEW_MODE: u32 = 0o644;

/// Why a database could not be written. The file that was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// What was to be written is larger than [`MAX_FILE_SIZE`].
    #[error(
        "{path} would be larger than {} MiB, the most that is read back: split the database", MAX_FILE_SIZE >> 20
    )]
    TooLarge {
        /// The file to be written.
        path: PathBuf,
    },
    /// The path names something that is not a plain file.
    #[error("{path} is there and is not a plain file: name another file to write")]
    NotAFile {
        /// The path to be written.
        path: PathBuf,
    },
    /// The system refused.
    #[error(
        "{path} could not be written while {step} ({source}): check that its directory exists, is \
         writable and has space; the old file, if any, is unchanged"
    )]
    Io {
        /// The file to be written.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// What was written is not what was to be written.
    #[error(
        "{path} was not replaced, since the new file did not read back as it was written: check the \
         disk for errors and lack of space, and try again"
    )]
    NotReadBack {
        /// The file to be written.
        path: PathBuf,
    },
}

/// Collects the records of a database and writes them as one file, in the order in which they came.
///
/// ```no_run
/// let mut writer = peerdb::Writer::new();
/// writer.put_record(&peerdb::Record::new("hub", [("peer", "INET hub.example.com 4070")]));
/// writer.put_auto(["hub"]);
/// writer.write("peers.cdb")?;
/// # Ok::<(), peerdb::WriteError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Writer {
    entries: Vec<Entry>,
}

/// Key and data of one record.
type Entry = (Box<[u8]>, Box<[u8]>);

impl Writer {
    /// A writer without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer with everything that is in `database`: the peers in its order, then the users, the
    /// local and special records, and the list of automatic peers.
    #[must_use]
    pub fn of(database: &Database) -> Self {
        let mut writer = Writer::new();
        database.peers().for_each(|peer| writer.put_record(peer));
        for (user, peer) in database.users() {
            writer.put_user(user, peer);
        }
        database
            .locals()
            .iter()
            .for_each(|local| writer.put_record(local));
        for special in database.specials() {
            writer.put_raw(&*special.key, &*special.data);
        }
        writer.put_auto(database.auto());
        writer
    }

    /// Adds a peer's record, or a local one if the name starts with `$`.
    pub fn put_record(&mut self, record: &Record) {
        let name = record.name().as_bytes();
        let key = if name.first() == Some(&LOCAL) {
            name.to_vec()
        } else {
            [&[PEER], name].concat()
        };
        self.put_raw(key, record.encode());
    }

    /// Adds the record that maps the user `user` to the peer `peer`.
    pub fn put_user(&mut self, user: &str, peer: &str) {
        self.put_raw([&[USER], user.as_bytes()].concat(), peer);
    }

    /// Adds the list of peers to be added at start-up. Names are separated by single spaces; one
    /// that has white space or quotes in it is quoted as in tripe-admin(5).
    pub fn put_auto<I>(&mut self, names: I)
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.put_raw(AUTO, token::join(names));
    }

    /// Adds a record in the form that it has in the file: the key with its first character, and the
    /// data encoded. The same key may come more than once; readers use the first.
    pub fn put_raw(&mut self, key: impl AsRef<[u8]>, data: impl AsRef<[u8]>) {
        self.entries
            .push((key.as_ref().into(), data.as_ref().into()));
    }

    /// The records so far, in the form that they will have in the file.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        self.entries.iter().map(|(key, data)| (&**key, &**data))
    }

    /// Writes the file `path`, replacing what is there.
    ///
    /// The records go to a temporary file in the same directory, which is read back and compared,
    /// flushed to the disk and then renamed: there is always either the old file or the whole new
    /// one. A symbolic link is followed to its [`destination`], so that the link stays. The mode of
    /// a file that was there is kept, its owner and group too as far as the system allows; a new
    /// file gets mode 0644.
    ///
    /// # Errors
    ///
    /// See [`WriteError`]; nothing has then changed.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), WriteError> {
        let path = path.as_ref();
        if self.size() > MAX_FILE_SIZE {
            return Err(WriteError::TooLarge {
                path: path.to_owned(),
            });
        }
        let target = Target::find(path)?;
        // If the target of a link is missing, the error names the target.
        let path = match target.replaced {
            None => target.path.as_path(),
            Some(_) => path,
        };
        let failed = |step| {
            move |source| WriteError::Io {
                path: path.to_owned(),
                step,
                source,
            }
        };
        let temporary = NamedTempFile::with_prefix_in(".peers.cdb.", target.directory())
            .map_err(failed("making a temporary file"))?;
        self.make(temporary.as_file())
            .map_err(failed("writing the records"))?;
        if !self.reads_back(temporary.path()) {
            return Err(WriteError::NotReadBack {
                path: path.to_owned(),
            });
        }
        target
            .dress(temporary.as_file())
            .map_err(failed("setting its mode"))?;
        temporary
            .as_file()
            .sync_all()
            .map_err(failed("flushing it to the disk"))?;
        temporary
            .persist(&target.path)
            .map_err(|error| failed("renaming it into place")(error.error))?;
        // The new name must survive a power failure too. Not every file system can do this to a
        // directory, and the file is in place by now, so a failure is not worth reporting.
        let _ = File::open(target.directory()).and_then(|directory| directory.sync_all());
        Ok(())
    }

    /// The size of the file: the header, and for each record its two lengths, key, data and two
    /// slots of a hash table.
    fn size(&self) -> u64 {
        self.entries()
            .map(|(key, data)| key.len() as u64 + data.len() as u64 + 8 + 16)
            .sum::<u64>()
            + HEADER_SIZE as u64
    }

    fn make(&self, file: &File) -> io::Result<()> {
        let mut cdb = CDBMake::new(file.try_clone()?)?;
        for (key, data) in self.entries() {
            cdb.add(key, data)?;
        }
        cdb.finish()
    }

    /// Whether the file `path` already has exactly these records, so that it need not be written.
    #[must_use]
    pub fn is_written(&self, path: impl AsRef<Path>) -> bool {
        let path = path.as_ref();
        // Reading might never end if it is not a regular file but, for example, a pipe.
        let is_file = fs::metadata(path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_FILE_SIZE);
        is_file && self.reads_back(path)
    }

    /// Whether the file at `path` holds exactly these records. The crate takes a short write (a
    /// disk that fills up in the middle of a large record) for a whole one, so its word is not
    /// enough.
    fn reads_back(&self, path: &Path) -> bool {
        let Ok(bytes) = fs::read(path) else {
            return false;
        };
        let Ok(layout) = structure::verify(&bytes) else {
            return false;
        };
        layout.records() == self.entries.len()
            && (0..layout.records()).all(|index| layout.is_found(index))
            && layout.entries(&bytes).eq(self.entries())
    }
}

/// How many links the system follows at most, one after the other.
const MAX_LINKS: usize = 40;

/// The file that is written for `path`: where symbolic links lead to, also if nothing is there yet.
#[must_use]
pub fn destination(path: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

/// The file to be replaced, if it is there.
struct Target {
    path: PathBuf,
    replaced: Option<fs::Metadata>,
}

impl Target {
    fn find(path: &Path) -> Result<Self, WriteError> {
        let path = destination(path);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Target {
                path,
                replaced: Some(metadata),
            }),
            Ok(_) => Err(WriteError::NotAFile { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Target {
                path,
                replaced: None,
            }),
            Err(source) => Err(WriteError::Io {
                path,
                step: "looking at it",
                source,
            }),
        }
    }

    /// The directory that holds the file.
    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Gives the new file the owner, group and mode of the old one.
    fn dress(&self, file: &File) -> io::Result<()> {
        let Some(old) = &self.replaced else {
            return file.set_permissions(Permissions::from_mode(NEW_MODE));
        };
        let new = file.metadata()?;
        // If a file of mode 0640 lost its group, its readers could not read it. So if the owner
        // cannot be changed, the group is still tried by itself.
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            let (uid, gid) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
            let _ = rustix::fs::fchown(file, Some(uid), Some(gid))
                .or_else(|_| rustix::fs::fchown(file, None, Some(gid)));
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o777))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Writer {
        let mut writer = Writer::new();
        writer.put_record(&Record::new("hub", [("watch", "t"), ("ifup", "/bin/up")]));
        writer.put_record(&Record::new("$mine", [("a", "b")]));
        writer.put_user("ann", "hub");
        writer.put_auto(["hub", "two words"]);
        writer
    }

    #[test]
    fn records_stand_as_the_format_has_them() {
        let writer = small();
        let entries: Vec<(&[u8], &[u8])> = writer.entries().collect();
        assert_eq!(
            entries,
            [
                (&b"Phub"[..], &b"ifup=%2fbin%2fup;watch=t"[..]),
                (b"$mine", b"a=b"),
                (b"Uann", b"hub"),
                (b"%AUTO", b"hub \"two words\""),
            ]
        );
    }

    #[test]
    fn what_is_written_is_read_back_and_written_the_same_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.cdb");
        small().write(&path).unwrap();
        let database = Database::load(&path).unwrap();
        assert_eq!(database.faults(), []);
        let again = Writer::of(&database);
        let mut entries: Vec<_> = again.entries().collect();
        let written = small();
        let mut expected: Vec<_> = written.entries().collect();
        entries.sort_unstable();
        expected.sort_unstable();
        assert_eq!(entries, expected);
    }

    #[test]
    fn an_empty_database_is_written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.cdb");
        Writer::new().write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 2048);
        assert_eq!(Database::load(&path).unwrap().peers().len(), 0);
    }

    #[test]
    fn the_size_is_known_beforehand() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.cdb");
        small().write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), small().size());
    }

    #[test]
    fn nothing_is_left_beside_the_file() {
        let dir = tempfile::tempdir().unwrap();
        small().write(dir.path().join("peers.cdb")).unwrap();
        small().write(dir.path().join("peers.cdb")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_mode_is_kept_or_readable_by_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.cdb");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
        small().write(&path).unwrap();
        assert_eq!(mode(), 0o644);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        small().write(&path).unwrap();
        assert_eq!(mode(), 0o640);
    }

    #[test]
    fn a_symbolic_link_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (link, real) = (dir.path().join("link"), dir.path().join("real.cdb"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real.cdb", &link).unwrap();
        small().write(&link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Database::load(&real).unwrap().peers().len(), 1);
    }

    #[test]
    fn a_symbolic_link_that_leads_nowhere_stays_too() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        fs::create_dir(place("var")).unwrap();
        let link = |target: &str, name| std::os::unix::fs::symlink(target, place(name)).unwrap();
        link("var/second", "first");
        link("real.cdb", "var/second");
        small().write(place("first")).unwrap();
        for name in ["first", "var/second"] {
            assert!(fs::symlink_metadata(place(name)).unwrap().is_symlink());
        }
        assert!(
            fs::symlink_metadata(place("var/real.cdb"))
                .unwrap()
                .is_file()
        );

        link("circle", "circle");
        assert!(small().write(place("circle")).is_err());
        link("no/such.cdb", "lost");
        let error = small().write(place("lost")).unwrap_err().to_string();
        assert!(
            error.contains("no/such.cdb could not be written"),
            "{error}"
        );
        assert!(fs::symlink_metadata(place("lost")).unwrap().is_symlink());
    }

    #[test]
    fn failures_name_the_file_and_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let error = small().write(dir.path()).unwrap_err();
        assert!(matches!(error, WriteError::NotAFile { .. }));
        let missing = dir.path().join("no/such/peers.cdb");
        let error = small().write(&missing).unwrap_err().to_string();
        assert!(error.contains("no/such/peers.cdb"), "{error}");
        assert!(error.contains("making a temporary file"), "{error}");

        let mut huge = Writer::new();
        let data = vec![b'x'; 1 << 20];
        for _ in 0..256 {
            huge.put_raw("Pone", &data);
        }
        let path = dir.path().join("huge.cdb");
        assert!(matches!(
            huge.write(&path),
            Err(WriteError::TooLarge { .. })
        ));
        assert!(!path.exists());
    }
}
