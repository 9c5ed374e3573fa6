//! Incidents: the list, one with everything about it, and what people do about it.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderValue,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use model::{CauseCode, EntryKind, IncidentId, IncidentState, Name, Severity};
use serde::{Deserialize, Serialize};
use store::{
    INCIDENT_NOTE_CHARS_MAX, IncidentEntry, IncidentQuery, IncidentRevision, IncidentRow,
    IncidentSort,
};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::ObjectBuilder, schema::Type},
};

use super::{
    caller::Caller,
    diagnosis::{DiagnosisCauseView, DiagnosisImpactView, rounded},
    export::NOTES,
    extract::{Json, Path, Query},
    permission::Permission,
    problem::ApiError,
    views::{RefView, Timestamp, parse_limit, parse_time},
};
use crate::app::{
    App, Fields,
    incidents::{Act, CaseFile, Incident},
};

/// Longer searches find nothing.
const SEARCH_BYTES_MAX: usize = 200;

/// A closed list of words of the model.
macro_rules! word_view {
    ($(#[$doc:meta])* $view:ident, $of:ty, $name:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Serialize)]
        pub(crate) struct $view(&'static str);

        impl From<$of> for $view {
            fn from(value: $of) -> $view {
                $view(value.as_str())
            }
        }

        impl PartialSchema for $view {
            fn schema() -> RefOr<Schema> {
                let texts = <$of>::ALL.iter().map(|value| value.as_str());
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(texts)).into()
            }
        }

        impl ToSchema for $view {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    };
}
word_view!(
    /// `open`, `resolved` because what it hit answers again, or `closed` by a person.
    IncidentStateView, IncidentState, "IncidentState"
);
word_view!(
    /// The worst first. It only grows while an incident is open.
    SeverityView, Severity, "Severity"
);
word_view!(
    /// What it was, as the person says who closes an incident.
    CauseCodeView, CauseCode, "CauseCode"
);
word_view!(EntryKindView, EntryKind, "IncidentEntryKind");

/// What people were told is the matter.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Incident)]
pub(crate) struct IncidentView {
    /// What people call it by: `#12`.
    id: u32,
    state: IncidentStateView,
    severity: SeverityView,
    #[schema(example = "link fra1--ber1 is down, since 12:00:49 (probability 97.0 %)")]
    sentence: String,
    /// When people were told.
    opened_at: Timestamp,
    /// It began after this moment …
    onset_after: Timestamp,
    /// … and not after this one: the first symptom.
    onset_until: Timestamp,
    /// When it was seen to be over; null while it is seen, also if somebody closed it.
    #[schema(required)]
    resolved_at: Option<Timestamp>,
    #[schema(required)]
    closed_at: Option<Timestamp>,
    #[schema(required)]
    close_code: Option<CauseCodeView>,
    /// The incident that this one turned out to be a part of.
    #[schema(required)]
    merged_into: Option<u32>,
    /// Whether it is still seen, or was not seen to be over.
    is_seen: bool,
    revision: u32,
    targets_down: u32,
    targets_degraded: u32,
    /// Of what it hits.
    weight: u64,
    /// Who works on it; null for nobody.
    #[schema(required)]
    owner: Option<String>,
    #[schema(required)]
    acknowledged_at: Option<Timestamp>,
    #[schema(required)]
    acknowledged_by: Option<String>,
    updated_at: Timestamp,
    /// The maintenance window that it opened, or came back last, inside of; null if none.
    #[schema(required)]
    maintenance: Option<u32>,
    /// Nobody outside was told of it since, because of that window.
    is_silent: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IncidentPage)]
pub(crate) struct IncidentPageView {
    items: Vec<IncidentView>,
    #[schema(required)]
    next_cursor: Option<String>,
    /// Open ones of all, whatever is asked for.
    open: u64,
    /// Of these, those that nobody acknowledged.
    unacknowledged: u64,
}

/// An incident with everything about it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IncidentDetail)]
pub(crate) struct IncidentDetailView {
    #[serde(flatten)]
    incident: IncidentView,
    /// Another one as soon as somebody did something to it or it stands elsewhere: send it with
    /// what you do, and nobody overwrites anybody.
    version: u64,
    /// Null unless it is closed.
    #[schema(required)]
    closed_by: Option<String>,
    /// The likeliest first.
    causes: Vec<DiagnosisCauseView>,
    /// That it is none of them.
    other_probability: f64,
    impact: DiagnosisImpactView,
    /// Targets that nobody is told of by themselves, and why; at most 500.
    suppressed: Vec<SuppressedView>,
    suppressed_total: usize,
    /// What to do about the likeliest cause.
    next_steps: Vec<String>,
    /// Oldest first; at most 2,000.
    timeline: Vec<IncidentEntryView>,
    /// Targets that are named above and exist.
    targets: Vec<RefView>,
    inventory_version: u64,
    log_position: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SuppressedTarget)]
