//! What can go wrong with a write, and what kind of wrong it is.

use std::time::Duration;

use crate::route::RouteError;

/// Bound on one write outside the route.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A write that failed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The weight was to fall: traffic is still where it must not be.
    #[error(transparent)]
    Lower(RouteError),
    /// The weight was to rise.
    #[error(transparent)]
    Raise(RouteError),
    /// What is ours in the team's route was to go.
    #[error(transparent)]
    GiveBack(RouteError),
    /// A route of ours was to become what it should be.
    #[error(transparent)]
    Renew(RouteError),
    /// Our pool was to have another number of pods.
    #[error(transparent)]
    Scale(RouteError),
    /// Our pool's objects.
    #[error(transparent)]
    Pool(Box<ActError>),
    /// The standard pool's replicas were to be handed over, or to come back.
    #[error(transparent)]
    Standard(Box<ActError>),
    /// The Job that inspects the image.
    #[error(transparent)]
    Preflight(Box<ActError>),
    /// What was rendered is no object of its kind: a patch in the spec put something there that does not belong.
    #[error("{what} as rendered from spec.freeThreaded is none: {source}")]
    Rendered {
        /// What was rendered.
        what: &'static str,
        /// Why it is none.
        #[source]
        source: serde_json::Error,
    },
    /// Anything else.
    #[error("{doing}: {source}")]
    Api {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("{doing}: no answer within {} s", WRITE_TIMEOUT.as_secs())]
    Timeout {
        /// What was being done.
        doing: &'static str,
    },
}

/// The four kinds of failure, and what each asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody was faster: look again at once.
    Conflict,
    /// It may work the next time: back off, with jitter.
    Transient,
    /// It will not work until something outside changes: slow poll.
    Dependency,
}

impl ActError {
    /// A falling weight is not applied yet: nothing else that fails is tried again as soon.
    pub fn urgent(&self) -> bool {
        matches!(self, Self::Lower(_))
    }

    /// What stands against our pool or its inspection: the API server's words (a quota, an admission policy), or what is wrong with the object. Nothing for what may pass by
    /// itself, and nothing for writes about the rollout.
    pub fn refusal(&self) -> Option<String> {
        let error = match self {
            Self::Pool(error) | Self::Preflight(error) | Self::Standard(error) => &**error,
            Self::Lower(_) | Self::Raise(_) | Self::GiveBack(_) | Self::Renew(_) | Self::Scale(_) => self,
            Self::Api { .. } | Self::Timeout { .. } | Self::Rendered { .. } => return None,
        };
        if matches!(error, Self::Rendered { .. }) {
            return Some(error.to_string());
        }
        let (Self::Api { source, .. }
        | Self::Lower(RouteError::Api { source, .. })
        | Self::Raise(RouteError::Api { source, .. })
        | Self::GiveBack(RouteError::Api { source, .. })
        | Self::Renew(RouteError::Api { source, .. })
        | Self::Scale(RouteError::Api { source, .. })) = error
        else {
            return None;
        };
        match &**source {
            kube::Error::Api(status) if self.kind() == Kind::Dependency => Some(status.message.clone()),
            _ => None,
        }
    }

    /// What could not be done, for people.
    pub fn doing(&self) -> &'static str {
        match self {
            Self::Lower(_) => "the weight cannot be lowered",
            Self::Raise(_) => "the weight cannot be raised",
            Self::GiveBack(_) => "the route cannot be given back as it was",
            Self::Renew(_) => "the route cannot be written",
            Self::Pool(_) | Self::Scale(_) => "the free-threaded pool cannot be written",
            Self::Standard(_) => "the standard pool cannot be scaled",
            Self::Preflight(_) | Self::Rendered { .. } => "the preflight Job cannot be written",
            Self::Api { .. } | Self::Timeout { .. } => "the rollout cannot be written",
        }
    }

    /// Which kind this is.
    pub fn kind(&self) -> Kind {
        if let Self::Pool(error) | Self::Preflight(error) | Self::Standard(error) = self {
            return error.kind();
        }
        if matches!(self, Self::Rendered { .. }) {
            return Kind::Dependency;
        }
        let (Self::Api { source, .. }
        | Self::Lower(RouteError::Api { source, .. })
        | Self::Raise(RouteError::Api { source, .. })
        | Self::GiveBack(RouteError::Api { source, .. })
        | Self::Renew(RouteError::Api { source, .. })
        | Self::Scale(RouteError::Api { source, .. })) = self
        else {
            return Kind::Transient;
        };
        let kube::Error::Api(status) = &**source else { return Kind::Transient };
        match status.code {
            409 => Kind::Conflict,
            // A JSON patch whose `test` failed names no kind and no cause; a real validation error does.
            422 if status.details.as_ref().is_none_or(|d| d.kind.is_empty() && d.causes.is_empty()) => {
                Kind::Conflict
            }
            401 | 403 | 404 | 422 => Kind::Dependency,
            _ => Kind::Transient,
        }
    }
}

/// Await one request, bounded and with its context.
pub(super) async fn bounded<T>(
    doing: &'static str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ActError> {
    tokio::time::timeout(WRITE_TIMEOUT, request)
        .await
        .map_err(|_| ActError::Timeout { doing })?
        .map_err(|source| ActError::Api { doing, source: Box::new(source) })
}
