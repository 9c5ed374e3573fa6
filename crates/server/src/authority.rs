//! The server's own certificate authority: it signs the server for its agents and each agent.
//!
//! Made on the first start; its key rests sealed. Agents trust nothing but this authority, by its
//! fingerprint in their enrolment token, and verify one fixed server name whatever address they
//! dial. The server's own certificate lives in memory only and is made anew at every start and by
//! a task before it ends. What a signing request says of its subject is ignored: who an agent is
//! is decided here. Revocation is not here: the store knows which serials are revoked.

use std::{fmt, fmt::Write as _, fs, io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use model::{AgentId, OrgId, UtcMicros};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ED25519, SanType, SerialNumber,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use sha2::{Digest as _, Sha256};
use wire::limits::SERVER_NAME;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::secrets::{Secrets, SecretsError, random, write_secret_file};

/// How long an agent's certificate is valid. It renews itself long before.
pub const AGENT_VALID_FOR: Duration = Duration::from_secs(30 * DAY_S);
/// How long the server's certificate is valid.
pub const SERVER_VALID_FOR: Duration = Duration::from_secs(90 * DAY_S);
/// The server's certificate is made anew when less than this is left.
pub const SERVER_RENEW_BEFORE: Duration = Duration::from_secs(30 * DAY_S);
/// A request for a P-256 key has about 250 bytes.
pub const CSR_BYTES_MAX: usize = 4 * 1024;

const DAY_S: u64 = 86_400;
/// The authority outlives the installation; replacing it means enrolling every agent again.
const AUTHORITY_VALID_FOR: Duration = Duration::from_secs(20 * 365 * DAY_S);
/// Certificates start this long ago, so that an agent whose clock is behind takes them.
const BACKDATED: Duration = Duration::from_secs(3600);
const SERIAL_BYTES: usize = 16;
const KEY_CONTEXT: &str = "authority key";
const IDENTITY_PREFIX: &str = "faultline://org/";
const IDENTITY_MIDDLE: &str = "/agent/";

/// Why the authority cannot be used or does not sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot use `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error(
        "of the authority only `{}` is there: restore the other file, or remove this one to make \
         a new authority and enrol every agent again", present.display()
    )]
    Half { present: PathBuf },
    #[error("`{}` is no certificate of this authority's key", path.display())]
    Damaged { path: PathBuf },
    #[error("the signing request is refused: {reason}")]
    Request { reason: String },
    #[error("cannot sign: {reason}")]
    Sign { reason: String },
    #[error("the certificate does not say which agent it is for")]
    Identity,
}

/// A certificate that this authority signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCertificate {
    pub der: Vec<u8>,
    /// Lower-case hexadecimal, 32 digits.
    pub serial: String,
    pub not_before: UtcMicros,
    pub not_after: UtcMicros,
}

/// Who a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentIdentity {
    pub org: OrgId,
    pub agent: AgentId,
    pub serial: String,
    pub not_after: UtcMicros,
}

/// The certificate authority.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint()).finish()
    }
}

impl Authority {
    /// Reads the authority from `dir`, or makes it there on the first start.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`] with its remedy; a half-present authority is never replaced.
    pub fn load(
        dir: &Path,
        secrets: &Secrets,
        now: UtcMicros,
    ) -> Result<Authority, AuthorityError> {
        let certificate_path = dir.join("authority.crt");
        let key_path = dir.join("authority.key.sealed");
        match (read(&certificate_path)?, read(&key_path)?) {
            (Some(pem), Some(sealed)) => {
                let key = secrets.open(KEY_CONTEXT, &sealed)?;
                Authority::parse(&pem, &key)
                    .ok_or(AuthorityError::Damaged { path: certificate_path })
            }
            (None, None) => Authority::make(&certificate_path, &key_path, secrets, now),
            (Some(_), None) => Err(AuthorityError::Half { present: certificate_path }),
            (None, Some(_)) => Err(AuthorityError::Half { present: key_path }),
        }
    }

