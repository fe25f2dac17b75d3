//! What a latency histogram looks like: which boundaries it has, and how many requests were under each. Asked once per attempt, to choose
//! the boundaries that are compared; nothing is counted with it.

use std::collections::BTreeMap;

use super::{
    HttpSource, QueryProblem, Scope, Shape, Window, answer,
    client::MAX_PODS_PER_QUERY,
    convert::same,
    native::{self, Histogram},
    promql::{Selector, range},
};

impl HttpSource {
    pub(super) async fn shape_of(
        &self,
        scope: &Scope,
        buckets: &Selector,
        pods: &[String],
        window: Window,
        wanted: f64,
    ) -> Result<Shape, QueryProblem> {
        let mut below: BTreeMap<String, f64> = BTreeMap::new();
        let mut sets: BTreeMap<String, f64> = BTreeMap::new();
        for pods in pods.chunks(MAX_PODS_PER_QUERY) {
            let instant = buckets.render(&scope.labels, &scope.namespace, pods);
            let read = |body: &[u8]| answer::by_label(body, "le");
            let query = format!("count by (le) ({instant})");
            for (le, count) in self.short(scope, buckets, &query, window.to, read).await? {
                *sets.entry(le).or_default() += count;
            }
            // What `increase` makes up and leaves out is the same for all boundaries: only their proportions matter here.
            let query = format!("sum by (le) (increase({instant}{}))", range(window.to - window.from));
            for (le, count) in self.short(scope, buckets, &query, window.to, read).await? {
                *below.entry(le).or_default() += count;
            }
        }
        if sets.is_empty() {
            return self.native_shape(scope, &buckets.native(), pods, window, wanted).await;
        }
        let most = sets.values().copied().fold(0.0, f64::max);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of series")]
        let most = most as usize;
        // Boundaries exist before the first request.
        let below = sets.into_keys().map(|le| {
            let count = below.get(&le).copied().unwrap_or_default();
            (le, count)
        });
        Ok(Shape { sets: most, below: below.collect(), native: false })
    }

    async fn native_shape(
        &self,
        scope: &Scope,
        histogram: &Selector,
        pods: &[String],
        window: Window,
        wanted: f64,
    ) -> Result<Shape, QueryProblem> {
        let (mut sets, mut found) = (0.0, Vec::new());
        for pods in pods.chunks(MAX_PODS_PER_QUERY) {
            let instant = histogram.render(&scope.labels, &scope.namespace, pods);
            let query = format!("sum(increase({instant}{}))", range(window.to - window.from));
            found.extend(self.short(scope, histogram, &query, window.to, answer::histogram).await?);
            let query = format!("count({instant})");
            sets += self.short(scope, histogram, &query, window.to, answer::number).await?;
        }
        if found.is_empty() {
            return Ok(Shape::default());
        }
        let mut edges: Vec<f64> = found.iter().flat_map(|histogram| histogram.edges(wanted)).collect();
        edges.sort_by(f64::total_cmp);
        edges.dedup_by(|a, b| same(*a, *b));
        let below = |edge: f64| found.iter().map(|histogram| histogram.below(edge)).sum::<Option<f64>>();
        let below = edges.into_iter().filter_map(|edge| Some((native::label(edge), below(edge)?)));
        let all = ("+Inf".to_owned(), found.iter().map(Histogram::all).sum());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of series")]
        let sets = sets as usize;
        Ok(Shape { sets, below: below.chain([all]).collect(), native: true })
    }
}
