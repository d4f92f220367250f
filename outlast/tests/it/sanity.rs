//! A dump that was cut off, the whole way on the real binary: refused, accepted by an operator, vaulted.
#![expect(clippy::disallowed_methods, reason = "a test that cuts a file off")]

use std::fs;

use serde_json::Value;

use crate::harness::{Up, document, fail, scratch, succeed, wait_until};

fn dump(rows: usize) -> String {
    let rows: String = (0..rows).map(|row| format!("{row}\tcustomer {row}\n")).collect();
    format!(
        "--\n-- PostgreSQL database dump\n--\n\nCOPY public.orders (id, customer) FROM stdin;\n{rows}\\.\n\n\n\
         --\n-- PostgreSQL database dump complete\n--\n\n"
    )
}

fn show(up: &Up) -> Value {
    document(&mut up.ask(&["workload", "show", "shop-db", "--json"]))
}

#[test]
fn a_dump_that_was_cut_off_is_refused_until_an_operator_accepts_it() {
    let directory = scratch();
    let mut up = Up::start_with(&directory.path().join("up"), &[("OUTLAST_AGENT_REPORT", "1s")]);
    let file = directory.path().join("shop.sql");
    let whole = dump(3000);
    // As `pg_dump | gzip` leaves it when the server goes away and nobody looks at `pg_dump`.
    fs::write(&file, &whole[..whole.len() - 40]).unwrap();
    succeed(std::process::Command::new("gzip").arg(&file));
    let packed = directory.path().join("shop.sql.gz");
    let mut dropping = up.drop_command("shop-db");
    dropping.args(["--stdin", "shop.sql.gz"]).stdin(fs::File::open(&packed).unwrap());
    let drop = succeed(&mut dropping).trim().to_owned();
    let rejected = up.wait_for_receipt("shop-db", &drop, "rejected");
    assert_eq!(rejected["code"], "broken_content");
    let open = |up: &Up| {
        let all = up.incidents().into_iter();
        all.filter(|incident| incident["resolved"].is_null()).collect::<Vec<_>>()
    };
    wait_until("the incident", || !open(&up).is_empty());
    let incidents = open(&up);
    assert_eq!((incidents.len(), &incidents[0]["owner"]), (1, &"app".into()));
    let cause = incidents[0]["cause"].as_str().unwrap();
    assert!(cause.contains("pg_dump in gzip"), "{cause}");
    assert!(cause.contains(&format!("outlast share accept {drop}")), "{cause}");
    let shown = succeed(&mut up.ask(&["workload", "show", "shop-db"]));
    assert!(shown.contains(&format!("in quarantine on its share: {drop}")), "{shown}");

    let other = "01a2066b-8649-78cb-a8bc-a5af0e952507";
    assert!(fail(&mut up.ask(&["share", "accept", other]), 1).contains("knows of no drop"));
    let told = succeed(&mut up.ask(&["share", "accept", &drop, "--reason", "it is for a test"]));
    assert!(told.contains(&format!("accepted drop {drop} of shop-db")), "{told}");
    up.wait_for_receipt("shop-db", &drop, "vaulted");
    wait_until("it counts", || !show(&up)["workloads"][0]["last_vaulted"].is_null());
    assert!(open(&up).is_empty());
    let listed = document(&mut up.ask(&["snapshots", "shop-db", "--json"]));
    assert_eq!(
        (&listed[0]["sanity"]["verdict"], &listed[0]["counts"]),
        (&"broken".into(), &true.into())
    );
    let orders = &show(&up)["orders"];
    assert_eq!(
        (&orders[0]["action"], &orders[0]["drop"]),
        (&"accept".into(), &drop.as_str().into())
    );
    up.role.stop();
}
