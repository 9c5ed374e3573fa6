//! Maintenance windows: planned, looked at beforehand, ended, extended and called off.

use axum::extract::State;
use http::StatusCode;
use model::{
    Cover, CoverKind, Day, MaintenanceId, Occurrence, Rule, TargetId, UtcMicros, Window,
    WindowError, Zone, maintenance::COVERS_MAX,
};
use serde::{Deserialize, Serialize};
use store::{
    MAINTENANCE_NOTE_CHARS_MAX, MAINTENANCE_TITLE_BYTES_MAX, MaintenanceDraft, MaintenanceRow,
};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::ObjectBuilder, schema::Type},
};

use super::{
    caller::Caller,
    extract::{Json, Path, Query},
    permission::Permission,
    problem::ApiError,
    views::{Timestamp, cut_page, parse_before, parse_limit, parse_time},
};
use crate::app::{
    App, Fields,
    maintenance::{Preview, SPANS_US_MAX},
};

/// What sort of thing a window covers: an `element` of the topology by its id, with what cannot be
/// without it and the targets behind it; a `target` by its name; every target that has a `tag`; or
/// `all`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct CoverKindView(&'static str);

impl PartialSchema for CoverKindView {
    fn schema() -> RefOr<Schema> {
        let texts = CoverKind::ALL.iter().map(|kind| kind.as_str());
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(texts)).into()
    }
}

impl ToSchema for CoverKindView {
    fn name() -> std::borrow::Cow<'static, str> {
        "CoverKind".into()
    }
}

/// Where a window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MaintenanceState)]
enum StateView {
    /// It is open now.
    Open,
    Planned,
    Over,
    Cancelled,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cover)]
pub(crate) struct CoverView {
    kind: CoverKindView,
    /// Empty of `all`.
    #[schema(example = "r2")]
    name: String,
}

impl From<&Cover> for CoverView {
    fn from(cover: &Cover) -> CoverView {
        let name = cover.name().to_owned();
        CoverView { kind: CoverKindView(cover.kind().as_str()), name }
    }
}

/// One time that a window is open.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Occurrence)]
pub(crate) struct OccurrenceView {
    start: Timestamp,
    end: Timestamp,
    /// By the clocks of the window's zone, with their offset.
    #[schema(example = "2026-03-29T03:30:00+02:00")]
    start_local: String,
    end_local: String,
    /// It is not at the clock time of the first one, or the clocks change while it lasts.
    is_clock_changed: bool,
}

impl OccurrenceView {
    fn of(window: &Window, one: Occurrence) -> OccurrenceView {
        let zone = window.zone();
        OccurrenceView {
            start: one.start.into(),
            end: one.end.into(),
            start_local: zone.tell(one.start),
            end_local: zone.tell(one.end),
            is_clock_changed: window.is_bent(one),
        }
    }
}

/// When somebody works on what.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Maintenance)]
pub(crate) struct MaintenanceView {
    id: u32,
    title: String,
    note: String,
    covers: Vec<CoverView>,
    state: StateView,
    /// Of the first occurrence, as planned.
    start: Timestamp,
    end: Timestamp,
    #[schema(example = "Europe/Berlin")]
    zone: String,
    /// How often it is open again; null if it is open once.
    #[schema(required, example = "FREQ=WEEKLY;BYDAY=SU")]
    rule: Option<String>,
    /// Days of the zone on which it is not open.
    #[schema(example = json!(["2026-12-27"]))]
    except: Vec<String>,
    /// The occurrence that is open; null if none is.
    #[schema(required)]
    open: Option<OccurrenceView>,
    /// The occurrence that begins next; null if there is none.
    #[schema(required)]
    next: Option<OccurrenceView>,
    /// The occurrence that began last; null before the first.
    #[schema(required)]
    last: Option<OccurrenceView>,
    /// Occurrences that were ended early or extended.
    amended_total: usize,
    #[schema(required)]
    cancelled_at: Option<Timestamp>,
    created_at: Timestamp,
    /// Null: Faultline itself.
    #[schema(required)]
    created_by: Option<String>,
    updated_at: Timestamp,
}

