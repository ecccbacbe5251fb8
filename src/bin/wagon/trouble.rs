//! Which exit status and which hint an error gets: by the first error in its chain that means one. A lock is a lock,
//! whichever verb met it.

use crate::exit::CliError;
use stationwagon::archive::{ArchiveError, SealError, SignatureError};
use stationwagon::db::DbError;
use stationwagon::format::FormatError;
use stationwagon::map::MapError;
use stationwagon::site::SiteError;
use stationwagon::verbs::export::ExportError;
use stationwagon::verbs::forget::ForgetError;
use stationwagon::verbs::import::ImportError;
use stationwagon::verbs::rollback::RollbackError;
use stationwagon::verbs::shares::SharesError;
use stationwagon::verbs::show::ShowError;
use std::error::Error;
use std::io;

type AnyError = dyn Error + 'static;

/// The exit status of a verb that did not come to its end.
pub fn status(error: &CliError) -> u8 {
    match error {
        CliError::Usage(_) => 2,
        CliError::Interrupted { .. } => 130,
        _ => chain(error).find_map(status_of).unwrap_or(1),
    }
}

/// What to do next, where that is known.
pub fn hint(error: &CliError) -> Option<String> {
    match error {
        CliError::Interrupted { go_on } => Some((*go_on).to_owned()).filter(|text| !text.is_empty()),
        CliError::Catalog { .. } => chain(error)
            .find_map(hint_of)
            .or_else(|| Some("it can be deleted; the next export makes a new one and lists every folder".to_owned())),
        _ => chain(error).find_map(hint_of),
    }
}

/// The errors in an error, outermost first; also those that a transparent one passes over in `source`.
fn chain(error: &CliError) -> impl Iterator<Item = &AnyError> {
    let first: &AnyError = match error {
        CliError::Archive(error) => error,
        CliError::Site(error) => error,
        CliError::Show(error) => error,
        CliError::Export(error) => error,
        CliError::Forget(error) => error,
        CliError::Import(error) => error,
        CliError::Verify(error) => error,
        CliError::Shares(error) => error,
        CliError::Map(error) => error,
        other => other,
    };
    std::iter::successors(Some(first), |error| inside(*error))
}

fn inside(error: &AnyError) -> Option<&AnyError> {
    match error.downcast_ref() {
        Some(ImportError::Archive(error)) => return Some(error),
        Some(ImportError::Map(error)) => return Some(error),
        Some(ImportError::Site(error)) => return Some(error),
        Some(ImportError::Rollback(error)) => return Some(error),
        _ => {}
    }
    if let Some(ForgetError::Archive(error)) = error.downcast_ref() {
        return Some(error);
    }
    match error.downcast_ref() {
        Some(ShowError::Archive(error)) => Some(error),
        _ => error.source(),
    }
}

fn status_of(error: &AnyError) -> Option<u8> {
    let usage = matches!(error.downcast_ref(), Some(ArchiveError::SeveralSources(_)))
        || matches!(error.downcast_ref(), Some(SiteError::Unsupported(_)))
        || matches!(error.downcast_ref(), Some(ExportError::BadGlob(..)))
        || matches!(error.downcast_ref(), Some(ForgetError::Nothing | ForgetError::Newest(_)))
        || matches!(error.downcast_ref(), Some(ImportError::BadGlob { .. }))
        || error.downcast_ref().is_some_and(ShowError::is_usage);
    let in_use = matches!(error.downcast_ref(), Some(ArchiveError::InUse { .. }))
        || matches!(error.downcast_ref(), Some(SiteError::Locked { .. }))
        || matches!(error.downcast_ref(), Some(ImportError::InUse(_)))
        || matches!(error.downcast_ref(), Some(DbError::InUse));
    match (usage, in_use) {
        (true, _) => Some(2),
        (_, true) => Some(6),
        _ => None,
    }
}

fn hint_of(error: &AnyError) -> Option<String> {
    if let Some(error) = error.downcast_ref() {
        return archive_hint(error);
    }
    if let Some(error) = error.downcast_ref::<ShowError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref() {
        return export_hint(error);
    }
    let text = if let Some(error) = error.downcast_ref() {
        site_hint(error)?
    } else if let Some(error) = error.downcast_ref() {
        import_hint(error)?
    } else if let Some(error) = error.downcast_ref() {
        rollback_hint(error)?
    } else if let Some(error) = error.downcast_ref() {
        map_hint(error)?
    } else if let Some(ForgetError::Nothing) = error.downcast_ref() {
        "give --keep-last N or another rule, or the numbers that `wagon snapshots` lists"
    } else if let Some(SharesError::NothingToUndo(_)) = error.downcast_ref() {
        "`wagon shares undo` takes the last `wagon shares fix` back"
    } else {
        io_hint(error.downcast_ref()?)?
    };
    Some(text.to_owned())
}

fn export_hint(error: &ExportError) -> Option<String> {
    match error {
        ExportError::BrokenChain { .. } => {
            Some("`wagon export --full` of the whole site goes on without it".to_owned())
        }
        ExportError::Archive(error) if error.is_damage() => Some(
            "`wagon export --full` goes on without what cannot be read; `wagon check --read-data` names all of it"
                .to_owned(),
        ),
        other => other.source().and_then(hint_of_cause),
    }
}

