//! What describes a network, and what was seen of it: case files and the topologies of others.

use engine::{
    case::{Case, Player},
    graph::{
        Draft, Problem, Topology,
        document::{self, Difference, Document, Format},
        import,
    },
};

/// A case that is taken is judged at every step, and the same way again.
pub(crate) fn case(bytes: &[u8]) -> bool {
    let case = match Case::read(bytes) {
        Ok(case) => case,
        Err(error) => {
            assert!(!error.path.is_empty() && !error.reason.is_empty(), "a fault without a place");
            return false;
        }
    };
    let play = || {
        let mut player = Player::new(&case, None);
        let mut said = Vec::new();
        while let Some(step) = player.step() {
            for finding in &step.assessment.findings {
                let sum: f64 = finding.causes.iter().map(|cause| cause.probability).sum();
                assert!(sum.is_finite() && sum <= 1.001, "probabilities sum to {sum}");
            }
            said.push(step.assessment);
        }
        said
    };
    assert!(play() == play(), "another answer to the same case");
    true
}

pub(crate) fn graphml(bytes: &[u8]) -> bool {
    is_draft(bytes, import::graphml)
}

pub(crate) fn topohub(bytes: &[u8]) -> bool {
    is_draft(bytes, import::topohub)
}

pub(crate) fn topology_csv(bytes: &[u8]) -> bool {
    is_document(bytes, Format::Csv)
}

pub(crate) fn topology_json(bytes: &[u8]) -> bool {
    is_document(bytes, Format::Json)
}

pub(crate) fn topology_yaml(bytes: &[u8]) -> bool {
    is_document(bytes, Format::Yaml)
}

/// A document that was read and makes sense is read back from what is written of it.
fn is_document(bytes: &[u8], format: Format) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(read) = Document::read(format, text) else { return false };
    match read.build() {
        Ok(_) => {
            let written = document::write(format, &read.draft).text;
            let back = Document::read(format, &written).expect("what was written is read");
            let difference = Difference::between(&read.draft.to_parts(), &back.draft.to_parts());
            assert!(difference.is_empty(), "{difference:?}");
            true
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            false
        }
    }
}

/// A draft that was read resolves, or says why not.
fn is_draft(bytes: &[u8], read: impl Fn(&str) -> Result<Draft, Problem>) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(draft) = read(text) else { return false };
    match Topology::build(&draft) {
        Ok(topology) => topology.elements().len() == draft.elements.len(),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            false
        }
    }
}