impl MaintenanceView {
    fn of(row: &MaintenanceRow, now: UtcMicros) -> MaintenanceView {
        let window = &row.draft.window;
        let open = window.running(now).pop();
        let state = match (window.cancelled_at(), open, window.ends()) {
            (Some(_), _, _) => StateView::Cancelled,
            (None, Some(_), _) => StateView::Open,
            (None, None, Some(ends)) if ends <= now => StateView::Over,
            (None, None, _) => StateView::Planned,
        };
        let view = |one: Option<Occurrence>| one.map(|one| OccurrenceView::of(window, one));
        MaintenanceView {
            id: row.id.0,
            title: row.draft.title.clone(),
            note: row.draft.note.clone(),
            covers: row.draft.covers.iter().map(CoverView::from).collect(),
            state,
            start: window.start().into(),
            end: window.end().into(),
            zone: window.zone().as_str().to_owned(),
            rule: window.rule().map(Rule::to_string),
            except: window.except().iter().map(Day::to_string).collect(),
            open: view(open),
            next: view(window.next(now)),
            last: view(window.last(now)),
            amended_total: window.amendments().len(),
            cancelled_at: window.cancelled_at().map(Timestamp::from),
            created_at: row.created_at.into(),
            created_by: Some(row.created_by.clone()).filter(|name| !name.is_empty()),
            updated_at: row.updated_at.into(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MaintenancePage)]
pub(crate) struct MaintenancePageView {
    items: Vec<MaintenanceView>,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// What a window would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MaintenancePreview)]
pub(crate) struct PreviewView {
    /// Everything of the organisation is silent.
    is_all: bool,
    /// Targets that nobody is told of, by name: at most 100.
    targets: Vec<String>,
    targets_total: usize,
    /// Devices that are worked on, or cut off with what is: at most 100.
    devices: Vec<String>,
    devices_total: usize,
    /// Behind those devices.
    customers: u64,
    /// What of the covers is not there: it silences nothing.
    unknown: Vec<CoverView>,
    zone: String,
    /// The next ten, an open one among them.
    occurrences: Vec<OccurrenceView>,
    /// What the record will still say.
    recorded: Vec<String>,
    /// Open incidents that it reaches. People know them: what becomes of them is still told.
    open_incidents: Vec<ReachedIncidentView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReachedIncident)]
pub(crate) struct ReachedIncidentView {
    id: u32,
    sentence: String,
}

/// What is true of every window, in the words that a person reads before making one.
const RECORDED: [&str; 4] = [
    "Everything is asked as before: verdicts, minutes and round-trip times are what they are.",
    "Minutes inside of the window are marked as maintenance.",
    "What fails is an incident, marked, and nobody is told of it; a fault beside the work is told \
     at once.",
    "A minute after the end one message says what did not come back, if anything did not.",
];

impl PreviewView {
    fn of(window: &Window, preview: &Preview) -> PreviewView {
        let one = |one: &Occurrence| OccurrenceView::of(window, *one);
        let incident = |(id, sentence): &(model::IncidentId, String)| ReachedIncidentView {
            id: id.0,
            sentence: sentence.clone(),
        };
        PreviewView {
            is_all: preview.is_all,
            targets: preview.targets.clone(),
            targets_total: preview.targets_total,
            devices: preview.devices.clone(),
            devices_total: preview.devices_total,
            customers: preview.customers,
            unknown: preview.unknown.iter().map(CoverView::from).collect(),
            zone: window.zone().as_str().to_owned(),
            occurrences: preview.occurrences.iter().map(one).collect(),
            recorded: RECORDED.map(str::to_owned).to_vec(),
            open_incidents: preview.open.iter().map(incident).collect(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TargetMaintenance)]
pub(crate) struct SpansView {
    /// By their start.
    items: Vec<SpanView>,
}

/// A time in which a target's minutes are marked as maintenance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MaintenanceSpan)]
pub(crate) struct SpanView {
    maintenance: u32,
    title: String,
    start: Timestamp,
    end: Timestamp,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CoverBody)]
pub(crate) struct CoverBody {
    #[schema(value_type = CoverKindView)]
    kind: String,
    /// Id of an element, name of a target, or a tag; left out of `all`.
    #[serde(default)]
    #[schema(max_length = 255, example = "r2")]
    name: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MaintenanceBody)]
pub(crate) struct MaintenanceBody {
    #[schema(min_length = 1, max_length = 120, example = "Core router upgrade")]
    title: String,
    /// At most 4,000 letters.
    #[serde(default)]
    note: String,
    #[schema(min_items = 1, max_items = 200)]
    covers: Vec<CoverBody>,
    /// RFC 3339, or a clock time in `zone` such as `2026-03-22T02:30`.
    #[schema(example = "2026-12-06T02:30")]
    start: String,
    /// As `start`: a minute to 31 days after it.
    #[schema(example = "2026-12-06T04:30")]
    end: String,
    /// Of the IANA database; `UTC` if left out.
    #[schema(example = "Europe/Berlin")]
    zone: Option<String>,
    /// How often it is open again, as RFC 5545 says: FREQ (DAILY, WEEKLY, MONTHLY, YEARLY),
    /// INTERVAL, COUNT, UNTIL, BYDAY, BYMONTHDAY, BYMONTH, BYSETPOS, WKST.
    #[schema(example = "FREQ=WEEKLY;BYDAY=SU")]
    rule: Option<String>,
    /// Days of the zone on which it is not open; at most 366.
    #[serde(default)]
    #[schema(example = json!(["2026-12-27"]))]
    except: Vec<String>,
}

/// What to change; what is left out stays. Of a window that has begun only words and days to come.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MaintenancePatch)]
pub(crate) struct MaintenancePatchBody {
    title: Option<String>,
    note: Option<String>,
    covers: Option<Vec<CoverBody>>,
    start: Option<String>,
    end: Option<String>,
    zone: Option<String>,
    /// Empty: it is open once.
    rule: Option<String>,
    except: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MaintenanceExtendBody)]
pub(crate) struct ExtendBody {
    /// RFC 3339, or a clock time in the window's zone; later than its end.
    #[schema(example = "2026-12-06T06:00:00Z")]
    until: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MaintenanceQuery {
    /// `live` (open and planned, by their start: all of them; if left out) or `past` (newest
    /// first).
    state: Option<String>,
    /// The `next_cursor` of the page before, of `past`.
    cursor: Option<String>,
    /// 1 to 500; 100 if left out. Of `past` alone.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SpansQuery {
    #[param(value_type = Timestamp)]
    since: String,
    /// At most 400 days after `since`.
    #[param(value_type = Timestamp)]
    until: String,
}

impl From<MaintenanceBody> for MaintenancePatchBody {
    fn from(body: MaintenanceBody) -> MaintenancePatchBody {
        MaintenancePatchBody {
            title: Some(body.title),
            note: Some(body.note),
            covers: Some(body.covers),
            start: Some(body.start),
            end: Some(body.end),
            zone: body.zone,
            rule: body.rule,
            except: Some(body.except),
        }
    }
}

/// Reads what is said of a window; what is left out is `base`'s.
fn parse(
    body: &MaintenancePatchBody,
    base: Option<&MaintenanceDraft>,
) -> Result<MaintenanceDraft, ApiError> {
    let mut fields = Fields::default();
    let title = fields.take_some("title", body.title.as_deref().map(parse_title));
    let note = fields.take_some("note", body.note.as_deref().map(parse_note));
    let covers = body.covers.as_deref().and_then(|covers| parse_covers(&mut fields, covers));
    let window = parse_window(&mut fields, body, base.map(|base| &base.window));
    fields.check()?;
    let missing = |field: &str| {
        let mut fields = Fields::default();
        fields.refuse(field, "is missing");
        ApiError::from(fields.error())
    };
    Ok(MaintenanceDraft {
        title: title.or(base.map(|b| b.title.clone())).ok_or_else(|| missing("title"))?,
        note: note.or(base.map(|b| b.note.clone())).unwrap_or_default(),
        covers: covers.or(base.map(|b| b.covers.clone())).ok_or_else(|| missing("covers"))?,
        window: window.ok_or_else(|| missing("start"))?,
    })
}

fn parse_title(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_one_line = !text.chars().any(char::is_control);
    if (1..=MAINTENANCE_TITLE_BYTES_MAX).contains(&text.len()) && is_one_line {
        return Ok(text.to_owned());
    }
    Err(format!("is one line of 1 to {MAINTENANCE_TITLE_BYTES_MAX} bytes"))
}

fn parse_note(text: &str) -> Result<String, String> {
    let chars = text.chars().count();
    if MAINTENANCE_NOTE_CHARS_MAX < chars {
        return Err(format!("has at most {MAINTENANCE_NOTE_CHARS_MAX} letters; this has {chars}"));
    }
    if text.contains('\0') {
        return Err("has a character that cannot be kept".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_covers(fields: &mut Fields, bodies: &[CoverBody]) -> Option<Vec<Cover>> {
    if bodies.is_empty() || COVERS_MAX < bodies.len() {
        fields.refuse("covers", format!("has 1 to {COVERS_MAX} things; this has {}", bodies.len()));
        return None;
    }
    let mut covers = Vec::with_capacity(bodies.len());
    for (at, body) in bodies.iter().enumerate() {
        let kind = CoverKind::parse(&body.kind).ok_or("must be element, target, tag or all");
        let kind = fields.take(&format!("covers[{at}].kind"), kind);
        let cover = kind.map(|kind| Cover::parse(kind, &body.name));
        covers.extend(fields.take_some(&format!("covers[{at}].name"), cover));
    }
    covers.sort();
    covers.dedup();
    Some(covers)
}

fn parse_window(
    fields: &mut Fields,
    body: &MaintenancePatchBody,
    base: Option<&Window>,
) -> Option<Window> {
    let no_zone = "is no zone of the IANA database, such as Europe/Berlin or UTC";
    let zone = match (&body.zone, base) {
        (Some(name), _) => fields.take("zone", Zone::parse(name).ok_or(no_zone)),
        (None, Some(base)) => Some(base.zone().clone()),
        (None, None) => Zone::parse("UTC"),
    };
    let zone = zone?;
    let read = |text: &str| {
        let must = "must be a time such as 2026-11-21T05:54:33Z, or 2026-11-21T06:54 by the zone";
        zone.read(text).ok_or(must)
    };
    let start = fields.take_some("start", body.start.as_deref().map(read));
    let end = fields.take_some("end", body.end.as_deref().map(read));
    let rule = match (body.rule.as_deref(), base) {
        (Some(""), _) | (None, None) => None,
        (Some(text), _) => fields.take("rule", Rule::parse(text)),
        (None, Some(base)) => base.rule().cloned(),
    };
    let day = |text: &String| Day::parse(text).ok_or("are days such as 2026-12-24");
    let except = body.except.as_deref().map(|days| days.iter().map(day).collect());
    let except: Option<Vec<Day>> = fields.take_some("except", except);
    let start = start.or(base.map(Window::start))?;
    let end = end.or(base.map(Window::end))?;
    let except = except.or(base.map(|base| base.except().to_vec())).unwrap_or_default();
    match Window::new((start, end), zone, rule, except) {
        Ok(window) => Some(window),
        Err(error) => {
            let field = match error {
                WindowError::Backwards | WindowError::TooShort | WindowError::TooLong => "end",
                WindowError::StartNotNamed => "rule",
                WindowError::ExceptWithoutRule | WindowError::TooManyExcept => "except",
                WindowError::Never => "rule",
                WindowError::BeyondCalendar => "start",
            };
            fields.refuse(field, error.to_string());
            None
        }
    }
}

/// List maintenance windows
#[utoipa::path(
    get, path = "/api/v1/maintenance", tag = "maintenance", params(MaintenanceQuery),
    responses((status = 200, description = "A page", body = MaintenancePageView))
)]
pub(crate) async fn maintenance_list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<MaintenanceQuery>,
) -> Result<Json<MaintenancePageView>, ApiError> {
    let scope = caller.authorize(Permission::MaintenanceRead)?;
    let mut fields = Fields::default();
    let limit = parse_limit(&mut fields, query.limit.as_deref());
    let before = parse_before(&mut fields, query.cursor.as_deref());
    let parse = |text: &str| match text {
        "live" => Ok(false),
        "past" => Ok(true),
        _ => Err("must be live or past"),
    };
    let is_past = fields.take_some("state", query.state.as_deref().map(parse));
    fields.check()?;
    let (rows, next_cursor) = if is_past.unwrap_or(false) {
        let mut rows = app.maintenance_past(&scope, (before, limit + 1)).await?;
        let next = cut_page(&mut rows, limit, |row| u64::from(row.id.0));
        (rows, next)
    } else {
        (app.maintenance_live(&scope).await?, None)
    };
    let now = app.now();
    let items = rows.iter().map(|row| MaintenanceView::of(row, now)).collect();
    Ok(Json(MaintenancePageView { items, next_cursor }))
}

/// Plan maintenance
///
/// Also what began a while ago, up to a day. While it is open nobody is told of what fails inside
/// of its reach.
#[utoipa::path(
    post, path = "/api/v1/maintenance", tag = "maintenance", request_body = MaintenanceBody,
    responses((status = 201, description = "Planned", body = MaintenanceView))
)]
pub(crate) async fn maintenance_create(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<MaintenanceBody>,
) -> Result<(StatusCode, Json<MaintenanceView>), ApiError> {
    let scope = caller.authorize(Permission::MaintenanceWrite)?;
    let draft = parse(&body.into(), None)?;
    let row = app.maintenance_create(&scope, &draft).await?;
    Ok((StatusCode::CREATED, Json(MaintenanceView::of(&row, app.now()))))
}

