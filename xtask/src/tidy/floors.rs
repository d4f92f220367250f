//! The order of modules within each crate, bottom to top: an import goes down, and modules of one
//! floor do not know each other. Where a reader looks first to see how a crate is built.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result};

use super::modules::{Edge, Tree};

/// Where the order is, below the checkout.
pub(super) const LIST: &str = "xtask/modules.toml";

/// A folder's own module in the list of its folder. Where it is not listed, it stands on top of its
/// children, as what is built from them.
const ITSELF: &str = "self";

/// For each crate, for each module with children, their floors from the ground up.
#[derive(Debug)]
pub(super) struct Floors {
    crates: BTreeMap<String, BTreeMap<String, Vec<Vec<String>>>>,
}

impl Floors {
    /// Reads the list.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let crates = toml::from_str(text).with_context(|| format!("understand {LIST}"))?;
        Ok(Self { crates })
    }

    /// The crates of the list that are not built.
    pub(super) fn gone<'a>(&self, built: impl Iterator<Item = &'a str>) -> Vec<String> {
        let built: BTreeSet<&str> = built.collect();
        let gone = self.crates.keys().filter(|name| !built.contains(name.as_str()));
        gone.map(|name| format!("{LIST}: {name} is not a crate of the workspace")).collect()
    }

    /// What of a crate is on no floor, or imports from its own floor or from above.
    pub(super) fn judge(&self, tree: &Tree, edges: &[Edge]) -> Vec<String> {
        let none = BTreeMap::new();
        let listed = self.crates.get(&tree.name).unwrap_or(&none);
        let mut found = Vec::new();
        let mut houses = BTreeSet::new();
        for house in tree.houses() {
            let name = tree.modules[house].name.as_str();
            houses.insert(name);
            let floors = listed.get(name).map_or(&[][..], Vec::as_slice);
            let floors = numbered(tree, house, floors, &mut found);
            for edge in edges {
                let (from, to) = (tree.room(house, edge.from), tree.room(house, edge.to));
                let (Some(from), Some(to)) = (from, to) else { continue };
                let (Some(above), Some(below)) = (floors.get(&from), floors.get(&to)) else {
                    continue;
                };
                if from != to && above <= below {
                    let where_ = if above == below { "on the same floor" } else { "above it" };
                    found.push(format!("{}: {}, {where_}", tree.name, tree.step(edge)));
                }
            }
        }
        for name in listed.keys().filter(|name| !houses.contains(name.as_str())) {
            found.push(format!("{LIST}: {} has no modules below {name}", tree.name));
        }
        found
    }
}

/// The floor of each room of a house. Says which have none.
fn numbered(
    tree: &Tree,
    house: usize,
    floors: &[Vec<String>],
    found: &mut Vec<String>,
) -> BTreeMap<usize, usize> {
    let name = &tree.modules[house].name;
    let place = || format!("{LIST}: {}, {name}", tree.name);
    let mut numbers = BTreeMap::new();
    for (floor, rooms) in floors.iter().enumerate() {
        for room in rooms {
            let module = if room == ITSELF { Some(house) } else { tree.child(house, room) };
            match module {
                None => found.push(format!("{}: there is no module {room}", place())),
                Some(module) => {
                    if numbers.insert(module, floor).is_some() {
                        found.push(format!("{}: {room} is listed twice", place()));
                    }
                }
            }
        }
    }
    numbers.entry(house).or_insert(floors.len());
    for (room, module) in tree.children(house) {
        if !numbers.contains_key(&module) {
            found.push(format!("{}: {room} is on no floor", place()));
        }
    }
    numbers
}