    /// Says whether a sealed key opens and is the one of its certificate.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Secrets`] or [`AuthorityError::Damaged`].
    pub(crate) fn check(
        pem: &[u8],
        sealed: &[u8],
        secrets: &Secrets,
        path: &Path,
    ) -> Result<(), AuthorityError> {
        let key = secrets.open(KEY_CONTEXT, sealed)?;
        let damaged = || AuthorityError::Damaged { path: path.to_owned() };
        Authority::parse(pem, &key).map(drop).ok_or_else(damaged)
    }

    fn parse(pem: &[u8], key: &[u8]) -> Option<Authority> {
        use rustls_pki_types::pem::PemObject as _;
        let certificate = CertificateDer::from_pem_slice(pem).ok()?;
        let key = KeyPair::try_from(key).ok()?;
        let (_, parsed) = X509Certificate::from_der(&certificate).ok()?;
        let is_its_key = *parsed.public_key().subject_public_key.data == *key.public_key_raw();
        if !is_its_key || !parsed.is_ca() {
            return None;
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).ok()?;
        Some(Authority { certificate, issuer })
    }

    fn make(
        certificate_path: &Path,
        key_path: &Path,
        secrets: &Secrets,
        now: UtcMicros,
    ) -> Result<Authority, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(sign_error)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Faultline authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(SerialNumber::from_slice(&serial()?));
        set_validity(&mut params, now - BACKDATED, now + AUTHORITY_VALID_FOR);
        let signed = params.self_signed(&key).map_err(sign_error)?;
        let sealed = secrets.seal(KEY_CONTEXT, key.serialized_der())?;
        write_secret_file(key_path, &sealed)?;
        write_secret_file(certificate_path, signed.pem().as_bytes())?;
        let certificate = signed.der().clone();
        Ok(Authority { certificate, issuer: Issuer::new(params, key) })
    }

    /// SHA-256 of the authority's certificate (DER), lower-case hexadecimal: what tokens carry.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.certificate))
    }

    /// The authority's certificate.
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Checks a signing request without signing anything.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Request`] if the request is not signed by its own key (P-256 or Ed25519).
    pub fn check_request(&self, csr_der: &[u8]) -> Result<(), AuthorityError> {
        parse_request(csr_der).map(drop)
    }

    /// Signs the key of a request for one agent.
    ///
    /// # Errors
    ///
    /// As [`Authority::check_request`].
    pub fn sign_agent(
        &self,
        csr_der: &[u8],
        org: OrgId,
        agent: AgentId,
        now: UtcMicros,
    ) -> Result<SignedCertificate, AuthorityError> {
        let key = parse_request(csr_der)?;
        let identity = format!("{IDENTITY_PREFIX}{org}{IDENTITY_MIDDLE}{agent}");
        let serial = serial()?;
        let not_before = now - BACKDATED;
        let not_after = now + AGENT_VALID_FOR;
        let mut params = leaf(&serial, not_before, not_after);
        params.distinguished_name.push(DnType::CommonName, format!("agent {agent}"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(identity.try_into().map_err(sign_error)?)];
        let signed = params.signed_by(&key, &self.issuer).map_err(sign_error)?;
        Ok(SignedCertificate {
            der: signed.der().to_vec(),
            serial: hex(&serial),
            not_before,
            not_after,
        })
    }

    /// Makes a key and certificate for the server itself; the chain ends with the authority.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Sign`].
    pub fn sign_server(&self, now: UtcMicros) -> Result<CertifiedKey, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(sign_error)?;
        let mut params = leaf(&serial()?, now - BACKDATED, now + SERVER_VALID_FOR);
        params.distinguished_name.push(DnType::CommonName, SERVER_NAME);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in [SERVER_NAME, "localhost"] {
            let name = name.try_into().map_err(sign_error)?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let signed = params.signed_by(&key, &self.issuer).map_err(sign_error)?;
        let chain = vec![signed.der().clone(), self.certificate.clone()];
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = rustls::crypto::ring::sign::any_supported_type(&private)
            .map_err(|error| AuthorityError::Sign { reason: error.to_string() })?;
        Ok(CertifiedKey::new(chain, signer))
    }
}

