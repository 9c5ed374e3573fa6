//! The only crate with SQL: inventory, people, verdicts, history; migrations.
