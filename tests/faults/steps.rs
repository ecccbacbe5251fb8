//! What an administrator does in the story, in order, what people do meanwhile, and what a bad disk does.

use crate::story::{Story, files_below};
use stationwagon::fs::{Fs, RealFs};
use stationwagon::testing::example_site;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Something an administrator runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Export,
    /// Of this snapshot, without data.
    Provision(u32),
    Import(u32),
    /// With `--delete`.
    ImportAndDelete(u32),
    ImportNewest,
    FixShares,
    /// All snapshots but the last two.
    Forget,
    /// All waste, each pack by itself.
    Prune,
    Repack,
    Repair,
}

impl Step {
    /// What it changes in the story's folder; all else it reads at most.
    pub fn writes(self) -> &'static [&'static str] {
        match self {
            Self::Export => &["archive", "catalog.sqlite", "cache"],
            Self::Provision(_) | Self::Import(_) | Self::ImportAndDelete(_) | Self::ImportNewest | Self::FixShares => {
                &["target"]
            }
            Self::Forget | Self::Prune | Self::Repack | Self::Repair => &["archive"],
        }
    }

    pub fn writes_archive(self) -> bool {
        self.writes().contains(&"archive")
    }
}

/// The steps in order, and what happens before each.
pub const STEPS: &[(&str, Meanwhile, Step)] = &[
    ("first export", Meanwhile::Rest, Step::Export),
    ("second export", Meanwhile::ADay, Step::Export),
    ("provisioning", Meanwhile::Rest, Step::Provision(1)),
    ("first import", Meanwhile::Rest, Step::Import(1)),
    ("import with moves, renames and deletions", Meanwhile::Rest, Step::ImportAndDelete(2)),
    ("third export", Meanwhile::WorkOnBoth, Step::Export),
    ("import with conflicts", Meanwhile::Rest, Step::Import(3)),
    ("shares fix", Meanwhile::AMountpointComesBack, Step::FixShares),
    ("forget", Meanwhile::Rest, Step::Forget),
    ("prune", Meanwhile::Rest, Step::Prune),
    ("repack", Meanwhile::Rest, Step::Repack),
    ("export after the repack", Meanwhile::LateMail, Step::Export),
    ("repair", Meanwhile::TheDiskGoesBad, Step::Repair),
    ("export after the repair", Meanwhile::Rest, Step::Export),
    ("import after the repair", Meanwhile::Rest, Step::ImportNewest),
];

#[derive(Clone, Copy, Debug)]
pub enum Meanwhile {
    Rest,
    ADay,
    WorkOnBoth,
    AMountpointComesBack,
    LateMail,
    TheDiskGoesBad,
}

impl Meanwhile {
    pub fn happens(self, story: &Story) {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        match self {
            Self::Rest => {}
            Self::ADay => example_site::a_day_passes(&fs, &story.path("source")).unwrap(),
            Self::WorkOnBoth => {
                example_site::users_work_on_the_target(&fs, &story.path("target")).unwrap();
                example_site::a_last_day(&fs, &story.path("source")).unwrap();
            }
            Self::AMountpointComesBack => {
                example_site::an_old_mountpoint_comes_back(&fs, &story.path("target")).unwrap();
            }
            Self::LateMail => {
                let text = "Subject: The keys\n\nlie beneath the signal box.\n".repeat(40);
                fs::write(story.path("source/mail/station.example/ann/Maildir/new/1715000000.M1P1.late"), text)
                    .unwrap();
            }
            Self::TheDiskGoesBad => spoil(&story.path("archive")),
        }
    }
}

/// A bit flips in the middle of the largest pack, the index of another is gone, and an index lies there without its pack.
fn spoil(archive: &Path) {
    let mut packs = files_below(&archive.join("packs"));
    packs.sort_by_key(|pack| fs::metadata(pack).unwrap().len());
    let [other, .., largest] = packs.as_slice() else { panic!("only one pack: {packs:?}") };
    let mut bytes = fs::read(largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(largest, bytes).unwrap();
    let name = other.file_name().unwrap().to_str().unwrap().replace(".tar.gz", ".idx");
    let index = archive.join("index").join(&name[..2]).join(&name);
    let orphan = archive.join("index/ab").join("ab".repeat(32) + ".idx");
    fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    fs::rename(index, orphan).unwrap();
}
