//! What an extraction will write, path by path. Names come from a stranger's mail system: here they become names that
//! stay inside the output, that a file system takes, and of which no two are the same.

use super::super::address::{Resolved, Within};
use super::Format;
use crate::event::Place;
use crate::format::items::ItemAt;
use crate::limits::EXTRACTED_NAME_BYTES;
use crate::model::id::{FolderId, ObjectId};
use crate::model::mailbox::{Folder, FolderKind};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// How items become a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    AsIs,
    Mbox,
}

/// An item to be taken out.
#[derive(Clone, Debug)]
pub struct Taken {
    pub place: Place,
    pub object: ObjectId,
    pub size: u64,
    pub date: i64,
}

/// A file to be written.
#[derive(Clone, Debug)]
pub struct PlannedFile {
    pub path: PathBuf,
    pub items: Vec<Taken>,
    pub content: Content,
    /// The file's time, where it holds one item.
    pub date: Option<i64>,
}

/// Everything to be written, folders first.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The output is a folder, which must be new or empty.
    pub tree: bool,
    pub dirs: Vec<PathBuf>,
    pub files: Vec<PlannedFile>,
}

impl Planned {
    /// Items and their bytes.
    pub fn totals(&self) -> (u64, u64) {
        let items = self.files.iter().flat_map(|file| &file.items);
        items.fold((0, 0), |sum: (u64, u64), item| (sum.0 + 1, sum.1.saturating_add(item.size)))
    }
}

/// Plans the extraction of what was found; `into` says that `output` is a folder that exists.
pub fn plan(found: &Resolved, format: Format, output: &Path, into: bool) -> Planned {
    let mut items = BTreeMap::<FolderId, Vec<ItemAt>>::new();
    // By id, which is the order of storing: neighbours share segments.
    for (_, at) in found.mailbox.items.iter() {
        items.entry(at.folder).or_default().push(at);
    }
    let planner = Planner { found, items, format };
    let nothing = || Planned { tree: true, dirs: Vec::new(), files: Vec::new() };
    match &found.within {
        Within::Item(id) => found.mailbox.items.get(*id).map_or_else(nothing, |at| planner.item(&at, output, into)),
        Within::Folder(id) => {
            let folder = found.mailbox.folders.get(id);
            folder.map_or_else(nothing, |folder| planner.folder(*id, folder, output, into))
        }
        Within::Above(name) => planner.folders(&format!("{name}/"), output),
        Within::Account => planner.folders("", output),
    }
}

struct Planner<'a> {
    found: &'a Resolved,
    items: BTreeMap<FolderId, Vec<ItemAt>>,
    format: Format,
}

