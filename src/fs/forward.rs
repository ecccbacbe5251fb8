//! What a file system that changes a few methods of another hands on as it is, said once.
//!
//! Used inside `impl Fs for …` of a type with a field `inner`. Macros, because a trait has no other way to give methods to
//! some of those who implement it: as defaults they would be missing in silence where one has no inner file system.

/// Hands methods of [`Fs`](super::Fs) on to `self.inner`.
macro_rules! forward {
    ($($name:ident($($argument:ident: $of:ty),*) -> $gives:ty;)*) => {
        $(fn $name(&self, $($argument: $of),*) -> std::io::Result<$gives> {
            self.inner.$name($($argument),*)
        })*
    };
}

/// Hands on what looks at names and changes nothing.
macro_rules! forward_looking {
    () => {
        $crate::fs::forward::forward! {
            list(dir: &std::path::Path) -> Vec<$crate::fs::DirEntry>;
            lstat(path: &std::path::Path) -> $crate::fs::Stat;
            stat(path: &std::path::Path) -> $crate::fs::Stat;
            read_link(path: &std::path::Path) -> std::path::PathBuf;
            canonical(path: &std::path::Path) -> std::path::PathBuf;
        }
    };
}

/// Hands on what changes names, owners and modes, makes durable, locks, and measures room: all but the content of files.
macro_rules! forward_changes {
    () => {
        $crate::fs::forward::forward! {
            create_dir_all(dir: &std::path::Path) -> ();
            rename(from: &std::path::Path, to: &std::path::Path) -> ();
            rename_new(from: &std::path::Path, to: &std::path::Path) -> ();
            symlink(target: &std::path::Path, link: &std::path::Path) -> ();
            remove_file(path: &std::path::Path) -> ();
            remove_dir(path: &std::path::Path) -> ();
            sync_dir(dir: &std::path::Path) -> ();
            sync_all(path: &std::path::Path) -> ();
            free_bytes(path: &std::path::Path) -> u64;
            set_owner(path: &std::path::Path, uid: u32, gid: u32) -> ();
            set_mode(path: &std::path::Path, mode: u32) -> ();
            try_lock(path: &std::path::Path) -> Option<Box<dyn Send + Sync>>;
            try_share(path: &std::path::Path) -> Option<Box<dyn Send + Sync>>;
            try_exclude(path: &std::path::Path) -> Option<Box<dyn Send + Sync>>;
        }
    };
}

pub(crate) use {forward, forward_changes, forward_looking};
