//! Who sends a request, and whether the request's route is open to them.
//!
//! The gate stands in front of every route, before anything else of the request is read.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use axum_extra::extract::cookie::CookieJar;
use http::{Extensions, HeaderMap, Method, header::AUTHORIZATION, request::Parts};
use model::{OrgId, Role, UserId};
use store::{Scope, TokenHash, UserRow};
use subtle::ConstantTimeEq;

use super::{
    api_keys::is_held,
    permission::{self, Permission},
    problem::{ApiError, Code},
    routes::Access,
};
use crate::app::{App, Network, sessions::Proof};

pub(crate) const SESSION_COOKIE: &str = "faultline_session";
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Whoever sent a request, proven.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    org: OrgId,
    proof: Proof,
}

/// A person with the session the request came in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) user: UserRow,
    pub(crate) token_hash: TokenHash,
    pub(crate) csrf_token: String,
}

impl Caller {
    /// Returns the bounds in which the caller may do this; the only way to get them.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] naming the permission that is missing.
    pub(crate) fn authorize(&self, permission: Permission) -> Result<Scope, ApiError> {
        if self.allows(permission) {
            return Ok(Scope { org: self.org, actor: self.proof.actor() });
        }
        let name = permission.as_str();
        let role = self.proof.role();
        Err(ApiError::new(Code::Forbidden, format!("this needs `{name}`, which {role} has not")))
    }

    /// Says whether the caller may do this: its role may, and its key lists it.
    pub(crate) fn allows(&self, permission: Permission) -> bool {
        let is_listed = match &self.proof {
            Proof::Session { .. } => true,
            Proof::ApiKey(key) => is_held(key.permissions.as_deref(), permission),
        };
        is_listed && permission::allows(self.proof.role(), permission)
    }

    /// Checks that the caller may do all that `role` may: who makes a user or sets a password
    /// could sign in as them, and must gain nothing by it.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] naming a permission that is missing.
    pub(crate) fn authorize_role(&self, role: Role) -> Result<(), ApiError> {
        let mut needed = permission::permissions(role).iter();
        match needed.find(|permission| !self.allows(**permission)) {
            None => Ok(()),
            Some(missing) => {
                let name = missing.as_str();
                let detail = format!("a user who is {role} has `{name}`, which you have not");
                Err(ApiError::new(Code::Forbidden, detail))
            }
        }
    }

    /// Returns the person and the bounds for what everyone may do with their own account.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] for an API key: it has no account.
    pub(crate) fn person(&self) -> Result<(Scope, Person), ApiError> {
        let scope = Scope { org: self.org, actor: self.proof.actor() };
        match self.proof.clone() {
            Proof::Session { token_hash, csrf_token, user } => {
                Ok((scope, Person { user, token_hash, csrf_token }))
            }
            Proof::ApiKey(_) => {
                Err(ApiError::new(Code::Forbidden, "only a person who signed in can do this"))
            }
        }
    }

    /// Returns the id of the person, to keep them from locking themselves out.
    pub(crate) fn user_id(&self) -> Option<UserId> {
        match &self.proof {
            Proof::Session { user, .. } => Some(user.id),
            Proof::ApiKey(_) => None,
        }
    }
}

/// Lets a request through to its route, or answers it.
pub(crate) async fn gate(
    State((app, access)): State<(App, Access)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match admit(&app, access, &parts).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                parts.extensions.insert(caller);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    }
}

/// 1 - A public route is open to everyone, a local one to this machine if no proxy is configured.
/// 2 - Everyone else shows an API key or a session, in this order.
/// 3 - A session's request that may change something carries the session's CSRF token.
/// 4 - The caller has the route's permission, or is a person where the route is about them.
async fn admit(app: &App, access: Access, parts: &Parts) -> Result<Option<Caller>, ApiError> {
    let is_open = match access {
        Access::Public => true,
        Access::LocalOr(_) => is_local(&app.config.http.trusted_proxies, parts),
        Access::Person | Access::Needs(_) => false,
    };
    if is_open {
        return Ok(None);
    }
    let caller = authenticate(app, &parts.headers).await?;
    if let Proof::Session { csrf_token, .. } = &caller.proof
        && is_unsafe(&parts.method)
    {
        check_csrf(&parts.headers, csrf_token)?;
    }
    match access {
        Access::Needs(permission) | Access::LocalOr(permission) => {
            caller.authorize(permission)?;
        }
        Access::Public | Access::Person => {
            caller.person()?;
        }
    }
    Ok(Some(caller))
}

async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Caller, ApiError> {
    match shown(headers) {
        Shown::Key(key) => {
            let proof = match key {
                Some(key) => app.api_key_proof(key).await?,
                None => None,
            };
            caller(proof, "the API key is unknown, deleted or expired")
        }
        Shown::Session(token) => {
            caller(app.session_proof(&token).await?, "the session has ended: sign in again")
        }
        Shown::Nothing => caller(None, "sign in, or send `authorization: Bearer flk_…`"),
    }
}

/// What a request shows to prove who sent it.
enum Shown<'a> {
    /// `None` if it is not of the form that an API key has.
    Key(Option<&'a str>),
    Session(String),
    Nothing,
}

