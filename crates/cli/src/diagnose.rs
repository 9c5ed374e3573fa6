//! `faultline diagnose`: the judgement of the server, on a file, offline.
//!
//! Reads case files, plays them, prints. It holds no judgement of its own; the exit status is 1
//! where an answer is not the expected one, and 2 where a file could not be read.

mod human;
mod view;

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context;
use engine::{
    case::{CASE_BYTES_MAX, Case, CaseError, Player},
    graph::ElementIx,
    rca,
};

use crate::args::DiagnoseArgs;

/// Files of one folder.
const FILES_MAX: usize = 1_000_000;

/// What became of all files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) is_unreadable: bool,
    pub(crate) is_different: bool,
}

impl Outcome {
    /// The exit status.
    pub(crate) fn status(self) -> u8 {
        match self {
            Outcome { is_unreadable: true, .. } => 2,
            Outcome { is_different: true, .. } => 1,
            Outcome { .. } => 0,
        }
    }
}

pub(crate) fn run(args: &DiagnoseArgs) -> anyhow::Result<Outcome> {
    let files = match (&args.batch, &args.case) {
        (Some(folder), _) => files_of(folder)?,
        (None, Some(file)) => vec![file.clone()],
        (None, None) => Vec::new(),
    };
    let mut outcome = Outcome::default();
    let mut out = std::io::stdout().lock();
    for file in files {
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        let answered = read(&file).and_then(|case| answer(args, &name, &case));
        match answered {
            Ok((text, is_as_expected)) => {
                out.write_all(text.as_bytes())?;
                outcome.is_different |= args.check && !is_as_expected;
            }
            Err(error) => {
                let text = view::fault(args.human, &name, &error.path, &error.reason);
                out.write_all(text.as_bytes())?;
                outcome.is_unreadable = true;
            }
        }
    }
    out.flush()?;
    Ok(outcome)
}

/// The case files of a folder, by name.
fn files_of(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let context = || format!("cannot read the folder `{}`", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
        anyhow::ensure!(files.len() <= FILES_MAX, "more than {FILES_MAX} case files");
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Case, CaseError> {
    let unreadable =
        |error: std::io::Error| CaseError { path: ".".to_owned(), reason: error.to_string() };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than is allowed: who sends too much is told so.
    file.take(CASE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Case::read(&bytes)
}

/// What to print of a case, and whether it is as the case expects.
fn answer(args: &DiagnoseArgs, name: &str, case: &Case) -> Result<(String, bool), CaseError> {
    if args.single_points {
        return Ok((view::single_points(args.human, name, case), true));
    }
    if let Some(question) = &args.what_if {
        let elements = elements_of(case, question)?;
        let loss = rca::what_if(&case.topology, &elements, &[]);
        return Ok((view::loss(args.human, name, case, &elements, &loss), true));
    }
    Ok(play(args, name, case))
}

/// The ids of `down A, B`.
fn elements_of(case: &Case, question: &str) -> Result<Vec<ElementIx>, CaseError> {
    let fault = |reason: String| CaseError { path: "--what-if".to_owned(), reason };
    let Some(("down", ids)) = question.trim().split_once(char::is_whitespace) else {
        return Err(fault(format!("`{question}`: say `down ID`, or `down ID,ID`")));
    };
    let find = |id: &str| {
        let id = id.trim();
        case.topology.find(id).ok_or_else(|| fault(format!("there is no element `{id}`")))
    };
    ids.split(',').map(find).collect()
}

fn play(args: &DiagnoseArgs, name: &str, case: &Case) -> (String, bool) {
    let mut player = Player::new(case, args.budget);
    let mut text = String::new();
    let mut messages = 0;
    let mut last = None;
    let shows_all = args.steps || args.batch.is_none();
    while let Some(step) = player.step() {
        let counted = step.messages.iter().filter(|message| message.change.is_counted());
        messages += u32::try_from(counted.count()).unwrap_or(u32::MAX);
        let shown = view::Shown { name, case, incidents: player.incidents(), step: &step };
        let said = if args.human { human::step(&shown) } else { view::step(&shown) };
        if !shows_all {
            text.clear();
        }
        text.push_str(&said);
        last = Some(step);
    }
    let differences = match (&case.expected, &last) {
        (Some(expected), Some(step)) => {
            expected.differences(&case.topology, player.incidents(), &step.assessment, messages)
        }
        _ => Vec::new(),
    };
    if args.check {
        text.push_str(&view::differences(args.human, name, &differences));
    }
    (text, differences.is_empty())
}
