//! Ids: one type per kind, so that mixing them does not compile.
//!
//! Ids are handed out by the store, start at 1 and are never used again after a deletion.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<$name, Self::Err> {
                text.parse().map($name)
            }
        }
    };
}

id!(
    /// An organisation: the outermost owner of everything.
    OrgId
);
id!(
    /// A monitored thing with an address.
    TargetId
);
id!(
    /// One way of asking one target. A target has one probe today and several later.
    ProbeId
);
id!(
    /// A monitoring policy: how often, how many packets, which agents.
    TierId
);
id!(
    /// A process that asks, in a point of presence.
    AgentId
);
id!(
    /// A person who signs in.
    UserId
);
id!(
    /// A key that a program signs in with.
    ApiKeyId
);
id!(
    /// An address that messages are sent to.
    WebhookId
);
id!(
    /// An incident of an organisation: the number that people call it by.
    IncidentId
);
id!(
    /// A trace of an organisation.
    TraceId
);
id!(
    /// A maintenance window of an organisation.
    MaintenanceId
);
