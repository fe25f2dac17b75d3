//! What a person on call asks of the flags: are they answered, and where not, why? No label holds the name of an object or of a caller.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{Evaluation, Refusal};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    variant: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// Counts of this replica, of all namespaces together.
#[derive(Debug, Clone, Default)]
pub struct FlagMetrics {
    evaluations: Family<Answered, Counter>,
    refusals: Family<Why, Counter>,
    cut: Family<Why, Counter>,
    certificate: Counter,
}

/// Why a connection was closed before its client was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The replica has as many as it may.
    Full,
    /// Its peer has as many as it may.
    FullOfPeer,
    /// A request that did not arrive, or an answer that was not read, in time.
    Slow,
    /// No TLS could be agreed on.
    Handshake,
}

impl FlagMetrics {
    /// Put them into `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "flag_evaluations",
            "Evaluations of flags that were given out, by variant and reason",
            self.evaluations.clone(),
        );
        registry.register(
            "flag_refusals",
            "Requests for flags that got no evaluation, by reason",
            self.refusals.clone(),
        );
        registry.register(
            "flag_connections_cut",
            "Connections for flags that were closed before their client was done, by reason",
            self.cut.clone(),
        );
        registry.register(
            "flag_certificate_failures",
            "Looks at the certificate of the flags that found none that could be presented",
            self.certificate.clone(),
        );
    }

    pub(super) fn evaluated(&self, evaluation: &Evaluation) {
        let Evaluation { variant, reason, .. } = *evaluation;
        let _ = self.evaluations.get_or_create(&Answered { variant, reason }).inc();
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.refusals.get_or_create(&Why { reason: refusal.word() }).inc();
    }

    pub(super) fn cut(&self, cut: Cut) {
        let reason = match cut {
            Cut::Full => "Full",
            Cut::FullOfPeer => "FullOfPeer",
            Cut::Slow => "Slow",
            Cut::Handshake => "Handshake",
        };
        self.cut.get_or_create(&Why { reason }).inc();
    }

    pub(super) fn no_certificate(&self) {
        self.certificate.inc();
    }

    /// Connections that were cut for being slow.
    #[cfg(test)]
    pub(super) fn slow(&self) -> u64 {
        self.cut.get_or_create(&Why { reason: "Slow" }).get()
    }

    /// Each has counted something.
    #[cfg(test)]
    pub(crate) fn touch(&self) {
        let _ = self.evaluations.get_or_create(&Answered { variant: "", reason: "" });
        self.refused(&Refusal::Limit);
        self.cut(Cut::Slow);
    }
}
