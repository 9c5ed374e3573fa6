//! Prometheus's way of reading, so that its clients read our history: Grafana above all.
//!
//! Parameters come in the query or as a form, answers and refusals are in Prometheus's own
//! envelope; only who may not call at all, and failures of ours, are problem details.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode};
use model::UtcMicros;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::{
    caller::Caller,
    extract::{BODY_TIME_MAX, Json, Path, in_time, media_type, too_large_or_cut},
    permission::Permission,
    problem::{ApiError, Code},
};
use crate::app::{
    App, AppError,
    prom::{
        self, Answer, Fault, FaultKind, Labels, Listed, NAME, POINTS_MAX, PromError, Steps,
        parse_duration_ms,
    },
};

/// Selectors of one request for labels.
const MATCHES_MAX: usize = 32;
const FORM: &str = "application/x-www-form-urlencoded";

/// What is asked for: of the query, and of a form if there is one. Unknown names are left alone,
/// as Prometheus leaves them.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Params, ApiError> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let mut all = pairs(query.as_bytes());
        if request.method() == Method::POST {
            if media_type(request.headers()) != FORM {
                let detail = format!("send `content-type: {FORM}`");
                return Err(ApiError::new(Code::BadMediaType, detail));
            }
            let body = in_time(BODY_TIME_MAX, Bytes::from_request(request, state)).await?;
            let body = body.map_err(|error| too_large_or_cut(error.status()))?;
            all.extend(pairs(&body));
        }
        Ok(Params(all))
    }
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

impl Params {
    fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }

    fn needed(&self, name: &str) -> Result<&str, Fault> {
        self.get(name).ok_or_else(|| invalid(name, "it is missing"))
    }

    /// A moment in milliseconds since 1970: seconds, or a time in words.
    fn time_ms(&self, name: &str) -> Result<Option<i64>, Fault> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let us = UtcMicros::parse(text).map(|at| at.0.div_euclid(1_000));
        let ms = us.or_else(|| seconds_ms(text));
        ms.map(Some).ok_or_else(|| invalid(name, &format!("cannot parse {text:?} as a time")))
    }

    fn step_ms(&self) -> Result<i64, Fault> {
        let text = self.needed("step")?;
        let ms = seconds_ms(text).or_else(|| parse_duration_ms(text));
        match ms {
            Some(ms) if 0 < ms => Ok(ms),
            Some(_) => Err(invalid(
                "step",
                "zero or negative query resolution step widths are not accepted. Try a positive \
                 integer",
            )),
            None => Err(invalid("step", &format!("cannot parse {text:?} as a duration"))),
        }
    }

    /// The texts of selectors.
    fn matches(&self) -> Result<Vec<String>, Fault> {
        let texts = self.0.iter().filter(|(key, _)| key == "match[]");
        let texts: Vec<String> = texts.map(|(_, value)| value.clone()).collect();
        if MATCHES_MAX < texts.len() {
            return Err(invalid("match[]", &format!("at most {MATCHES_MAX} are allowed")));
        }
        Ok(texts)
    }
}

fn invalid(name: &str, reason: &str) -> Fault {
    Fault::bad(format!("invalid parameter {name:?}: {reason}"))
}

/// Seconds with a fraction, as long as they are a time that there may be.
fn seconds_ms(text: &str) -> Option<i64> {
    let seconds: f64 = text.parse().ok()?;
    let is_sane = seconds.abs() <= 253_402_300_799.0;
    #[expect(clippy::cast_possible_truncation, reason = "before the year 10,000")]
    is_sane.then(|| (seconds * 1_000.0).round() as i64)
}