pub(crate) struct SuppressedView {
    target: String,
    #[schema(example = "3 agents do not reach it over fra1--ber1, which explains it (97 %)")]
    reason: String,
}

/// What happened to an incident, and who did it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IncidentEntry)]
pub(crate) struct IncidentEntryView {
    id: u64,
    at: Timestamp,
    kind: EntryKindView,
    /// Null: Faultline itself.
    #[schema(required)]
    actor: Option<String>,
    note: String,
    /// Whether a message went out.
    is_told: bool,
    /// The trace that it tells of, of entries of the kind `traced` or `path_changed`; null also
    /// once that is not kept any more.
    #[schema(required)]
    trace: Option<u32>,
    /// The target of that trace.
    #[schema(required)]
    trace_target: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IncidentRevisions)]
pub(crate) struct IncidentRevisionsView {
    /// The first, and the last 199, oldest first.
    items: Vec<IncidentRevisionView>,
}

/// What was believed from some moment on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IncidentRevision)]
pub(crate) struct IncidentRevisionView {
    revision: u32,
    at: Timestamp,
    /// What changed.
    why: String,
    sentence: String,
    /// The likeliest first; the pairs that evidence rests on are with the incident alone.
    causes: Vec<DiagnosisCauseView>,
    other_probability: f64,
    impact: DiagnosisImpactView,
    suppressed_total: usize,
    inventory_version: u64,
    /// Everything up to here was heard.
    log_position: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IncidentAssignees)]
pub(crate) struct IncidentAssigneesView {
    /// Names of users who can sign in, sorted.
    items: Vec<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct IncidentsQuery {
    /// `open`, `resolved`, `closed`; several with commas between.
    state: Option<String>,
    /// `critical`, `major`, `minor`, `warning`; several with commas between.
    severity: Option<String>,
    /// Those that were open at this moment or later.
    #[param(value_type = Option<Timestamp>)]
    since: Option<String>,
    /// Those that were opened before this moment.
    #[param(value_type = Option<Timestamp>)]
    until: Option<String>,
    /// Id of an element of the topology that it ever named.
    element: Option<String>,
    /// Name of a target that it ever stood for.
    target: Option<String>,
    /// Name of a user; `-` for those that nobody works on.
    owner: Option<String>,
    /// Found in the sentence; `#12` is incident 12.
    q: Option<String>,
    /// `-opened` (newest first, if left out), `opened`, `severity` (worst first), `impact`.
    sort: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// 1 to 500; 100 if left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

/// What was seen before.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IncidentAckBody)]
pub(crate) struct AckBody {
    /// The `version` that you saw: refused if somebody did something since. Left out, nothing is
    /// compared.
    version: Option<u64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IncidentAssignBody)]
pub(crate) struct AssignBody {
    /// Name of a user; null for nobody.
    #[schema(required, example = "ann")]
    #[serde(deserialize_with = "Option::deserialize")]
    owner: Option<String>,
    version: Option<u64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IncidentCommentBody)]
