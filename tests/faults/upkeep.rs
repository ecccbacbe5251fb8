//! The story's archive: running what thins it out and mends it, and looking at what state it is in.

use crate::databases::differing;
use crate::story::{Report, Story, files_below};
use stationwagon::archive::check::{CheckReport, check};
use stationwagon::archive::prune::{MaxUnused, PruneOptions};
use stationwagon::event::Silent;
use stationwagon::fs::{Fs, RealFs};
use stationwagon::verbs::forget::{ForgetOptions, Keep, forget};
use stationwagon::verbs::prune::prune;
use stationwagon::verbs::repair::repair;
use std::error::Error;
use std::sync::Arc;

const HOLDER: (&str, i64) = ("a story", 2_000_000_300);

/// What a check says of every byte, and what a prune and a repair would still do.
#[derive(Debug, PartialEq, Eq)]
pub struct Upkeep {
    said: Vec<String>,
}

impl Upkeep {
    pub fn differences(&self, found: &Self) -> Vec<String> {
        differing(&self.said, &found.said).iter().map(|line| format!("archive: {line}")).collect()
    }
}

impl Story {
    pub fn forget(&self, fs: &Arc<dyn Fs>) -> Result<Report, Box<dyn Error>> {
        let keep = Keep { last: 2, ..Keep::default() };
        let options = ForgetOptions { keep, holder: HOLDER.0.to_owned(), now: HOLDER.1, ..ForgetOptions::default() };
        let report = forget(&self.archive(fs)?, &options, &Silent)?;
        Ok(done(report.rewritten.len() as u64))
    }

    pub fn prune(&self, fs: &Arc<dyn Fs>, anew: bool) -> Result<Report, Box<dyn Error>> {
        let (level, batch_bytes) = if anew { (Some(12), 1 << 28) } else { (None, 1) };
        let options = PruneOptions { max_unused: MaxUnused::Bytes(0), level, batch_bytes, ..PruneOptions::default() };
        let report = prune(&self.archive(fs)?, &options, HOLDER, &Silent)?;
        if report.objects_missing > 0 {
            return Err(format!("objects are missing: {report:?}").into());
        }
        Ok(done(report.packs_removed + report.packs_rewritten))
    }

    pub fn repair(&self, fs: &Arc<dyn Fs>) -> Result<Report, Box<dyn Error>> {
        let report = repair(&self.archive(fs)?, false, HOLDER, &Silent)?;
        Ok(done((report.packs_mended.len() + report.indexes_made.len() + report.indexes_removed.len()) as u64))
    }

    fn checked(&self) -> Result<CheckReport, Box<dyn Error>> {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        Ok(check(&self.archive(&fs)?, true, &Silent)?)
    }

    /// Items of all snapshots that cannot be read back now.
    pub fn harm(&self) -> u64 {
        if !self.path("archive/wagon.json").exists() {
            return 0;
        }
        let report = self.checked().unwrap();
        report.findings.iter().map(|finding| finding.items).sum()
    }

    pub fn upkeep(&self) -> Upkeep {
        if !self.path("archive/wagon.json").exists() {
            return Upkeep { said: Vec::new() };
        }
        let mut said = Vec::new();
        match self.checked() {
            Ok(report) => said.extend(report.findings.iter().map(|finding| format!("check: {finding:?}"))),
            Err(error) => said.push(format!("check: {error}")),
        }
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let archive = self.archive(&fs).unwrap();
        match repair(&archive, true, HOLDER, &Silent) {
            Ok(report) => {
                let left = [&report.indexes_made, &report.indexes_removed].map(|paths| paths.len());
                said.push(format!("left to repair: {} packs, indexes {left:?}", report.packs_mended.len()));
                said.push(format!("lost: {} objects, wanted {:?}", report.objects_lost, report.wanted));
                said.push(format!("damaged: {:?}", report.snapshots_damaged));
            }
            Err(error) => said.push(format!("repair: {error}")),
        }
        // What was damaged is kept, once.
        said.push(format!("set aside: {}", files_below(&self.path("archive/damaged")).len()));
        let is_temporary = |path: &&std::path::PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp-"))
        };
        said.extend(
            files_below(&self.path("archive")).iter().filter(is_temporary).map(|path| format!("left: {path:?}")),
        );
        Upkeep { said }
    }

    /// What a prune would still have to do, in words.
    pub fn waste(&self) -> Option<String> {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let options = PruneOptions { max_unused: MaxUnused::Bytes(0), dry_run: true, ..PruneOptions::default() };
        match prune(&self.archive(&fs).unwrap(), &options, HOLDER, &Silent) {
            Ok(report) if report.packs_removed + report.packs_rewritten == 0 => None,
            Ok(report) => Some(format!("left to prune: {report:?}")),
            Err(error) => Some(error.to_string()),
        }
    }
}

fn done(done: u64) -> Report {
    Report { rejected: Vec::new(), done, balanced: true }
}