impl Planner<'_> {
    fn item(&self, at: &ItemAt, output: &Path, into: bool) -> Planned {
        let folder = self.found.mailbox.folders.get(&at.folder);
        let mail = folder.is_some_and(|folder| folder.key.kind() == FolderKind::Mail);
        let path = if into { output.join(safe_name(&at.item.name)) } else { output.to_owned() };
        let content = if mail && self.format == Format::Mbox { Content::Mbox } else { Content::AsIs };
        let items = folder.map(|folder| self.taken(folder, at)).into_iter().collect();
        let file = PlannedFile { path, items, content, date: Some(at.item.date) };
        Planned { tree: false, dirs: Vec::new(), files: vec![file] }
    }

    fn folder(&self, id: FolderId, folder: &Folder, output: &Path, into: bool) -> Planned {
        let mut plan = Planned { tree: true, dirs: Vec::new(), files: Vec::new() };
        if self.format == Format::Mbox && folder.key.kind() == FolderKind::Mail {
            plan.tree = false;
            let last = folder.key.levels().last().unwrap_or("mail");
            let path = if into { output.join(format!("{}.mbox", safe_name(last))) } else { output.to_owned() };
            plan.files.push(self.mbox(id, folder, path));
        } else {
            self.add(&mut plan, &mut Names::default(), id, folder, output);
        }
        plan
    }

    /// All folders whose address begins with `prefix`.
    fn folders(&self, prefix: &str, output: &Path) -> Planned {
        let mut plan = Planned { tree: true, dirs: vec![output.to_owned()], files: Vec::new() };
        let all = self.found.mailbox.folders.iter();
        let mut wanted: Vec<_> = all.filter(|(_, folder)| folder.key.to_string().starts_with(prefix)).collect();
        wanted.sort_by_key(|(_, folder)| &folder.key);
        // Folders take their names first, so that no item has taken one before.
        let mut dirs = Dirs::default();
        let place = |(id, folder): (&FolderId, _)| (*id, folder, dirs.place(output, folder, self.format));
        let placed: Vec<(FolderId, &Folder, PathBuf)> = wanted.into_iter().map(place).collect();
        let mut names = dirs.names;
        for (id, folder, dir) in placed {
            self.add(&mut plan, &mut names, id, folder, &dir);
        }
        plan
    }

    /// Adds a folder with its items, at `dir`.
    fn add(&self, plan: &mut Planned, names: &mut Names, id: FolderId, folder: &Folder, dir: &Path) {
        let format = Some(self.format).filter(|_| folder.key.kind() == FolderKind::Mail);
        if format == Some(Format::Mbox) {
            let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let path = names.free(dir.parent().unwrap_or(Path::new("")), &name, ".mbox");
            plan.files.push(self.mbox(id, folder, path));
            return;
        }
        if format == Some(Format::Maildir) {
            plan.dirs.extend(["cur", "new", "tmp"].map(|part| dir.join(part)));
        } else {
            plan.dirs.push(dir.to_owned());
        }
        for at in self.items.get(&id).map(Vec::as_slice).unwrap_or_default() {
            let name = safe_name(&at.item.name);
            let path = match format {
                Some(Format::Maildir) => names.free(&dir.join("cur"), &name, &format!(":2,{}", at.item.flags)),
                Some(_) if !name.ends_with(".eml") => names.free(dir, &name, ".eml"),
                _ => names.free(dir, &name, ""),
            };
            let items = vec![self.taken(folder, at)];
            plan.files.push(PlannedFile { path, items, content: Content::AsIs, date: Some(at.item.date) });
        }
    }

    fn mbox(&self, id: FolderId, folder: &Folder, path: PathBuf) -> PlannedFile {
        let items = self.items.get(&id).map(Vec::as_slice).unwrap_or_default();
        let items = items.iter().map(|at| self.taken(folder, at)).collect();
        PlannedFile { path, items, content: Content::Mbox, date: None }
    }

    fn taken(&self, folder: &Folder, at: &ItemAt) -> Taken {
        let place = Place::item(&self.found.address, &folder.key, &at.item.name);
        Taken { place, object: at.item.object, size: at.item.size, date: at.item.date }
    }
}

/// Where folders go: `KIND/LEVEL/LEVEL`, each level under a name of its own.
#[derive(Default)]
struct Dirs {
    names: Names,
    /// Kind and path as the site has it, level by level, and where that went.
    placed: BTreeMap<(FolderKind, String), PathBuf>,
}

impl Dirs {
    fn place(&mut self, output: &Path, folder: &Folder, format: Format) -> PathBuf {
        let kind = folder.key.kind();
        let mut dir = output.join(kind.word());
        let mut so_far = String::new();
        for level in folder.key.levels() {
            so_far.push('/');
            so_far.push_str(level);
            let key = (kind, so_far.clone());
            if let Some(known) = self.placed.get(&key) {
                dir = known.clone();
                continue;
            }
            let mut name = safe_name(level);
            // What the format itself makes beside the folders beneath.
            let reserved = match format {
                Format::Maildir => matches!(name.as_str(), "cur" | "new" | "tmp"),
                Format::Mbox => name.ends_with(".mbox"),
                Format::Eml => name.ends_with(".eml"),
            };
            if reserved {
                name.push('_');
            }
            dir = self.names.free(&dir, &name, "");
            self.placed.insert(key, dir.clone());
        }
        dir
    }
}

/// Names that are taken.
#[derive(Default)]
struct Names {
    taken: HashSet<PathBuf>,
    /// The last number of a name that was taken: thousands may want the same.
    last: HashMap<PathBuf, u64>,
}

impl Names {
    /// `dir/stem+ending`, or with the first free `~2`, `~3` … between the two.
    fn free(&mut self, dir: &Path, stem: &str, ending: &str) -> PathBuf {
        let wanted = dir.join(format!("{stem}{ending}"));
        if self.taken.insert(wanted.clone()) {
            return wanted;
        }
        let number = self.last.entry(wanted).or_insert(1);
        loop {
            *number += 1;
            let path = dir.join(format!("{stem}~{number}{ending}"));
            if self.taken.insert(path.clone()) {
                return path;
            }
        }
    }
}

