//! Whether the messages that people wait for arrive.

use std::time::Duration;

use model::UtcMicros;
use store::DeliveryState;

use super::{super::webhooks::Webhook, Check};

/// A receiver that restarts is back by then: the first tries come within it.
const MESSAGES_WAIT_MAX: Duration = Duration::from_secs(10 * 60);
/// What was given up this long ago is history: the webhook's page has it.
const MESSAGES_LOOKBACK: Duration = Duration::from_secs(24 * 3600);

/// 1 - A message was given up within a day, so that the next shift hears of it too.
/// 2 - A message waits for longer than a receiver takes to start again.
/// 3 - An address cannot be read, and nothing can be sent there.
pub(super) fn check(now: UtcMicros, webhooks: &[Webhook]) -> Check {
    let active: Vec<&Webhook> = webhooks.iter().filter(|webhook| webhook.row.is_active).collect();
    let told: Vec<String> = webhooks
        .iter()
        .flat_map(|webhook| {
            let name = &webhook.row.name;
            let count = |state| webhook.counts.iter().find(|count| count.state == state);
            let dead = count(DeliveryState::Dead)
                .filter(|count| now.since(count.at) < MESSAGES_LOOKBACK)
                .map(|count| format!("{} to `{name}` were given up", count.count));
            let due = count(DeliveryState::Due)
                .map(|count| (count.count, now.since(count.since)))
                .filter(|(_, age)| MESSAGES_WAIT_MAX < *age)
                .map(|(count, age)| {
                    format!("{count} to `{name}` wait, for {} min", age.as_secs() / 60)
                });
            let lost = (webhook.row.is_active && webhook.url.is_none())
                .then(|| format!("the address of `{name}` cannot be read"));
            [dead, due, lost].into_iter().flatten()
        })
        .collect();
    let remedy = "see the reason on the webhook's page, mend the receiver, then send again what \
                  was given up (docs/runbooks/messages-not-delivered.md)";
    match (told.as_slice(), active.len()) {
        ([], 0) => Check::new("messages", "no webhook is told anything".to_owned(), None),
        ([], count) => {
            let detail = format!("nothing waits for long or was given up; webhooks: {count}");
            Check::new("messages", detail, None)
        }
        (told, _) => Check::new("messages", told.join("; "), Some(remedy)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_were_given_up_or_wait_for_long_are_a_trouble() {
        let now = UtcMicros(0) + Duration::from_secs(7 * 24 * 3600);
        let ago = |seconds| now - Duration::from_secs(seconds);
        let row = |name: &str| store::WebhookRow {
            id: model::WebhookId(1),
            name: model::Name::parse(name).expect("a name"),
            host: String::new(),
            sealed: Vec::new(),
            is_active: true,
            created_at: now,
            updated_at: now,
        };
        let count = |state, since_s, at_s| store::DeliveryCount {
            webhook: model::WebhookId(1),
            state,
            count: 3,
            at: ago(at_s),
            since: ago(since_s),
        };
        let tell = |url: Option<&str>, counts| {
            let url = url.map(str::to_owned);
            let told = check(now, &[Webhook { row: row("noc"), url, counts }]);
            (told.detail, told.remedy.is_some())
        };
        let (at, waiting) = (Some("https://noc.example"), DeliveryState::Due);
        let well = "nothing waits for long or was given up; webhooks: 1".to_owned();
        assert_eq!(tell(at, vec![count(waiting, 600, 1)]), (well.clone(), false));
        assert_eq!(
            tell(at, vec![count(waiting, 660, 1)]),
            ("3 to `noc` wait, for 11 min".to_owned(), true)
        );
        let dead = |at_s| vec![count(DeliveryState::Dead, 200_000, at_s)];
        assert_eq!(tell(at, dead(60)), ("3 to `noc` were given up".to_owned(), true));
        assert_eq!(tell(at, dead(24 * 3600)), (well, false));
        let lost = "the address of `noc` cannot be read".to_owned();
        assert_eq!(tell(None, Vec::new()), (lost, true));
        assert!(check(now, &[]).remedy.is_none());
    }
}
