//! Whom the agent trusts: the one authority of its server, by fingerprint first, then by itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use crate::identity::Identity;

/// Makes the configuration of an enrolled agent: mutual TLS under its own authority.
///
/// # Errors
///
/// If key, certificate and authority do not go together.
pub(crate) fn enrolled(identity: &Identity) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.authority.clone())?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![identity.certificate.clone()], identity.key())?;
    Ok(finish(config))
}

/// Makes the configuration of the first contact: the server is known by a fingerprint alone.
///
/// The second value becomes true if a server answered that does not have it.
pub(crate) fn first_contact(
    fingerprint: [u8; 32],
) -> Result<(Arc<ClientConfig>, Arc<AtomicBool>), Error> {
    let is_stranger = Arc::new(AtomicBool::new(false));
    let verifier =
        FingerprintVerifier { fingerprint, is_stranger: is_stranger.clone(), provider: provider() };
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok((finish(config), is_stranger))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn finish(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// The SHA-256 by which an authority is known in tokens.
pub(crate) fn fingerprint_of(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// Trusts a chain that
///
/// 1. contains a certificate with the expected fingerprint,
/// 2. is valid under that certificate as the only root, for the name that is asked.
#[derive(Debug)]
struct FingerprintVerifier {
    fingerprint: [u8; 32],
    is_stranger: Arc<AtomicBool>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for FingerprintVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_authority = |c: &&CertificateDer<'_>| fingerprint_of(c) == self.fingerprint;
        let Some(authority) = intermediates.iter().find(is_authority) else {
            self.is_stranger.store(true, Ordering::Relaxed);
            return Err(CertificateError::UnknownIssuer.into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone())
                .build()
                .map_err(|e| Error::General(e.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signs")
    }

    fn server(issuer: &CertifiedIssuer<'static, KeyPair>, name: &str) -> CertificateDer<'static> {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let key = KeyPair::generate().expect("a key");
        params.signed_by(&key, issuer).expect("signs").der().clone()
    }

    fn is_trusted(chain: &[CertificateDer<'_>], fingerprint: [u8; 32]) -> (bool, bool) {
        let is_stranger = Arc::new(AtomicBool::new(false));
        let verifier = FingerprintVerifier {
            fingerprint,
            is_stranger: is_stranger.clone(),
            provider: provider(),
        };
        let name = ServerName::try_from(wire::limits::SERVER_NAME).expect("a name");
        let (end_entity, rest) = chain.split_first().expect("a chain");
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
        let result = verifier.verify_server_cert(end_entity, rest, &name, &[], now);
        (result.is_ok(), is_stranger.load(Ordering::Relaxed))
    }

    #[test]
    fn only_the_chain_of_the_authority_in_the_token_is_trusted() {
        let (ours, theirs) = (authority(), authority());
        let fingerprint = fingerprint_of(ours.der());
        let good = server(&ours, wire::limits::SERVER_NAME);
        assert_eq!(is_trusted(&[good.clone(), ours.der().clone()], fingerprint), (true, false));
        // Another server, honest about its authority.
        let stranger = server(&theirs, wire::limits::SERVER_NAME);
        let chain = [stranger.clone(), theirs.der().clone()];
        assert_eq!(is_trusted(&chain, fingerprint), (false, true));
        // One that shows our authority but was not signed by it.
        assert_eq!(is_trusted(&[stranger, ours.der().clone()], fingerprint), (false, false));
        // Our authority, another name: an agent's certificate is no server's.
        let agent = server(&ours, "agent.example");
        assert_eq!(is_trusted(&[agent, ours.der().clone()], fingerprint), (false, false));
        // The authority itself was not sent.
        assert_eq!(is_trusted(&[good], fingerprint), (false, true));
    }
}
