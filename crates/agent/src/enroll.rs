//! Enrolment: a token becomes a key of our own and a certificate for it.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use rustls_pki_types::CertificateDer;
use tonic::{Code, Status};
use wire::{limits, v1};

use crate::{
    dial::{DialError, dial},
    files,
    identity::{self, Identity, IdentityError},
    tls,
    token::{Token, TokenError},
};

/// The server signs in milliseconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Why this agent could not be enrolled, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(
        "this agent is already enrolled as `{name}`: give `--replace` to make it another agent; \
         what it has not delivered yet is then thrown away"
    )]
    AlreadyEnrolled { name: String },
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(
        "the server does not have the fingerprint of the token. Either the token is of another \
         server, or somebody between answers in its place: do not go on before you know which. \
         `faultline doctor` on the server shows its fingerprint; the token has {expected}"
    )]
    Stranger { expected: String },
    #[error(
        "the server refused the token ({reason}): a token works once and for 10 minutes. Make a \
         new one with `faultline agent create NAME` or in the console, under Agents"
    )]
    TokenRefused { reason: String },
    #[error("the server failed to enrol ({reason}): try again, and look into the server's log")]
    ServerFailed { reason: String },
    #[error("the server's answer cannot be used: {reason}")]
    BadReply { reason: String },
    #[error("cannot make a key")]
    Key(#[from] rcgen::Error),
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("cannot remove what the former agent left in `{}`", path.display())]
    Leftovers {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Enrols this agent and stores its identity.
///
/// # Errors
///
/// [`EnrollError`]; unless it is [`EnrollError::Leftovers`] or [`EnrollError::Identity`], nothing
/// was changed here.
pub async fn enroll(
    token: &str,
    state_dir: &Path,
    is_replacing: bool,
) -> Result<Identity, EnrollError> {
    let token = Token::parse(token)?;
    if identity::is_enrolled(state_dir) && !is_replacing {
        let name = Identity::load(state_dir).map_or("?".to_owned(), |i| i.agent_name);
        return Err(EnrollError::AlreadyEnrolled { name });
    }
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let reply = ask(&token, csr(&key)?).await?;
    let identity = accept(&token, reply, &key)?;
    // The spool and the assignment belong to the agent that was.
    forget(&crate::spool::dir_of(state_dir))?;
    forget(&crate::assignment::path_of(state_dir))?;
    identity.store(state_dir)?;
    Ok(identity)
}

/// A request for a certificate. Its subject is ignored: the server knows whose token it was.
pub(crate) fn csr(key: &rcgen::KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let request = rcgen::CertificateParams::default().serialize_request(key)?;
    Ok(request.der().to_vec())
}

async fn ask(token: &Token, csr_der: Vec<u8>) -> Result<v1::EnrollReply, EnrollError> {
    let (config, is_stranger) = tls::first_contact(token.fingerprint)?;
    let (mut client, _) = dial(&token.addresses, &config).await.map_err(|error| {
        if is_stranger.load(Ordering::Relaxed) {
            let expected = files::hex(&token.fingerprint);
            EnrollError::Stranger { expected }
        } else {
            EnrollError::Dial(error)
        }
    })?;
    let mut request = tonic::Request::new(v1::EnrollRequest {
        secret: token.secret.clone(),
        csr_der,
        software_version: crate::VERSION.to_owned(),
    });
    request.set_timeout(CALL_TIMEOUT);
    let reply = client.enroll(request).await.map_err(|s| refusal(&s))?;
    Ok(reply.into_inner())
}

fn refusal(status: &Status) -> EnrollError {
    let reason = crate::limited(status.message()).to_owned();
    let is_token = matches!(
        status.code(),
        Code::Unauthenticated | Code::PermissionDenied | Code::NotFound | Code::AlreadyExists
    );
    if is_token {
        EnrollError::TokenRefused { reason }
    } else {
        EnrollError::ServerFailed { reason: format!("{:?}: {reason}", status.code()) }
    }
}

/// 1 - The authority is the one of the token. 2 - The certificate is for our key.
fn accept(
    token: &Token,
    reply: v1::EnrollReply,
    key: &rcgen::KeyPair,
) -> Result<Identity, EnrollError> {
    let bad = |reason: &str| EnrollError::BadReply { reason: reason.to_owned() };
    if limits::DER_BYTES_MAX < reply.certificate_der.len().max(reply.authority_der.len()) {
        return Err(bad("a certificate is too long"));
    }
    if tls::fingerprint_of(&reply.authority_der) != token.fingerprint {
        return Err(bad("its authority is not the one of the token"));
    }
    let identity = Identity::new(
        reply.agent_id,
        crate::limited(&reply.agent_name).to_owned(),
        token.addresses.clone(),
        CertificateDer::from(reply.certificate_der),
        CertificateDer::from(reply.authority_der),
        key.serialize_der(),
    );
    tls::enrolled(&identity).map_err(|e| bad(&e.to_string()))?;
    Ok(identity)
}

fn forget(path: &Path) -> Result<(), EnrollError> {
    let removed =
        if path.is_dir() { std::fs::remove_dir_all(path) } else { files::remove_if_there(path) };
    removed.map_err(|source| EnrollError::Leftovers { path: path.to_owned(), source })
}
