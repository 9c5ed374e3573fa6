//! Virtual networks, fleets, faults, and the oracle that judges the judge.
