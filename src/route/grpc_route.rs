//! `GRPCRoute` of the Gateway API, v1. Pure.

use super::{dialect::Dialect, gateway};
use crate::api::RouterKind;

/// See [`Dialect`].
pub static DIALECT: Dialect = gateway::dialect(RouterKind::GrpcRoute, "GRPCRoute", "grpcroutes");