/// Preview maintenance
///
/// What would be silent, what would still be recorded, when it would be open by the clocks of its
/// zone, and which open incidents it reaches. Nothing is kept.
#[utoipa::path(
    post, path = "/api/v1/maintenance/preview", tag = "maintenance",
    request_body = MaintenanceBody,
    responses((status = 200, description = "What it would do", body = PreviewView))
)]
pub(crate) async fn maintenance_preview(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<MaintenanceBody>,
) -> Result<Json<PreviewView>, ApiError> {
    let scope = caller.authorize(Permission::MaintenanceRead)?;
    let draft = parse(&body.into(), None)?;
    let preview = app.maintenance_preview(&scope, &draft).await?;
    Ok(Json(PreviewView::of(&draft.window, &preview)))
}

/// Get a maintenance window
#[utoipa::path(
    get, path = "/api/v1/maintenance/{id}", tag = "maintenance", params(("id" = u32, Path)),
    responses((status = 200, description = "As it is now", body = MaintenanceView))
)]
pub(crate) async fn maintenance_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MaintenanceId>,
) -> Result<Json<MaintenanceView>, ApiError> {
    let scope = caller.authorize(Permission::MaintenanceRead)?;
    let row = app.maintenance(&scope, id).await?;
    Ok(Json(MaintenanceView::of(&row, app.now())))
}

