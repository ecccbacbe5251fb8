//! Signatures of snapshots in the format of minisign: who vouches for a snapshot's file, and whom a reader believes.
//!
//! Promises: with trusted keys, no snapshot is read that none of them signed, byte for byte as it lies there, for this
//! archive and this number. What a snapshot refers to (objects) is proved by the hashes in it. A signature appears before
//! its snapshot does, so that a killed export leaves none unsigned. Format: format-spec/signatures.md.

use super::layout::{SNAPSHOTS, SnapshotName, io_error};
use super::seal::with_suffix;
use super::{Archive, ArchiveError};
use crate::fs::FileRead;
use crate::limits;
use crate::model::hex;
use crate::model::id::{SiteId, SnapshotNo};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minisign::{PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// The suffix of a signature's file.
pub(super) const SUFFIX: &str = ".minisig";

/// Bytes of a signature with its algorithm and key number, and of the one over both it and the comment.
const SIGNATURE: usize = 74;
const GLOBAL_SIGNATURE: usize = 64;

/// Bytes of a secret key with all that describes it.
const SECRET_KEY: usize = 158;

/// What is wrong with a key or a signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    #[error("it is not signed")]
    Missing,
    #[error("its signature is by none of the trusted keys")]
    OtherKey,
    #[error("it is not what was signed: somebody changed it, or it is damaged")]
    Changed,
    #[error("its signature cannot be read: {0}")]
    Malformed(String),
    #[error("its signature was made for {0}")]
    OtherPlace(String),
    #[error("it is no public key of minisign (RW…)")]
    BadPublicKey,
    #[error("it is no secret key of minisign, or its password is wrong")]
    BadSecretKey,
    #[error("the key has a password, and none was given")]
    NeedsPassword,
    #[error("it takes the place of a signed snapshot, and no key to sign it was given")]
    NoSigner,
    #[error("it could not be signed: {0}")]
    NotSigned(String),
}

/// Public keys that are believed.
#[derive(Clone, Default)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// Adds a key: as minisign prints it, or the content of its file.
    pub fn add(&mut self, text: &str) -> Result<(), SignatureError> {
        let text = text.trim();
        let key = match text.contains('\n') {
            true => PublicKeyBox::from_string(text).and_then(PublicKeyBox::into_public_key),
            false => PublicKey::from_base64(text),
        };
        self.0.push(key.map_err(|_| SignatureError::BadPublicKey)?);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A secret key that signs. It is never shown.
#[derive(Clone)]
pub struct SigningKey(Arc<SecretKey>);

impl SigningKey {
    /// The key of a file, whose password, if it has one, must be given.
    pub fn parse(text: &str, password: Option<&str>) -> Result<Self, SignatureError> {
        let encoded = text.lines().nth(1).unwrap_or_default().trim();
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| SignatureError::BadSecretKey)?);
        // Two bytes of signature algorithm, then the two that say whether there is a password.
        let has_password = match bytes.get(2..4) {
            Some(b"Sc") => true,
            Some([0, 0]) if bytes.len() == SECRET_KEY => false,
            _ => return Err(SignatureError::BadSecretKey),
        };
        let key = match password {
            // The program writes no checksum into a key without a password, and the library asks for one.
            _ if !has_password => SecretKey::from_bytes(&bytes),
            None => return Err(SignatureError::NeedsPassword),
            Some(password) => {
                SecretKeyBox::from_string(text).and_then(|key| SecretKey::from_box(key, Some(password.to_owned())))
            }
        };
        key.map(|key| Self(Arc::new(key))).map_err(|_| SignatureError::BadSecretKey)
    }
}

/// Whom a reader believes, and what it has proved already.
#[derive(Default)]
pub(super) struct Trust {
    keys: TrustedKeys,
    proved: Mutex<BTreeSet<SnapshotName>>,
}

/// The newest state of a source that a trusted key signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedState {
    pub snapshot: SnapshotNo,
    /// SHA-256 of the file, in hexadecimal digits.
    pub digest: String,
    /// The first digits of that of a file whose place it takes.
    pub replaces: Option<String>,
}

impl Archive {
    /// The same archive for somebody who believes these keys alone; does nothing if there are none.
    #[must_use]
    pub fn with_trust(mut self, keys: TrustedKeys) -> Self {
        if !keys.is_empty() {
            self.trust = Some(Arc::new(Trust { keys, proved: Mutex::default() }));
        }
        self
    }

    /// The same archive for somebody who signs each snapshot.
    #[must_use]
    pub fn with_signer(mut self, key: SigningKey) -> Self {
        self.signer = Some(key);
        self
    }

    /// The newest snapshot of a source, when only signed ones are believed.
    pub fn newest_signed(&self, source: &SiteId) -> Result<Option<SignedState>, ArchiveError> {
        if self.trust.is_none() {
            return Ok(None);
        }
        let Some(head) = self.heads()?.read.into_iter().rev().find(|head| head.source == *source) else {
            return Ok(None);
        };
        let path = self.dir.join(self.file_of(head.no)?.path());
        let digest = self.digest_on_disk(&path).map_err(io_error("read", &path))?;
        Ok(Some(SignedState { snapshot: head.no, digest: hex::encode(&digest), replaces: head.replaces }))
    }

