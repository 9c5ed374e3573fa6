//! One try to deliver one message.

use std::time::Duration;

use model::UtcMicros;
use reqwest::{
    Client, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect::Policy,
};

use super::Endpoint;
use crate::config::Address;

/// From the first packet to the last byte of the answer: a receiver takes a message and works on
/// it afterwards.
const TRY_TIME_MAX: Duration = Duration::from_secs(10);
/// Of an answer, to tell people why a message was refused.
const ANSWER_BYTES_MAX: usize = 200;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// What became of a try.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    pub(super) took: Duration,
    pub(super) status: Option<u16>,
    /// Why it is no delivery.
    pub(super) reason: Option<String>,
    /// How long the receiver asks to be left alone.
    pub(super) wait: Option<Duration>,
}

impl Done {
    pub(super) fn failed(reason: String) -> Done {
        Done { reason: Some(reason), ..Done::default() }
    }
}

/// Sends messages. A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    client: Client,
}

impl Sender {
    /// # Errors
    ///
    /// If this machine's certificates cannot be used.
    pub(crate) fn new() -> Result<Sender, reqwest::Error> {
        let client = Client::builder()
            .user_agent(concat!("Faultline/", env!("CARGO_PKG_VERSION")))
            .timeout(TRY_TIME_MAX)
            // Where messages go is what was entered, and nothing that an answer names.
            .redirect(Policy::none())
            .build()?;
        Ok(Sender { client })
    }

    /// Sends a message, signed at `at`, and waits for the answer.
    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        id: &str,
        body: &str,
        at: UtcMicros,
    ) -> Done {
        let seconds = at.0 / MICROS_PER_SECOND;
        let Some(signature) = endpoint.key.sign(id, seconds, body) else {
            return Done::failed("the message could not be signed".to_owned());
        };
        let request = self
            .client
            .post(endpoint.address.url().clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature)
            .body(body.to_owned());
        match request.send().await {
            Ok(answer) => of_answer(answer).await,
            Err(error) => Done::failed(of_error(error)),
        }
    }

    /// Asks for an address and takes any answer that is no error; the reason if there is none.
    pub(crate) async fn ping(&self, url: &Address) -> Option<String> {
        match self.client.get(url.url().clone()).send().await {
            Ok(answer) => of_answer(answer).await.reason,
            Err(error) => Some(of_error(error)),
        }
    }
}

async fn of_answer(mut answer: reqwest::Response) -> Done {
    let status = answer.status();
    let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let mut done = Done { status: Some(status.as_u16()), wait, ..Done::default() };
    if status.is_success() {
        return done;
    }
    let mut text = Vec::new();
    // Whatever comes of it says why; an answer that breaks off was a refusal as well.
    while text.len() < ANSWER_BYTES_MAX
        && let Ok(Some(part)) = answer.chunk().await
    {
        text.extend_from_slice(&part);
    }
    done.reason = Some(refusal(status, &text));
    done
}

/// Says what a receiver answered, in one line.
fn refusal(status: StatusCode, text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let line: String = line.chars().take(ANSWER_BYTES_MAX).collect();
    let code = status.as_u16();
    if status.is_redirection() {
        return format!("the receiver answered {code}, a redirect: enter the address it leads to");
    }
    if line.is_empty() {
        format!("the receiver answered {code}")
    } else {
        format!("the receiver answered {code}: {line}")
    }
}

/// Says why there is no answer, without the address: its path may be a secret.
fn of_error(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TRY_TIME_MAX.as_secs());
    }
    crate::chain(&error.without_url())
}