pub(crate) struct CommentBody {
    /// At most 4,000 letters.
    text: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IncidentCloseBody)]
pub(crate) struct CloseBody {
    #[schema(value_type = CauseCodeView)]
    code: String,
    /// At most 4,000 letters.
    #[serde(default)]
    note: String,
    /// Also while it is still seen: then it stays closed and silent until that heals, gets worse
    /// or has another cause.
    #[serde(default)]
    force: bool,
    version: Option<u64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IncidentReopenBody)]
pub(crate) struct ReopenBody {
    /// At most 4,000 letters.
    #[serde(default)]
    note: String,
    version: Option<u64>,
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl From<&IncidentRow> for IncidentView {
    fn from(row: &IncidentRow) -> IncidentView {
        IncidentView {
            id: row.id.0,
            state: row.state.into(),
            severity: row.severity.into(),
            sentence: row.sentence.clone(),
            opened_at: row.opened_at.into(),
            onset_after: row.onset.0.into(),
            onset_until: row.onset.1.into(),
            resolved_at: row.resolved_at.map(Timestamp::from),
            closed_at: row.closed_at.map(Timestamp::from),
            close_code: row.close_code.map(CauseCodeView::from),
            merged_into: row.merged_into.map(|into| into.0),
            is_seen: row.is_followed,
            revision: row.revision,
            targets_down: row.targets_down,
            targets_degraded: row.targets_degraded,
            weight: row.weight,
            owner: some(&row.owner),
            acknowledged_at: row.acknowledged_at.map(Timestamp::from),
            acknowledged_by: some(&row.acknowledged_by),
            updated_at: row.updated_at.into(),
            maintenance: row.maintenance.map(|of| of.window.0),
            is_silent: row.maintenance.is_some_and(|of| of.is_silent),
        }
    }
}

impl From<&IncidentEntry> for IncidentEntryView {
    fn from(entry: &IncidentEntry) -> IncidentEntryView {
        IncidentEntryView {
            id: entry.id,
            at: entry.at.into(),
            kind: entry.kind.into(),
            actor: actor(entry),
            note: entry.note.clone(),
            is_told: entry.is_told,
            trace: entry.trace.map(|(trace, _)| trace.0),
            trace_target: entry.trace.map(|(_, target)| target.0),
        }
    }
}

fn actor(entry: &IncidentEntry) -> Option<String> {
    match (entry.actor_kind.as_str(), entry.actor_name.as_str()) {
        ("system", _) => None,
        (kind, "") => Some(kind.replace('_', " ")),
        (_, name) => Some(name.to_owned()),
    }
}

impl From<Incident> for IncidentDetailView {
    fn from(of: Incident) -> IncidentDetailView {
        let Incident { full, next_steps, targets } = of;
        let version = full.version();
        let closed_by = full.closed_by().and_then(actor);
        let suppressed = full.body.suppressed.into_iter();
        IncidentDetailView {
            incident: IncidentView::from(&full.row),
            version,
            closed_by,
            causes: full.body.causes.iter().map(DiagnosisCauseView::from).collect(),
            other_probability: rounded(full.body.other_probability),
            impact: (&full.body.impact).into(),
            suppressed: suppressed
                .map(|one| SuppressedView { target: one.target, reason: one.reason })
                .collect(),
            suppressed_total: full.body.suppressed_total,
            next_steps,
            timeline: full.entries.iter().map(IncidentEntryView::from).collect(),
            targets: targets.iter().map(RefView::from).collect(),
            inventory_version: full.row.inventory_version,
            log_position: full.row.log_position.0,
        }
    }
}

impl From<&IncidentRevision> for IncidentRevisionView {
    fn from(of: &IncidentRevision) -> IncidentRevisionView {
        IncidentRevisionView {
            revision: of.revision,
            at: of.at.into(),
            why: of.why.clone(),
            sentence: of.sentence.clone(),
            causes: of.body.causes.iter().map(DiagnosisCauseView::from).collect(),
            other_probability: rounded(of.body.other_probability),
            impact: (&of.body.impact).into(),
            suppressed_total: of.body.suppressed_total,
            inventory_version: of.inventory_version,
            log_position: of.log_position.0,
        }
    }
}

/// List incidents
#[utoipa::path(
    get, path = "/api/v1/incidents", tag = "incidents", params(IncidentsQuery),
    responses((status = 200, description = "A page", body = IncidentPageView))
)]
pub(crate) async fn incident_list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<IncidentsQuery>,
) -> Result<Json<IncidentPageView>, ApiError> {
    let scope = caller.authorize(Permission::IncidentRead)?;
    let page = app.incidents(&scope, &parse_query(query)?).await?;
    Ok(Json(IncidentPageView {
        items: page.rows.iter().map(IncidentView::from).collect(),
        next_cursor: page.next,
        open: page.open,
        unacknowledged: page.unacknowledged,
    }))
}