/// The lowest floors that imports allow, as in the list: where somebody begins who orders a crate.
pub(super) fn lowest(tree: &Tree, edges: &[Edge]) -> String {
    let mut text = format!("[{}]\n", key(&tree.name));
    for house in tree.houses() {
        let mut uses = BTreeMap::<usize, BTreeSet<usize>>::new();
        for edge in edges {
            let (from, to) = (tree.room(house, edge.from), tree.room(house, edge.to));
            if let (Some(from), Some(to)) = (from, to)
                && from != to
            {
                uses.entry(from).or_default().insert(to);
            }
        }
        let mut left: BTreeMap<&str, usize> = tree.children(house).collect();
        left.insert(ITSELF, house);
        let mut floors = Vec::new();
        while !left.is_empty() {
            let stands = |(_, room): &(&&str, &usize)| {
                let mut below = uses.get(room).into_iter().flatten();
                below.all(|below| left.values().all(|other| other != below || other == *room))
            };
            let mut floor: Vec<&str> = left.iter().filter(stands).map(|(name, _)| *name).collect();
            if floor.is_empty() {
                // A circle: told elsewhere.
                floor = left.keys().copied().collect();
            }
            left.retain(|name, _| !floor.contains(name));
            floors.push(floor);
        }
        on_top(&mut floors, uses.values().any(|below| below.contains(&house)));
        writeln!(text, "{} = [", key(&tree.modules[house].name)).ok();
        for floor in floors {
            writeln!(text, "    {floor:?},").ok();
        }
        text.push_str("]\n");
    }
    text
}

/// A name as a key of the list.
fn key(name: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if name.chars().all(is_bare) { name.to_owned() } else { format!("{name:?}") }
}

/// Leaves out the house itself where nothing is built on it.
fn on_top(floors: &mut Vec<Vec<&str>>, is_used: bool) {
    if !is_used {
        for floor in &mut *floors {
            floor.retain(|room| *room != ITSELF);
        }
        floors.retain(|floor| !floor.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &str); 6] = [
        ("lib.rs", "mod error; mod read; mod write; pub use read::Reader; use write::Writer;"),
        ("error.rs", "pub struct Error;"),
        ("read.rs", "mod block; use crate::error::Error; pub struct Reader; fn f() { block::B; }"),
        ("read/block.rs", "pub struct B;"),
        ("write.rs", "mod out; use crate::Reader; pub struct Writer;"),
        ("write/out.rs", "use super::Writer;"),
    ];

    fn judge(list: &str) -> Vec<String> {
        let tree = Tree::of(&FILES);
        Floors::parse(list).unwrap().judge(&tree, &tree.edges())
    }

    const RIGHT: &str = "[made]\ncrate = [[\"error\"], [\"read\"], [\"write\"]]\n\
                         read = [[\"block\"]]\nwrite = [[\"self\"], [\"out\"]]";

    #[test]
    fn imports_go_down() {
        assert_eq!(judge(RIGHT), Vec::<String>::new());
        let up = RIGHT.replace("[\"read\"], [\"write\"]", "[\"write\"], [\"read\"]");
        assert_eq!(judge(&up), ["made: write uses read: src/write.rs:1: crate::Reader, above it"]);
        let beside = RIGHT.replace("[\"read\"], [\"write\"]", "[\"read\", \"write\"]");
        assert!(judge(&beside)[0].ends_with("on the same floor"), "{:?}", judge(&beside));
        let on_top = RIGHT.replace("[\"self\"], [\"out\"]", "[\"out\"]");
        assert!(judge(&on_top)[0].contains("write::out uses write"), "{:?}", judge(&on_top));
    }

    #[test]
    fn each_module_is_on_one_floor_and_each_floor_has_modules() {
        for (from, to) in [
            ("[\"error\"], ", ""),
            ("[\"error\"]", "[\"error\"], [\"error\"]"),
            ("[\"error\"]", "[\"error\", \"gone\"]"),
            ("read = [[\"block\"]]\n", ""),
            ("write =", "error = []\nwrite ="),
        ] {
            let list = RIGHT.replace(from, to);
            assert_eq!(judge(&list).len(), 1, "{list}: {:?}", judge(&list));
        }
        assert_eq!(judge("").len(), 5, "a crate that is not listed has no floors: {:?}", judge(""));
        let floors = Floors::parse(RIGHT).unwrap();
        assert_eq!(floors.gone(["other"].into_iter()).len(), 1);
        assert!(floors.gone(["made"].into_iter()).is_empty());
    }

    #[test]
    fn the_lowest_floors_are_in_order() {
        let tree = Tree::of(&FILES);
        let list = lowest(&tree, &tree.edges());
        assert_eq!(judge(&list), Vec::<String>::new(), "{list}");
        assert!(list.contains("crate = [\n    [\"error\"],\n    [\"read\"],\n    [\"write\"],\n]"));
    }
}
