//! Roll-ups as tables: what of them, and for how long.

use std::time::Duration;

use store::{RollupDetail, RollupTables};

use super::{ConfigError, DAY_S, parse_days};

/// What all agents say together: a row has 175 bytes, some fifty times what it has in the history,
/// and there are as many more of agents as a target has of them.
pub const DETAIL_DEFAULT: RollupDetail = RollupDetail::Targets;
/// Dashboards look at the last days, and `/history` at everything.
pub const KEEP_5M_DEFAULT: Duration = Duration::from_secs(14 * DAY_S);
pub const KEEP_1H_DEFAULT: Duration = Duration::from_secs(90 * DAY_S);
pub const KEEP_1D_DEFAULT: Duration = Duration::from_secs(1_826 * DAY_S);

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileTables {
    detail: Option<String>,
    keep_5m: Option<String>,
    keep_1h: Option<String>,
    keep_1d: Option<String>,
}

impl FileTables {
    pub(super) fn resolve(&self) -> Result<RollupTables, ConfigError> {
        let detail = self.detail.as_deref().map_or(Ok(DETAIL_DEFAULT), |text| {
            let found = RollupDetail::ALL.into_iter().find(|detail| detail.as_str() == text);
            found.ok_or_else(|| ConfigError::Value {
                key: "rollup_tables.detail",
                reason: format!("`{text}` is none of `none`, `targets`, `agents`, `all`"),
            })
        })?;
        let days = |key, text: &Option<String>, default| parse_days(key, text.as_deref(), default);
        Ok(RollupTables {
            detail,
            fives: days("rollup_tables.keep_5m", &self.keep_5m, KEEP_5M_DEFAULT)?,
            hours: days("rollup_tables.keep_1h", &self.keep_1h, KEEP_1H_DEFAULT)?,
            days: days("rollup_tables.keep_1d", &self.keep_1d, KEEP_1D_DEFAULT)?,
        })
    }
}
