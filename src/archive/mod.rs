//! The files of an archive: packs, indexes, snapshots, the lock. Knows nothing of sites.
//! Format: format-spec/archive.md.

mod archive_file;
mod beside;
pub mod check;
mod compressors;
mod cursor;
mod entry_lines;
pub mod forget;
pub mod heads;
pub mod history;
mod index;
mod lag;
mod layout;
pub mod lock;
pub mod long_entry;
mod merge;
mod notes;
mod open_pack;
pub mod pack_reader;
pub mod pack_writer;
mod parallel;
pub mod parity;
pub mod passphrase;
pub mod prune;
mod publisher;
mod readers;
mod records;
pub mod repair;
mod rewrite;
mod salvage;
mod seal;
mod sealed_export;
mod segment_cache;
mod segment_spool;
mod signature;
pub mod snapshot;
mod snapshot_scan;
pub mod snapshot_writer;
mod spool;
mod table;
mod unjoinable;
mod usage;
pub mod wanted;
mod window;

pub use beside::mend_copies;
pub use notes::Hear;
pub use seal::{Identities, Recipients, SealError, UnlockedKey, new_locked_identity};
pub use signature::{SignatureError, SignedState, SigningKey, TrustedKeys};

use crate::format::FormatError;
use crate::format::archive_header::ArchiveHeader;
use crate::fs::{Fs, PatientFs, Secrecy};
use crate::model::id::{ObjectId, SiteId, SnapshotNo};
use crate::shelf::Scratch;
use seal::Seal;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What can go wrong between a verb and the files of an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{0} is not an archive of wagon: it has no wagon.json")]
    NotAnArchive(PathBuf),
    #[error("{0} has lost its wagon.json; wagon-again.json, the second copy of it, is there")]
    HeaderGone(PathBuf),
    #[error("wagon.json and wagon-again.json in {0} are both sound and say different things; nothing was done")]
    TwoHeaders(PathBuf),
    #[error("{path} cannot be read as an archive's file")]
    Format { path: PathBuf, source: FormatError },
    #[error("cannot open {path}")]
    Sealed { path: PathBuf, source: SealError },
    #[error("the passphrase was changed by another program meanwhile; nothing was done")]
    PassphraseChanged,
    #[error("cannot trust {path}")]
    Untrusted { path: PathBuf, source: SignatureError },
    #[error("{archive} is not encrypted for those for whom it was when this machine first exported to it ({pinned})")]
    OtherRecipients { archive: PathBuf, pinned: PathBuf },
    #[error("the archive is in use by {holder} since {since}")]
    InUse { holder: String, since: String },
    #[error("the archive has no snapshot {0}")]
    NoSnapshot(SnapshotNo),
    #[error("the archive has no snapshot{}", .0.as_ref().map(|id| format!(" of source {id}")).unwrap_or_default())]
    Empty(Option<SiteId>),
    #[error("the archive holds several sources ({0}); name one with --source")]
    SeveralSources(String),
    #[error("object {id} is not in the archive")]
    NoObject { id: ObjectId },
    #[error("object {id} is damaged: {what}")]
    DamagedObject { id: ObjectId, what: String },
    #[error("pack {pack}: segment at byte {offset} does not inflate")]
    DamagedSegment { pack: String, offset: u64 },
    #[error("what was just compressed does not inflate to the same bytes: {what}; nothing was committed")]
    FaultyCompressor { what: String },
    #[error("the writing of the archive was stopped")]
    Stopped,
}

/// An archive that is open for reading. [`lock::ArchiveLock`] is needed to write.
pub struct Archive {
    /// Shows the files of the archive as they are without encryption.
    fs: Arc<dyn Fs>,
    /// Shows them as they lie there.
    raw: Arc<dyn Fs>,
    dir: PathBuf,
    header: ArchiveHeader,
    /// What is damaged of the files beside the folders, and made up for by a second copy.
    worn: Vec<beside::Worn>,
    /// There if the archive is encrypted.
    seal: Option<Arc<Seal>>,
    trust: Option<Arc<signature::Trust>>,
    signer: Option<SigningKey>,
    open_snapshots: snapshot::OpenSnapshots,
    /// Says that somebody reads (`readers`).
    sharing: Arc<readers::Sharing>,
    /// Where tables of objects are made and kept; without it they go with the process.
    tables_dir: Option<PathBuf>,
    /// Where what an account has of items lies once it is much.
    scratch: Scratch,
    notes: Arc<notes::Notes>,
}

