//! Seeded defects: mistakes that the simulator's oracle must catch.
//!
//! Without the feature `seeded-defects` none can be switched on and the checks compile to nothing.

macro_rules! defects {
    ($visibility:vis) => {
        /// A mistake that can be switched on to see that it is found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(
            not(feature = "seeded-defects"),
            expect(dead_code, reason = "switched on by the feature alone")
        )]
        $visibility enum Defect {
            /// A pair that is no longer heard keeps its verdict.
            SilenceIsUp,
            /// An agent that sees nothing is believed, and convicts without proof of sight.
            BlindBelieved,
            /// Confirm packets enter the loss window.
            ConfirmInLoss,
            /// Rounds that came too late change live verdicts.
            LateMovesLive,
            /// After a restore no deadline is armed.
            TimerLostAtRestore,
            /// A minute is the last verdict held in it, not the worst.
            MinuteWorstIgnored,
            /// In a minute, Unknown hides Down and Degraded.
            UnknownBeatsDown,
            /// Doubtful rounds count like any other.
            DoubtfulConvicts,
            /// One agent's Down is everybody's, whatever the others see.
            LoneAgentConvicts,
            /// An agent that is gone makes its probes Down.
            OfflineIsDown,
        }
    };
}

#[cfg(feature = "seeded-defects")]
defects!(pub);
#[cfg(not(feature = "seeded-defects"))]
defects!(pub(crate));

#[cfg(feature = "seeded-defects")]
impl Defect {
    pub const ALL: [Defect; 10] = [
        Defect::SilenceIsUp,
        Defect::BlindBelieved,
        Defect::ConfirmInLoss,
        Defect::LateMovesLive,
        Defect::TimerLostAtRestore,
        Defect::MinuteWorstIgnored,
        Defect::UnknownBeatsDown,
        Defect::DoubtfulConvicts,
        Defect::LoneAgentConvicts,
        Defect::OfflineIsDown,
    ];
}

/// The defect that is switched on, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Defects {
    #[cfg(feature = "seeded-defects")]
    on: Option<Defect>,
}

impl Defects {
    #[cfg(feature = "seeded-defects")]
    pub(crate) fn only(defect: Defect) -> Defects {
        Defects { on: Some(defect) }
    }

    #[cfg(feature = "seeded-defects")]
    pub(crate) fn has(self, defect: Defect) -> bool {
        self.on == Some(defect)
    }

    #[cfg(not(feature = "seeded-defects"))]
    #[expect(clippy::unused_self, reason = "the same call with and without the feature")]
    pub(crate) fn has(self, _defect: Defect) -> bool {
        false
    }
}
