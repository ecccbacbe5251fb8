//! Encryption of an archive's files with age: who may read (recipients), who can (identities), and the errors of both.
//!
//! Promises: nothing of a pack, an index or a snapshot reaches the disk of the archive in the clear, temporary files
//! included; writing needs public keys only. Secrets are held in types that wipe themselves and are never shown. The rest
//! of `archive` sees files by the names and bytes that they would have without encryption (`sealed_fs`); what is written
//! goes through `archive_file`. Format: format-spec/encryption.md.

mod copies;
mod padding;
mod sealed_file;
mod sealed_fs;

pub(super) use copies::{Copies, Tag, tag_of};
pub(super) use padding::{members, padded};
pub(super) use sealed_file::{CHUNK as SEALED_CHUNK, SealedFile};
pub(super) use sealed_fs::{SealedFs, with_suffix};

use super::Archive;
use super::beside::KEY_AGAIN;
use super::layout::{KEY, io_error};
use crate::archive::ArchiveError;
use crate::fs::Fs;
use crate::limits;
use age::secrecy::{ExposeSecret, SecretString};
use age::x25519;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The suffix of every file that is encrypted.
pub(super) const SUFFIX: &str = ".age";

/// What is wrong with keys, or with a file that they should open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    #[error("the archive is encrypted, and no identity was given")]
    NoIdentity,
    #[error(
        "what it holds is not known on this machine any more (its catalog is new or was lost), and it is encrypted"
    )]
    NotKnownHere,
    #[error("none of the identities that were given opens it")]
    WrongIdentity,
    #[error("it cannot be decrypted: {0}")]
    Damaged(String),
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// A forged one: nobody's own asks for that much. `age` would describe it, but its sentence overflows.
    #[error(
        "it asks for 2^{asked} rounds of scrypt, and at most 2^{max} are done: no passphrase was tried",
        max = limits::SCRYPT_WORK_FACTOR
    )]
    TooMuchWork { asked: u8 },
    #[error("{0} is no public key of age (age1…)")]
    BadRecipient(String),
    #[error("{0} public keys are more than {max}, the most that are written for", max = limits::RECIPIENTS)]
    TooManyRecipients(usize),
    #[error("line {0} is no identity of age (AGE-SECRET-KEY-1…)")]
    BadIdentity(usize),
    #[error("there is no identity in it")]
    Empty,
    #[error("this machine gives no random numbers")]
    NoRandomness,
}

impl SealError {
    /// As the error of a file operation; `io_error` takes it out again.
    fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

/// Public keys for which an archive is encrypted.
#[derive(Clone, Debug)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// The keys, each once, in their order.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, SealError> {
        let mut found: Vec<x25519::Recipient> = Vec::new();
        for text in texts {
            let bad =
                || SealError::BadRecipient(crate::model::text::printable(&text.chars().take(80).collect::<String>()));
            let recipient = text.parse().map_err(|_| bad())?;
            if !found.contains(&recipient) {
                found.push(recipient);
            }
        }
        match found.len() {
            many if many > limits::RECIPIENTS => Err(SealError::TooManyRecipients(many)),
            _ => Ok(Self(found)),
        }
    }

    /// The keys of a file with one a line; empty lines and those that begin with `#` are passed over.
    pub fn parse_file(text: &str) -> Result<Self, SealError> {
        Self::parse(text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')))
    }

    pub fn join(self, other: Self) -> Result<Self, SealError> {
        Self::parse(self.texts().iter().chain(&other.texts()).map(String::as_str))
    }

    /// Each as text, in their order.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn has_all(&self, others: &Self) -> bool {
        others.0.iter().all(|other| self.0.contains(other))
    }

    pub(super) fn keys(&self) -> &[x25519::Recipient] {
        &self.0
    }

    /// Whether both name the same keys, whatever their order.
    pub fn same(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.has_all(other)
    }
}