/// List whom an incident can be given to
#[utoipa::path(
    get, path = "/api/v1/incidents/assignees", tag = "incidents",
    responses((status = 200, description = "All of them", body = IncidentAssigneesView))
)]
pub(crate) async fn incident_assignees(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<IncidentAssigneesView>, ApiError> {
    let scope = caller.authorize(Permission::IncidentManage)?;
    let names = app.incident_assignees(&scope).await?;
    Ok(Json(IncidentAssigneesView { items: names.iter().map(Name::to_string).collect() }))
}

/// Get an incident
///
/// Its causes with what speaks for them and against them, whom it hits, what it stands for, what
/// to do next, and everything that happened to it.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}", tag = "incidents", params(("id" = u32, Path)),
    responses((status = 200, description = "As it is now", body = IncidentDetailView))
)]
pub(crate) async fn incident_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<IncidentId>,
) -> Result<Json<IncidentDetailView>, ApiError> {
    let scope = caller.authorize(Permission::IncidentRead)?;
    Ok(Json(app.incident(&scope, id).await?.into()))
}

/// What was believed of an incident, and when
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/revisions", tag = "incidents",
    params(("id" = u32, Path)),
    responses((status = 200, description = "Oldest first", body = IncidentRevisionsView))
)]
pub(crate) async fn incident_revisions(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<IncidentId>,
) -> Result<Json<IncidentRevisionsView>, ApiError> {
    let scope = caller.authorize(Permission::IncidentRead)?;
    let revisions = app.incident_revisions(&scope, id).await?;
    let items = revisions.iter().map(IncidentRevisionView::from).collect();
    Ok(Json(IncidentRevisionsView { items }))
}

/// Export an incident as a case file
///
/// What `faultline diagnose --check` takes: the network of today, the rounds of before and while it
/// was open, and what was believed. What is left out is in the header `x-notes`.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/case", tag = "incidents", params(("id" = u32, Path)),
    responses((status = 200, description = "A case file", body = Object))
)]
pub(crate) async fn incident_case(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<IncidentId>,
) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::IncidentRead)?;
    // It holds all of both.
    caller.authorize(Permission::TopologyRead)?;
    caller.authorize(Permission::TargetRead)?;
    let CaseFile { text, notes } = app.incident_case(&scope, id).await?;
    file((text, "application/json"), &format!("incident-{id}.json"), &notes)
}

/// Export an incident as a post-mortem
///
/// Markdown with what happened, what it hit, what people did and what was believed when, and room
/// for what only people know.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/report", tag = "incidents", params(("id" = u32, Path)),
    responses((
        status = 200, description = "Markdown", body = String, content_type = "text/markdown"
    ))
)]
pub(crate) async fn incident_report(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<IncidentId>,
) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::IncidentRead)?;
    let text = app.incident_report(&scope, id).await?;
    file((text, "text/markdown; charset=utf-8"), &format!("incident-{id}.md"), &[])
}

