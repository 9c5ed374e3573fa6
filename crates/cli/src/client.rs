//! The API of a server, as seen by the operator's commands.

use std::{
    error::Error as StdError,
    io::{self, Write},
    iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{args::Connection, pin};

/// Longer than any answer of a healthy server takes, shorter than a person waits.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// A backup of the largest installation over a slow line. The server gives up much sooner on a
/// reader that takes nothing.
const DOWNLOAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// Any port does to see which address this host would speak from; this one takes and says nothing.
const DISCARD_PORT: u16 = 9;

/// A connection to one server with one key.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
    /// Where the key is from, for when it opens nothing.
    key_source: String,
}

impl Client {
    /// Finds the key and prepares; nothing is sent yet.
    pub(crate) fn new(connection: &Connection) -> anyhow::Result<Client> {
        let url = connection.url();
        let (key, key_source) = match &connection.api_key {
            Some(key) => (key.clone(), "--api-key or FAULTLINE_API_KEY".to_owned()),
            // The key of this host's server goes to this host only.
            None if is_this_host(&url) => {
                let key = local_key(connection.data_dir())?;
                (key, format!("the data directory `{}`", connection.data_dir().display()))
            }
            None => bail!(
                "{url} is not on this host: set FAULTLINE_API_KEY to a key of that server (its \
                 console makes them)"
            ),
        };
        let mut http = reqwest::Client::builder().timeout(REQUEST_MAX).no_proxy();
        if is_this_host(&url)
            && let Some(pinned) = pin::of_data_dir(connection.data_dir())?
        {
            http = http.tls_backend_preconfigured(pinned);
        }
        let http = http.build().context("cannot prepare an HTTP client")?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Client { http, url, key, key_source })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<T> {
        let body = ("application/json", body.to_string());
        self.call(method, path, Some(body)).await
    }

    /// Sends a document as it is.
    pub(crate) async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &'static str,
        body: String,
    ) -> anyhow::Result<T> {
        self.call(Method::POST, path, Some((content_type, body))).await
    }

    /// Gets a text as it is, with one of its headers.
    pub(crate) async fn text(
        &self,
        path: &str,
        header: &str,
    ) -> anyhow::Result<(String, Option<String>)> {
        let url = format!("{}/api/v1{path}", self.url);
        let request = self.http.get(&url).bearer_auth(&self.key);
        let response = request.send().await.map_err(|error| no_answer(&self.url, &error))?;
        let status = response.status();
        let value = response.headers().get(header).and_then(|value| value.to_str().ok());
        let value = value.map(str::to_owned);
        let text = response.text().await.context("the server's answer broke off")?;
        if !status.is_success() {
            bail!(problem(status, &text).unwrap_or_else(|| stranger(&self.url, status)));
        }
        Ok((text, value))
    }

    /// Writes what the server sends into `to`, as it comes.
    pub(crate) async fn download(&self, path: &str, to: &mut impl Write) -> anyhow::Result<()> {
        let url = format!("{}/api/v1{path}", self.url);
        let request = self.http.post(&url).bearer_auth(&self.key).timeout(DOWNLOAD_MAX);
        let response = request.send().await.map_err(|error| no_answer(&self.url, &error));
        let mut response =
            response.context("no backup (of a server that is stopped it needs --offline)")?;
        let status = response.status();
        if !status.is_success() {
            let text = response.text().await.context("the server's answer broke off")?;
            bail!(problem(status, &text).unwrap_or_else(|| stranger(&self.url, status)));
        }
        let broke_off = "the server gave up before the end; its log says why";
        while let Some(bytes) = response.chunk().await.context(broke_off)? {
            to.write_all(&bytes).context("cannot write what the server sends")?;
        }
        Ok(())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, String)>,
    ) -> anyhow::Result<T> {
        let url = format!("{}/api/v1{path}", self.url);
        let mut request = self.http.request(method, &url).bearer_auth(&self.key);
        if let Some((content_type, body)) = body {
            request = request.header("content-type", content_type).body(body);
        }
        let response = request.send().await.map_err(|error| no_answer(&self.url, &error))?;
        let status = response.status();
        let text = response.text().await.context("the server's answer broke off")?;
        if !status.is_success() {
            let sentence = problem(status, &text).unwrap_or_else(|| stranger(&self.url, status));
            if status == StatusCode::UNAUTHORIZED {
                bail!("{sentence}; the key is from {}: is it of this server?", self.key_source);
            }
            bail!(sentence);
        }
        // An empty answer (204) reads as null.
        let text = if text.is_empty() { "null" } else { &text };
        serde_json::from_str(text).map_err(|_| anyhow::anyhow!(stranger(&self.url, status)))
    }
}

/// What is said of an address where somebody else answers.
fn stranger(url: &str, status: StatusCode) -> String {
    format!(
        "{url} is not a Faultline server, or a proxy before it fails: it answered {} with what \
         is not this API; check --url (FAULTLINE_URL)",
        status.as_u16()
    )
}

