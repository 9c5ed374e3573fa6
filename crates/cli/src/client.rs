//! The API of a server, as seen by the operator's commands.

use std::{io, net::IpAddr, path::Path, time::Duration};

use anyhow::{Context, bail};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::Connection;

/// Longer than any answer of a healthy server takes, shorter than a person waits.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// A connection to one server with one key.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Client {
    /// Finds the key and prepares; nothing is sent yet.
    pub(crate) fn new(connection: &Connection) -> anyhow::Result<Client> {
        let key = match &connection.api_key {
            Some(key) => key.clone(),
            // The key of this host's server goes to this host only.
            None if is_this_host(&connection.url) => local_key(&connection.data_dir)?,
            None => bail!(
                "{} is not on this host: set FAULTLINE_API_KEY (the console makes keys)",
                connection.url
            ),
        };
        let http = reqwest::Client::builder()
            .timeout(REQUEST_MAX)
            .no_proxy()
            .build()
            .context("cannot prepare an HTTP client")?;
        let url = connection.url.trim_end_matches('/').to_owned();
        Ok(Client { http, url, key })
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
        let response = request.send().await.with_context(|| {
            format!("no server answers at {}: is it running? (`faultline up` starts one)", self.url)
        })?;
        let status = response.status();
        let text = response.text().await.context("the server's answer broke off")?;
        if !status.is_success() {
            bail!(problem(status, &text));
        }
        // An empty answer (204) reads as null.
        let text = if text.is_empty() { "null" } else { &text };
        serde_json::from_str(text)
            .with_context(|| format!("{url} answered with something that is not this API"))
    }
}

/// Turns problem details (RFC 9457) into one sentence.
fn problem(status: StatusCode, text: &str) -> String {
    let Ok(body) = serde_json::from_str::<Value>(text) else {
        return format!("the server answered {status}");
    };
    let field = |name: &str| body.get(name).and_then(Value::as_str);
    let mut sentence = field("detail").or_else(|| field("title")).unwrap_or("refused").to_owned();
    for error in body.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
        sentence += &format!("; {}: {}", part("field"), part("reason"));
    }
    sentence
}

impl Connection {
    /// Whether the commands speak to this host's own server, as its owner.
    pub(crate) fn is_local(&self) -> bool {
        self.api_key.is_none() && is_this_host(&self.url)
    }
}

/// Whether a URL names this host by loopback, so that nobody on a network can read along.
fn is_this_host(url: &str) -> bool {
    let parsed = reqwest::Url::parse(url).ok();
    parsed.as_ref().and_then(reqwest::Url::host_str).is_some_and(|host| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// Reads the key that a server keeps for commands on its own host.
pub(crate) fn local_key(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("keys").join("local-api.key");
    match std::fs::read_to_string(&path) {
        Ok(key) => Ok(key.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "no API key: set FAULTLINE_API_KEY, or give --data-dir the server's data directory \
             (`{}` does not exist)",
            path.display()
        ),
        Err(error) => {
            Err(error).with_context(|| format!("cannot read the API key `{}`", path.display()))
        }
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
    fn a_problem_names_field_and_reason() {
        let text = r#"{"title":"Invalid","detail":"the target was not created",
            "errors":[{"field":"address","reason":"empty"}]}"#;
        assert_eq!(
            problem(StatusCode::UNPROCESSABLE_ENTITY, text),
            "the target was not created; address: empty"
        );
        assert_eq!(
            problem(StatusCode::BAD_GATEWAY, "<html>"),
            "the server answered 502 Bad Gateway"
        );
    }
}
