//! A GIL that came back, as the pods' own gauge says.

use super::{
    HttpSource, MAX_PODS_PER_QUERY, QueryProblem, Scope, answer,
    promql::{self, Selector},
};

/// 1 while the GIL is on. Exported by the probe, and by applications that do it themselves.
const GAUGE: &str = "python_gil_enabled";
/// The probe's: one series for each module that turned it on.
const BY: &str = "python_gil_enabled_by_info";
/// A name of the probe's stays from then on; this long ago it was scraped for sure, ms.
const NAMED_WITHIN: i64 = 300_000;

impl HttpSource {
    /// The pods in which the GIL is on, each with a module that turned it on where that is said. At one scrape alone it may be on for
    /// nothing but an import (CPython enables it for as long as any extension loads): at least two in a row have to say so.
    ///
    /// # Errors
    /// Prometheus was not to be asked. That nobody exports such a gauge is no error.
    pub async fn gil_enabled(
        &self,
        scope: &Scope,
        pods: &[String],
        scrape: i64,
        at: i64,
    ) -> Result<Vec<(String, Option<String>)>, QueryProblem> {
        let selector = |name: &str| Selector { name: name.into(), matchers: Vec::new() };
        let (gauge, by) = (selector(GAUGE), selector(BY));
        let label = &scope.labels.pod;
        let mut found = Vec::new();
        for pods in pods.chunks(MAX_PODS_PER_QUERY) {
            let range = promql::range(scrape.max(1) * 5 / 2);
            let series = format!("{}{range}", gauge.render(&scope.labels, &scope.namespace, pods));
            let query =
                format!("group by ({label}) (min_over_time({series}) > 0 and count_over_time({series}) > 1)");
            let read = |body: &[u8]| answer::label_values(body, label);
            for pod in self.short(scope, &gauge, &query, at, read).await? {
                let one = by.render(&scope.labels, &scope.namespace, std::slice::from_ref(&pod));
                let range = promql::range(NAMED_WITHIN);
                let query = format!("group by (module) (last_over_time({one}{range}))");
                let read = |body: &[u8]| answer::label_values(body, "module");
                // Whoever knows no name knows all the same that the GIL is on.
                let modules = self.short(scope, &by, &query, at, read).await.unwrap_or_default();
                found.push((pod, modules.into_iter().find(|module| is_module(module))));
            }
        }
        Ok(found)
    }
}

/// As a log's words are: what a stranger exports is not passed on as it came.
fn is_module(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}
