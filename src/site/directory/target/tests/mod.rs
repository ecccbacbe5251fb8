//! Stories of a directory site that is written: what an administrator and a server find afterwards.

mod folders;
mod messages;
mod provisioning;

use super::*;
use crate::fs::{Fs, RealFs};
use crate::model::provisioning::{
    Account, AccountClass, AccountStatus, Alias, Attributes, DistributionList, Domain, Record, Secret,
};
use crate::model::share::{Grantee, Rights};
use crate::site::{Depth, FolderScan, FoundItem, ItemContent, open_source, open_target};
use std::num::NonZeroU32;
use std::sync::Arc;

const ANN: &str = "ann@a.test";

struct World {
    dir: tempfile::TempDir,
    target: Box<dyn Target>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target = open(&dir.path().join("site"));
        target.prepare(&"first".parse().unwrap()).unwrap();
        let world = Self { dir, target };
        world.put(&[account(ANN)]);
        world
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    fn put(&self, records: &[Record]) -> Vec<Result<(), Reason>> {
        let changes: Vec<_> =
            records.iter().map(|record| RecordChange::Put { record: record.clone(), was: None }).collect();
        self.target.put_records(&changes).unwrap()
    }

    fn text(&self, path: &str) -> String {
        let bytes = RealFs.read(&self.root().join(path), 1 << 20).unwrap_or_default();
        String::from_utf8(bytes).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        RealFs.create_dir_all(path.parent().unwrap()).unwrap();
        RealFs.replace(&path, text.as_bytes(), 0o644).unwrap();
    }

    /// Every file below a folder of the site, sorted.
    fn files(&self, below: &str) -> Vec<String> {
        fn walk(dir: &Path, prefix: &str, all: &mut Vec<String>) {
            for entry in RealFs.list(dir).unwrap_or_default() {
                let name = format!("{prefix}{}", entry.name.to_str().unwrap());
                match entry.kind {
                    crate::fs::FileKind::Dir => walk(&dir.join(&entry.name), &format!("{name}/"), all),
                    _ => all.push(name),
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.root().join(below), "", &mut all);
        all.sort();
        all
    }

    fn folder(&self, key: &FolderKey, change: impl FnOnce(&mut Folder)) -> FolderKey {
        let mut folder = Folder::at(key.clone());
        change(&mut folder);
        self.target.put_folder(ANN, &folder).unwrap().unwrap().key
    }

    fn deliver(&self, key: &FolderKey, batch: Vec<Delivery>) -> (Vec<Delivered>, UidsKept) {
        self.target.deliver(ANN, key, batch).unwrap()
    }

    /// Items of a folder as the site's own source lists them: name, flags, keywords, tags, UID.
    fn items(&self, key: &FolderKey) -> Vec<String> {
        let source = open_source(Arc::new(RealFs), self.root().to_str().unwrap()).unwrap();
        let FolderScan::Listed(listing) = source.folder(ANN, key, None, Depth::Deep).unwrap() else {
            return vec!["(no folder)".to_owned()];
        };
        assert_eq!(listing.rejected, []);
        let uid = |uid: Option<NonZeroU32>| uid.map_or("-".to_owned(), |uid| uid.to_string());
        let shown = |i: FoundItem| {
            format!("{} {} {} {} {}", uid(i.uid), i.name, i.flags, i.keywords.join(","), i.tags.join(","))
        };
        listing.items.iter().map(shown).collect()
    }
}

fn open(root: &Path) -> Box<dyn Target> {
    open_target(Arc::new(RealFs), root.to_str().unwrap(), None).unwrap()
}

fn account(address: &str) -> Record {
    Record::Account(Account {
        address: address.to_owned(),
        class: AccountClass::User,
        name: None,
        password: Some(Secret::new("{PLAIN}x")),
        quota_bytes: None,
        status: AccountStatus::Active,
        cos: None,
        groups: vec![],
        attributes: Attributes::new(),
    })
}

fn domain(name: &str, catch_all: &[&str]) -> Record {
    Record::Domain(Domain {
        name: name.to_owned(),
        alias_of: None,
        catch_all: catch_all.iter().map(|&address| address.to_owned()).collect(),
        attributes: Attributes::new(),
    })
}

fn alias(address: &str, target: &str) -> Record {
    Record::Alias(Alias { address: address.to_owned(), targets: vec![target.to_owned()] })
}

fn mail(path: &str) -> FolderKey {
    FolderKey::new(FolderKind::Mail, path).unwrap()
}

fn calendar(path: &str) -> FolderKey {
    FolderKey::new(FolderKind::Calendars, path).unwrap()
}

fn item(name: &str, uid: u32) -> Delivery {
    Delivery {
        name: name.to_owned(),
        content: ItemContent::Bytes(format!("content of {name}").into_bytes()),
        date: 1_000_000_000,
        flags: Flags::from_letters("S"),
        keywords: vec![],
        tags: vec![],
        uid: NonZeroU32::new(uid),
        uidl: None,
    }
}
