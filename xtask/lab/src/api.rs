//! The server's HTTP API, as far as drills look at it.
//!
//! Speaks plain HTTP/1.0 to a server in the same namespace, one connection per request.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;

/// Longer than any answer of a healthy server takes.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A list of 30 targets is some 20 KB.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

pub(crate) struct Api {
    /// host:port.
    address: String,
    key: String,
}

/// What a target looks like at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: u64,
    pub(crate) verdict: String,
    pub(crate) cause: String,
}

/// What one agent says of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) agent: String,
    pub(crate) verdict: String,
    pub(crate) cause: String,
    pub(crate) why: String,
}

/// A field as text; what is absent is empty.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

pub(crate) fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// The entries of a list, whether bare or in a page.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.get("items").unwrap_or(value).as_array().map_or(&[], Vec::as_slice)
}

impl Api {
    pub(crate) fn new(url: &str, key: &str) -> Api {
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Api { address, key: key.trim().to_owned() }
    }

    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call("GET", path, "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call("POST", path, &body.to_string())
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call("PATCH", path, &body.to_string())
    }

    /// What `/readyz` says, its status first.
    pub(crate) fn readyz(&self) -> anyhow::Result<String> {
        let (status, body) = self.exchange("GET", "/readyz", "")?;
        Ok(format!("{status} {body}"))
    }

    fn call(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let (status, body) = self.exchange(method, &format!("/api/v1{path}"), body)?;
        if !status.starts_with('2') {
            bail!("{method} {path}: {status} {body}");
        }
        let body = if body.is_empty() { "null" } else { &body };
        serde_json::from_str(body).with_context(|| format!("{method} {path}"))
    }

    /// Returns status and body of an answer.
    fn exchange(&self, method: &str, path: &str, body: &str) -> anyhow::Result<(String, String)> {
        let context = || format!("{method} {path}");
        let mut stream = TcpStream::connect(&self.address).with_context(context)?;
        stream.set_read_timeout(Some(ANSWER_MAX)).with_context(context)?;
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        )
        .with_context(context)?;
        let mut answer = String::new();
        let mut stream = stream.take(ANSWER_BYTES_MAX);
        stream.read_to_string(&mut answer).with_context(context)?;
        let (head, body) = answer.split_once("\r\n\r\n").with_context(context)?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        Ok((status.to_owned(), body.to_owned()))
    }

    /// Every target by name.
    pub(crate) fn targets(&self) -> anyhow::Result<BTreeMap<String, Seen>> {
        let list = self.get("/targets?limit=500")?;
        let seen = |item: &Value| {
            let seen = Seen {
                id: number(item, "/id"),
                verdict: text(item, "/verdict"),
                cause: text(item, "/cause"),
            };
            (text(item, "/name"), seen)
        };
        Ok(items(&list).iter().map(seen).collect())
    }

    /// What each agent says of a target.
    pub(crate) fn pairs(&self, target: u64) -> anyhow::Result<Vec<Pair>> {
        let status = self.get(&format!("/targets/{target}/status"))?;
        let list = status.get("agents").and_then(Value::as_array);
        let pair = |item: &Value| Pair {
            agent: text(item, "/agent/name"),
            verdict: text(item, "/verdict"),
            cause: text(item, "/cause"),
            why: text(item, "/why"),
        };
        Ok(list.into_iter().flatten().map(pair).collect())
    }

    /// Every change of a target, of its consensus and of its pairs, as (agent or "", from, to).
    pub(crate) fn changes(&self, target: u64) -> anyhow::Result<Vec<(String, String, String)>> {
        let list = self.get(&format!("/targets/{target}/changes?limit=500"))?;
        let change =
            |item: &Value| (text(item, "/agent/name"), text(item, "/from"), text(item, "/to"));
        Ok(items(&list).iter().map(change).collect())
    }

    /// An agent by name.
    pub(crate) fn agent(&self, name: &str) -> anyhow::Result<Value> {
        let list = self.get("/agents")?;
        let found = items(&list).iter().find(|agent| text(agent, "/name") == name);
        found.cloned().with_context(|| format!("no agent `{name}`"))
    }
}