/// Sends something to be saved.
fn file(
    (text, kind): (String, &'static str),
    name: &str,
    notes: &[String],
) -> Result<Response, ApiError> {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let disposition = format!("attachment; filename=\"{name}\"");
    let disposition = HeaderValue::try_from(disposition).map_err(ApiError::internal)?;
    headers.insert(CONTENT_DISPOSITION, disposition);
    if !notes.is_empty() {
        let notes = HeaderValue::try_from(notes.join("; ")).map_err(ApiError::internal)?;
        headers.insert(NOTES, notes);
    }
    Ok(response)
}

/// Acknowledge an incident
///
/// Says that somebody looks at it. Twice by the same person is once; what somebody else
/// acknowledged or what is over is refused.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/acknowledge", tag = "incidents",
    params(("id" = u32, Path)), request_body = AckBody,
    responses((status = 200, description = "As it is now", body = IncidentDetailView))
)]
pub(crate) async fn incident_acknowledge(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<IncidentId>,
    Json(body): Json<AckBody>,
) -> Result<Json<IncidentDetailView>, ApiError> {
    let scope = caller.authorize(Permission::IncidentManage)?;
    Ok(Json(app.incident_act(&scope, id, Act::Acknowledge, body.version).await?.into()))
}

/// Take an acknowledgement back
///
/// Whoever's it is: nobody looks at it any more.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/unacknowledge", tag = "incidents",
    params(("id" = u32, Path)), request_body = AckBody,
    responses((status = 200, description = "As it is now", body = IncidentDetailView))
)]
pub(crate) async fn incident_unacknowledge(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<IncidentId>,
    Json(body): Json<AckBody>,
) -> Result<Json<IncidentDetailView>, ApiError> {
    let scope = caller.authorize(Permission::IncidentManage)?;
    Ok(Json(app.incident_act(&scope, id, Act::Unacknowledge, body.version).await?.into()))
}

/// Give an incident to somebody
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/assign", tag = "incidents",
    params(("id" = u32, Path)), request_body = AssignBody,
    responses((status = 200, description = "As it is now", body = IncidentDetailView))
)]
pub(crate) async fn incident_assign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<IncidentId>,
    Json(body): Json<AssignBody>,
) -> Result<Json<IncidentDetailView>, ApiError> {
    let scope = caller.authorize(Permission::IncidentManage)?;
    let mut fields = Fields::default();
    let owner = fields.take_some("owner", body.owner.as_deref().map(Name::parse));
    fields.check()?;
    Ok(Json(app.incident_act(&scope, id, Act::Assign(owner), body.version).await?.into()))
}

/// Comment on an incident
///
/// The same words by the same person within a minute are one comment.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/comment", tag = "incidents",
    params(("id" = u32, Path)), request_body = CommentBody,
    responses((status = 200, description = "As it is now", body = IncidentDetailView))
)]
pub(crate) async fn incident_comment(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<IncidentId>,
    Json(body): Json<CommentBody>,
) -> Result<Json<IncidentDetailView>, ApiError> {
    let scope = caller.authorize(Permission::IncidentManage)?;
    let mut fields = Fields::default();
    let text = fields.take("text", parse_note(&body.text)).unwrap_or_default();
    if text.is_empty() {
        fields.refuse("text", "is empty");
    }
    fields.check()?;
    Ok(Json(app.incident_act(&scope, id, Act::Comment(text), None).await?.into()))
}

/// Close an incident
///
/// Says what it was. One that is over is done with. One that is still seen is closed only with
/// `force`: it stays closed and silent until what it is about heals; it is open again if that gets
/// worse, has another cause, or heals and fails again.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/close", tag = "incidents",
    params(("id" = u32, Path)), request_body = CloseBody,
    responses((status = 200, description = "As it is now", body = IncidentDetailView))
)]
pub(crate) async fn incident_close(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<IncidentId>,
    Json(body): Json<CloseBody>,
) -> Result<Json<IncidentDetailView>, ApiError> {
    let scope = caller.authorize(Permission::IncidentManage)?;
    let mut fields = Fields::default();
    let code = CauseCode::parse(&body.code).ok_or_else(|| words(CauseCode::ALL));
    let code = fields.take("code", code);
    let note = fields.take("note", parse_note(&body.note));
    let (Some(code), Some(note)) = (code, note) else { return Err(fields.error().into()) };
    let act = Act::Close { code, note, is_forced: body.force };
    Ok(Json(app.incident_act(&scope, id, act, body.version).await?.into()))
}

