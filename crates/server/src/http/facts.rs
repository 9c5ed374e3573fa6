//! Facts: what devices, and whoever asks them, report.
//!
//! A body is one fact, or `{"facts": […]}` of many. Each bad one is named, and then none is taken.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State},
};
use http::HeaderMap;
use model::{FactKind, Name, UtcMicros};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{FactQuery, FactsTaken, NewFact};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::ObjectBuilder, schema::Type},
};

use super::{
    caller::Caller,
    extract::{BODY_TIME_MAX, Json, Query, in_time, media_type, named_field, too_large_or_cut},
    permission::Permission,
    problem::{ApiError, Code},
    views::{Timestamp, cut_page, parse_before, parse_flag, parse_limit, parse_time},
};
use crate::app::{
    App, FieldError, Fields,
    facts::{FACTS_PER_REQUEST_MAX, Fact, REQUEST_KEY_BYTES_MAX, parse_id},
};

const KEY_HEADER: &str = "idempotency-key";
/// Faults of one answer: whoever sends more reads these first.
const FAULTS_MAX: usize = 100;
/// A clock of another machine may be ahead by this; beyond, somebody has to set it.
const AHEAD_US_MAX: i64 = 60_000_000;

/// What a device, or somebody who asks it, reports; each kind of a state has its contrary.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct FactKindView(&'static str);

impl PartialSchema for FactKindView {
    fn schema() -> RefOr<Schema> {
        let texts = FactKind::ALL.iter().map(|kind| kind.as_str());
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(texts)).into()
    }
}

impl ToSchema for FactKindView {
    fn name() -> std::borrow::Cow<'static, str> {
        "FactKind".into()
    }
}

impl From<FactKind> for FactKindView {
    fn from(kind: FactKind) -> FactKindView {
        FactKindView(kind.as_str())
    }
}

/// Something that was seen of an element.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FactBody)]
pub(crate) struct FactBody {
    /// Id of an element of the topology. One that it does not know is kept, and says nothing until
    /// it does.
    #[schema(example = "r1--r2", min_length = 1, max_length = 255)]
    element: String,
    #[schema(value_type = FactKindView, example = "interface_down")]
    kind: String,
    /// Whose side of a link reports.
    #[schema(example = "r1")]
    end: Option<String>,
    /// Agent that could, or could not, reach it: of `unreachable_from` and `reachable_from` alone,
    /// and needed there.
    agent: Option<String>,
    /// A number that belongs to it, such as how many sessions dropped.
    value: Option<f64>,
    /// Since when it is so; when it was seen, if left out.
    #[schema(value_type = Option<Timestamp>)]
    since: Option<String>,
    /// When it was seen to be so; now, if left out.
    #[schema(value_type = Option<Timestamp>)]
    seen: Option<String>,
    /// Who saw it, such as the name of a collector; the sender's own name, if left out.
    #[schema(example = "snmp-fra")]
    source: Option<String>,
}

/// One fact, or many: at most 1,000.
#[expect(dead_code, reason = "it describes the body, which is read fact by fact")]
#[derive(ToSchema)]
#[schema(as = FactsBody)]
pub(crate) enum FactsBody {
    #[schema(title = "One")]
    #[serde(untagged)]
    One(FactBody),
    #[serde(untagged)]
    #[schema(title = "Many")]
    Many {
        #[schema(min_items = 1, max_items = 1000)]
        facts: Vec<FactBody>,
    },
}

/// What became of facts. All of them are kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FactsTaken)]
pub(crate) struct FactsTakenView {
    new: u32,
    /// Known already, and seen again.
    repeated: u32,
    /// Elements that the topology does not know: some of them. Their facts are kept, and say
    /// nothing until it does.
    unknown_elements: Vec<String>,
    unknown_elements_total: usize,
}