/// Preview a maintenance window
///
/// What one that is there does from now on.
#[utoipa::path(
    get, path = "/api/v1/maintenance/{id}/preview", tag = "maintenance",
    params(("id" = u32, Path)),
    responses((status = 200, description = "What it does", body = PreviewView))
)]
pub(crate) async fn maintenance_reach(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MaintenanceId>,
) -> Result<Json<PreviewView>, ApiError> {
    let scope = caller.authorize(Permission::MaintenanceRead)?;
    let row = app.maintenance(&scope, id).await?;
    let preview = app.maintenance_preview(&scope, &row.draft).await?;
    Ok(Json(PreviewView::of(&row.draft.window, &preview)))
}

/// Change a maintenance window
///
/// Once it has begun, only its words and days to come: what was recorded stays true.
#[utoipa::path(
    patch, path = "/api/v1/maintenance/{id}", tag = "maintenance", params(("id" = u32, Path)),
    request_body = MaintenancePatchBody,
    responses((status = 200, description = "As it is now", body = MaintenanceView))
)]
pub(crate) async fn maintenance_update(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MaintenanceId>,
    Json(body): Json<MaintenancePatchBody>,
) -> Result<Json<MaintenanceView>, ApiError> {
    let scope = caller.authorize(Permission::MaintenanceWrite)?;
    let before = app.maintenance(&scope, id).await?;
    let draft = parse(&body, Some(&before.draft))?;
    let row = app.maintenance_update(&scope, &before, &draft).await?;
    Ok(Json(MaintenanceView::of(&row, app.now())))
}