/// What anyone may know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 of it, in hexadecimal digits; the authority's is in every enrolment token.
    pub fingerprint: String,
    pub not_after: UtcMicros,
}

impl CertificateFacts {
    /// Reads the first certificate of a PEM file; `None` if there is none.
    pub fn of(pem: &[u8]) -> Option<CertificateFacts> {
        use rustls_pki_types::pem::PemObject as _;
        let der = CertificateDer::from_pem_slice(pem).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let seconds = certificate.validity().not_after.timestamp();
        Some(CertificateFacts {
            fingerprint: hex(&Sha256::digest(&der)),
            not_after: UtcMicros(seconds.saturating_mul(1_000_000)),
        })
    }
}

/// SHA-256 of the secret's text in an enrolment token: what the store keeps instead.
pub fn token_hash(secret_text: &str) -> [u8; 32] {
    Sha256::digest(secret_text).into()
}

/// Reads from a verified certificate which agent it is for. Only the URI in the SAN counts.
///
/// # Errors
///
/// [`AuthorityError::Identity`].
pub fn identity_of(certificate_der: &[u8]) -> Result<AgentIdentity, AuthorityError> {
    let read = || {
        let (_, certificate) = X509Certificate::from_der(certificate_der).ok()?;
        let names = &certificate.subject_alternative_name().ok()??.value.general_names;
        let [GeneralName::URI(uri)] = names[..] else {
            return None;
        };
        let (org, agent) = uri.strip_prefix(IDENTITY_PREFIX)?.split_once(IDENTITY_MIDDLE)?;
        let seconds = certificate.validity().not_after.timestamp();
        Some(AgentIdentity {
            org: org.parse().ok()?,
            agent: agent.parse().ok()?,
            serial: hex(certificate.raw_serial()),
            not_after: UtcMicros(seconds.saturating_mul(1_000_000)),
        })
    };
    read().ok_or(AuthorityError::Identity)
}

/// The server's present certificate, exchangeable while connections go on.
#[derive(Debug)]
pub(crate) struct ServerCertificate {
    present: std::sync::RwLock<Arc<CertifiedKey>>,
}

impl ServerCertificate {
    pub(crate) fn new(certified: CertifiedKey) -> ServerCertificate {
        ServerCertificate { present: std::sync::RwLock::new(Arc::new(certified)) }
    }

    pub(crate) fn replace(&self, certified: CertifiedKey) {
        *self.present.write().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Arc::new(certified);
    }

    /// When the present one ends.
    pub(crate) fn not_after(&self) -> Option<UtcMicros> {
        let present = self.present();
        let (_, certificate) = X509Certificate::from_der(present.cert.first()?).ok()?;
        Some(UtcMicros(certificate.validity().not_after.timestamp().saturating_mul(1_000_000)))
    }

    fn present(&self) -> Arc<CertifiedKey> {
        self.present.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl rustls::server::ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.present())
    }
}

pub(crate) fn parse_request(csr_der: &[u8]) -> Result<rcgen::PublicKey, AuthorityError> {
    let refuse = |reason: &str| AuthorityError::Request { reason: reason.to_owned() };
    if CSR_BYTES_MAX < csr_der.len() {
        return Err(refuse("it is larger than 4096 bytes"));
    }
    let request = CertificateSigningRequestDer::from(csr_der);
    let request = CertificateSigningRequestParams::from_der(&request)
        .map_err(|error| refuse(&error.to_string()))?;
    let algorithm = request.public_key.algorithm();
    if algorithm != &PKCS_ECDSA_P256_SHA256 && algorithm != &PKCS_ED25519 {
        return Err(refuse("its key is neither P-256 nor Ed25519"));
    }
    Ok(request.public_key)
}

