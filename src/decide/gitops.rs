//! What to write where a GitOps tool puts its own weight back, in the tool's own words.

use crate::observe::RouteState;

/// The rule that leaves the weights of `route` to the operator, for the tool behind the field manager `by`.
pub(super) fn rule(by: &str, route: &RouteState) -> String {
    let (kind, name) = route.what.split_once(' ').unwrap_or((&route.what, ""));
    let (group, jq) = (&route.group, &route.jq);
    if by.contains("argocd") {
        return format!(
            "in the Argo CD Application write syncPolicy.syncOptions: [RespectIgnoreDifferences=true] and ignoreDifferences: [{{group: {group}, kind: {kind}, \
             name: {name}, jqPathExpressions: ['{jq}']}}]"
        );
    }
    if by.contains("kustomize-controller") || by.contains("flux") {
        return format!("annotate {kind} {name} in Git with kustomize.toolkit.fluxcd.io/ssa: IfNotPresent");
    }
    if by.contains("helm") {
        return format!(
            "leave {jq} of {kind} {name} out of what {by} applies, or ignore it under the HelmRelease's driftDetection"
        );
    }
    format!("leave {jq} of {kind} {name} out of what {by} applies")
}