fn hint_of_cause(error: &AnyError) -> Option<String> {
    std::iter::successors(Some(error), |error| inside(*error)).find_map(hint_of)
}

fn archive_hint(error: &ArchiveError) -> Option<String> {
    let text = match error {
        ArchiveError::NotAnArchive(_) => "`wagon export --from SITE --archive DIR` makes an archive",
        ArchiveError::HeaderGone(_) => "`wagon repair` brings it back",
        ArchiveError::TwoHeaders(_) => {
            "files of two archives lie in this folder: find out which of both is of this one, and move the other away"
        }
        ArchiveError::NoSnapshot(_) | ArchiveError::Empty(_) => "`wagon snapshots` lists what the archive holds",
        ArchiveError::InUse { .. } => "wait until it ends; a lock whose holder died is taken over by itself",
        ArchiveError::Format { source: FormatError::TooNew { .. }, .. } => "a newer wagon reads it",
        ArchiveError::Format { .. }
        | ArchiveError::NoObject { .. }
        | ArchiveError::DamagedObject { .. }
        | ArchiveError::DamagedSegment { .. } => {
            "`wagon check --read-data` names everything that is damaged, `wagon repair` mends what can be mended"
        }
        ArchiveError::Sealed { source: SealError::NoIdentity, .. } => {
            "--identity FILE opens it, or --passphrase-file FILE where it was made with a passphrase"
        }
        ArchiveError::Sealed { source: SealError::NotKnownHere, .. } => {
            "give --identity FILE (or --passphrase-file) once, and it is learnt again; or --full begins anew as another source, \
             which stores everything again (docs/concepts/encryption.md)"
        }
        ArchiveError::Sealed { source: SealError::WrongIdentity, .. } => {
            "wagon.json of the archive lists the public keys that it is encrypted for"
        }
        ArchiveError::Sealed { source: SealError::Damaged(_), .. } => {
            "`wagon check --read-data` names everything that is damaged"
        }
        ArchiveError::PassphraseChanged => "run it again with the passphrase that opens the archive now",
        ArchiveError::Untrusted { source: SignatureError::NoSigner, .. } => "give --sign-with KEYFILE",
        ArchiveError::Untrusted { source: SignatureError::Missing | SignatureError::OtherKey, .. } => {
            "have each snapshot signed from the first one on (`wagon export --sign-with`), or ask its exporter which key signs"
        }
        ArchiveError::Untrusted { .. } => "fetch the archive again from where it was made; do not import this one",
        ArchiveError::OtherRecipients { .. } => {
            "find out who changed wagon.json; if it was right, remove the file with the old keys and export again"
        }
        ArchiveError::FaultyCompressor { .. } => "suspect the memory of this machine",
        _ => return None,
    };
    Some(text.to_owned())
}

fn site_hint(error: &SiteError) -> Option<&'static str> {
    match error {
        SiteError::NotASite(_) => Some("a site is the folder above mail/, dav/ and etc/"),
        SiteError::NoAccount(_) => Some("`wagon ls` lists the accounts of an archive"),
        SiteError::Locked { .. } => Some("wait until it ends; a lock whose holder died is taken over by itself"),
        _ => None,
    }
}

fn import_hint(error: &ImportError) -> Option<&'static str> {
    match error {
        ImportError::InUse(_) => Some("wait until it ends"),
        ImportError::SameSite(_) => Some("to bring back what arrived meanwhile, give the map with --way-back"),
        ImportError::OtherSourceHere { .. } => Some("--rename FILE gives the accounts of this source other addresses"),
        _ => None,
    }
}

fn map_hint(error: &MapError) -> Option<&'static str> {
    match error {
        MapError::OtherSource { .. } | MapError::OtherTarget { .. } | MapError::OtherArchive { .. } => {
            Some("`wagon map show MAP` tells what a map belongs to")
        }
        _ => None,
    }
}

fn rollback_hint(error: &RollbackError) -> Option<&'static str> {
    match error {
        RollbackError::Older { .. } | RollbackError::Other { .. } => Some(
            "fetch the archive again from where it was made; somebody put an older state there, or two passes exported at once",
        ),
        _ => None,
    }
}

fn io_hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room and run the same command again; what is complete is kept")
        }
        io::ErrorKind::PermissionDenied => {
            Some("mail usually belongs to a user of its own; run as that user or as root")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> ArchiveError {
        ArchiveError::InUse { holder: "somebody".to_owned(), since: "now".to_owned() }
    }

    #[test]
    fn a_lock_is_a_lock_whichever_verb_met_it() {
        let all = [
            CliError::from(held()),
            CliError::from(ShowError::from(held())),
            CliError::from(ImportError::from(held())),
            CliError::from(ExportError::from(held())),
            CliError::from(SharesError::from(held())),
        ];
        for error in all {
            assert_eq!((status(&error), hint(&error).is_some()), (6, true), "{error:?}");
        }
        assert_eq!(status(&CliError::from(ArchiveError::NotAnArchive("x".into()))), 1);
    }

    #[test]
    fn the_cause_deep_inside_gives_the_hint() {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let full = ArchiveError::Io { action: "write", path: "x".into(), source };
        let hint = hint(&CliError::from(ExportError::from(full)));
        assert!(hint.is_some_and(|hint| hint.starts_with("make room")));
    }
}