fn leaf(serial: &[u8], not_before: UtcMicros, not_after: UtcMicros) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(serial));
    set_validity(&mut params, not_before, not_after);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

/// 126 random bits: the first byte is neither zero nor negative, so that the text has 32 digits.
fn serial() -> Result<[u8; SERIAL_BYTES], SecretsError> {
    let mut serial = random::<SERIAL_BYTES>()?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}

fn set_validity(params: &mut CertificateParams, from: UtcMicros, to: UtcMicros) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + from.since(UtcMicros(0));
    params.not_after = epoch + to.since(UtcMicros(0));
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or(());
        text
    })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, AuthorityError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AuthorityError::File { path: path.to_owned(), source }),
    }
}

fn sign_error(error: rcgen::Error) -> AuthorityError {
    AuthorityError::Sign { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::MasterKey;

    const NOW: UtcMicros = UtcMicros(1_795_240_473_000_000);

    fn secrets(byte: &str) -> Secrets {
        Secrets::new(&MasterKey::parse(&format!("{}=", byte.repeat(43)), "test").unwrap())
    }

    fn request(params: CertificateParams) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        params.serialize_request(&key).unwrap().der().to_vec()
    }

    #[test]
    fn an_agents_certificate_says_what_the_server_decided_and_nothing_that_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::load(dir.path(), &secrets("A"), NOW).unwrap();
        let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = authority.sign_agent(&request(params), OrgId(3), AgentId(7), NOW).unwrap();
        let identity = identity_of(&signed.der).unwrap();
        let expected = AgentIdentity {
            org: OrgId(3),
            agent: AgentId(7),
            serial: signed.serial.clone(),
            not_after: NOW + AGENT_VALID_FOR,
        };
        assert_eq!(identity, expected);
        assert_eq!(signed.serial.len(), 32);
        let (_, parsed) = X509Certificate::from_der(&signed.der).unwrap();
        assert!(!parsed.is_ca());
        let (_, ca) = X509Certificate::from_der(authority.certificate_der()).unwrap();
        parsed.verify_signature(Some(ca.public_key())).unwrap();
    }

    #[test]
    fn a_request_with_another_keys_signature_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::load(dir.path(), &secrets("A"), NOW).unwrap();
        let good = request(CertificateParams::default());
        let sign = |der: &[u8]| authority.sign_agent(der, OrgId(1), AgentId(1), NOW);
        assert!(sign(&good).is_ok());
        let mut bent = good.clone();
        let last = bent.len() - 1;
        bent[last] ^= 1;
        for bad in [bent, good[1..].to_vec(), Vec::new(), vec![0; CSR_BYTES_MAX + 1]] {
            assert!(matches!(sign(&bad), Err(AuthorityError::Request { .. })));
        }
    }

    #[test]
    fn the_authority_is_made_once_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::load(dir.path(), &secrets("A"), NOW).unwrap();
        let again = Authority::load(dir.path(), &secrets("A"), NOW).unwrap();
        assert_eq!(first.fingerprint(), again.fingerprint());
        let other_key = Authority::load(dir.path(), &secrets("E"), NOW).unwrap_err().to_string();
        assert!(other_key.contains("keys/master.key"), "{other_key}");
        fs::remove_file(dir.path().join("authority.crt")).unwrap();
        let half = Authority::load(dir.path(), &secrets("A"), NOW).unwrap_err();
        assert!(matches!(half, AuthorityError::Half { .. }));
    }

    #[test]
    fn the_servers_certificate_is_exchanged_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::load(dir.path(), &secrets("A"), NOW).unwrap();
        let certificate = ServerCertificate::new(authority.sign_server(NOW).unwrap());
        assert_eq!(certificate.not_after(), Some(NOW + SERVER_VALID_FOR));
        let later = NOW + SERVER_RENEW_BEFORE;
        certificate.replace(authority.sign_server(later).unwrap());
        assert_eq!(certificate.not_after(), Some(later + SERVER_VALID_FOR));
        assert_eq!(certificate.present().cert.len(), 2);
    }
}
