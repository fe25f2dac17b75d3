//! From the project through the graph of a `uv.lock` to all that the target gets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    lock::{Lines, Picked, Pin, Wanted, only_once},
    markers::Env,
    problem::{InputProblem, Problem, clipped, names},
    uv::{Dependency, Manifest, Package},
    wheel::normalised,
};

/// How often the walk is repeated because it switched on extras that markers of the lock ask for. uv needs two.
const ROUNDS: usize = 4;

/// Longest chain of names that is shown.
const CHAIN: usize = 160;

/// A package with one of its extras, or without.
type Node = (usize, Option<String>);

struct Graph<'a> {
    packages: &'a [Package],
    by_name: BTreeMap<String, Vec<usize>>,
    lines: &'a Lines,
}

/// One round: what was reached, and from where.
#[derive(Default)]
struct Reached {
    seen: BTreeSet<Node>,
    from: BTreeMap<usize, Option<Node>>,
    queue: VecDeque<Node>,
}

pub(super) fn walk(
    manifest: &Manifest,
    packages: &[Package],
    lines: &Lines,
    wanted: &Wanted,
) -> Result<Picked, InputProblem> {
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, package) in packages.iter().enumerate() {
        by_name.entry(package.name()).or_default().push(i);
    }
    let graph = Graph { packages, by_name, lines };
    let roots = graph.roots(manifest, wanted)?;
    graph.check_choice(manifest, &roots, wanted)?;
    let extras = graph.extras(&roots, wanted);
    let mut env = wanted.env();
    env.extras.extend(extras.iter().cloned());
    graph.activate_roots(&mut env, &roots, wanted, &extras);
    let mut reached = Reached::default();
    for _ in 0..ROUNDS {
        let before = env.extras.len();
        reached = graph.round(manifest, &roots, &extras, wanted, &env)?;
        for (package, extra) in &reached.seen {
            if let Some(extra) = extra {
                env.extras.insert(conflict_name("extra", &packages[*package].name(), extra));
            }
        }
        if env.extras.len() == before {
            break;
        }
    }
    // Members are the repository's own code, whether they are started from or reached.
    let own: BTreeSet<usize> = roots.into_iter().chain(graph.projects(manifest)).collect();
    let reached_packages = reached.from.keys().filter(|i| !own.contains(i));
    let mut pins: Vec<Pin> = reached_packages.map(|i| graph.pin(*i, &reached)).collect();
    pins.sort_by(|a, b| a.name.cmp(&b.name));
    only_once(&pins)?;
    Ok(Picked { pins, notes: Vec::new() })
}