/// Says why no answer came, and what to do about it.
fn no_answer(url: &str, error: &reqwest::Error) -> anyhow::Error {
    let sources = sources_of(error);
    let refused = |error: &&(dyn StdError + 'static)| {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        kind == Some(io::ErrorKind::ConnectionRefused)
    };
    let last = sources.last().map(ToString::to_string).unwrap_or_default();
    let says = |words: &str| sources.iter().any(|error| error.to_string().contains(words));
    let sentence = if sources.iter().any(refused) {
        format!(
            "nothing listens at {url}: start a server with `faultline up`, or say where it is with \
             --url (FAULTLINE_URL)"
        )
    } else if error.is_timeout() {
        format!(
            "{url} does not answer: check the address, and that no firewall between swallows it"
        )
    } else if says("dns error") {
        format!("the name in {url} cannot be resolved ({last}): check --url (FAULTLINE_URL)")
    } else {
        match sources.iter().find_map(|error| error.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidMessage(_)) => {
                format!("{url} answers without TLS: write http:// instead of https://")
            }
            Some(rustls::Error::InvalidCertificate(why)) => format!(
                "the certificate of {url} is not trusted ({why}): use the name it was made for, \
                 and let this host trust its authority"
            ),
            Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => {
                format!(
                    "{url} answers, but not with HTTP: the port of the agents (7481) is not the \
                     one of the API (7480)"
                )
            }
            Some(other) => format!("{url} answers, but TLS fails: {other}"),
            None if error.is_connect() => format!("cannot reach {url}: {last}"),
            None => format!(
                "{url} answers, but not with HTTP ({last}): if it has TLS write https://; the \
                 port of the agents (7481) is not the one of the API (7480)"
            ),
        }
    };
    anyhow::anyhow!(sentence)
}

/// Everything that an error came from.
fn sources_of<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    iter::successors(below(error), |error| below(*error)).collect()
}

/// The next cause; an I/O error hides the one that it wraps.
fn below<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// Turns problem details (RFC 9457) into one sentence; `None` if the text is none.
fn problem(status: StatusCode, text: &str) -> Option<String> {
    let body = serde_json::from_str::<Value>(text).ok()?;
    let field = |name: &str| body.get(name).and_then(Value::as_str);
    let title = field("title")?;
    let errors = body.get("errors").and_then(Value::as_array);
    let refused: Vec<String> = errors.into_iter().flatten().map(refused_field).collect();
    // What the server says of the whole speaks of its API; the fields say it all.
    let mut sentence = match refused.as_slice() {
        [] => field("detail").unwrap_or(title).to_owned(),
        refused => refused.join("; "),
    };
    if status.is_server_error() {
        sentence += "; the log of the server says more";
    }
    Some(sentence)
}

/// A field that the server does not take, by the name that it has on the command line.
fn refused_field(error: &Value) -> String {
    let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or("?");
    let name = match part("field") {
        "name" => "NAME",
        "address" => "ADDRESS",
        "tier" | "tier_id" => "--tier",
        "tags" => "--tag",
        "q" => "--query",
        "verdict" => "--verdict",
        "force" => "--force",
        "code" => "CODE",
        "owner" => "USER",
        other => other,
    };
    // What is no field's fault stands for itself.
    if name.is_empty() { part("reason").to_owned() } else { format!("{name}: {}", part("reason")) }
}

impl Connection {
    /// Whether the commands speak to this host's own server, as its owner.
    pub(crate) fn is_local(&self) -> bool {
        self.api_key.is_none() && is_this_host(&self.url())
    }
}

/// Whether a URL names this host, by loopback or an address of its own, so that nobody on a network
/// can read along.
fn is_this_host(url: &str) -> bool {
    let parsed = reqwest::Url::parse(url).ok();
    parsed.as_ref().and_then(reqwest::Url::host_str).is_some_and(|host| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || bare.parse::<IpAddr>().is_ok_and(is_own_address)
    })
}

/// Whether this host would speak to the address from that same address; nothing is sent. That it
/// can be bound says less: with `ip_nonlocal_bind`, as VRRP wants it, each can.
fn is_own_address(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((ip, DISCARD_PORT))?;
        socket.local_addr()
    };
    ip.is_loopback() || ip.is_unspecified() || source().is_ok_and(|from| from.ip() == ip)
}

/// Reads the key that a server keeps for commands on its own host.
pub(crate) fn local_key(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("keys").join("local-api.key");
    match std::fs::read_to_string(&path) {
        Ok(key) => Ok(key.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "no API key: `{}` does not exist. Give --data-dir the data directory of the server on \
             this host (`faultline up` starts one), or set FAULTLINE_API_KEY",
            path.display()
        ),
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot read the API key `{}`: run this as the user of the server, or set \
                 FAULTLINE_API_KEY",
                path.display()
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_key_stays_on_this_host() {
        let here = ["http://127.0.0.1:7480", "http://[::1]:7480", "https://localhost"];
        let elsewhere = ["http://192.0.2.1:7480", "http://localhost.example", "nonsense"];
        assert!(here.into_iter().all(is_this_host));
        assert!(!elsewhere.into_iter().any(is_this_host));
    }

    #[test]
    fn a_problem_names_field_and_reason_once_and_as_they_are_typed() {
        let text = r#"{"title":"Invalid","detail":"the fields in `errors` cannot be accepted",
            "errors":[{"field":"address","reason":"empty"},{"field":"tier_id","reason":"none"}]}"#;
        let told = problem(StatusCode::UNPROCESSABLE_ENTITY, text);
        assert_eq!(told.as_deref(), Some("ADDRESS: empty; --tier: none"));
        let text = r#"{"title":"Conflict","errors":[{"field":"","reason":"ann closed it"}]}"#;
        assert_eq!(problem(StatusCode::CONFLICT, text).as_deref(), Some("ann closed it"));
        let text = r#"{"title":"Conflict","detail":"the name is taken"}"#;
        assert_eq!(problem(StatusCode::CONFLICT, text).as_deref(), Some("the name is taken"));
        assert_eq!(problem(StatusCode::BAD_GATEWAY, "<html>"), None);
        assert_eq!(problem(StatusCode::NOT_FOUND, r#"{"error":"no such page"}"#), None);
    }
}