impl From<FactsTaken> for FactsTakenView {
    fn from(taken: FactsTaken) -> FactsTakenView {
        FactsTakenView {
            new: taken.new,
            repeated: taken.repeated,
            unknown_elements: taken.unknown,
            unknown_elements_total: taken.unknown_total,
        }
    }
}

/// A fact that is kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Fact)]
pub(crate) struct FactView {
    id: u64,
    source: String,
    element: String,
    #[schema(required)]
    end: Option<String>,
    #[schema(required)]
    agent: Option<String>,
    kind: FactKindView,
    #[schema(required)]
    value: Option<f64>,
    since: Timestamp,
    /// When it was seen to be so last.
    seen: Timestamp,
    /// When the contrary began; null while its source did not report it.
    #[schema(required)]
    until: Option<Timestamp>,
    /// The last word of its source about this.
    is_latest: bool,
    /// It was not seen for so long that it is no evidence any more.
    is_stale: bool,
    /// What is left of its weight as evidence, of 1.
    weight: f64,
    /// It is of what routers tell one another: shown beside, and never a verdict.
    is_control_plane: bool,
    /// Whether the topology in force knows the element.
    is_known: bool,
    received_at: Timestamp,
    /// Who sent it first; null if it was the software itself.
    #[schema(required)]
    sender: Option<String>,
}

