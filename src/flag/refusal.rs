//! Requests that get no evaluation, in the words and the shapes of the protocol. The caller takes its default.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::Failure;

/// Why there is no evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No token, or not the right one.
    Token,
    /// This replica has not heard from the API server lately, and its weights may be old.
    CutOff,
    /// There is no such flag.
    Unknown {
        /// Where it was looked for.
        namespace: String,
        /// Whose flag.
        rollout: String,
    },
    /// The namespace has asked too often.
    Limit,
    /// The request cannot be read.
    Invalid(Failure),
}

impl Refusal {
    /// For the metric's label.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Token => "Token",
            Self::CutOff => "CutOff",
            Self::Unknown { .. } => "Unknown",
            Self::Limit => "Limit",
            Self::Invalid(_) => "Invalid",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let general =
            |details: &str| Failure { key: None, error_code: "GENERAL", error_details: details.to_owned() };
        let (status, failure) = match self {
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                general("send the token of this namespace or rollout as Authorization: Bearer"),
            ),
            Self::CutOff => (
                StatusCode::SERVICE_UNAVAILABLE,
                general("this replica has not heard from the API server lately, and its weights may be old"),
            ),
            Self::Unknown { namespace, rollout } => {
                let error_details =
                    format!("no FreeThreadRollout {rollout} with traffic.flag in namespace {namespace}");
                let failure = Failure { key: Some(rollout), error_code: "FLAG_NOT_FOUND", error_details };
                (StatusCode::NOT_FOUND, failure)
            }
            Self::Limit => {
                let failure = general("more evaluations than this namespace may ask for in a second");
                let again = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
                return (StatusCode::TOO_MANY_REQUESTS, again, Json(failure)).into_response();
            }
            Self::Invalid(failure) => (StatusCode::BAD_REQUEST, failure),
        };
        (status, Json(failure)).into_response()
    }
}
