// SPDX-License-Identifier: GPL-3.0-or-later
//! Tests of the check, in a directory that is ours alone, from that directory on.

use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use rustix::fs::{XattrFlags, setxattr};

use super::*;
use crate::access_list::tests::naming;

/// A user and a group that nobody is.
const STRANGER: u32 = 4_321;

/// A directory that is ours alone, and a script in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("dir")).unwrap();
        fs::write(place.path("dir/script"), "#!/bin/sh\n").unwrap();
        place.set("dir/script", 0o755);
        place.set("dir", 0o755);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn set(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Gives a file a list; whether the file system has any.
    fn set_list(&self, name: &str, list: &[u8]) -> bool {
        let attribute = "system.posix_acl_access";
        match setxattr(self.path(name), attribute, list, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => {
                eprintln!("this file system has no access control lists: nothing was tested");
                false
            }
            set => {
                set.unwrap();
                true
            }
        }
    }

    fn check_as(&self, ownership: Ownership, name: &str, strictness: Strictness) -> String {
        let base = self.0.path().to_owned();
        let prefix = format!("{}/", base.display());
        match ownership.walk(base, Path::new(name), strictness) {
            Ok(()) => "safe".to_owned(),
            Err(distrust) => distrust.to_string().replace(&prefix, ""),
        }
    }

    fn script(&self, name: &str) -> String {
        self.check_as(Ownership::ourselves(), name, Strictness::Script)
    }

    fn directory(&self, name: &str) -> String {
        self.check_as(Ownership::ourselves(), name, Strictness::Directory)
    }
}

#[test]
fn what_others_can_write_to_is_not_safe() {
    let place = Place::new();
    assert_eq!(place.script("dir/script"), "safe");
    place.set("dir/script", 0o757);
    assert_eq!(
        place.script("dir/script"),
        "dir/script can be written to by others"
    );
    place.set("dir/script", 0o755);
    for mode in [0o777, 0o1777] {
        place.set("dir", mode);
        assert_eq!(
            place.script("dir/script"),
            "dir can be written to by others"
        );
    }
}

#[test]
fn a_directory_of_ours_in_a_sticky_one_is_safe_and_a_sticky_one_is_not() {
    let place = Place::new();
    fs::create_dir(place.path("dir/ours")).unwrap();
    let open = "dir can be written to by others";
    for (mode, inner, outer) in [(0o1777, "safe", open), (0o777, open, open)] {
        place.set("dir", mode);
        assert_eq!(place.directory("dir/ours"), inner);
        assert_eq!(place.directory("dir"), outer);
        // By other ways to the same.
        assert_eq!(place.directory("dir/ours/.."), outer);
        symlink("dir", place.path(&format!("link{mode}"))).unwrap();
        assert_eq!(place.directory(&format!("link{mode}")), outer);
    }
}

#[test]
fn what_is_missing_is_not_safe() {
    let place = Place::new();
    assert_eq!(place.script("dir/nothing"), "there is no dir/nothing");
    symlink("nothing", place.path("dir/link")).unwrap();
    assert_eq!(place.script("dir/link"), "there is no dir/nothing");
    // A directory before it that others can write to is told first: they could make it.
    place.set("dir", 0o777);
    assert_eq!(
        place.script("dir/nothing"),
        "dir can be written to by others"
    );
}

#[test]
fn every_link_on_the_way_is_looked_at() {
    let place = Place::new();
    fs::create_dir(place.path("open")).unwrap();
    symlink("../dir/script", place.path("open/second")).unwrap();
    symlink("open/second", place.path("first")).unwrap();
    assert_eq!(place.script("first"), "safe");
    place.set("open", 0o777);
    assert_eq!(place.script("first"), "open can be written to by others");
    assert_eq!(place.script("dir/script"), "safe");
}

#[test]
fn what_cannot_be_looked_at_is_not_safe() {
    let place = Place::new();
    symlink("loop", place.path("loop")).unwrap();
    let told = place.script("loop");
    assert!(told.starts_with("cannot look at loop: "), "{told}");
    let told = place.script("dir/script/more");
    assert!(
        told.starts_with("cannot look at dir/script/more: "),
        "{told}"
    );
}

#[test]
fn a_relative_path_begins_in_the_working_directory() {
    let missing = "a-file-that-is-not-there";
    let here = std::env::current_dir().unwrap();
    let relative = Ownership::ourselves().check(Path::new(missing), Strictness::Directory);
    let absolute = Ownership::ourselves().check(&here.join(missing), Strictness::Directory);
    assert_eq!(
        relative.unwrap_err().to_string(),
        absolute.unwrap_err().to_string()
    );
}

#[test]
fn what_belongs_to_somebody_else_is_not_safe() {
    let place = Place::new();
    let stranger = Ownership {
        uid: STRANGER,
        gid: STRANGER,
    };
    let own = rustix::process::geteuid().as_raw();
    let told = place.check_as(stranger, "dir/script", Strictness::Script);
    if own == 0 {
        // Root's is safe for all.
        assert_eq!(told, "safe");
        chown(place.path("dir/script"), Some(STRANGER), None).unwrap();
        let told = place.script("dir/script");
        assert_eq!(told, format!("dir/script belongs to the user {STRANGER}"));
        chown(place.path("dir/script"), Some(0), None).unwrap();
        std::os::unix::fs::lchown(place.path("dir"), Some(STRANGER), None).unwrap();
        let told = place.directory("dir/script");
        assert_eq!(told, format!("dir belongs to the user {STRANGER}"));
    } else {
        assert!(
            told.ends_with(&format!(" belongs to the user {own}")),
            "{told}"
        );
    }
}

#[test]
fn a_group_may_write_only_if_it_is_roots_or_ours() {
    let place = Place::new();
    place.set("dir/script", 0o775);
    assert_eq!(place.script("dir/script"), "safe", "our own group");
    let others = Ownership {
        gid: STRANGER,
        ..Ownership::ourselves()
    };
    let told = place.check_as(others, "dir/script", Strictness::Script);
    let roots = rustix::process::getegid().as_raw() == 0;
    assert_eq!(told == "safe", roots, "{told}");
}

#[test]
fn a_list_that_lets_others_write_is_seen() {
    let place = Place::new();
    if !place.set_list("dir/script", &naming(7, 7)) {
        return;
    }
    let told = place.script("dir/script");
    assert!(told.contains("as its access control list says"), "{told}");
    let named = |uid, gid| {
        place.check_as(Ownership { uid, gid }, "dir/script", Strictness::Script) == "safe"
    };
    if rustix::process::geteuid().is_root() {
        assert!(
            named(77, 88),
            "the user and the group that it names are ours"
        );
        assert!(!named(77, 89));
        assert!(!named(78, 88));
    }
    // The mask takes it away, from the mode's group as well.
    assert!(place.set_list("dir/script", &naming(7, 5)));
    assert_eq!(place.script("dir/script"), "safe");
    // Reading is no harm.
    assert!(place.set_list("dir/script", &naming(5, 7)));
    assert_eq!(place.script("dir/script"), "safe");
    // A directory on the way has lists, too.
    assert!(place.set_list("dir", &naming(7, 7)));
    let told = place.script("dir/script");
    assert!(
        told.starts_with("dir can be written to by others, as"),
        "{told}"
    );
}