/// An answer in Prometheus's envelope.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PromAnswer)]
pub(crate) struct PromAnswerView {
    #[schema(example = "success")]
    status: &'static str,
    #[schema(value_type = serde_json::Value)]
    data: Box<RawValue>,
    /// What the answer leaves out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A refusal in Prometheus's envelope.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PromRefusal)]
pub(crate) struct PromRefusalView {
    #[schema(example = "error")]
    status: &'static str,
    /// `bad_data`, `execution` or `timeout`.
    #[serde(rename = "errorType")]
    #[schema(example = "bad_data")]
    error_type: &'static str,
    error: String,
}

fn answered(data: &impl Serialize, warnings: Vec<String>) -> Result<Response, ApiError> {
    let data = to_raw_value(data).map_err(ApiError::internal)?;
    Ok(enveloped(data, warnings))
}

fn enveloped(data: Box<RawValue>, warnings: Vec<String>) -> Response {
    Json(PromAnswerView { status: "success", data, warnings }).into_response()
}

/// What was written already, away from everybody else's work, or why there is none.
fn told(listed: Result<Listed<Box<RawValue>>, PromError>) -> Result<Response, ApiError> {
    match listed {
        Ok(Listed { all, warnings, .. }) => Ok(enveloped(all, warnings)),
        Err(error) => refused(error),
    }
}

fn written(data: &impl Serialize) -> Result<Box<RawValue>, AppError> {
    to_raw_value(data).map_err(AppError::internal)
}

fn refused(error: PromError) -> Result<Response, ApiError> {
    let (status, error_type, error) = match error {
        PromError::Fault(Fault { kind: FaultKind::Bad, text }) => {
            (StatusCode::BAD_REQUEST, "bad_data", text)
        }
        PromError::Fault(Fault { kind: FaultKind::Execution, text }) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "execution", text)
        }
        PromError::Fault(Fault { kind: FaultKind::Late, text }) => {
            (StatusCode::SERVICE_UNAVAILABLE, "timeout", text)
        }
        PromError::App(error) => return Err(error.into()),
    };
    let view = PromRefusalView { status: "error", error_type, error };
    Ok((status, Json(view)).into_response())
}

/// The labels of a series.
struct MetricView<'a>(&'a Labels);

impl Serialize for MetricView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A moment and a value: a number and a text, as Prometheus writes them.
struct PointView(i64, f64);

impl Serialize for PointView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let PointView(at_ms, value) = self;
        let text = match *value {
            value if value == f64::INFINITY => "+Inf".to_owned(),
            value if value == f64::NEG_INFINITY => "-Inf".to_owned(),
            value => value.to_string(),
        };
        #[expect(clippy::cast_precision_loss, reason = "before the year 10,000")]
        let at = *at_ms as f64 / 1_000.0;
        match at_ms.rem_euclid(1_000) {
            0 => (at_ms.div_euclid(1_000), text).serialize(serializer),
            _ => (at, text).serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct InstantView<'a> {
    metric: MetricView<'a>,
    value: PointView,
}

#[derive(Serialize)]
struct RangeView<'a> {
    metric: MetricView<'a>,
    values: Vec<PointView>,
}

#[derive(Serialize)]
struct ResultView<T> {
    #[serde(rename = "resultType")]
    result_type: &'static str,
    result: T,
}

fn view<T: Serialize>(result_type: &'static str, result: T) -> Result<Box<RawValue>, AppError> {
    written(&ResultView { result_type, result })
}

/// The answer at one moment.
fn instant(answer: &Answer, at_ms: i64) -> Result<Box<RawValue>, AppError> {
    match answer {
        Answer::Scalar(values) => {
            view("scalar", PointView(at_ms, values.first().copied().unwrap_or(f64::NAN)))
        }
        Answer::Vector(lines) => {
            let values = lines.iter().filter_map(|line| {
                let value = PointView(at_ms, line.values.first().copied().flatten()?);
                Some(InstantView { metric: MetricView(&line.labels), value })
            });
            view("vector", values.collect::<Vec<_>>())
        }
        Answer::Matrix(all) => {
            let values = all.iter().map(|(labels, samples)| RangeView {
                metric: MetricView(labels),
                values: samples.iter().map(|(at, value)| PointView(*at, *value)).collect(),
            });
            view("matrix", values.collect::<Vec<_>>())
        }
    }
}

/// The answer at each of several moments.
fn over(answer: &Answer, steps: Steps) -> Result<Box<RawValue>, AppError> {
    let none = Labels::default();
    let values = match answer {
        Answer::Scalar(values) => {
            let values = steps.iter().zip(values).map(|(at, value)| PointView(at, *value));
            vec![RangeView { metric: MetricView(&none), values: values.collect() }]
        }
        Answer::Vector(lines) => {
            let line = |line: &prom::Line| {
                let values = steps.iter().zip(&line.values);
                values.filter_map(|(at, value)| Some(PointView(at, (*value)?))).collect()
            };
            let lines = lines.iter().map(|one| (MetricView(&one.labels), line(one)));
            lines.map(|(metric, values)| RangeView { metric, values }).collect()
        }
        Answer::Matrix(_) => Vec::new(),
    };
    view("matrix", values)
}

