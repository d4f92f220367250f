//! Modules of one crate that import from each other in a circle, directly or through others.
//!
//! A module with all that lies in its folder is one room for those beside it: `api` and `http` form
//! a circle if `http` imports from `api` and `api::client` from `http`. Within its folder, a module's
//! own file is one room, and each child with what lies below it another.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

use super::modules::{Edge, Tree};

/// Rooms each of which imports from the next, and so from itself in the end.
#[derive(Debug)]
pub(crate) struct Circle {
    /// All that are tied together, sorted by name.
    pub(crate) rooms: Vec<String>,
    /// A shortest way round, with one import for each step.
    witness: Vec<String>,
    /// Every use of one of the rooms by another, with its first import: what has to be untied.
    uses: Vec<String>,
}

impl Circle {
    /// In a few lines, for a person who is to cut it: `everything` if the shortest way round is not
    /// enough.
    pub(crate) fn shown(&self, crate_name: &str, everything: bool) -> String {
        let Self { rooms, witness, uses } = self;
        let mut text = format!("{crate_name}: {} form a circle:", rooms.join(", "));
        for step in witness {
            write!(text, "\n    {step}").ok();
        }
        if everything && uses.len() > witness.len() {
            write!(text, "\n  and all uses among them:").ok();
            for step in uses {
                write!(text, "\n    {step}").ok();
            }
        }
        text
    }
}

/// The circles in a crate, from the outermost rooms inwards.
pub(crate) fn circles(tree: &Tree, edges: &[Edge]) -> Vec<Circle> {
    let mut found = Vec::new();
    for house in 0..tree.modules.len() {
        let mut rooms = Rooms::new();
        for edge in edges {
            let (from, to) = (tree.room(house, edge.from), tree.room(house, edge.to));
            if let (Some(from), Some(to)) = (from, to)
                && from != to
            {
                let first = rooms.entry(from).or_default().entry(to).or_insert(edge);
                if (edge.from, edge.line) < (first.from, first.line) {
                    *first = edge;
                }
            }
        }
        found.extend(tied(&rooms).into_iter().map(|tied| circle(tree, &rooms, &tied)));
    }
    found
}

/// Which room uses which, with the first import.
type Rooms<'a> = BTreeMap<usize, BTreeMap<usize, &'a Edge>>;

fn circle(tree: &Tree, rooms: &Rooms<'_>, tied: &BTreeSet<usize>) -> Circle {
    let ways = tied.iter().filter_map(|&room| way_round(rooms, room));
    let shortest = ways.min_by_key(Vec::len).unwrap_or_default();
    let mut names: Vec<String> = tied.iter().map(|&room| tree.modules[room].name.clone()).collect();
    names.sort();
    let among = tied.iter().filter_map(|room| rooms.get(room)).flatten();
    Circle {
        rooms: names,
        witness: shortest.into_iter().map(|edge| tree.step(edge)).collect(),
        uses: among.filter(|(to, _)| tied.contains(to)).map(|(_, edge)| tree.step(edge)).collect(),
    }
}

/// The sets of rooms that can all be reached from each other.
fn tied(rooms: &Rooms<'_>) -> Vec<BTreeSet<usize>> {
    let mut found: Vec<BTreeSet<usize>> = Vec::new();
    for &start in rooms.keys() {
        if found.iter().any(|tied| tied.contains(&start)) {
            continue;
        }
        let back = |room: &usize| reached(rooms, *room).contains(&start);
        let tied: BTreeSet<usize> = reached(rooms, start).into_iter().filter(back).collect();
        if !tied.is_empty() {
            found.push(tied);
        }
    }
    found
}

/// Everything that can be reached from a room.
fn reached(rooms: &Rooms<'_>, start: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(room) = open.pop() {
        for &to in rooms.get(&room).into_iter().flatten().map(|(to, _)| to) {
            if reached.insert(to) {
                open.push(to);
            }
        }
    }
    reached
}

/// The shortest way from a room back to it.
fn way_round<'a>(rooms: &Rooms<'a>, start: usize) -> Option<Vec<&'a Edge>> {
    let mut came = BTreeMap::<usize, (usize, &Edge)>::new();
    let mut open = VecDeque::from([start]);
    while let Some(room) = open.pop_front() {
        for (&to, &edge) in rooms.get(&room).into_iter().flatten() {
            if to == start {
                let mut way = vec![edge];
                let mut at = room;
                while at != start {
                    let &(before, edge) = came.get(&at)?;
                    way.push(edge);
                    at = before;
                }
                way.reverse();
                return Some(way);
            }
            if let Entry::Vacant(unseen) = came.entry(to) {
                unseen.insert((room, edge));
                open.push_back(to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of(files);
        let circles = circles(&tree, &tree.edges());
        circles.iter().map(|circle| circle.rooms.join(" ")).collect()
    }

    #[test]
    fn modules_that_import_from_each_other_are_found_with_a_shortest_way_round() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d; pub use a::A;"),
            ("a.rs", "use crate::b::B; use crate::c::C; pub struct A;"),
            ("b.rs", "use crate::c::C; pub struct B;"),
            ("c.rs", "\nuse crate::A; use crate::d::D; pub struct C;"),
            ("d.rs", "pub struct D;"),
        ];
        assert_eq!(found(&files), ["a b c"], "d is below, and lib.rs a facade");
        let tree = Tree::of(&files);
        let circle = circles(&tree, &tree.edges()).remove(0);
        assert_eq!(
            circle.shown("made", false),
            "made: a, b, c form a circle:\n    \
             a uses c: src/a.rs:1: crate::c::C\n    \
             c uses a: src/c.rs:2: crate::A"
        );
        assert!(circle.shown("made", true).contains("b uses c"));
    }

    #[test]
    fn a_parent_and_a_child_that_import_from_each_other_are_a_circle() {
        let child = ("a/b.rs", "use super::A; pub fn f(_: A) {}");
        let above = [("lib.rs", "mod a;"), ("a.rs", "mod b; pub struct A;"), child];
        assert!(found(&above).is_empty(), "what the parent does not build on may use the parent");
        let both =
            [("lib.rs", "mod a;"), ("a.rs", "mod b; pub struct A; fn g() { b::f(A) }"), child];
        assert_eq!(found(&both), ["a a::b"]);
    }

    #[test]
    fn a_folder_is_one_room_for_those_beside_it() {
        let files = [
            ("lib.rs", "mod api; mod http;"),
            ("api.rs", "mod client; pub struct Data;"),
            ("api/client.rs", "use crate::http::Http;"),
            ("http.rs", "use crate::api::Data; pub struct Http;"),
        ];
        assert_eq!(found(&files), ["api http"]);
    }
}