/// One level of a path that cannot leave its folder, hide itself or trouble a shell: no slash, NUL or control character,
/// no dot or hyphen in front, never empty, at most [`EXTRACTED_NAME_BYTES`] long.
fn safe_name(name: &str) -> String {
    let fine = |c: char| if c == '/' || c == '\\' || c.is_control() { '_' } else { c };
    let mut safe: String = name.chars().map(fine).collect();
    if safe.is_empty() || safe.starts_with(['.', '-']) {
        safe.insert(0, '_');
    }
    if safe.len() > EXTRACTED_NAME_BYTES {
        let end = (0..=EXTRACTED_NAME_BYTES).rev().find(|&at| safe.is_char_boundary(at)).unwrap_or(0);
        safe.truncate(end);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::AccountState;
    use crate::model::id::{ItemId, RecordId};
    use crate::model::mailbox::{Flags, FolderKey, Item};

    fn account(folders: &[(u32, FolderKind, &str)], items: &[(u32, &str)]) -> Resolved {
        let mut mailbox = AccountState::default();
        for (id, kind, path) in folders {
            mailbox.folders.insert(FolderId(*id), Folder::at(FolderKey::new(*kind, path).unwrap()));
        }
        for (id, (folder, name)) in (1..).zip(items) {
            let item = Item {
                name: (*name).to_owned(),
                object: ObjectId::of(name.as_bytes()),
                size: 1,
                date: 0,
                flags: Flags::from_letters("S"),
                keywords: Vec::new(),
                tags: Vec::new(),
                uid: None,
                uidl: None,
            };
            mailbox.items.insert(ItemId(id), &ItemAt { folder: FolderId(*folder), item });
        }
        Resolved { account: RecordId(1), address: "a@b".to_owned(), mailbox, within: Within::Account }
    }

    fn paths(plan: &Planned) -> Vec<String> {
        plan.files.iter().map(|file| file.path.display().to_string()).collect()
    }

    #[test]
    fn an_account_becomes_a_tree_by_kind_and_folder() {
        use FolderKind::{Calendars, Mail};
        let found = account(
            &[(1, Mail, "INBOX"), (2, Mail, "INBOX/cur"), (3, Calendars, "own")],
            &[(1, "1.h"), (2, "2.h"), (3, "x.ics")],
        );
        let of = |format| paths(&plan(&found, format, Path::new("out"), false));
        let maildir = ["out/mail/INBOX/cur/1.h:2,S", "out/mail/INBOX/cur_/cur/2.h:2,S", "out/calendars/own/x.ics"];
        assert_eq!(of(Format::Maildir), maildir);
        let mbox = ["out/mail/INBOX.mbox", "out/mail/INBOX/cur.mbox", "out/calendars/own/x.ics"];
        assert_eq!(of(Format::Mbox), mbox);
        let eml = ["out/mail/INBOX/1.h.eml", "out/mail/INBOX/cur/2.h.eml", "out/calendars/own/x.ics"];
        assert_eq!(of(Format::Eml), eml);
    }

    #[test]
    fn no_two_names_become_one() {
        let found = account(&[(1, FolderKind::Mail, "a\u{1}"), (2, FolderKind::Mail, "a_")], &[(1, "x\n"), (1, "x_")]);
        let plan = plan(&found, Format::Eml, Path::new("out"), false);
        assert_eq!(paths(&plan), ["out/mail/a_/x_.eml", "out/mail/a_/x_~2.eml"]);
        assert!(plan.dirs.contains(&PathBuf::from("out/mail/a_~2")));
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_names_nothing_leaves_the_output(
            folder in "[^/\0]{1,20}", item in "(\\PC|\\.|/|\0|\n){0,300}"
        ) {
            if let Ok(key) = FolderKey::new(FolderKind::Mail, &folder) {
                let mut found = account(&[], &[(1, item.as_str())]);
                found.mailbox.folders.insert(FolderId(1), Folder::at(key));
                for format in [Format::Maildir, Format::Mbox, Format::Eml] {
                    for file in plan(&found, format, Path::new("out"), false).files {
                        let normal = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
                        proptest::prop_assert!(file.path.starts_with("out") && file.path.components().all(normal));
                        let name = file.path.file_name().map_or(0, |name| name.len());
                        proptest::prop_assert!((1..=255).contains(&name));
                    }
                }
            }
        }
    }
}
