//! Who sees what with which rights: every grant as it stands, and what it comes to for each account.
//!
//! Owners are listed only where their own rights are limited. An account that is named, but left with no right, has a
//! row without letters: it says that somebody is kept out.

use super::access::Access;
use super::survey::Survey;
use crate::limits;
use crate::model::mailbox::FolderKey;
use crate::model::share::{Grant, Grantee, Rights};
use crate::model::text::printable;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;

/// One entry of one access list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct GrantRow {
    pub owner: String,
    #[serde(serialize_with = "as_address")]
    pub folder: FolderKey,
    #[serde(flatten)]
    pub grant: Grant,
}

/// What one account may do with one folder of somebody else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct AccessRow {
    pub owner: String,
    #[serde(serialize_with = "as_address")]
    pub folder: FolderKey,
    pub account: String,
    pub rights: Rights,
    /// Where the folder appears in the account's own mailbox.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_addresses")]
    pub mounted_at: Vec<FolderKey>,
}

/// Who sees what on one site. Sorted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Matrix {
    pub site: String,
    pub grants: Vec<GrantRow>,
    pub access: Vec<AccessRow>,
    /// Folders (`ann@example.org:Projects`) whose grants were not expanded, because there would be too many rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_expanded: Vec<String>,
}

/// The matrix of a site.
pub fn matrix(survey: &Survey) -> Matrix {
    bounded_matrix(survey, limits::MATRIX_ROWS)
}

pub(super) fn bounded_matrix(survey: &Survey, most_rows: usize) -> Matrix {
    let access = Access::new(survey);
    let mut matrix = Matrix { site: survey.locator.clone(), ..Matrix::default() };
    for (owner, view) in &survey.accounts {
        for (folder, grants) in view.folders.iter().filter(|(_, grants)| !grants.is_empty()) {
            let row = |grant: &Grant| GrantRow { owner: owner.clone(), folder: folder.clone(), grant: grant.clone() };
            matrix.grants.extend(grants.iter().map(row));
            let accounts = concerned(&access, owner, grants);
            if matrix.access.len().saturating_add(accounts.len()) > most_rows {
                matrix.not_expanded.push(format!("{owner}:{folder}"));
                continue;
            }
            for account in accounts {
                let rights = access.rights(account, owner, grants);
                let mounts = survey.accounts.get(account).into_iter().flat_map(|view| view.mountpoints.values());
                let here = mounts.filter(|mount| mount.owner == *owner && mount.folder == *folder);
                let mounted_at = here.map(|mount| mount.at.clone()).collect();
                let (owner, folder, account) = (owner.clone(), folder.clone(), account.to_owned());
                matrix.access.push(AccessRow { owner, folder, account, rights, mounted_at });
            }
        }
    }
    matrix.grants.sort();
    matrix
}

/// The accounts to which some entry applies.
fn concerned<'a>(access: &Access<'a>, owner: &str, grants: &[Grant]) -> BTreeSet<&'a str> {
    let limits_owner = |grant: &Grant| match &grant.grantee {
        Grantee::Owner => true,
        Grantee::User(who) => who == owner,
        _ => false,
    };
    let mut accounts = BTreeSet::new();
    for grant in grants {
        accounts.extend(access.accounts(&grant.grantee, owner));
    }
    if !grants.iter().any(limits_owner) {
        accounts.remove(owner);
    }
    accounts
}

impl Matrix {
    /// Both tables as text, one row a line, columns aligned.
    pub fn render(&self) -> String {
        let mut text = String::from("As granted\n\n");
        let grants = self.grants.iter().map(|row| {
            let sign = if row.grant.negative { "not " } else { "" };
            let (owner, folder) = (printable(&row.owner), printable(&row.folder.to_string()));
            [
                owner,
                folder,
                printable(&row.grant.grantee.to_string()),
                format!("{sign}{}", letters(&row.grant.rights)),
                String::new(),
            ]
        });
        table(&mut text, ["OWNER", "FOLDER", "TO", "RIGHTS", ""], grants.collect());
        text.push_str("\nWho sees what\n\n");
        let access = self.access.iter().map(|row| {
            let mounted = row.mounted_at.iter().map(|at| printable(&at.to_string())).collect::<Vec<_>>().join(", ");
            let (owner, folder) = (printable(&row.owner), printable(&row.folder.to_string()));
            [owner, folder, printable(&row.account), letters(&row.rights), mounted]
        });
        table(&mut text, ["OWNER", "FOLDER", "ACCOUNT", "RIGHTS", "MOUNTED AT"], access.collect());
        for folder in &self.not_expanded {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}: too many accounts to list", printable(folder));
        }
        text
    }
}

fn letters(rights: &Rights) -> String {
    if rights.as_str().is_empty() { "-".to_owned() } else { rights.to_string() }
}

fn table(text: &mut String, head: [&str; 5], rows: Vec<[String; 5]>) {
    if rows.is_empty() {
        text.push_str("(none)\n");
        return;
    }
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows);
    let mut widths = [0; 5];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().min(limits::COLUMN_CHARS).max(*width);
        }
    }
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
}

fn as_address<S: serde::Serializer>(folder: &FolderKey, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(folder)
}

fn as_addresses<S: serde::Serializer>(folders: &[FolderKey], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(folders.iter().map(ToString::to_string))
}