impl From<Fact> for FactView {
    fn from(Fact { row, weight, is_known }: Fact) -> FactView {
        FactView {
            id: row.id,
            source: row.source,
            element: row.element,
            end: row.end,
            agent: row.agent,
            kind: row.kind.into(),
            value: row.value,
            since: row.since.into(),
            seen: row.seen.into(),
            until: row.until.map(Timestamp::from),
            is_latest: row.is_latest,
            is_stale: weight == 0.0,
            weight: super::diagnosis::rounded(weight),
            is_control_plane: row.kind.is_control_plane(),
            is_known,
            received_at: row.received_at.into(),
            sender: Some(row.sender_name).filter(|name| !name.is_empty()),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FactPage)]
pub(crate) struct FactPageView {
    /// What came last comes first.
    items: Vec<FactView>,
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FactsQuery {
    /// Only of this element.
    element: Option<String>,
    /// Only of these kinds, with commas between.
    #[param(example = "interface_down,interface_up")]
    kind: Option<String>,
    /// Only from this source.
    source: Option<String>,
    /// Only what was seen at or after this moment.
    #[param(value_type = Option<Timestamp>)]
    since: Option<String>,
    /// Only what began before this moment.
    #[param(value_type = Option<Timestamp>)]
    until: Option<String>,
    /// Only the last word of each source.
    #[param(value_type = Option<bool>)]
    latest: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// 1 to 500; 100 if left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

/// A body as it came, and its facts one by one.
pub(crate) struct Raw {
    body: Bytes,
    /// Each with what its fields are called after.
    facts: Vec<(String, Value)>,
}

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Raw, ApiError> {
        let kind = media_type(request.headers());
        if kind != "application/json" && !kind.ends_with("+json") {
            let detail = "send `content-type: application/json`";
            return Err(ApiError::new(Code::BadMediaType, detail));
        }
        let body = in_time(BODY_TIME_MAX, Bytes::from_request(request, state)).await?;
        let body = body.map_err(|error| too_large_or_cut(error.status()))?;
        let facts = split(&body)?;
        Ok(Raw { body, facts })
    }
}

/// Takes a body apart; the number of facts is bounded before any is looked at.
fn split(body: &[u8]) -> Result<Vec<(String, Value)>, ApiError> {
    let bad = |reason: String| ApiError::new(Code::BadBody, reason);
    let value: Value = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    let Value::Object(mut object) = value else {
        return Err(bad("invalid type: expected an object: a fact, or `facts`".to_owned()));
    };
    let Some(many) = object.remove("facts") else {
        return Ok(vec![(String::new(), Value::Object(object))]);
    };
    if let Some(other) = object.keys().next() {
        let fault = FieldError::new(other, "is not known here");
        return Err(bad(format!("unknown field `{other}` beside `facts`")).with_errors(vec![fault]));
    }
    let Value::Array(many) = many else {
        let fault = FieldError::new("facts", "must be a list");
        return Err(bad("facts: invalid type, expected a list".to_owned()).with_errors(vec![fault]));
    };
    if many.is_empty() || FACTS_PER_REQUEST_MAX < many.len() {
        let reason = format!("has 1 to {FACTS_PER_REQUEST_MAX} facts; this has {}", many.len());
        return Err(ApiError::invalid(vec![FieldError::new("facts", reason)]));
    }
    let named = |(at, fact)| (format!("facts[{at}]"), fact);
    Ok(many.into_iter().enumerate().map(named).collect())
}

/// Reads all facts, or says of each what is wrong with it.
fn parse_all(
    facts: Vec<(String, Value)>,
    source: &str,
    now: UtcMicros,
) -> Result<Vec<NewFact>, ApiError> {
    let (mut good, mut faults) = (Vec::with_capacity(facts.len()), Vec::new());
    for (place, value) in facts {
        match parse(value, source, now) {
            Ok(fact) => good.push(fact),
            Err(errors) => faults.extend(errors.into_iter().map(|fault| FieldError {
                field: match (place.as_str(), fault.field.as_str()) {
                    ("", _) => fault.field,
                    (place, "") => place.to_owned(),
                    (place, field) => format!("{place}.{field}"),
                },
                ..fault
            })),
        }
        if FAULTS_MAX <= faults.len() {
            break;
        }
    }
    if faults.is_empty() { Ok(good) } else { Err(ApiError::invalid(faults)) }
}

fn parse(value: Value, source: &str, now: UtcMicros) -> Result<NewFact, Vec<FieldError>> {
    if !value.is_object() {
        // A list would be read as the fields in their order, which nobody promised.
        return Err(vec![FieldError::new("", "must be an object")]);
    }
    let body: FactBody = serde_json::from_value(value).map_err(|error| {
        let text = error.to_string();
        vec![named_field(&text).unwrap_or_else(|| FieldError::new("", text))]
    })?;
    let mut fields = Fields::default();
    let element = fields.take("element", parse_id(&body.element));
    let end = fields.take_some("end", body.end.as_deref().map(parse_id));
    let agent = fields.take_some("agent", body.agent.as_deref().map(parse_id));
    let name = body.source.as_deref().unwrap_or(source);
    let source = fields.take("source", Name::parse(name));
    let kind = fields.take("kind", parse_kind(&body.kind));
    let is_of_agent = |kind| matches!(kind, FactKind::UnreachableFrom | FactKind::ReachableFrom);
    match (kind, &body.agent) {
        (Some(kind), None) if is_of_agent(kind) => {
            fields.refuse("agent", format!("is missing: `{}` says from which agent", body.kind));
        }
        (Some(kind), Some(_)) if !is_of_agent(kind) => {
            fields.refuse("agent", "is of `unreachable_from` and `reachable_from` alone");
        }
        (None | Some(_), _) => {}
    }
    let seen = fields.take_some("seen", body.seen.as_deref().map(|text| past(text, now)));
    let seen = seen.unwrap_or(now);
    let since = fields.take_some("since", body.since.as_deref().map(|text| past(text, now)));
    let since = since.unwrap_or(seen);
    if seen < since {
        fields.refuse("since", "is later than `seen`: it was seen before it was so");
    }
    let (Some(element), Some(source), Some(kind)) = (element, source, kind) else {
        return Err(fields.into_errors());
    };
    let fact = NewFact {
        source: source.as_str().to_owned(),
        element,
        end: end.unwrap_or_default(),
        agent: agent.unwrap_or_default(),
        kind,
        value: body.value,
        since,
        seen,
    };
    let errors = fields.into_errors();
    if errors.is_empty() { Ok(fact) } else { Err(errors) }
}

fn parse_kind(text: &str) -> Result<FactKind, String> {
    FactKind::parse(text).ok_or_else(|| {
        let all: Vec<&str> = FactKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("must be one of {}", all.join(", "))
    })
}

fn parse_kinds(text: &str) -> Result<Vec<FactKind>, String> {
    text.split(',').filter(|word| !word.is_empty()).map(parse_kind).collect()
}

/// A moment that is past; one of a clock that is a little ahead is now.
fn past(text: &str, now: UtcMicros) -> Result<UtcMicros, String> {
    let at = parse_time(text)?;
    if at.0 < 0 {
        return Err("is before 1970: set the clock".to_owned());
    }
    if AHEAD_US_MAX < at.0 - now.0 {
        return Err(format!("is in the future: here it is {now}; set the clock"));
    }
    Ok(at.min(now))
}

/// The key that makes a request one that is done once.
fn request_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(KEY_HEADER) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if (1..=REQUEST_KEY_BYTES_MAX).contains(&text.len()) {
        return Ok(Some(text.to_owned()));
    }
    let reason = format!("must be 1 to {REQUEST_KEY_BYTES_MAX} visible ASCII characters");
    Err(ApiError::invalid(vec![FieldError::new("Idempotency-Key", reason)]))
}

/// Report facts
///
/// What devices say of themselves: evidence of the next judgement, beside the rounds. All of them
/// are taken or none. A state that holds is best reported again every few minutes: after 5 minutes
/// without it loses weight, and after 15 it is stale.
#[utoipa::path(
    post, path = "/api/v1/facts", tag = "facts",
    params((
        "Idempotency-Key" = Option<String>, Header,
        description = "Names the request: sent again within a day, it gets the same answer and \
                       changes nothing. With another body it is refused.",
    )),
    request_body = FactsBody,
    responses((status = 200, description = "What became of them", body = FactsTakenView))
)]
pub(crate) async fn fact_send(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    raw: Raw,
) -> Result<Json<FactsTakenView>, ApiError> {
    let scope = caller.authorize(Permission::FactWrite)?;
    let key = request_key(&headers)?;
    let now = app.now();
    let facts = parse_all(raw.facts, scope.actor.source(), now)?;
    let key = key.map(|key| (key, &raw.body[..]));
    Ok(Json(app.facts_take(&scope, facts, key, now).await?.into()))
}