impl Archive {
    fn new(fs: Arc<dyn Fs>, dir: &Path, beside: beside::Beside) -> Result<Self, ArchiveError> {
        let beside::Beside { header, worn } = beside;
        let encryption = header.encryption.as_ref();
        let recipients = encryption.map(|for_whom| Recipients::parse(for_whom.recipients.iter().map(String::as_str)));
        let recipients =
            recipients.transpose().map_err(|source| ArchiveError::Sealed { path: dir.join("wagon.json"), source })?;
        let mut archive = Self {
            fs: fs.clone(),
            raw: fs,
            dir: dir.to_owned(),
            header,
            worn,
            seal: None,
            trust: None,
            signer: None,
            open_snapshots: snapshot::OpenSnapshots::default(),
            sharing: Arc::default(),
            tables_dir: None,
            scratch: Scratch::default(),
            notes: Arc::default(),
        };
        if let Some(recipients) = recipients {
            archive.seal(Seal { recipients, identities: Identities::default(), copies: None });
        }
        archive.choose_scratch();
        for worn in &archive.worn {
            archive.notes.add(format!("{}: {}", archive.dir.join(worn.name).display(), worn.what));
        }
        Ok(archive)
    }

    /// The same with `dir`, which must exist, as the place for what a large archive's tables of objects need: 28 bytes
    /// for each object. A writer leaves its table there for the next pass. Without it, the system's folder for temporary
    /// files is used, and nothing is left.
    #[must_use]
    pub fn with_tables_in(mut self, dir: &Path) -> Self {
        self.tables_dir = Some(dir.to_owned());
        self.choose_scratch();
        self
    }

    /// The same with another place for what accounts and listings of folders have of items once that is much; without it,
    /// the one for tables.
    #[must_use]
    pub fn with_scratch(mut self, scratch: Scratch) -> Self {
        self.scratch = scratch;
        self
    }

    fn choose_scratch(&mut self) {
        self.scratch = Scratch::new(self.raw.clone(), &self.scratch_dir(), self.secrecy());
    }

    /// What an encrypted archive holds does not lie open in a scratch folder.
    fn secrecy(&self) -> Secrecy {
        if self.seal.is_some() { Secrecy::Sealed } else { Secrecy::Plain }
    }

    /// Where what is too much for memory lies of the accounts that are read from this archive.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Whether all of that could be read again. To be asked before anything that was concluded from an account's items is
    /// made to last: what cannot be read looks as if it were not there.
    pub fn check_scratch(&self) -> Result<(), ArchiveError> {
        self.scratch.check().map_err(layout::io_error("read a scratch file in", self.scratch.dir()))
    }

    fn scratch_dir(&self) -> PathBuf {
        self.tables_dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// The same archive for somebody who outlives this value.
    fn again(&self) -> Self {
        Self {
            fs: self.fs.clone(),
            raw: self.raw.clone(),
            dir: self.dir.clone(),
            header: self.header.clone(),
            worn: self.worn.clone(),
            seal: self.seal.clone(),
            trust: self.trust.clone(),
            signer: self.signer.clone(),
            open_snapshots: snapshot::OpenSnapshots::default(),
            sharing: self.sharing.clone(),
            tables_dir: self.tables_dir.clone(),
            scratch: self.scratch.clone(),
            notes: self.notes.clone(),
        }
    }

    /// The same archive for somebody to whom what cannot be read is lost: every read is tried several times.
    #[must_use]
    pub fn patient(&self) -> Self {
        let patient = |fs: &Arc<dyn Fs>| -> Arc<dyn Fs> { Arc::new(PatientFs::new(fs.clone())) };
        Self { fs: patient(&self.fs), raw: patient(&self.raw), ..self.again() }
    }

    pub fn id(&self) -> &SiteId {
        &self.header.id
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