    /// Proves a snapshot's file, where keys are trusted. What was proved is not proved again.
    pub(super) fn prove(&self, name: SnapshotName) -> Result<(), ArchiveError> {
        let Some(trust) = &self.trust else { return Ok(()) };
        if trust.proved.lock().unwrap_or_else(PoisonError::into_inner).contains(&name) {
            return Ok(());
        }
        let path = self.real_snapshot(name);
        self.check_signature(&trust.keys, name).map_err(|error| match error {
            Trouble::Io(action, source) => io_error(action, &path)(source),
            Trouble::Signature(source) => ArchiveError::Untrusted { path: path.clone(), source },
        })?;
        trust.proved.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        Ok(())
    }

    fn check_signature(&self, keys: &TrustedKeys, name: SnapshotName) -> Result<(), Trouble> {
        let text = match self.raw.read(&self.signature_path(name), limits::SIGNATURE_BYTES) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(SignatureError::Missing.into()),
            Err(error) => return Err(Trouble::Io("read the signature of", error)),
        };
        let signature = parse(&text)?;
        let key = keys.0.iter().find(|key| key.keynum() == signature.keynum()).ok_or(SignatureError::OtherKey)?;
        let file = self.raw.open(&self.real_snapshot(name)).map_err(|error| Trouble::Io("open", error))?;
        let whole = Whole { file: file.as_ref(), at: 0 };
        minisign::verify(key, &signature, whole, true, false, false).map_err(|_| SignatureError::Changed)?;
        let comment = signature.trusted_comment().map_err(|error| SignatureError::Malformed(error.to_string()))?;
        let said = |key: &str| comment.split(' ').find_map(|field| field.strip_prefix(key)?.strip_prefix('='));
        let here = said("archive") == Some(self.header.id.as_str()) && said("snapshot") == Some(&name.no.to_string());
        if here { Ok(()) } else { Err(SignatureError::OtherPlace(printable(&comment)).into()) }
    }

    /// Signs a snapshot that has all its bytes and not yet its name; does nothing without a key.
    pub(super) fn sign(
        &self,
        name: SnapshotName,
        source: &SiteId,
        digest: &[u8; 32],
        written: &Path,
    ) -> Result<(), ArchiveError> {
        let Some(SigningKey(key)) = &self.signer else { return Ok(()) };
        let file = self.raw.open(written).map_err(io_error("open", written))?;
        let file = file.as_ref();
        let path = self.real_snapshot(name);
        let failed =
            |what: String| ArchiveError::Untrusted { path: path.clone(), source: SignatureError::NotSigned(what) };
        let digest = hex::encode(digest);
        let comment = format!("archive={} source={source} snapshot={} sha256={digest}", self.header.id, name.no);
        let untrusted = "signature of a snapshot by wagon";
        let signed = minisign::sign(None, key, Whole { file, at: 0 }, Some(&comment), Some(untrusted));
        let signed = signed.map_err(|error| failed(error.to_string()))?;
        let mut file = self.temporary(SNAPSHOTS)?;
        let temporary = file.path().to_owned();
        file.write_all(&signed.to_bytes()).map_err(io_error("write", &temporary))?;
        let path = self.signature_path(name);
        self.remove_parity(&path)?;
        self.publish(file, path.strip_prefix(&self.dir).unwrap_or(&path))
    }

    /// Removes the signature of a snapshot that goes.
    pub(super) fn remove_signature(&self, name: SnapshotName) -> Result<(), ArchiveError> {
        let path = self.signature_path(name);
        self.remove_parity(&path)?;
        match self.raw.remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Refuses to take the place of a signed snapshot with one that is not.
    pub(super) fn may_replace(&self, name: SnapshotName) -> Result<(), ArchiveError> {
        if self.signer.is_some() || self.raw.lstat(&self.signature_path(name)).is_err() {
            return Ok(());
        }
        Err(ArchiveError::Untrusted { path: self.real_snapshot(name), source: SignatureError::NoSigner })
    }

    fn real_snapshot(&self, name: SnapshotName) -> PathBuf {
        let path = self.dir.join(name.path());
        if self.is_encrypted() { with_suffix(&path) } else { path }
    }

    fn signature_path(&self, name: SnapshotName) -> PathBuf {
        let mut path = self.real_snapshot(name).into_os_string();
        path.push(SUFFIX);
        path.into()
    }
}

/// Parses a signature whose parts have their lengths; the library counts on that.
fn parse(text: &str) -> Result<SignatureBox, SignatureError> {
    let malformed = || SignatureError::Malformed("it is not one of minisign".to_owned());
    let lines: Vec<_> = text.lines().collect();
    let bytes =
        |at: usize| lines.get(at).and_then(|line| STANDARD.decode(line.trim()).ok()).map_or(0, |bytes| bytes.len());
    if lines.len() != 4 || bytes(1) != SIGNATURE || bytes(3) != GLOBAL_SIGNATURE {
        return Err(malformed());
    }
    SignatureBox::from_string(text).map_err(|_| malformed())
}

fn printable(text: &str) -> String {
    crate::model::text::printable(&text.chars().take(200).collect::<String>())
}

enum Trouble {
    Io(&'static str, io::Error),
    Signature(SignatureError),
}

impl From<SignatureError> for Trouble {
    fn from(error: SignatureError) -> Self {
        Self::Signature(error)
    }
}

/// A file read from front to back.
struct Whole<'f> {
    file: &'f dyn FileRead,
    at: u64,
}

impl Read for Whole<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Only back to the front, which is all that is ever asked for.
impl Seek for Whole<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(at) => self.at = at,
            SeekFrom::Current(0) => {}
            _ => return Err(ErrorKind::Unsupported.into()),
        }
        Ok(self.at)
    }
}