/// List facts
///
/// What was reported, and what became of it: the last words, and those before.
#[utoipa::path(
    get, path = "/api/v1/facts", tag = "facts", params(FactsQuery),
    responses((status = 200, description = "A page", body = FactPageView))
)]
pub(crate) async fn fact_list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<FactsQuery>,
) -> Result<Json<FactPageView>, ApiError> {
    let scope = caller.authorize(Permission::FactRead)?;
    let mut fields = Fields::default();
    let limit = parse_limit(&mut fields, query.limit.as_deref());
    let before_id = parse_before(&mut fields, query.cursor.as_deref());
    let kinds = fields.take_some("kind", query.kind.as_deref().map(parse_kinds));
    let since = fields.take_some("since", query.since.as_deref().map(parse_time));
    let until = fields.take_some("until", query.until.as_deref().map(parse_time));
    let is_latest = fields.take_some("latest", query.latest.as_deref().map(parse_flag));
    fields.check()?;
    let query = FactQuery {
        element: query.element,
        source: query.source,
        kinds: kinds.unwrap_or_default(),
        since,
        until,
        is_latest: is_latest.unwrap_or(false),
        before_id,
        limit: limit + 1,
    };
    let mut facts = app.facts(&scope, &query).await?;
    let next_cursor = cut_page(&mut facts, limit, |fact| fact.row.id);
    Ok(Json(FactPageView { items: facts.into_iter().map(FactView::from).collect(), next_cursor }))
}
