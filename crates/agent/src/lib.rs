//! The agent: sockets, spool, uplink, enrolment. It asks and never judges.