/// Private keys that open archives. They are never shown, and wiped when dropped.
#[derive(Clone, Default)]
pub struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Those of a file with one a line, as `age-keygen` writes it.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let mut found = Vec::new();
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if !line.is_empty() && !line.starts_with('#') {
                found.push(line.parse().map_err(|_| SealError::BadIdentity(number + 1))?);
            }
        }
        if found.is_empty() { Err(SealError::Empty) } else { Ok(Self(found)) }
    }

    pub fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<x25519::Identity> for Identities {
    fn from(identity: x25519::Identity) -> Self {
        Self(vec![identity])
    }
}

/// A new identity under a passphrase: its public key, and the file that an archive keeps it in.
pub fn new_locked_identity(passphrase: &str) -> Result<(Recipients, Vec<u8>), SealError> {
    let identity = x25519::Identity::generate();
    let text = Zeroizing::new(format!("{}\n", identity.to_string().expose_secret()));
    Ok((Recipients(vec![identity.to_public()]), lock(&text, passphrase)?))
}

/// Identities as text, under a passphrase. Takes about a second of work on purpose.
fn lock(text: &str, passphrase: &str) -> Result<Vec<u8>, SealError> {
    let mut locked = Vec::new();
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
    // Not what takes a second here: the machine that imports may be a smaller one.
    recipient.set_work_factor(limits::SCRYPT_WORK_FACTOR_GIVEN);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
    // Only memory is written to; what can fail is the machine's randomness.
    let mut out =
        encryptor.and_then(|encryptor| Ok(encryptor.wrap_output(&mut locked)?)).map_err(|_| SealError::NoRandomness)?;
    let written = out.write_all(text.as_bytes());
    written.and_then(|()| out.finish().map(drop)).map_err(|_| SealError::NoRandomness)?;
    Ok(locked)
}

/// What an archive keeps under its passphrase, taken out; wiped when dropped.
pub struct UnlockedKey {
    /// The identities as text, as they stood in it.
    text: Zeroizing<String>,
    identities: Identities,
    /// The file that the passphrase opened.
    pub(super) locked: Vec<u8>,
}

fn unlock(locked: &[u8], passphrase: &str) -> Result<UnlockedKey, SealError> {
    let damaged = |error: age::DecryptError| SealError::Damaged(error.to_string());
    let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
    identity.set_max_work_factor(limits::SCRYPT_WORK_FACTOR);
    let opened = age::Decryptor::new_buffered(locked).map_err(damaged)?;
    let opened = opened.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let mut reader = opened.map_err(|error| match error {
        age::DecryptError::DecryptionFailed | age::DecryptError::NoMatchingKeys => SealError::WrongPassphrase,
        age::DecryptError::ExcessiveWork { required, .. } => SealError::TooMuchWork { asked: required },
        other => damaged(other),
    })?;
    let mut text = Zeroizing::new(String::new());
    reader.read_to_string(&mut text).map_err(|error| SealError::Damaged(error.to_string()))?;
    let identities = Identities::parse(&text)?;
    Ok(UnlockedKey { text, identities, locked: locked.to_vec() })
}

/// What an encrypted archive is written for and read with.
#[derive(Clone)]
pub(super) struct Seal {
    pub recipients: Recipients,
    pub identities: Identities,
    /// Where the exporter keeps what it must know of the archive.
    pub copies: Option<Copies>,
}

impl Seal {
    /// Whether one of the identities is that of a recipient.
    fn has_own_identity(&self) -> bool {
        self.identities.0.iter().any(|identity| self.recipients.0.contains(&identity.to_public()))
    }

    /// Says that a file is damaged which a key of its archive does not open: every file is encrypted for all recipients.
    fn judge(&self, error: io::Error) -> io::Error {
        match error.downcast::<SealError>() {
            Ok(SealError::WrongIdentity) if self.has_own_identity() => {
                SealError::Damaged("its header does not open with a key of the archive".to_owned()).into_io()
            }
            Ok(other) => other.into_io(),
            Err(error) => error,
        }
    }
}

