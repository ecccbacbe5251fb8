//! What a check says of parity: which files have it, and whether it is whole. Needs no key.

use super::{Found, PARITY, Stored, digest_of, parity_path, stored};
use crate::archive::{Archive, ArchiveError};
use crate::event::Sink;
use crate::format::parity::{self, BLOCK};
use serde::Serialize;
use std::path::PathBuf;

/// How much of an archive is protected.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Protection {
    /// Files of the archive, and those among them that have parity that can be used.
    pub files: u64,
    pub protected: u64,
    /// The least and the most of it, in hundredths.
    pub percent: Option<(u16, u16)>,
    /// What all parity files take.
    pub parity_bytes: u64,
    /// The first files that have none, below the archive.
    pub unprotected: Vec<PathBuf>,
}

/// Something that is wrong with parity, or with a file that only parity tells of.
pub(in crate::archive) struct ParityFinding {
    pub path: PathBuf,
    pub what: String,
}

impl Archive {
    /// Looks at all parity; `None` where there is none at all. With `read` every block of it is read, and what is no
    /// pack and no snapshot is compared with it.
    pub(in crate::archive) fn look_at_parity(
        &self,
        read: bool,
        sink: &dyn Sink,
    ) -> Result<(Option<Protection>, Vec<ParityFinding>), ArchiveError> {
        let (paths, strange) = self.parity_files()?;
        let mut findings = Vec::new();
        if paths.is_empty() && strange.is_empty() {
            return Ok((None, findings));
        }
        let mut find = |path: PathBuf, what: String| findings.push(ParityFinding { path, what });
        strange.into_iter().for_each(|path| find(path, "no file of an archive".to_owned()));
        let mut protection = Protection::default();
        let targets = self.targets()?;
        for target in &targets {
            protection.files += 1;
            let place = parity_path(&target.path);
            let (full, file) = (self.dir.join(&place), self.dir.join(&target.path));
            if self.raw.lstat(&full).is_err() {
                if protection.unprotected.len() < crate::limits::FINDING_NAMES {
                    protection.unprotected.push(target.path.clone());
                }
                continue;
            }
            let says = match read {
                true => match Stored::open(self.raw.as_ref(), &full, target) {
                    Ok(Found::Parity(stored)) => {
                        if !stored.is_whole() {
                            let all = parity::stored(&stored.spans);
                            let what = format!("{} of its {all} blocks are damaged", all.saturating_sub(stored.sound));
                            find(place.clone(), what);
                        }
                        Some((stored.says, stored.blocks * BLOCK as u64))
                    }
                    _ => None,
                },
                false => stored::first_block(self.raw.as_ref(), &full).filter(|(says, bytes)| {
                    let expected = parity::spans(says.length, says.percent).map(|spans| parity::stored(&spans));
                    target.fits(says) && expected.is_ok_and(|blocks| blocks * BLOCK as u64 == *bytes)
                }),
            };
            let Some((says, bytes)) = says else {
                find(place, "it is damaged, or parity of something else".to_owned());
                continue;
            };
            let differs = || digest_of(self.raw.as_ref(), &file).is_ok_and(|digest| digest != says.digest);
            if read && target.begins.is_empty() && differs() {
                find(target.path.clone(), "its bytes are not those that were protected".to_owned());
            }
            protection.protected += 1;
            protection.parity_bytes += bytes;
            let (least, most) = protection.percent.unwrap_or((says.percent, says.percent));
            protection.percent = Some((least.min(says.percent), most.max(says.percent)));
            if sink.interrupted() {
                return Err(ArchiveError::Stopped);
            }
        }
        for path in paths {
            if targets.binary_search_by(|target| target.path.cmp(&path)).is_err() {
                find(path, format!("the file is missing, its parity in {PARITY}/ is there"));
            }
        }
        Ok((Some(protection), findings))
    }
}
