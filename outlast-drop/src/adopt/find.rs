//! Looking for the files of a rule, a bounded step at a time. It reads no content and changes nothing.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;

use outlast_fs::EntryPath;
use outlast_types::WorkloadName;

use super::rule::Rule;
use crate::files::{Directory, FileFacts, is_not_a_directory};
use crate::share::Share;

/// Names that are read of one directory, and directories that wait to be looked at.
const NAMES_MAX: usize = 100_000;
const DIRECTORIES_MAX: usize = 100_000;

/// The bounds of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepLimits {
    /// Files that are looked at.
    pub files: usize,
    /// Directories that are opened.
    pub directories: usize,
}

impl StepLimits {
    /// Of a pass, which is to take seconds where each call takes milliseconds.
    pub const PASS: Self = Self { files: 1000, directories: 200 };
}

/// A file that belongs to what a rule takes together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub name: Vec<u8>,
    pub facts: FileFacts,
}

/// Files that a rule takes together, as they are at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The path of the first of them, which the rule's glob matches.
    pub path: EntryPath,
    pub workload: Result<WorkloadName, String>,
    /// Those that are there; the first is that of `path`.
    pub members: Vec<Member>,
    /// The first of those that belong to it and are not there.
    pub missing: Option<Vec<u8>>,
}

impl Found {
    /// The facts of all of them.
    pub fn facts(&self) -> Vec<FileFacts> {
        self.members.iter().map(|member| member.facts).collect()
    }

    /// The bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.facts.size).sum()
    }
}

/// A part of the share that cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The directories from the root of the share down to it.
    pub directory: Vec<String>,
    pub kind: TroubleKind,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// The share answers badly at this moment.
    Later,
    /// The agent may not look there.
    Denied,
    /// More lies there than is looked at.
    Crowded,
}

/// What a step found.
#[derive(Debug, Default)]
pub struct Step {
    pub found: Vec<Found>,
    /// Files that were listed and not looked at, as the caller wished.
    pub passed_over: Vec<EntryPath>,
    pub troubles: Vec<Trouble>,
    /// Whether all was looked at.
    pub is_over: bool,
}

/// A look for all files of one rule.
#[derive(Debug)]
pub struct Round {
    rule: Arc<Rule>,
    todo: Vec<Visit>,
}

/// A directory that is to be looked at.
#[derive(Debug)]
struct Visit {
    path: Vec<String>,
    /// Names in it that were listed and wait.
    names: Option<VecDeque<Vec<u8>>>,
}

impl Round {
    /// Begins a look.
    pub fn new(rule: &Arc<Rule>) -> Self {
        let root = Visit { path: Vec::new(), names: None };
        Self { rule: Arc::clone(rule), todo: vec![root] }
    }

    /// Goes on with the look. Files of `known` paths are told by their path only.
    pub fn step(&mut self, share: &Share, limits: StepLimits, known: &HashSet<EntryPath>) -> Step {
        let mut step = Step::default();
        let mut directories = 0;
        while let Some(visit) = self.todo.pop() {
            let is_last = visit.path.len() + 1 == self.rule.glob().depth();
            let literal = self.rule.glob().literal(visit.path.len()).map(str::to_owned);
            if let (Some(name), false) = (&literal, is_last) {
                self.push(child(&visit.path, name));
                continue;
            }
            directories += 1;
            let path = visit.path.clone();
            let looked = open(share, &visit.path).and_then(|directory| {
                if is_last {
                    self.files(&directory, visit, literal, limits, known, &mut step)
                } else {
                    self.directories(&directory, &visit, &mut step)
                }
            });
            if let Err(error) = looked {
                step.troubles.extend(trouble(path, &error));
            }
            let is_full = step.found.len() >= limits.files || directories >= limits.directories;
            if is_full && !self.todo.is_empty() {
                return step;
            }
        }
        step.is_over = true;
        step
    }

    fn push(&mut self, path: Vec<String>) {
        self.todo.push(Visit { path, names: None });
    }

