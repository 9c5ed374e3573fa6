//! Each seeded defect changes what is decided, or the simulator could never find it.

use engine::{Defect, Engine};

use crate::play::{Play, noon};

/// Lets each defect show: silence, a dead agent, a blind one, late rounds, doubtful ones, loss with
/// an unanswered confirm burst, a lone Down, a gap beside Down in one minute, a recovery in one.
const TROUBLE: &str = "
    probe p1
    probe p2
    0s..100s/5s fra1 gw good
    100s..160s/5s fra1 gw lost
    160s..900s/5s fra1 gw good
    0s..900s/5s ams2 gw good
    1s..100s/5s fra1 p1 good
    101s fra1 p1 lost!
    106s..160s/5s fra1 p1 lost
    161s..200s/5s fra1 p1 good
    201s fra1 p1 lost!
    206s fra1 p1 lost
    211s..300s/5s fra1 p1 good
    301s..330s/5s fra1 p1 lost doubtful
    331s..400s/5s fra1 p1 good
    401s fra1 p1 lost!
    406s..440s/5s fra1 p1 lost
    1s..500s/5s ams2 p1 good
    501s fra1 p1 good
    502s..560s/5s fra1 p2 good @620s
    2s..250s/5s ams2 p2 good
    257s ams2 p2 confirmed
    262s..400s/5s ams2 p2 4/5
    600s..900s ams2 dies
";

fn checkpoint_of(defect: Option<Defect>) -> (Vec<model::Decision>, Vec<u8>) {
    let with = |engine: Engine| match defect {
        Some(defect) => engine.with_defect(defect),
        None => engine,
    };
    let mut engine = with(Engine::new(noon()));
    let mut count = 0;
    let decisions = Play::new("fra1 ams2", TROUBLE).play(&mut engine, |engine| {
        count += 1;
        if count == 400 {
            *engine = with(Engine::restore(&engine.checkpoint()).expect("its own checkpoint"));
        }
    });
    (decisions, engine.checkpoint())
}

#[test]
fn every_defect_shows() {
    let healthy = checkpoint_of(None);
    for defect in Defect::ALL {
        assert!(checkpoint_of(Some(defect)).0 != healthy.0, "{defect:?} changes nothing");
    }
}