impl Graph<'_> {
    /// The repository's own packages: the members of a workspace, else the one at its root.
    fn projects(&self, manifest: &Manifest) -> Vec<usize> {
        let members: BTreeSet<String> = manifest.members.iter().map(|name| normalised(name)).collect();
        let projects = || self.packages.iter().enumerate().filter(|(_, package)| package.is_project());
        let mut found: Vec<usize> = projects()
            .filter(|(_, package)| {
                members.contains(&package.name()) || (members.is_empty() && package.is_root())
            })
            .map(|(i, _)| i)
            .collect();
        if found.is_empty() {
            found = projects().map(|(i, _)| i).collect();
        }
        found
    }

    /// The members of the workspace, or the projects that were chosen.
    fn roots(&self, manifest: &Manifest, wanted: &Wanted) -> Result<Vec<usize>, InputProblem> {
        let projects = self.projects(manifest);
        if projects.is_empty() && manifest.requirements.is_empty() && manifest.dependency_groups.is_empty() {
            return Err(InputProblem::whole(Problem::NoRoot));
        }
        if wanted.projects.is_empty() {
            return Ok(projects);
        }
        let known: BTreeMap<String, usize> =
            projects.iter().map(|i| (self.packages[*i].name(), *i)).collect();
        let chosen = wanted.projects.iter().map(|name| {
            known.get(name).copied().ok_or_else(|| {
                let known = names(known.keys().map(String::as_str));
                InputProblem::whole(Problem::NoMember { wanted: clipped(name), known })
            })
        });
        chosen.collect()
    }

    /// A misspelt extra or group would otherwise leave out what was asked for.
    fn check_choice(
        &self,
        manifest: &Manifest,
        roots: &[usize],
        wanted: &Wanted,
    ) -> Result<(), InputProblem> {
        let roots = || roots.iter().map(|i| &self.packages[*i]);
        for extra in &wanted.extras {
            if !roots().any(|root| root.has_extra(extra)) {
                let known =
                    names(roots().flat_map(|root| root.optional_dependencies.keys().map(String::as_str)));
                return Err(InputProblem::whole(Problem::NoExtra { wanted: clipped(extra), known }));
            }
        }
        for group in &wanted.groups {
            let of_workspace = manifest.dependency_groups.keys().any(|name| normalised(name) == *group);
            if !of_workspace && !roots().any(|root| root.has_group(group)) {
                let of_roots = roots().flat_map(|root| root.dev_dependencies.keys());
                let known = names(of_roots.chain(manifest.dependency_groups.keys()).map(String::as_str));
                return Err(InputProblem::whole(Problem::NoGroup { wanted: clipped(group), known }));
            }
        }
        Ok(())
    }

    fn extras(&self, roots: &[usize], wanted: &Wanted) -> BTreeSet<String> {
        if !wanted.all_extras {
            return wanted.extras.clone();
        }
        let all = roots.iter().flat_map(|i| self.packages[*i].optional_dependencies.keys());
        all.map(|name| normalised(name)).collect()
    }

    /// In a lock with declared conflicts, markers ask for extras and groups under names of uv's own.
    fn activate_roots(&self, env: &mut Env, roots: &[usize], wanted: &Wanted, extras: &BTreeSet<String>) {
        for root in roots {
            let name = self.packages[*root].name();
            env.extras.insert(format!("project-{}-{name}", name.len()));
            env.extras.extend(extras.iter().map(|extra| conflict_name("extra", &name, extra)));
            env.extras.extend(wanted.groups.iter().map(|group| conflict_name("group", &name, group)));
        }
    }

    fn round(
        &self,
        manifest: &Manifest,
        roots: &[usize],
        extras: &BTreeSet<String>,
        wanted: &Wanted,
        env: &Env,
    ) -> Result<Reached, InputProblem> {
        let mut reached = Reached::default();
        for root in roots {
            reached.add((*root, None), None);
            for extra in extras {
                reached.add((*root, Some(extra.clone())), None);
            }
            for group in &wanted.groups {
                let more = Package::more(&self.packages[*root].dev_dependencies, group);
                self.follow(more, Some(&(*root, None)), env, &mut reached)?;
            }
        }
        self.follow(&manifest.requirements, None, env, &mut reached)?;
        for group in &wanted.groups {
            self.follow(Package::more(&manifest.dependency_groups, group), None, env, &mut reached)?;
        }
        while let Some(node) = reached.queue.pop_front() {
            let package = &self.packages[node.0];
            match &node.1 {
                None => self.follow(&package.dependencies, Some(&node), env, &mut reached)?,
                Some(extra) => {
                    let more = Package::more(&package.optional_dependencies, extra);
                    self.follow(more, Some(&node), env, &mut reached)?;
                }
            }
        }
        Ok(reached)
    }

    fn follow<'d>(
        &self,
        dependencies: impl IntoIterator<Item = &'d Dependency>,
        from: Option<&Node>,
        env: &Env,
        reached: &mut Reached,
    ) -> Result<(), InputProblem> {
        for dependency in dependencies {
            let line = self.lines.of(dependency.name.span().start);
            if let Some(marker) = &dependency.marker
                && !env.counts(marker).map_err(|what| InputProblem::at(line, what))?
            {
                continue;
            }
            let found = self.find(dependency, env).map_err(|what| InputProblem::at(line, what))?;
            if found.is_empty() {
                let by = from.map_or("the project", |(i, _)| self.packages[*i].name.get_ref());
                let what = Problem::NotLocked(by.to_owned(), dependency.name.get_ref().clone());
                return Err(InputProblem::at(line, what));
            }
            for package in found {
                reached.add((package, None), from);
                for extra in &dependency.extra {
                    reached.add((package, Some(normalised(extra))), from);
                }
            }
        }
        Ok(())
    }

    /// The packages that an edge leads to: one, unless the lock splits it by environments.
    fn find(&self, dependency: &Dependency, env: &Env) -> Result<Vec<usize>, Problem> {
        let name = normalised(dependency.name.get_ref());
        let all = self.by_name.get(&name).map_or(&[][..], Vec::as_slice);
        let mut found: Vec<usize> = all
            .iter()
            .copied()
            .filter(|i| {
                let package = &self.packages[*i];
                dependency.version.as_ref().is_none_or(|version| package.version.as_ref() == Some(version))
                    && dependency.source.as_ref().is_none_or(|source| package.source == *source)
            })
            .collect();
        if found.len() > 1 {
            let mut here = Vec::new();
            for i in found {
                let markers = &self.packages[i].resolution_markers;
                let mut counts = markers.is_empty();
                for marker in markers {
                    counts |= env.counts(marker)?;
                }
                if counts {
                    here.push(i);
                }
            }
            found = here;
        }
        Ok(found)
    }

    fn pin(&self, i: usize, reached: &Reached) -> Pin {
        let package = &self.packages[i];
        Pin {
            name: package.name(),
            version: package.version.clone(),
            line: Some(self.lines.of(package.name.span().start)),
            via: self.chain(i, reached),
            files: package.files(),
        }
    }

    /// `app > web[fast]`: the shortest way from the project.
    fn chain(&self, i: usize, reached: &Reached) -> Option<String> {
        let mut chain = String::new();
        let mut at = reached.from.get(&i)?.as_ref();
        while let Some((package, extra)) = at {
            let name = self.packages[*package].name.get_ref();
            let step =
                extra.as_ref().map_or_else(|| clipped(name), |extra| clipped(&format!("{name}[{extra}]")));
            chain = if chain.is_empty() { step } else { format!("{step} > {chain}") };
            if chain.len() > CHAIN {
                return Some(format!("... > {chain}"));
            }
            at = reached.from.get(package)?.as_ref();
        }
        (!chain.is_empty()).then_some(chain)
    }
}

impl Reached {
    fn add(&mut self, node: Node, from: Option<&Node>) {
        if self.seen.insert(node.clone()) {
            self.from.entry(node.0).or_insert_with(|| from.cloned());
            self.queue.push_back(node);
        }
    }
}

/// `extra-3-app-cpu`: how uv writes "app's extra cpu" into a marker.
fn conflict_name(kind: &str, package: &str, of: &str) -> String {
    format!("{kind}-{}-{package}-{of}", package.len())
}
