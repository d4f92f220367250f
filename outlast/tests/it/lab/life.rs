//! The whole life of drops: written by several hosts at once, shipped by an agent on another, restored
//! from the vault, and gone from the share.

use std::io::Write;
use std::process::Stdio;

use super::site::{App, Kind, MANIFEST, Site};

/// Something of everything, on the host's own disk.
const TREE: &str = "set -e; mkdir -p /mnt/disk/tree; cd /mnt/disk/tree
    mkdir -p 'a dir' empty; head -c 3000000 /dev/urandom > 'a dir/data'; printf x > 'NUL: ?*|.'
    ln -s ../nowhere link; ln -f 'a dir/data' hard; chmod 4711 'NUL: ?*|.'; chown 12:34 empty; umask 077
    for n in $(seq 50); do echo $n > file$n; done";

#[test]
fn drops_of_four_hosts_at_once_live_their_whole_life_on_nfs() {
    let Some(mut site) = Site::up(Kind::Nfs, "") else { return };
    whole_life(&mut site, "", |_, _| ());
}

#[test]
fn drops_of_four_hosts_at_once_live_their_whole_life_on_smb_with_seal_and_old_caches() {
    let Some(mut site) = Site::up(Kind::Smb, "seal,actimeo=30") else { return };
    whole_life(&mut site, "seal", held_open_by_windows);
}

#[test]
fn drops_live_their_whole_life_on_nfs_with_root_squashed_and_the_oldest_caches() {
    let worst = "acregmin=60,acregmax=60,acdirmin=60,acdirmax=60";
    let Some(mut site) = Site::up(Kind::Squashed, worst) else { return };
    whole_life(&mut site, worst, |_, _| ());
}

/// Two blue hosts and two green ones drop the same workload and one of their own, all at once.
fn whole_life(site: &mut Site, options: &str, meanwhile: impl FnOnce(&mut Site, &mut App)) {
    let names = ["blue-1", "blue-2", "green-1", "green-2"];
    let mut apps: Vec<App> =
        (2..).zip(names).map(|(number, name)| site.app(number, name, options)).collect();
    let jobs: Vec<_> = apps
        .iter_mut()
        .map(|app| {
            let (shop, own) = (app.drop_command("shop"), app.drop_command(&app.name));
            app.start(&format!(
                "{TREE}
            {shop} --segment-size 1MiB --exec dump -- bash -c 'seq 400000; hostname'
            {own} /mnt/disk/tree
            {MANIFEST}"
            ))
        })
        .collect();
    let mut trees = Vec::new();
    let mut drops = Vec::new();
    for (app, job) in apps.iter_mut().zip(&jobs) {
        let said = app.success(job);
        let [shop, own, tree] = said.splitn(3, '\n').collect::<Vec<_>>()[..] else {
            panic!("{said}")
        };
        drops.push(("shop".to_owned(), shop.to_owned()));
        drops.push((app.name.clone(), own.to_owned()));
        trees.push(tree.to_owned());
    }
    for (workload, drop) in &drops {
        site.wait_for(workload, drop, "vaulted");
        site.wait_for(workload, drop, "released");
    }
    for (app, tree) in apps.iter().zip(&trees) {
        assert_eq!(site.restored(&app.name, "mnt/disk/tree"), *tree, "{}", app.name);
    }
    let snapshots = site.ask("snapshots shop");
    assert_eq!(snapshots.as_array().unwrap().len(), 4, "one drop is one snapshot");
    site.wait_until("nothing is left of what was released", || {
        drops.iter().all(|(workload, _)| site.drops(workload).is_empty())
    });
    // The first of the hosts stays for what else is tried here.
    meanwhile(site, &mut apps[0]);
    site.nobody_is_blamed();
}

/// A client that gives nobody leave to remove what it has open, as programs on Windows do.
fn held_open_by_windows(site: &mut Site, app: &mut App) {
    // Beaten before it can be released: the agent is kept from looking while the file is opened.
    site.keeper("pkill -STOP -f ' up --dir '");
    let drop = app.run(&format!("{} /mnt/disk/tree", app.drop_command("shop")));
    let drop = drop.trim().to_owned();
    let place = site.drops("shop").into_iter().find(|path| path.ends_with(&drop)).unwrap();
    let below = place.strip_prefix(site.side()).unwrap().to_str().unwrap().replace('/', "\\");
    let mut client = site.lab.command("smbclient");
    client.args(["//10.77.0.1/backups", "-U", "root%outlast-lab"]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut words = client.stdin.take().unwrap();
    writeln!(words, "open {below}\\0001.seg").unwrap();
    // A second host has another file of it open through its own mount.
    let held = app.start(&format!(
        "exec 3< /mnt/smb/{}/open.json; touch /run/held; until [ -e /run/let-go ]; do sleep 0.1; done",
        place.strip_prefix(site.side()).unwrap().display()
    ));
    app.run("until [ -e /run/held ]; do sleep 0.05; done");
    site.keeper("pkill -CONT -f ' up --dir '");
    site.wait_for("shop", &drop, "released");
    site.wait_until("the seal has gone first", || !place.join("sealed.json").exists());
    assert!(place.join("0001.seg").exists(), "somebody has it open");
    drop_client(words, client);
    app.run("touch /run/let-go");
    app.success(&held);
    site.wait_until("all of it has gone", || !place.exists());
}

fn drop_client(words: std::process::ChildStdin, mut client: std::process::Child) {
    drop(words);
    let _ = client.wait();
}