async fn query_at(app: App, caller: Caller, params: Params) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let now_ms = app.now().0.div_euclid(1_000);
    let parsed = || {
        let query = params.needed("query")?.to_owned();
        Ok((query, params.time_ms("time")?.unwrap_or(now_ms)))
    };
    let (query, at_ms) = match parsed() {
        Ok(parsed) => parsed,
        Err(fault) => return refused(PromError::Fault(fault)),
    };
    let steps = Steps { start_ms: at_ms, step_ms: 1, count: 1 };
    told(app.prom_query(&scope, query, steps, move |answer| instant(answer, at_ms)).await)
}

async fn query_over(app: App, caller: Caller, params: Params) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let parsed = || {
        let query = params.needed("query")?.to_owned();
        let start = params.time_ms("start")?.ok_or_else(|| invalid("start", "it is missing"))?;
        let end = params.time_ms("end")?.ok_or_else(|| invalid("end", "it is missing"))?;
        if end < start {
            return Err(invalid("end", "end timestamp must not be before start time"));
        }
        let step_ms = params.step_ms()?;
        let count = usize::try_from((end - start) / step_ms).unwrap_or(usize::MAX);
        if POINTS_MAX <= count {
            return Err(Fault::bad(format!(
                "exceeded maximum resolution of {POINTS_MAX} points per timeseries. Try \
                 decreasing the query resolution (?step=XX)"
            )));
        }
        Ok((query, Steps { start_ms: start, step_ms, count: count + 1 }))
    };
    let (query, steps) = match parsed() {
        Ok(parsed) => parsed,
        Err(fault) => return refused(PromError::Fault(fault)),
    };
    told(app.prom_query(&scope, query, steps, move |answer| over(answer, steps)).await)
}

macro_rules! prom_path {
    (
        $(#[$doc:meta])* $get:ident, $post:ident, $path:literal, $work:ident,
        ($($param:tt)*)
    ) => {
        $(#[$doc])*
        #[utoipa::path(
            get, path = $path, tag = "prometheus", params($($param)*),
            responses(
                (status = 200, description = "In Prometheus's envelope", body = PromAnswerView),
                (status = 400, description = "It cannot be read", body = PromRefusalView),
                (status = 422, description = "It cannot be worked out", body = PromRefusalView),
                (status = 503, description = "It took too long", body = PromRefusalView)
            )
        )]
        pub(crate) async fn $get(
            State(app): State<App>,
            caller: Caller,
            params: Params,
        ) -> Result<Response, ApiError> {
            $work(app, caller, params).await
        }

        $(#[$doc])*
        ///
        /// The same with its parameters as a form.
        #[utoipa::path(
            post, path = $path, tag = "prometheus",
            request_body(content = Object, content_type = "application/x-www-form-urlencoded"),
            responses(
                (status = 200, description = "In Prometheus's envelope", body = PromAnswerView),
                (status = 400, description = "It cannot be read", body = PromRefusalView),
                (status = 422, description = "It cannot be worked out", body = PromRefusalView),
                (status = 503, description = "It took too long", body = PromRefusalView)
            )
        )]
        pub(crate) async fn $post(
            State(app): State<App>,
            caller: Caller,
            params: Params,
        ) -> Result<Response, ApiError> {
            $work(app, caller, params).await
        }
    };
}

prom_path!(
    /// PromQL at one moment
    prom_query, prom_query_post, "/api/v1/prom/api/v1/query", query_at,
    (
        ("query" = String, Query, description = "PromQL", example = "faultline_target_up"),
        ("time" = Option<String>, Query, description = "Seconds since 1970 or RFC 3339, or now")
    )
);
prom_path!(
    /// PromQL over a time
    prom_query_range, prom_query_range_post, "/api/v1/prom/api/v1/query_range", query_over,
    (
        ("query" = String, Query, description = "PromQL", example = "faultline_target_up"),
        ("start" = String, Query, description = "Seconds since 1970 or RFC 3339"),
        ("end" = String, Query, description = "Included; at most 11,000 steps after `start`"),
        ("step" = String, Query, description = "Seconds, or a duration such as `5m`")
    )
);
prom_path!(
    /// The series that there are now
    prom_series, prom_series_post, "/api/v1/prom/api/v1/series", series,
    (("match[]" = Vec<String>, Query, example = json!(["faultline_target_up"])))
);
prom_path!(
    /// The labels that series have
    prom_labels, prom_labels_post, "/api/v1/prom/api/v1/labels", labels,
    (("match[]" = Option<Vec<String>>, Query, description = "Selectors"))
);

