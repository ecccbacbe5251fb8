//! Whom a connection trusts: the system's roots, roots that the description names, one pinned key, or (loudly) anybody.

use super::own_roots::OwnRoots;
use super::{Dialer, NetError};
use crate::fs::Fs;
use crate::limits;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

/// SHA-256 of what is believed of a server's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pin {
    /// Of the whole certificate (DER), as `openssl x509 -fingerprint -sha256` prints it.
    Certificate([u8; 32]),
    /// Of its public key (DER of the SubjectPublicKeyInfo, as in RFC 7469, section 2.4): it outlives a new certificate for
    /// the same key.
    Key([u8; 32]),
}

impl Pin {
    /// Reads `sha256:` and 64 hex digits, with colons between pairs or not and in either case, of a certificate; or
    /// `sha256//` and base64, as curl's `--pinnedpubkey` has it, of a key.
    pub fn parse(text: &str) -> Result<Self, NetError> {
        let bad = || NetError::BadPin(text.to_owned());
        if let Some(base64) = text.strip_prefix(KEY_PREFIX) {
            let digest = STANDARD.decode(base64).map_err(|_| bad())?;
            return digest.try_into().map(Self::Key).map_err(|_| bad());
        }
        let digits: String = text.strip_prefix("sha256:").ok_or_else(bad)?.chars().filter(|c| *c != ':').collect();
        crate::model::hex::decode_lower(&digits.to_ascii_lowercase()).map(Self::Certificate).ok_or_else(bad)
    }

    /// The pin of the same kind that this certificate would have.
    fn of_same_kind(self, certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        match self {
            Self::Certificate(_) => Ok(Self::Certificate(Sha256::digest(certificate).into())),
            Self::Key(_) => {
                let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|_| CertificateError::BadEncoding)?;
                Ok(Self::Key(Sha256::digest(parsed.subject_public_key_info()).into()))
            }
        }
    }
}

const KEY_PREFIX: &str = "sha256//";

/// As a description writes it.
impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(digest) => write!(f, "sha256:{}", crate::model::hex::encode(digest)),
            Self::Key(digest) => write!(f, "{KEY_PREFIX}{}", STANDARD.encode(digest)),
        }
    }
}

/// Why a server is not believed.
#[derive(Debug, thiserror::Error)]
#[error("the server shows {shown}, and {pinned} is pinned")]
struct OtherPin {
    shown: Pin,
    pinned: Pin,
}

/// How much of a server's certificate is believed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum TlsPolicy {
    /// It is checked against the system's roots and the host's name.
    #[default]
    System,
    /// The same against the certificates in this PEM file alone: as roots, or as the server's own.
    Roots(PathBuf),
    /// It is this very certificate, or one for this very key, whatever its name and dates say.
    Pinned(Pin),
    /// It is not looked at. Whoever sits between can read and change everything.
    Insecure,
}

impl TlsPolicy {
    /// What a connection needs. Reads files; make it once a server.
    pub fn dialer(&self, fs: &dyn Fs) -> Result<Dialer, NetError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| NetError::BadUrl(format!("this build has no usable TLS: {error}")))?;
        let config = match self {
            Self::System => builder.with_root_certificates(system_roots()?).with_no_client_auth(),
            Self::Roots(path) => {
                let verifier = Arc::new(own_roots(fs, path, provider)?);
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
            Self::Pinned(pin) => own_check(builder, provider, Some(*pin)),
            Self::Insecure => own_check(builder, provider, None),
        };
        Ok(Dialer { tls: Arc::new(config), throttle: fs.throttle() })
    }
}

fn own_check(
    builder: rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>,
    provider: Arc<CryptoProvider>,
    pin: Option<Pin>,
) -> ClientConfig {
    builder.dangerous().with_custom_certificate_verifier(Arc::new(OneKey { pin, provider })).with_no_client_auth()
}

fn system_roots() -> Result<RootCertStore, NetError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() { Err(NetError::NoRoots) } else { Ok(store) }
}

fn own_roots(fs: &dyn Fs, path: &Path, provider: Arc<CryptoProvider>) -> Result<OwnRoots, NetError> {
    let bad = |what, source| NetError::Certificates { what, path: path.to_owned(), source };
    let none = |source| bad("no certificate is in", source);
    let useless = |source| bad("no usable certificate is in", source);
    let bytes =
        fs.read(path, limits::CERTIFICATE_FILE_BYTES).map_err(|error| bad("cannot read the certificates in", error))?;
    let (mut store, mut certificates) = (RootCertStore::empty(), Vec::new());
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| none(io::Error::other(error.to_string())))?;
        store.add(certificate.clone()).map_err(|error| useless(io::Error::other(error)))?;
        certificates.push(certificate);
    }
    if store.is_empty() {
        return Err(none(io::ErrorKind::InvalidData.into()));
    }
    let roots = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
    Ok(OwnRoots { roots: roots.map_err(|error| useless(io::Error::other(error)))?, certificates })
}

/// Believes one certificate or key, or any; that the server holds its key is checked in either case.
#[derive(Debug)]
struct OneKey {
    pin: Option<Pin>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OneKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(pinned) = self.pin {
            let shown = pinned.of_same_kind(end_entity)?;
            if shown != pinned {
                // Not CertificateError::Other, whose cause is only told as Rust writes it.
                return Err(Error::Other(OtherError(Arc::new(OtherPin { shown, pinned }))));
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
