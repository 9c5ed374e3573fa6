//! The small pieces that several answers share: times, references, closed texts, pages.

use model::{AgentState, Cause, DropCause, Role, UtcMicros, Verdict};
use serde::{Deserialize, Serialize};
use store::Ref;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::ObjectBuilder, schema::Type},
};

use super::permission::Permission;
use crate::app::{AppError, Fields};

/// RFC 3339, in UTC.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-21T05:54:33.25Z")]
pub(crate) struct Timestamp(String);

impl From<UtcMicros> for Timestamp {
    fn from(at: UtcMicros) -> Timestamp {
        Timestamp(at.to_string())
    }
}

/// An id with the name people know it by.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Ref)]
pub(crate) struct RefView {
    pub(crate) id: u32,
    #[schema(example = "core1.fra")]
    pub(crate) name: String,
}

macro_rules! ref_view {
    ($($id:ty),*) => {$(
        impl From<&Ref<$id>> for RefView {
            fn from(of: &Ref<$id>) -> RefView {
                RefView { id: of.id.0, name: of.name.to_string() }
            }
        }
    )*};
}
ref_view!(model::TierId, model::TargetId, model::AgentId);

/// A closed list of texts of the model, so that the document cannot drift from it.
macro_rules! text_view {
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
                let texts = <$of>::ALL.map(|value| value.as_str());
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
text_view!(
    /// What is held to be true of a target.
    VerdictView, Verdict, "Verdict"
);
text_view!(
    /// Which rule decided.
    CauseView, Cause, "Cause"
);
text_view!(
    /// Why an agent lost results.
    DropCauseView, DropCause, "DropCause"
);
text_view!(RoleView, Role, "Role");
text_view!(PermissionView, Permission, "Permission");

/// What is held to be true of an agent; `awaited`: online or blind before the server started, and
/// not heard since.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct AgentStateView(&'static str);

impl AgentStateView {
    pub(crate) const AWAITED: AgentStateView = AgentStateView("awaited");
}

impl From<AgentState> for AgentStateView {
    fn from(state: AgentState) -> AgentStateView {
        AgentStateView(state.as_str())
    }
}

impl PartialSchema for AgentStateView {
    fn schema() -> RefOr<Schema> {
        let texts = AgentState::ALL.map(AgentState::as_str);
        let texts = texts.into_iter().chain([AgentStateView::AWAITED.0]);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(texts)).into()
    }
}

impl ToSchema for AgentStateView {
    fn name() -> std::borrow::Cow<'static, str> {
        "AgentState".into()
    }
}

/// How many things a page holds.
pub(crate) const PAGE_DEFAULT: u32 = 100;
/// More would make an answer too large to show and slow to make.
pub(crate) const PAGE_MAX: u32 = store::PAGE_ROWS_MAX;

/// A query of a list that has only a limit.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LimitQuery {
    /// 1 to 500; 100 if left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

impl LimitQuery {
    pub(crate) fn parse(&self) -> Result<u32, AppError> {
        let mut fields = Fields::default();
        let limit = parse_limit(&mut fields, self.limit.as_deref());
        fields.check()?;
        Ok(limit)
    }
}

/// Reads the size of a page.
pub(crate) fn parse_limit(fields: &mut Fields, text: Option<&str>) -> u32 {
    let Some(text) = text else {
        return PAGE_DEFAULT;
    };
    match text.parse() {
        Ok(limit) if (1..=PAGE_MAX).contains(&limit) => limit,
        Ok(_) | Err(_) => {
            fields.refuse("limit", format!("must be a number from 1 to {PAGE_MAX}"));
            PAGE_DEFAULT
        }
    }
}

/// Reads the cursor of a list whose rows come by their numbers, newest first.
pub(crate) fn parse_before(fields: &mut Fields, text: Option<&str>) -> Option<u64> {
    let parse = |text: &str| text.parse::<u64>().map_err(|_| "is not one of this list");
    fields.take_some("cursor", text.map(parse))
}

/// Cuts a list that was asked for with one row more than its page holds; the cursor of the next
/// page is the number of the last row, if that one row was there.
pub(crate) fn cut_page<T>(rows: &mut Vec<T>, limit: u32, id: fn(&T) -> u64) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| is_more).map(|row| id(row).to_string())
}

pub(crate) fn parse_time(text: &str) -> Result<UtcMicros, &'static str> {
    UtcMicros::parse(text).ok_or("must be a time such as 2026-11-21T05:54:33Z")
}

pub(crate) fn parse_role(text: &str) -> Result<Role, &'static str> {
    Role::parse(text).ok_or("must be viewer, operator or admin")
}

/// Reads a flag of a query.
pub(crate) fn parse_flag(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    }
}