/// Cancel maintenance
///
/// What runs ends now, and there is nothing more of it.
#[utoipa::path(
    post, path = "/api/v1/maintenance/{id}/cancel", tag = "maintenance",
    params(("id" = u32, Path)),
    responses((status = 200, description = "As it is now", body = MaintenanceView))
)]
pub(crate) async fn maintenance_cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MaintenanceId>,
) -> Result<Json<MaintenanceView>, ApiError> {
    let scope = caller.authorize(Permission::MaintenanceWrite)?;
    let row = app.maintenance_cancel(&scope, id).await?;
    Ok(Json(MaintenanceView::of(&row, app.now())))
}

/// End maintenance now
///
/// The occurrence that is open; those to come stay.
#[utoipa::path(
    post, path = "/api/v1/maintenance/{id}/end", tag = "maintenance", params(("id" = u32, Path)),
    responses((status = 200, description = "As it is now", body = MaintenanceView))
)]
pub(crate) async fn maintenance_end(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MaintenanceId>,
) -> Result<Json<MaintenanceView>, ApiError> {
    let scope = caller.authorize(Permission::MaintenanceWrite)?;
    let row = app.maintenance_end_at(&scope, id, None).await?;
    Ok(Json(MaintenanceView::of(&row, app.now())))
}

/// Extend maintenance
///
/// The occurrence that is open; those to come stay.
#[utoipa::path(
    post, path = "/api/v1/maintenance/{id}/extend", tag = "maintenance",
    params(("id" = u32, Path)), request_body = ExtendBody,
    responses((status = 200, description = "As it is now", body = MaintenanceView))
)]
pub(crate) async fn maintenance_extend(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MaintenanceId>,
    Json(body): Json<ExtendBody>,
) -> Result<Json<MaintenanceView>, ApiError> {
    let scope = caller.authorize(Permission::MaintenanceWrite)?;
    let before = app.maintenance(&scope, id).await?;
    let mut fields = Fields::default();
    let must = "must be a time such as 2026-11-21T05:54:33Z, or 2026-11-21T06:54 by the zone";
    let until = before.draft.window.zone().read(&body.until).ok_or(must);
    let until = fields.take("until", until);
    fields.check()?;
    let row = app.maintenance_end_at(&scope, id, until).await?;
    Ok(Json(MaintenanceView::of(&row, app.now())))
}

