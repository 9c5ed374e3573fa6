//! What would be a collector of an installation: it tells the server what devices report.

use std::time::Duration;

use agent::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::interval;

use super::{SharedIsp, lock};
use crate::client::Client;

const INTERVAL: Duration = Duration::from_secs(1);
/// Reports of one request, below what the server takes at once.
const REPORTS_PER_REQUEST: usize = 500;

/// Tells for as long as it runs. What is not taken is not told again: devices say it once.
pub(super) async fn run(isp: SharedIsp, clock: Clock, client: Client) -> anyhow::Result<()> {
    let mut due = interval(INTERVAL);
    loop {
        due.tick().await;
        let reports = {
            let mut isp = lock(&isp);
            isp.advance(clock.tick());
            isp.take_reports()
        };
        for some in reports.chunks(REPORTS_PER_REQUEST) {
            let facts = some.iter().map(|report| {
                json!({
                    "element": report.element,
                    "kind": report.kind.as_str(),
                    "end": report.end,
                    "source": "collector",
                })
            });
            let body = json!({ "facts": facts.collect::<Vec<Value>>() });
            let taken: anyhow::Result<Value> = client.send(Method::POST, "/facts", &body).await;
            if let Err(error) = taken {
                tracing::warn!(error = format!("{error:#}"), "the server took no reports");
            }
        }
    }
}
