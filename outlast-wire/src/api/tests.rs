//! Old peers, and newer ones.

use outlast_types::{ProblemCode, ProblemKind, RejectionCode};
use serde_json::json;

use super::*;

const DROP: &str = "01a2066b-8649-78cb-a8bc-a5af0e952507";
const SHARE: &str = "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11";

#[test]
fn a_report_of_before_there_were_codes_is_understood() {
    let old = json!({
        "share": SHARE,
        "pass": { "started": "2026-01-31T00:00:00Z", "finished": "2026-01-31T00:00:01Z" },
        "workloads": [{
            "name": "shop-db",
            "waiting": 1,
            "rejected": [{ "drop": DROP, "reason": "torn" }],
        }],
        "problems": ["no space"],
        "troubles": [{ "kind": "work", "text": "no space" }],
    });
    let report: AgentReport = serde_json::from_value(old.clone()).unwrap();
    assert!(report.workloads[0].rejected[0].code.is_none() && report.details[0].code.is_none());
    assert_eq!(report.share_usable, None);
    assert_eq!(serde_json::to_value(&report).unwrap(), old, "and it is written as it was");
}

#[test]
fn a_report_in_parts_says_so_and_one_of_a_single_part_is_as_before() {
    let of = |part: u32, parts: u32| AgentReport {
        share: SHARE.parse().unwrap(),
        pass: Pass { started: Timestamp::EPOCH, finished: Timestamp::EPOCH },
        part,
        parts,
        workloads: Vec::new(),
        problems: Vec::new(),
        details: Vec::new(),
        share_usable: None,
        tenure: None,
        figures: None,
        handovers: Vec::new(),
        other: BTreeMap::new(),
    };
    let whole = serde_json::to_value(of(1, 1)).unwrap();
    assert!(whole.get("part").is_none() && whole.get("parts").is_none(), "{whole}");
    let read: AgentReport = serde_json::from_value(whole).unwrap();
    assert_eq!((read.part, read.parts), (1, 1));
    let second = serde_json::to_value(of(2, 3)).unwrap();
    assert_eq!((&second["part"], &second["parts"]), (&json!(2), &json!(3)));
    for (part, parts, can_be) in
        [(1, 1, true), (3, 3, true), (0, 1, false), (2, 1, false), (1, REPORT_PARTS_MAX + 1, false)]
    {
        assert_eq!(of(part, parts).is_a_part(), can_be, "{part} of {parts}");
    }
}

#[test]
fn what_a_newer_peer_says_is_kept() {
    let newer = json!({ "kind": "weather", "code": "hail", "text": "it hails" });
    let problem: Problem = serde_json::from_value(newer).unwrap();
    assert_eq!((problem.kind, problem.code.as_str()), (ProblemKind::Work, "hail"));
    assert_eq!(problem.code.kind(), ProblemKind::Work);
    let body = json!({ "code": "on_strike", "message": "not today" });
    let body: ErrorBody = serde_json::from_value(body).unwrap();
    assert_eq!(body.code.as_str(), "on_strike");
    assert_eq!(serde_json::to_value(&body).unwrap()["code"], "on_strike");
}

#[test]
fn a_report_and_a_bill_keep_what_is_not_known_yet_with_the_signature_that_comes() {
    let pass = json!({ "started": "2026-01-31T00:00:00Z", "finished": "2026-01-31T00:00:01Z" });
    let report = json!({
        "share": SHARE, "pass": pass, "workloads": [], "problems": [],
        "agent": { "certificate": "PEM", "signature": "ab" }, "sequence": 7,
    });
    let kept: AgentReport = serde_json::from_value(report.clone()).unwrap();
    assert_eq!(kept.other["sequence"], 7);
    assert_eq!(serde_json::to_value(&kept).unwrap(), report);
    let hash = "00".repeat(32);
    let bill = json!({
        "version": BILL_VERSION, "share": SHARE, "workload": "shop-db", "day": "20260131",
        "drop": DROP, "seal": hash, "size": 1, "tree": hash, "snapshot_id": hash,
        "snapshot": "AAAA", "objects": [], "claims": null,
        "agent": { "certificate": "PEM", "signature": "ab" }, "challenge": "cd",
    });
    let kept: Shipment = serde_json::from_value(bill.clone()).unwrap();
    assert_eq!(kept.other["challenge"], "cd");
    assert_eq!(serde_json::to_value(&kept).unwrap(), bill);
}

/// As [`RejectedDrop`] and [`Problem`] were before there were codes.
#[test]
fn a_peer_of_before_there_were_codes_understands_us() {
    #[derive(Debug, Deserialize)]
    struct Rejected {
        drop: DropId,
        reason: String,
    }
    let (drop, reason) = (DROP.parse().unwrap(), "torn".to_owned());
    let ours = RejectedDrop { drop, day: None, seal: None, code: RejectionCode::TornSeal, reason };
    let text = serde_json::to_string(&ours).unwrap();
    assert_eq!(text, format!(r#"{{"drop":"{DROP}","code":"torn_seal","reason":"torn"}}"#));
    let theirs: Rejected = serde_json::from_str(&text).unwrap();
    assert_eq!((theirs.drop, theirs.reason), (ours.drop, ours.reason));
    let problem = Problem {
        kind: ProblemCode::ShareUnusable.kind(),
        code: ProblemCode::ShareUnusable,
        workload: None,
        text: "it is not mounted".to_owned(),
    };
    let expected =
        json!({ "kind": "share", "code": "share_unusable", "text": "it is not mounted" });
    assert_eq!(serde_json::to_value(&problem).unwrap(), expected);
}

#[test]
fn what_is_told_of_a_hand_over_is_small_and_what_is_not_known_of_it_yet_is_understood() {
    let told = json!({
        "name": "nbu", "state": "on_holiday", "offered": 2, "read": 1, "confirmed": 7,
        "space": { "used": 10 },
        "last_job": { "key": "1", "result": "paused", "mood": "good" },
        "problems": [{ "code": "moved", "text": "it moved" }],
    });
    let read: HandoverReport = serde_json::from_value(told).unwrap();
    assert_eq!(read.state, HandoverState::Unknown);
    assert_eq!(read.last_job.as_ref().unwrap().result, JobResult::Unknown);
    assert_eq!(read.problems[0].code, HandoverTrouble::Other);
    let again = serde_json::to_value(&read).unwrap();
    assert!(again.get("instead").is_none() && again.get("deliveries").is_none(), "{again}");
    // A whole part stays far below what is taken.
    let hash = "07".repeat(32);
    let delivery = json!({
        "drop": { "share": SHARE, "workload": "w".repeat(60), "day": "20260131", "drop": DROP, "seal": hash },
        "state": "confirmed", "at": "2026-01-31T00:00:00Z", "size": 1,
        "jobs": vec![json!({ "key": "k".repeat(100), "shown": "s".repeat(HANDOVER_TEXT_MAX) }); DELIVERY_JOBS_MAX],
        "evidence": hash, "by": "b".repeat(HANDOVER_TEXT_MAX),
    });
    let delivery: Delivery = serde_json::from_value(delivery).unwrap();
    let bytes = serde_json::to_string(&delivery).unwrap().len();
    assert!(bytes * REPORT_DELIVERIES_MAX < BODY_BYTES_MAX / 4, "{bytes}");
}
