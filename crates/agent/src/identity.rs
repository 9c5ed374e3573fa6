//! Who this agent is: its key, its certificate, the authority it trusts, where the server is.

use std::{
    io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::UtcMicros;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};

use crate::files;

/// No file of an identity comes near.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The certificate that the server gave to this agent, with everything that goes with it.
#[derive(Debug)]
pub struct Identity {
    pub agent_id: u32,
    pub agent_name: String,
    /// Where the server is dialled, in the order to try.
    pub addresses: Vec<String>,
    pub certificate: CertificateDer<'static>,
    pub authority: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "this agent is not enrolled (`{}` is missing): create it with `faultline agent create \
         NAME` on the server and run `faultline-agent enroll TOKEN` here", path.display()
    )]
    NotEnrolled { path: PathBuf },
    #[error("cannot read `{}`: check that it belongs to the user of the agent", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write `{}`: check space and permissions", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "`{}` is damaged ({reason}): enrol this agent anew with a new token and `--replace`",
        path.display()
    )]
    Damaged { path: PathBuf, reason: String },
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Card {
    agent_id: u32,
    agent_name: String,
    addresses: Vec<String>,
}

fn dir_of(state_dir: &Path) -> PathBuf {
    state_dir.join("identity")
}

/// Whether an identity is there, in whatever state.
pub fn is_enrolled(state_dir: &Path) -> bool {
    dir_of(state_dir).join("identity.json").exists()
}

impl Identity {
    pub(crate) fn new(
        agent_id: u32,
        agent_name: String,
        addresses: Vec<String>,
        certificate: CertificateDer<'static>,
        authority: CertificateDer<'static>,
        key_pkcs8_der: Vec<u8>,
    ) -> Identity {
        Identity {
            agent_id,
            agent_name,
            addresses,
            certificate,
            authority,
            key: PrivatePkcs8KeyDer::from(key_pkcs8_der),
        }
    }

    /// Reads the identity from a state directory.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] with the file and the remedy.
    pub fn load(state_dir: &Path) -> Result<Identity, IdentityError> {
        let dir = dir_of(state_dir);
        let path = dir.join("identity.json");
        if !path.exists() {
            return Err(IdentityError::NotEnrolled { path });
        }
        let card: Card = serde_json::from_slice(&read(&path)?)
            .map_err(|e| IdentityError::Damaged { path, reason: e.to_string() })?;
        let certificate = |name: &str| {
            let path = dir.join(name);
            CertificateDer::from_pem_slice(&read(&path)?)
                .map_err(|e| IdentityError::Damaged { path, reason: e.to_string() })
        };
        let path = dir.join("agent.key");
        let key = PrivatePkcs8KeyDer::from_pem_slice(&read(&path)?);
        let key = key.map_err(|e| IdentityError::Damaged { path, reason: e.to_string() })?;
        Ok(Identity {
            agent_id: card.agent_id,
            agent_name: card.agent_name,
            addresses: card.addresses,
            certificate: certificate("agent.crt")?,
            authority: certificate("authority.crt")?,
            key,
        })
    }

    /// Writes the identity; its card goes first and comes back last, so that a half-written one
    /// counts as none, even over another agent's.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Unwritable`].
    pub fn store(&self, state_dir: &Path) -> Result<(), IdentityError> {
        let dir = dir_of(state_dir);
        let made = files::create_private_dir(&dir);
        made.map_err(|source| IdentityError::Unwritable { path: dir.clone(), source })?;
        let card = Card {
            agent_id: self.agent_id,
            agent_name: self.agent_name.clone(),
            addresses: self.addresses.clone(),
        };
        let path = dir.join("identity.json");
        files::remove_if_there(&path)
            .map_err(|source| IdentityError::Unwritable { path: path.clone(), source })?;
        let key = pem("PRIVATE KEY", self.key.secret_pkcs8_der());
        write(&dir.join("agent.key"), key.as_bytes(), files::SECRET)?;
        let authority = pem("CERTIFICATE", &self.authority);
        write(&dir.join("authority.crt"), authority.as_bytes(), files::PUBLIC)?;
        self.store_certificate(state_dir)?;
        let card = serde_json::to_vec_pretty(&card);
        let card =
            card.map_err(|e| IdentityError::Unwritable { path: path.clone(), source: e.into() })?;
        write(&path, &card, files::PUBLIC)
    }

    /// Writes the certificate alone, after a renewal: key and authority stay.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Unwritable`].
    pub fn store_certificate(&self, state_dir: &Path) -> Result<(), IdentityError> {
        let path = dir_of(state_dir).join("agent.crt");
        write(&path, pem("CERTIFICATE", &self.certificate).as_bytes(), files::PUBLIC)
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }

    pub(crate) fn key_pkcs8_der(&self) -> &PrivatePkcs8KeyDer<'static> {
        &self.key
    }

    /// From when until when the certificate is good; `None` if it cannot be read.
    pub fn validity(&self) -> Option<(UtcMicros, UtcMicros)> {
        let (_, certificate) = x509_parser::parse_x509_certificate(&self.certificate).ok()?;
        let validity = certificate.validity();
        let micros = |s: i64| UtcMicros(s.saturating_mul(1_000_000));
        Some((micros(validity.not_before.timestamp()), micros(validity.not_after.timestamp())))
    }

    /// When a new certificate is asked for: after two thirds of its life, so that a server may be
    /// away for the last third.
    pub(crate) fn renew_at(&self) -> Option<UtcMicros> {
        let (from, until) = self.validity()?;
        Some(from + until.since(from) * 2 / 3)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    files::read_limited(path, FILE_BYTES_MAX)
        .map_err(|source| IdentityError::Unreadable { path: path.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), IdentityError> {
    files::write_atomic(path, bytes, mode)
        .map_err(|source| IdentityError::Unwritable { path: path.to_owned(), source })
}

/// The text form of a key or a certificate (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while let Some((line, after)) = rest.split_at_checked(64) {
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_identity_comes_back_and_its_key_is_private() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(Identity::load(dir.path()), Err(IdentityError::NotEnrolled { .. })));
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["x".to_owned()]).expect("parameters");
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        let identity = Identity::new(
            7,
            "fra1".to_owned(),
            vec!["192.0.2.1:7481".to_owned()],
            certificate.clone(),
            certificate.clone(),
            key.serialize_der(),
        );
        identity.store(dir.path()).expect("stores");
        let loaded = Identity::load(dir.path()).expect("loads");
        assert_eq!((loaded.agent_id, loaded.agent_name.as_str()), (7, "fra1"));
        assert_eq!(loaded.certificate, certificate);
        assert_eq!(loaded.key(), identity.key());
        let path = dir.path().join("identity/agent.key");
        let mode = std::fs::metadata(path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (from, until) = loaded.validity().expect("reads");
        let renew_at = loaded.renew_at().expect("reads");
        assert!(from < renew_at && renew_at < until);
        // Replaced by another, which gets no further than its key.
        std::fs::create_dir(dir.path().join("identity/agent.crt.new")).expect("makes");
        assert!(identity.store(dir.path()).is_err());
        assert!(!is_enrolled(dir.path()));
    }
}