/// Take the closing of an incident back
///
/// It is open if it is still seen, and resolved if not. What is over by itself is not reopened:
/// nothing would ever end it.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/reopen", tag = "incidents",
    params(("id" = u32, Path)), request_body = ReopenBody,
    responses((status = 200, description = "As it is now", body = IncidentDetailView))
)]
pub(crate) async fn incident_reopen(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<IncidentId>,
    Json(body): Json<ReopenBody>,
) -> Result<Json<IncidentDetailView>, ApiError> {
    let scope = caller.authorize(Permission::IncidentManage)?;
    let mut fields = Fields::default();
    let note = fields.take("note", parse_note(&body.note)).unwrap_or_default();
    fields.check()?;
    Ok(Json(app.incident_act(&scope, id, Act::Reopen { note }, body.version).await?.into()))
}

fn parse_note(text: &str) -> Result<String, String> {
    let text = text.trim();
    if INCIDENT_NOTE_CHARS_MAX < text.chars().count() {
        return Err(format!("must have at most {INCIDENT_NOTE_CHARS_MAX} letters"));
    }
    let is_odd = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
    if text.chars().any(is_odd) {
        return Err("has control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Says which words there are.
fn words<T: std::fmt::Display>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    format!("must be one of {}", all.join(", "))
}

fn parse_words<T: std::fmt::Display>(
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
    all: &[T],
) -> Result<Vec<T>, String> {
    let parts = text.split(',').filter(|word| !word.is_empty());
    let parsed: Option<Vec<T>> = parts.map(parse).collect();
    parsed.ok_or_else(|| format!("{}; several with commas between", words(all)))
}

fn parse_sort(text: &str) -> Result<IncidentSort, &'static str> {
    match text {
        "-opened" => Ok(IncidentSort::Newest),
        "opened" => Ok(IncidentSort::Oldest),
        "severity" => Ok(IncidentSort::Severity),
        "impact" => Ok(IncidentSort::Impact),
        _ => Err("must be -opened, opened, severity or impact"),
    }
}

fn parse_query(query: IncidentsQuery) -> Result<IncidentQuery, ApiError> {
    let mut fields = Fields::default();
    let limit = parse_limit(&mut fields, query.limit.as_deref());
    let states = query
        .state
        .as_deref()
        .map(|text| parse_words(text, IncidentState::parse, IncidentState::ALL));
    let severities =
        query.severity.as_deref().map(|text| parse_words(text, Severity::parse, Severity::ALL));
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let time = |text: &Option<String>| text.as_deref().map(parse_time);
    if query.q.as_ref().is_some_and(|q| SEARCH_BYTES_MAX < q.len()) {
        fields.refuse("q", format!("must have at most {SEARCH_BYTES_MAX} bytes"));
    }
    let parsed = IncidentQuery {
        states: fields.take_some("state", states).unwrap_or_default(),
        severities: fields.take_some("severity", severities).unwrap_or_default(),
        since: fields.take_some("since", time(&query.since)),
        until: fields.take_some("until", time(&query.until)),
        element: filled(query.element),
        target: filled(query.target),
        owner: filled(query.owner).map(|name| if name == "-" { String::new() } else { name }),
        q: filled(query.q),
        sort: fields.take_some("sort", query.sort.as_deref().map(parse_sort)).unwrap_or_default(),
        after: query.cursor,
        limit,
    };
    fields.check()?;
    Ok(parsed)
}