/// An API key counts before a session.
fn shown(headers: &HeaderMap) -> Shown<'_> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let key = value.to_str().ok().and_then(|text| text.split_once(' '));
        let key = key.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        return Shown::Key(key.map(|(_, key)| key.trim()));
    }
    match CookieJar::from_headers(headers).get(SESSION_COOKIE) {
        Some(cookie) => Shown::Session(cookie.value().to_owned()),
        None => Shown::Nothing,
    }
}

/// Whether headers show a proof, or for whom a proxy asks. For [`crate::fuzz`].
pub(crate) fn is_understood(headers: &HeaderMap) -> bool {
    let is_shown = matches!(shown(headers), Shown::Key(Some(_)) | Shown::Session(_));
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    is_shown || peer(&[], here, headers).is_some_and(|from| from != here)
}

fn caller(proof: Option<(OrgId, Proof)>, refused: &str) -> Result<Caller, ApiError> {
    let (org, proof) = proof.ok_or_else(|| ApiError::new(Code::NotSignedIn, refused))?;
    Ok(Caller { org, proof })
}

fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn check_csrf(headers: &HeaderMap, expected: &str) -> Result<(), ApiError> {
    let shown = headers.get(CSRF_HEADER).map(http::HeaderValue::as_bytes).unwrap_or_default();
    if bool::from(shown.ct_eq(expected.as_bytes())) {
        return Ok(());
    }
    let detail = format!("send the session's token in `{CSRF_HEADER}`; GET /api/v1/session has it");
    Err(ApiError::new(Code::BadCsrfToken, detail))
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, ApiError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| ApiError::new(Code::NotSignedIn, "this route is open to nobody"))
    }
}

/// Where a request comes from, if the listener says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl FromRequestParts<App> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Peer, Self::Rejection> {
        let proxies = &app.config.http.trusted_proxies;
        Ok(Peer(direct(&parts.extensions).and_then(|ip| peer(proxies, ip, &parts.headers))))
    }
}

/// The other end of the connection, if the listener says so.
fn direct(extensions: &Extensions) -> Option<IpAddr> {
    let ConnectInfo(address) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(address.ip().to_canonical())
}

/// Whether a request is of somebody on this machine: where a proxy is configured, nobody's is, for
/// one that adds no header would make everybody local.
fn is_local(proxies: &[Network], parts: &Parts) -> bool {
    let peer = || peer(proxies, direct(&parts.extensions)?, &parts.headers);
    proxies.is_empty() && peer().is_some_and(|ip| ip.is_loopback())
}

/// 1 - The other end of the connection.
/// 2 - If that is a trusted proxy and it says for whom it asks, whom it heard from, which is what
///     it added last; and so on, as long as that is a trusted proxy again. Without any configured,
///     this machine is one: strangers cannot connect from it, so they cannot choose.
/// 3 - What a proxy says and is no address is nobody's.
fn peer(proxies: &[Network], direct: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    let is_proxy = |ip: IpAddr| match proxies {
        [] => ip.is_loopback(),
        proxies => proxies.iter().any(|proxy| proxy.contains(ip)),
    };
    let lists = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut said = lists.flat_map(|list| list.as_bytes().rsplit(|byte| *byte == b','));
    let mut peer = direct;
    while is_proxy(peer) {
        let Some(text) = said.next() else {
            break;
        };
        peer = std::str::from_utf8(text).ok()?.trim().parse::<IpAddr>().ok()?.to_canonical();
    }
    Some(peer)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(proxies: &[&str], direct: &str, said: &[&'static str], expected: Option<&str>) {
        let networks: Vec<_> = proxies.iter().map(|text| Network::parse(text).unwrap()).collect();
        let mut headers = HeaderMap::new();
        for list in said {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(list));
        }
        let found = peer(&networks, direct.parse().unwrap(), &headers);
        assert_eq!(found, expected.map(|ip| ip.parse().unwrap()), "{proxies:?} {direct} {said:?}");
    }

    #[test]
    fn what_is_said_of_a_sender_counts_if_a_trusted_proxy_says_it() {
        check(&[], "127.0.0.1", &[], Some("127.0.0.1"));
        check(&[], "127.0.0.1", &["192.0.2.1, 198.51.100.7"], Some("198.51.100.7"));
        check(&[], "203.0.113.9", &["192.0.2.1"], Some("203.0.113.9"));
        check(&["10.0.0.0/8"], "10.0.0.1", &["192.0.2.1", "198.51.100.7"], Some("198.51.100.7"));
        check(&["10.0.0.0/8"], "10.0.0.1", &["192.0.2.1, 10.0.0.2"], Some("192.0.2.1"));
        check(&["10.0.0.0/8"], "127.0.0.1", &["192.0.2.1"], Some("127.0.0.1"));
        check(&["10.0.0.0/8"], "10.0.0.1", &["nonsense"], None);
    }

    #[test]
    fn nobody_is_local_where_a_proxy_is_configured() {
        let parts = |address: &str| {
            let address: SocketAddr = address.parse().unwrap();
            let request = Request::builder().extension(ConnectInfo(address));
            request.body(()).unwrap().into_parts().0
        };
        assert!(is_local(&[], &parts("127.0.0.1:1")));
        assert!(!is_local(&[], &parts("192.0.2.1:1")));
        let proxies = [Network::parse("127.0.0.1").unwrap()];
        assert!(!is_local(&proxies, &parts("127.0.0.1:1")));
    }
}