    /// Notes the directories in one that lead on.
    fn directories(
        &mut self,
        directory: &Directory,
        visit: &Visit,
        step: &mut Step,
    ) -> io::Result<()> {
        let names = self.names(directory, &visit.path, step)?;
        // The last that is noted is looked at first.
        for name in names.into_iter().rev() {
            // What is no text leads to no workload of ours.
            let Ok(name) = String::from_utf8(name) else { continue };
            if self.todo.len() >= DIRECTORIES_MAX {
                let reason =
                    format!("more than {DIRECTORIES_MAX} directories wait to be looked at");
                step.troubles.push(crowded(&visit.path, reason));
                break;
            }
            self.push(child(&visit.path, &name));
        }
        Ok(())
    }

    /// Looks at the files in a directory.
    fn files(
        &mut self,
        directory: &Directory,
        visit: Visit,
        literal: Option<String>,
        limits: StepLimits,
        known: &HashSet<EntryPath>,
        step: &mut Step,
    ) -> io::Result<()> {
        let mut names = match (visit.names, literal) {
            (Some(names), _) => names,
            (None, Some(literal)) => VecDeque::from([literal.into_bytes()]),
            (None, None) => self.names(directory, &visit.path, step)?.into(),
        };
        while let Some(name) = names.pop_front() {
            if step.found.len() >= limits.files {
                names.push_front(name);
                self.todo.push(Visit { path: visit.path, names: Some(names) });
                return Ok(());
            }
            let all = visit.path.iter().map(|name| name.as_bytes().to_vec());
            let Ok(path) = EntryPath::from_names(all.chain([name]).collect()) else { continue };
            if known.contains(&path) {
                step.passed_over.push(path);
                continue;
            }
            // After an error the others in it are for the next look.
            step.found.extend(look(directory, &self.rule, path)?);
        }
        Ok(())
    }

    /// The names in a directory that match, in order.
    fn names(
        &self,
        directory: &Directory,
        path: &[String],
        step: &mut Step,
    ) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        let is_whole = directory.each_name(NAMES_MAX, |name| {
            if self.rule.glob().admits(path.len(), name) {
                names.push(name.to_vec());
            }
        })?;
        if !is_whole {
            let reason = format!("more than {NAMES_MAX} names lie there");
            step.troubles.push(crowded(path, reason));
        }
        names.sort();
        Ok(names)
    }
}

/// Looks at the files that belong together; `None` if there is no plain file at the path.
fn look(directory: &Directory, rule: &Rule, path: EntryPath) -> io::Result<Option<Found>> {
    let Some(meant) = rule.meant(&path) else { return Ok(None) };
    let mut found = Found { path, workload: meant.workload, members: Vec::new(), missing: None };
    let first = found.path.name().to_vec();
    for name in std::iter::once(first).chain(meant.others) {
        match facts(directory, &name)? {
            Some(facts) => found.members.push(Member { name, facts }),
            None if found.members.is_empty() => return Ok(None),
            None => {
                found.missing.get_or_insert(name);
            }
        }
    }
    Ok(Some(found))
}

/// The facts of a plain file, if there is one: a link is none.
fn facts(directory: &Directory, name: &[u8]) -> io::Result<Option<FileFacts>> {
    match directory.facts(name) {
        Ok(facts) => Ok(facts.is_file.then_some(facts)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // A group's own text can be no name.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a directory of the share, without following a link.
pub(super) fn open(share: &Share, path: &[String]) -> io::Result<Directory> {
    let root = share.directory()?;
    if path.is_empty() { Ok(root) } else { root.descend(path) }
}

fn child(path: &[String], name: &str) -> Vec<String> {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

fn crowded(directory: &[String], reason: String) -> Trouble {
    Trouble { directory: directory.to_vec(), kind: TroubleKind::Crowded, reason }
}

/// What an error of looking into a directory says; nothing if there is none there, or a link.
fn trouble(directory: Vec<String>, error: &io::Error) -> Option<Trouble> {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => return None,
        io::ErrorKind::PermissionDenied => TroubleKind::Denied,
        _ if is_not_a_directory(error) => return None,
        _ => TroubleKind::Later,
    };
    Some(Trouble { directory, kind, reason: error.to_string() })
}
