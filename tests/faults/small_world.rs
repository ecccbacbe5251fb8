//! The example site with little in it, so that a pass over it has few operations and each can be made to fail in turn:
//! all accounts, kinds of records, settings, grants and mountpoints, but few messages and folders.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that the story needs: those that are shared, and those in which something happens on a later day.
const KEPT: [(&str, &[&str]); 8] = [
    (
        "station.example/ann",
        &[
            ".Archive",
            ".Archive.2024",
            ".Projects",
            ".Projects.R&-D",
            ".Projects.Tender",
            ".Projects.Tender.Offers",
            ".Projects.Timetable",
            ".Fahrpl&AOQ-ne",
            ".Handover",
            ".Notices",
        ],
    ),
    ("station.example/bert", &[".Junk", ".Dispatch"]),
    ("station.example/clara", &[".Lists.Team"]),
    ("station.example/postmaster", &[".Oddities"]),
    ("wagon.example/emil", &[".Junk", ".Trash"]),
    ("wagon.example/frida", &[".Photos"]),
    ("wagon.example/o'hara", &[]),
    ("wagon.example/gerda", &[".Shift plans"]),
];

/// Messages that stay in an INBOX, and elsewhere.
const MESSAGES: [usize; 2] = [3, 1];

/// Takes out of the example site what the story does without.
pub fn thin_out(site: &Path) {
    for (account, kept) in KEPT {
        let maildir = site.join("mail").join(account).join("Maildir");
        thin_out_folder(&maildir, MESSAGES[0]);
        for folder in entries(&maildir).into_iter().filter(|path| path.join("cur").is_dir()) {
            let name = folder.file_name().unwrap().to_str().unwrap();
            match name {
                name if kept.contains(&name) => thin_out_folder(&folder, MESSAGES[1]),
                "cur" | "new" | "tmp" => {}
                _ => fs::remove_dir_all(&folder).unwrap(),
            }
        }
        // Subscriptions to what is gone would be told in each report.
        let subscriptions = maildir.join("subscriptions");
        if let Ok(text) = fs::read_to_string(&subscriptions) {
            let is_there = |line: &&str| {
                let folder = format!(".{}", line.replace('\t', "."));
                kept.contains(&folder.as_str()) || *line == "INBOX" || line.starts_with('V') || line.is_empty()
            };
            let left: Vec<_> = text.lines().filter(is_there).collect();
            fs::write(&subscriptions, left.join("\n") + "\n").unwrap();
        }
    }
    // Of collections each keeps two items: one is changed on a later day, one goes.
    let collections = below(&site.join("dav"), 4);
    for collection in collections {
        let is_item = |path: &PathBuf| path.extension().is_some_and(|suffix| suffix == "ics" || suffix == "vcf");
        entries(&collection).into_iter().filter(is_item).skip(2).for_each(|item| fs::remove_file(item).unwrap());
    }
}

fn thin_out_folder(folder: &Path, messages: usize) {
    for (sub, most) in [("cur", messages), ("new", 1)] {
        let files = entries(&folder.join(sub));
        // What is odd stays, as far as it is: a folder keeps its first and its last.
        let (first, last) = (most.div_ceil(2), files.len().saturating_sub(most / 2));
        for (at, file) in files.iter().enumerate() {
            if at >= first && at < last {
                fs::remove_file(file).unwrap();
            }
        }
    }
}

/// Folders so many levels below.
fn below(dir: &Path, levels: usize) -> Vec<PathBuf> {
    let dirs: Vec<_> = entries(dir).into_iter().filter(|path| path.is_dir()).collect();
    if levels == 1 { dirs } else { dirs.iter().flat_map(|dir| below(dir, levels - 1)).collect() }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
