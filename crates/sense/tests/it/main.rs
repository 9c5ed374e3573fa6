//! The prober as its driver sees it: scripts in, rounds out.
