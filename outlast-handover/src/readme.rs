//! The page that a restorer finds who has never heard of us.

use crate::rules::{Layout, Rules};

/// The page of a hand-over.
pub(crate) fn text(rules: &Rules) -> String {
    let name = &rules.name;
    let (layout, age) = match rules.encrypt_to.is_empty() {
        true if rules.packed => (PACKED, ""),
        true => (layout(rules.layout), ""),
        false => (
            ENCRYPTED,
            " The content is encrypted: you need age (age-encryption.org) and the key, too.",
        ),
    };
    format!(
        "This is a hand-over of Outlast, called \"{name}\": backups of applications, put here for a backup product.
You need nothing of Outlast to restore them. tar, zstd, sha256sum and a shell are enough.{age}

What lies here
  outlast-heartbeat.json        when the program that fills this directory was last alive, and how it was
  outlast-handover.json         all backups that were here at that moment
  <workload>/<time>.<id>/       one backup of <workload>; <time> is when it came here (UTC). The newest is the last
    outlast-drop.json           what is in it: each file with its size and SHA-256
{layout}
Is it whole?
  cd <workload>/<time>.<id>
  tr '{{' '\\n' < outlast-drop.json |
    sed -n 's/^\"path\":\"\\([^\"]*\\)\",\"size\":[0-9]*,\"sha256\":\"\\([0-9a-f]*\\)\".*/\\2  \\1/p' | sha256sum -c
Each line must end in OK, and there must be as many as files. With Outlast: outlast handover verify .

Times and owners of the files here say when and how they were handed over. Those that the files of a tree had are
in outlast-drop.json; outlast fetch --from . --workload W --into DIR gives them back.
"
    )
}

const ENCRYPTED: &str =
    "    <name>.age                  the content, encrypted: a dump as it was made, or <workload>.tar
    <name>.age.part00001 …      the same in parts, where it was larger than a file may be

How to get a dump or a tree out of it, with the file KEY that holds the secret key (AGE-SECRET-KEY-1…)
    a dump:                age -d -i KEY <name>.age > dump
    in parts:              cat <name>.age.part* | age -d -i KEY > dump
    a tree:                age -d -i KEY <workload>.tar.age | tar -x -C /where
    a tree in parts:       cat <workload>.tar.age.part* | age -d -i KEY | tar -x -C /where
A name that ends in .zst.age is compressed, too: put `| zstd -d` behind age.
";

const PACKED: &str =
    "    <name>.zst                  the content, compressed: a dump as it was made, or <workload>.tar
    <name>                      the same, where it was not compressed when it came
    <name>.part00001 …          either in parts, where it was larger than a file may be

How to get a dump or a tree out of it
    a dump:                zstd -d <name>.zst -o /where/name
    in parts:              cat <name>.zst.part* | zstd -d > dump
    a tree:                zstd -dc <workload>.tar.zst | tar -x -C /where
    a tree in parts:       cat <workload>.tar.zst.part* | zstd -d | tar -x -C /where
";

fn layout(layout: Layout) -> &'static str {
    match layout {
        Layout::Drop => {
            "    0001.seg 0002.seg …          the content, in pieces; sealed.json is its seal

How to get a dump or a tree out of it
  outlast-drop.json says \"kind\":\"stream\" or \"kind\":\"tree\", and \"compression\":\"zstd\" or nothing.
    a stream:              cat *.seg           > dump
    a stream, compressed:  cat *.seg | zstd -d > dump
    a tree:                cat *.seg           | tar -x -C /where
    a tree, compressed:    cat *.seg | zstd -d | tar -x -C /where
"
        }
        Layout::Plain => {
            "    <name>                      the content: a dump as it was made, or <workload>.tar
    <name>.part00001 …          the same in parts, where it was larger than a file may be

How to get a dump or a tree out of it
    a dump:                cp <name> /where
    in parts:              cat <name>.part* > dump
    a tree:                tar -x -C /where -f <workload>.tar
    a tree in parts:       cat <workload>.tar.part* | tar -x -C /where
"
        }
        Layout::Unpacked => {
            "    tree/…                      the files of a tree
    <name>                      a dump as it was made, or <workload>.tar where a tree could not lie here as files
    <name>.part00001 …          the same in parts, where it was larger than a file may be

How to get a dump or a tree out of it
    a tree:                cp -a tree/. /where
    a dump:                cp <name> /where
    in parts:              cat <name>.part* > dump
    a tree in one file:    tar -x -C /where -f <workload>.tar
"
        }
    }
}