impl Archive {
    /// Whether packs, indexes and snapshots are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.seal.is_some()
    }

    /// For whom the archive is encrypted; none: it is not.
    pub fn recipients(&self) -> Recipients {
        self.seal.as_ref().map_or(Recipients(Vec::new()), |seal| seal.recipients.clone())
    }

    /// Whether something was given that may open files.
    pub fn has_identities(&self) -> bool {
        self.seal.as_ref().is_some_and(|seal| !seal.identities.is_empty())
    }

    /// Whether one of them is of those for whom the archive is encrypted.
    pub(super) fn has_own_identity(&self) -> bool {
        self.seal.as_ref().is_some_and(|seal| seal.has_own_identity())
    }

    /// Whether a passphrase opens it.
    pub fn has_passphrase(&self) -> bool {
        self.seal.is_some() && [KEY, KEY_AGAIN].iter().any(|name| self.raw.lstat(&self.dir.join(name)).is_ok())
    }

    /// The same archive for somebody who has these keys. Does nothing for one that is not encrypted.
    #[must_use]
    pub fn with_identities(self, identities: Identities) -> Self {
        self.resealed(|seal| seal.identities.add(identities))
    }

    /// The same archive for somebody who knows its passphrase; does nothing where none opens it.
    pub fn with_passphrase(self, passphrase: &str) -> Result<Self, ArchiveError> {
        if !self.has_passphrase() {
            return Ok(self);
        }
        let key = self.unlock(passphrase)?;
        Ok(self.with_identities(key.identities))
    }

    /// What the archive, which must have one, keeps under its passphrase.
    pub fn unlock(&self, passphrase: &str) -> Result<UnlockedKey, ArchiveError> {
        let path = self.dir.join(KEY);
        let mut failed = None;
        for locked in self.locked_identities()? {
            match unlock(&locked, passphrase) {
                Ok(key) => return Ok(key),
                Err(source) => drop(failed.get_or_insert(source)),
            }
        }
        // There is one at least, or reading them has failed.
        let source = failed.unwrap_or(SealError::WrongPassphrase);
        Err(ArchiveError::Sealed { path, source })
    }

    /// What was under the passphrase of this archive under another one. Refuses an identity that is none of the archive's:
    /// somebody put a file of another one there.
    pub fn lock_again(&self, key: &UnlockedKey, passphrase: &str) -> Result<Vec<u8>, ArchiveError> {
        let sealed = |source| ArchiveError::Sealed { path: self.dir.join(KEY), source };
        let recipients = self.recipients();
        if !key.identities.0.iter().any(|identity| recipients.0.contains(&identity.to_public())) {
            let what = "the archive is encrypted for nobody whose identity lies in it".to_owned();
            return Err(sealed(SealError::Damaged(what)));
        }
        lock(&key.text, passphrase).map_err(sealed)
    }

    pub(super) fn resealed(mut self, change: impl FnOnce(&mut Seal)) -> Self {
        if let Some(seal) = &self.seal {
            let mut seal = Seal::clone(seal);
            change(&mut seal);
            self.seal(seal);
        }
        self
    }

    pub(super) fn seal(&mut self, seal: Seal) {
        let seal = Arc::new(seal);
        self.fs = Arc::new(SealedFs::new(self.raw.clone(), &self.dir, seal.clone()));
        self.seal = Some(seal);
    }

    /// Keeps the identity of a passphrase in the archive, twice.
    pub(super) fn keep_locked_identity(fs: &dyn Fs, dir: &Path, locked: &[u8]) -> Result<(), ArchiveError> {
        for name in [KEY, KEY_AGAIN] {
            let path = dir.join(name);
            fs.replace(&path, locked, 0o600).map_err(io_error("write", &path))?;
        }
        Ok(())
    }
}
