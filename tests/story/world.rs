//! A source, an archive, a target and the passes between them. Sites are in memory; the archive and the map are real.

use stationwagon::archive::Archive;
use stationwagon::catalog::Catalog;
use stationwagon::event::{Event, Silent, Sink};
use stationwagon::fs::RealFs;
use stationwagon::model::mailbox::{Flags, FolderKey, FolderKind};
use stationwagon::model::setting::Setting;
use stationwagon::model::share::{Grant, Grantee, Rights};
use stationwagon::site::Source;
use stationwagon::testing::memory_site::MemorySite;
use stationwagon::verbs::export::{ExportOptions, ExportReport, export};
use stationwagon::verbs::import::rename::RenameRules;
use stationwagon::verbs::import::{ImportError, ImportOptions, ImportReport, import};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub struct World {
    pub dir: tempfile::TempDir,
    pub source: MemorySite,
    pub target: MemorySite,
    pub archive: Archive,
}

pub fn mail(path: &str) -> FolderKey {
    FolderKey::new(FolderKind::Mail, path).unwrap()
}

pub fn at(kind: FolderKind, path: &str) -> FolderKey {
    FolderKey::new(kind, path).unwrap()
}

pub fn grant(who: &str, rights: &str) -> Grant {
    let grantee = Grantee::User(who.to_owned());
    Grant { grantee, rights: Rights::from_letters(rights), negative: false }
}

pub fn mountpoint(at: &str, owner: &str, folder: &str) -> Setting {
    Setting::Mountpoint { at: mail(at), owner: owner.to_owned(), folder: mail(folder) }
}

pub fn new_archive(dir: &Path, id: &str) -> Archive {
    Archive::create(Arc::new(RealFs), dir, id.parse().unwrap(), 1).unwrap()
}

/// One export of `site` into `archive`, with a catalog that is kept under `cache`.
pub fn export_site(site: &dyn Source, archive: &Archive, cache: &Path) -> ExportReport {
    let mut catalog = Catalog::open(cache).unwrap();
    export(site, archive, &mut catalog, &export_options(), &Silent).unwrap()
}

/// What an export does that nobody has asked for anything special.
pub fn export_options() -> ExportOptions {
    ExportOptions {
        source: None,
        accounts: Vec::new(),
        exclude: Vec::new(),
        deep: false,
        full: false,
        label: None,
        dry_run: false,
        workers: NonZeroUsize::MIN,
        clock: || 100,
        holder: "a story".to_owned(),
    }
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let site = |name: &str| {
            let state_dir = dir.path().join(name);
            std::fs::create_dir(&state_dir).unwrap();
            MemorySite::new(&state_dir)
        };
        let (source, target) = (site("source"), site("target"));
        source.edit(|site| site.id = Some("old-site".parse().unwrap()));
        target.edit(|site| site.id = Some("new-site".parse().unwrap()));
        let archive = new_archive(&dir.path().join("archive"), "the-archive");
        Self { source, target, archive, dir }
    }

    /// An account with these messages in its inbox, one second apart.
    pub fn account(&self, address: &str, messages: &[&str]) {
        self.source.edit(|site| site.put_account(address, "{PLAIN}secret"));
        self.source.edit(|site| site.folder(address, &FolderKey::inbox()).version);
        messages.iter().for_each(|name| self.message(address, "INBOX", name));
    }

    pub fn message(&self, address: &str, folder: &str, name: &str) {
        self.source.edit(|site| {
            let date = 1_000 + i64::try_from(site.last_number).unwrap();
            site.put_item(address, &mail(folder), name, message_text(name).as_bytes(), date);
        });
    }

    pub fn export(&self) -> &Self {
        export_site(&self.source, &self.archive, &self.dir.path().join("catalog.sqlite"));
        self
    }

    pub fn options(&self) -> ImportOptions {
        ImportOptions {
            fs: Arc::new(RealFs),
            source: None,
            snapshot: None,
            provisioning_only: false,
            additive: false,
            delete: false,
            accounts: Vec::new(),
            rename: RenameRules::default(),
            since: None,
            skip: BTreeSet::new(),
            dry_run: false,
            jobs: NonZeroUsize::new(2).unwrap(),
            adopt: None,
            way_back: None,
            new_site_id: "unused".parse().unwrap(),
            now: 200,
        }
    }

    pub fn import(&self) -> ImportReport {
        self.import_with(&self.options())
    }

    pub fn import_with(&self, options: &ImportOptions) -> ImportReport {
        let report = self.try_import(options).unwrap();
        assert!(report.ledger.balanced, "{}", report.ledger);
        report
    }

    pub fn try_import(&self, options: &ImportOptions) -> Result<ImportReport, ImportError> {
        import(&self.archive, &self.target, options, &Silent)
    }

    pub fn map_path(&self) -> PathBuf {
        self.dir.path().join("target/map_old-site.sqlite")
    }

    pub fn target_tree(&self, address: &str) -> String {
        self.target.edit(|site| site.tree(address))
    }
}

pub fn message_text(name: &str) -> String {
    format!("Received: by host for {name}\r\nSubject: {name}\r\n\r\n{}\r\n", format!("text of {name} ").repeat(100))
}

pub fn flag(site: &MemorySite, address: &str, name: &str, letters: &str) {
    site.edit(|site| site.item(address, name).unwrap().flags = Flags::from_letters(letters));
}

/// A sink of somebody who presses Ctrl-C after so many events.
pub struct Impatient {
    left: std::sync::atomic::AtomicUsize,
}

impl Impatient {
    pub fn after(events: usize) -> Self {
        Self { left: events.into() }
    }
}

impl Sink for Impatient {
    fn emit(&self, _: Event) {
        use std::sync::atomic::Ordering::SeqCst;
        let _ = self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
    }

    fn interrupted(&self) -> bool {
        self.left.load(std::sync::atomic::Ordering::SeqCst) == 0
    }
}
