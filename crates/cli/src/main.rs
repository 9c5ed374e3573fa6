//! `faultline`: starts the server (and, with `up`, a local agent beside it) and carries the
//! operator's commands to a running server over its API.
//!
//! It holds no logic of its own: what can be done here can be done with the API.

mod args;
mod client;
mod commands;
mod compare;
mod demo;
mod diagnose;
mod doctor;
mod fact;
mod incident;
mod keep;
mod maintenance;
mod measured;
mod memory;
mod password;
mod pin;
mod plan;
mod record;
mod serve;
mod signals;
mod table;
mod topology;
mod trace;
mod up;
mod webhook;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use crate::args::{Args, Command};

/// The operator asked for something that cannot be done as asked.
const EXIT_FAILED: u8 = 1;
/// What was to be read cannot be.
const EXIT_UNREADABLE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Command::Diagnose(diagnose) = &args.command {
        return offline(diagnose);
    }
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_FAILED),
        Err(error) => {
            complain(&error);
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Needs neither a server nor a runtime.
fn offline(args: &args::DiagnoseArgs) -> ExitCode {
    match diagnose::run(args) {
        Ok(outcome) => ExitCode::from(outcome.status()),
        Err(error) => {
            complain(&error);
            ExitCode::from(EXIT_UNREADABLE)
        }
    }
}

/// Returns whether all is well.
fn run(args: Args) -> anyhow::Result<bool> {
    // Two providers in one process panic at the first handshake: this one is chosen here, once.
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.ok().context("a TLS provider was installed twice")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ran = runtime.block_on(async {
        match args.command {
            Command::Up(up) => up::run(args.connection, up).await?,
            Command::Demo(demo) => demo::run(args.connection, demo).await?,
            Command::Server(server) => serve::run(args.connection.data_dir, server).await?,
            Command::Openapi => print_openapi(),
            Command::Diagnose(_) => {} // Done before: it needs no runtime.
            Command::Agent(agent) => commands::agent(args.connection, agent).await?,
            Command::Target(target) => commands::target(args.connection, target).await?,
            Command::Topology(topology) => {
                return topology::run(args.connection, topology).await;
            }
            Command::User(user) => commands::user(args.connection, user).await?,
            Command::Webhook(webhook) => return webhook::run(args.connection, webhook).await,
            Command::Incidents(incidents) => incident::list(args.connection, incidents).await?,
            Command::Incident(one) => incident::run(args.connection, one).await?,
            Command::Facts(facts) => fact::list(args.connection, facts).await?,
            Command::Fact(fact) => fact::send(args.connection, fact).await?,
            Command::Trace(trace) => return trace::run(args.connection, trace).await,
            Command::Traces(traces) => trace::list(args.connection, traces).await?,
            Command::Paths(paths) => trace::paths(args.connection, paths).await?,
            Command::Maintenance(command) => maintenance::run(args.connection, command).await?,
            Command::History(history) => record::history(args.connection, history).await?,
            Command::Plan(plan) => plan::run(&args.connection, &plan)?,
            Command::Status => commands::status(args.connection).await?,
            Command::Doctor(doctor) => return doctor::run(args.connection, doctor).await,
            Command::Backup(backup) => keep::backup(args.connection, backup).await?,
            Command::Restore(restore) => keep::bring_back(args.connection, restore).await?,
            Command::Verify(verify) => keep::verify(args.connection, verify).await?,
        }
        Ok(true)
    });
    // What hangs on a disk is not waited for: the command has said what became of it.
    runtime.shutdown_background();
    ran
}

#[expect(clippy::print_stdout, reason = "the document is the output of this command")]
fn print_openapi() {
    print!("{}", server::http::openapi_json());
}

#[expect(clippy::print_stderr, reason = "the one place where a command says why it failed")]
fn complain(error: &anyhow::Error) {
    eprintln!("faultline: {error:#}");
}
