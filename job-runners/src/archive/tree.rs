//! The folder that an archive is unpacked into: what may be put where.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use pumice_core::text::quoted;

use super::bounds::Bounds;
use super::{Unpacked, refused};

/// How the names of Talend's launchers end.
const LAUNCHER: &str = "_run.sh";
/// How deep launchers are looked for, in parts of a path.
const LAUNCHER_DEPTH: usize = 2;
/// The owner's rights on each file and each folder.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// Read, write and execute of all: no set-user-id.
const MODES: u32 = 0o777;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Link,
}

/// A member of the tree: its spelling, and its kind.
struct Entry {
    path: PathBuf,
    kind: Kind,
}

/// A folder that is filled entry by entry. Every folder in it was made here, and links are made last: no entry is written
/// through a link.
pub(super) struct Tree<'a> {
    root: &'a Path,
    pub(super) bounds: Bounds,
    /// By path in small letters: where the case of letters does not count, two would be one.
    entries: HashMap<String, Entry>,
    links: Vec<(PathBuf, PathBuf)>,
    launchers: Vec<PathBuf>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: &'a Path, bounds: Bounds) -> Self {
        Self { root, bounds, entries: HashMap::new(), links: Vec::new(), launchers: Vec::new() }
    }

    /// A folder; it may be named again.
    pub(super) fn folder(&mut self, name: &[u8], mode: u32) -> io::Result<()> {
        let Some(path) = relative(name)? else { return Ok(()) };
        if self.enter(&path, Kind::Folder)? {
            self.make(&path)?;
        }
        let mode = Permissions::from_mode(mode & MODES | FOLDER_MODE);
        std::fs::set_permissions(self.root.join(path), mode)
    }

    /// A file with these bytes.
    pub(super) fn file(&mut self, name: &[u8], mode: u32, mut from: impl Read) -> io::Result<()> {
        let path = relative(name)?.ok_or_else(|| refused("holds a file without a name"))?;
        self.enter(&path, Kind::File)?;
        let to = self.root.join(&path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(to)?;
        io::copy(&mut from, &mut file)?;
        file.flush()?;
        file.set_permissions(Permissions::from_mode(mode & MODES | FILE_MODE))?;
        let is_launcher = path.to_str().is_some_and(|path| path.ends_with(LAUNCHER));
        if is_launcher && path.components().count() <= LAUNCHER_DEPTH {
            self.launchers.push(path);
        }
        Ok(())
    }

    /// Another name of a file that is there.
    pub(super) fn hard_link(&mut self, name: &[u8], target: &[u8]) -> io::Result<()> {
        let path = relative(name)?.ok_or_else(|| refused("holds a link without a name"))?;
        let unknown =
            || refused(format!("links {} to {}, which is not a file before it", shown(name), shown(target)));
        let target = relative(target)?.ok_or_else(unknown)?;
        let there = self.entries.get(&folded(&target)).filter(|there| there.path == target);
        if there.is_none_or(|there| there.kind != Kind::File) {
            return Err(unknown());
        }
        self.enter(&path, Kind::File)?;
        std::fs::hard_link(self.root.join(target), self.root.join(path))
    }

    /// A link, which is made when all else is there.
    pub(super) fn link(&mut self, name: &[u8], target: &[u8]) -> io::Result<()> {
        let path = relative(name)?.ok_or_else(|| refused("holds a link without a name"))?;
        let depth = path.components().count() - 1;
        if !stays_within(target, depth) {
            return Err(refused(format!(
                "links {} to {}, which leads out of it",
                shown(name),
                shown(target)
            )));
        }
        self.enter(&path, Kind::Link)?;
        self.links.push((path, PathBuf::from(OsStr::from_bytes(target))));
        Ok(())
    }

    /// All entries are there.
    pub(super) fn finish(self) -> io::Result<Unpacked> {
        for (path, target) in self.links {
            std::os::unix::fs::symlink(target, self.root.join(path))?;
        }
        let mut launchers = self.launchers;
        launchers.sort();
        Ok(Unpacked { launchers })
    }

    /// Takes a name for an entry, and makes the folders above it; gives whether the name is new.
    fn enter(&mut self, path: &Path, kind: Kind) -> io::Result<bool> {
        let above: Vec<&Path> = path.ancestors().skip(1).filter(|above| *above != Path::new("")).collect();
        for above in above.into_iter().rev() {
            if self.put(above, Kind::Folder)? {
                self.make(above)?;
            }
        }
        self.put(path, kind)
    }

    fn put(&mut self, path: &Path, kind: Kind) -> io::Result<bool> {
        self.bounds.check_entries(self.entries.len() + 1)?;
        let name = shown(path.as_os_str().as_bytes());
        let Some(there) = self.entries.get(&folded(path)) else {
            self.entries.insert(folded(path), Entry { path: path.to_owned(), kind });
            return Ok(true);
        };
        if there.path != path {
            let other = shown(there.path.as_os_str().as_bytes());
            return Err(refused(format!(
                "holds {name} and {other}, which differ in the case of letters alone"
            )));
        }
        match (there.kind, kind) {
            (Kind::Folder, Kind::Folder) => Ok(false),
            (_, Kind::Folder) => Err(refused(format!("goes through {name}, which is not a folder"))),
            _ => Err(refused(format!("holds {name} twice"))),
        }
    }

    fn make(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(FOLDER_MODE).create(self.root.join(path))
    }
}

fn shown(name: &[u8]) -> String {
    quoted(&String::from_utf8_lossy(name))
}

/// A path in small letters. Names that are not UTF-8 and differ only where they are not count as one, and are refused.
fn folded(path: &Path) -> String {
    path.to_string_lossy().to_lowercase()
}

/// The path of a name, without `.`; `None` of the folder itself.
fn relative(name: &[u8]) -> io::Result<Option<PathBuf>> {
    let bad = |why: &str| refused(format!("holds {}, {why}", shown(name)));
    if name.contains(&b'\\') || name.contains(&0) {
        return Err(bad("whose name has a backslash or a zero byte"));
    }
    let mut path = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(name)).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return Err(bad("which leads out of it")),
        }
    }
    Ok(Some(path).filter(|path| !path.as_os_str().is_empty()))
}

/// Whether a link's target stays within the archive, seen from so many folders deep. It may go up at its beginning
/// alone: above are folders; later parts may be links themselves, and the folders above them are unknown.
fn stays_within(target: &[u8], depth: usize) -> bool {
    let (mut up, mut down) = (0, false);
    for part in Path::new(OsStr::from_bytes(target)).components() {
        match part {
            Component::ParentDir if !down => up += 1,
            Component::Normal(_) => down = true,
            Component::CurDir => {}
            _ => return false,
        }
    }
    up <= depth && !target.is_empty() && !target.contains(&0)
}
