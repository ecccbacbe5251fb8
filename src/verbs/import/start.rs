//! Before anything is written: which snapshot, which target, whose lock, which map.

use super::{ImportError, ImportOptions};
use crate::archive::Archive;
use crate::archive::history::History;
use crate::format::snapshot::Provisioning;
use crate::fs::Fs;
use crate::map::{self, Map, Meta};
use crate::model::id::{SiteId, SnapshotNo};
use crate::site::Target;
use crate::verbs::rollback;
use std::path::{Path, PathBuf};

/// What an import has in its hands when it begins.
pub struct Started<'a> {
    pub archive: &'a Archive,
    pub history: History<'a>,
    pub provisioning: Provisioning,
    pub map: Map,
    pub way_back: Option<Map>,
    pub state_dir: PathBuf,
    /// The map was made by this very pass.
    map_is_new: bool,
    /// Held to the end, so that a second importer is refused.
    _lock: Option<Box<dyn Send + Sync>>,
}

impl Started<'_> {
    pub fn snapshot(&self) -> SnapshotNo {
        self.history.head().no
    }

    pub fn source_site(&self) -> &SiteId {
        &self.history.head().source
    }

    /// After a pass that failed: a map that it made and that says nothing yet goes again, so that a refused import
    /// leaves nothing behind. Not removing it is no trouble, so an error is none.
    pub fn remove_empty_map(self, fs: &dyn Fs) {
        let Self { map, map_is_new, _lock, .. } = self;
        if map_is_new && map.records().is_ok_and(|records| records.is_empty()) {
            let path = map.path().to_owned();
            drop(map); // what SQLite keeps beside the file goes with it
            let _ = fs.remove_file(&path);
        }
    }
}

/// Opens everything; refuses what does not belong together.
pub fn start<'a>(
    archive: &'a Archive,
    target: &dyn Target,
    options: &ImportOptions,
) -> Result<Started<'a>, ImportError> {
    target.keep_in(archive.scratch());
    let history = History::open(archive, options.source.as_ref(), options.snapshot)?;
    let (provisioning, _) = history.provisioning()?;
    let source_site = history.head().source.clone();
    if target.describe()?.id.as_ref() == Some(&source_site) {
        return Err(ImportError::SameSite(source_site));
    }
    let way_back = options.way_back.as_deref().map(Map::read).transpose()?;
    // An old site that only was a source keeps no id of its own; the map of the other direction knows which it had.
    let known = way_back.as_ref().map(Map::meta).filter(|meta| meta.target_site == source_site);
    let fallback = known.map_or(&options.new_site_id, |meta| &meta.source_site);
    let target_site = target.prepare(fallback)?;
    way_back.as_ref().map_or(Ok(()), |map| check_way_back(map, &source_site, &target_site))?;
    let state_dir = target.state_dir();
    let _lock = if options.dry_run { None } else { Some(lock(options, &state_dir)?) };
    let path = state_dir.join(map::file_name(&source_site));
    let expected = Meta {
        source_site: source_site.clone(),
        target_site: target_site.clone(),
        archive: archive.id().clone(),
        wagon: env!("CARGO_PKG_VERSION").to_owned(),
        created: options.now,
    };
    let exists = options.fs.lstat(&path).is_ok();
    let map = if options.dry_run {
        Map::open_copy(&path, exists, &expected)?
    } else {
        Map::open(options.fs.as_ref(), &path, &expected)?
    };
    if let Some((snapshot, digest)) = rollback::compare(archive, &source_site, &map)? {
        map.set_trusted(snapshot, &digest)?;
    }
    let seen = map.newest_progress()?.unwrap_or_default();
    let asked = history.head().no;
    if asked < seen && !options.additive {
        return Err(ImportError::OlderSnapshot { asked, seen });
    }
    super::renumber::records(&map, &history, &provisioning)?;
    let map_is_new = !exists && !options.dry_run;
    Ok(Started { archive, history, provisioning, map, way_back, state_dir, map_is_new, _lock })
}

fn lock(options: &ImportOptions, state_dir: &Path) -> Result<Box<dyn Send + Sync>, ImportError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ImportError::Io { action, path, source }
    };
    options.fs.create_dir_all(state_dir).map_err(io("make the folder", state_dir))?;
    let path = state_dir.join("import.lock");
    options.fs.try_lock(&path).map_err(io("lock", &path))?.ok_or(ImportError::InUse(path))
}

/// A map of the other direction leads from this target to the source of the snapshot.
fn check_way_back(map: &Map, source_site: &SiteId, target_site: &SiteId) -> Result<(), ImportError> {
    let meta = map.meta();
    if meta.source_site == *target_site && meta.target_site == *source_site {
        return Ok(());
    }
    Err(ImportError::NotTheWayBack {
        path: map.path().to_owned(),
        found_source: meta.source_site.clone(),
        found_target: meta.target_site.clone(),
        target: target_site.clone(),
        source_site: source_site.clone(),
    })
}