/// List a target's maintenance
///
/// When windows cover it: its minutes then are marked as maintenance, and are what they were. What
/// stands behind what is by the topology as it is now.
#[utoipa::path(
    get, path = "/api/v1/targets/{id}/maintenance", tag = "maintenance",
    params(("id" = u32, Path), SpansQuery),
    responses((status = 200, description = "By their start", body = SpansView))
)]
pub(crate) async fn target_maintenance(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TargetId>,
    Query(query): Query<SpansQuery>,
) -> Result<Json<SpansView>, ApiError> {
    let scope = caller.authorize(Permission::MaintenanceRead)?;
    let mut fields = Fields::default();
    let since = fields.take("since", parse_time(&query.since));
    let until = fields.take("until", parse_time(&query.until));
    let (Some(start), Some(end)) = (since, until) else { return Err(fields.error().into()) };
    if end <= start || SPANS_US_MAX < end.0.saturating_sub(start.0) {
        fields.refuse("until", "must be later than `since`, by at most 400 days");
    }
    fields.check()?;
    let spans = app.maintenance_spans(&scope, id, Occurrence { start, end }).await?;
    let items = spans.into_iter().map(|span| SpanView {
        maintenance: span.id.0,
        title: span.title,
        start: span.time.start.into(),
        end: span.time.end.into(),
    });
    Ok(Json(SpansView { items: items.collect() }))
}