async fn series(app: App, caller: Caller, params: Params) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let matches = match params.matches() {
        Ok(matches) if matches.is_empty() => {
            let fault = Fault::bad("no match[] parameter provided");
            return refused(PromError::Fault(fault));
        }
        Ok(matches) => matches,
        Err(fault) => return refused(PromError::Fault(fault)),
    };
    let write = |all: &BTreeSet<Labels>| written(&all.iter().map(MetricView).collect::<Vec<_>>());
    told(app.prom_series(&scope, matches, write).await)
}

async fn labels(app: App, caller: Caller, params: Params) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let matches = match params.matches() {
        Ok(matches) => matches,
        Err(fault) => return refused(PromError::Fault(fault)),
    };
    if matches.is_empty() {
        let all: Vec<&str> = [NAME].into_iter().chain(prom::LABELS).collect();
        return answered(&all, Vec::new());
    }
    let write = |all: &BTreeSet<Labels>| {
        let names = all.iter().flat_map(|labels| labels.iter().map(|(name, _)| name));
        written(&names.collect::<BTreeSet<&str>>())
    };
    told(app.prom_series(&scope, matches, write).await)
}

/// The values of a label
#[utoipa::path(
    get, path = "/api/v1/prom/api/v1/label/{name}/values", tag = "prometheus",
    params(
        ("name" = String, Path, example = "target"),
        ("match[]" = Option<Vec<String>>, Query, description = "Selectors")
    ),
    responses(
        (status = 200, description = "In Prometheus's envelope", body = PromAnswerView),
        (status = 400, description = "It cannot be read", body = PromRefusalView)
    )
)]
pub(crate) async fn prom_label_values(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let matches = match params.matches() {
        Ok(matches) => matches,
        Err(fault) => return refused(PromError::Fault(fault)),
    };
    if matches.is_empty() {
        return match app.prom_values(&scope, &name).await {
            Ok(Listed { all, warnings, .. }) => answered(&all, warnings),
            Err(error) => refused(error),
        };
    }
    let write = move |all: &BTreeSet<Labels>| {
        let values = all.iter().map(|labels| labels.get(&name));
        written(&values.filter(|value| !value.is_empty()).collect::<BTreeSet<&str>>())
    };
    told(app.prom_series(&scope, matches, write).await)
}

#[derive(Serialize)]
struct MetadataView {
    #[serde(rename = "type")]
    kind: &'static str,
    help: &'static str,
    unit: &'static str,
}

/// What each series is
#[utoipa::path(
    get, path = "/api/v1/prom/api/v1/metadata", tag = "prometheus",
    params(("metric" = Option<String>, Query, description = "Only of this name")),
    responses((status = 200, description = "In Prometheus's envelope", body = PromAnswerView))
)]
pub(crate) async fn prom_metadata(
    State(_): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Response, ApiError> {
    caller.authorize(Permission::TargetRead)?;
    let wanted = params.get("metric").filter(|name| !name.is_empty());
    let metrics = prom::metrics().filter(|metric| wanted.is_none_or(|name| name == metric.name));
    let views = metrics.map(|metric| {
        let kind = if metric.is_counter { "counter" } else { "gauge" };
        (metric.name, [MetadataView { kind, help: metric.help, unit: "" }])
    });
    let all: BTreeMap<_, _> = views.collect();
    answered(&all, Vec::new())
}

#[derive(Serialize)]
struct BuildView {
    application: &'static str,
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    #[serde(rename = "goVersion")]
    go_version: &'static str,
}

/// What answers here
///
/// Clients look which of Prometheus's kin they speak with.
#[utoipa::path(
    get, path = "/api/v1/prom/api/v1/status/buildinfo", tag = "prometheus",
    responses((status = 200, description = "In Prometheus's envelope", body = PromAnswerView))
)]
pub(crate) async fn prom_buildinfo(
    State(_): State<App>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.authorize(Permission::TargetRead)?;
    let version = env!("CARGO_PKG_VERSION");
    let build =
        BuildView { application: "Faultline", version, revision: "", branch: "", go_version: "" };
    answered(&build, Vec::new())
}
