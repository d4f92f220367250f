//! What agents tell of drops that a backup product has: who believes it, what it counts for, and what is kept of it.

use std::time::Duration;

use outlast_promise::Safe;
use outlast_types::{
    Clock, ContentHash, DropId, DropIdentity, ShareId, SystemClock, SystemRandom, Verdict,
    WorkloadName,
};
use outlast_wire::api::{
    AcceptOrder, Delivery, DeliveryState, HandoverJob, HandoverReport, HandoverSpace,
    HandoverState, JobResult, RenameOrder, Reported, UnconfirmedDrop, UnconfirmedDrops,
    WorkloadReport, WorkloadView,
};
use outlast_wire::confirmation::Confirmation;
use outlast_wire::holdings::{HandedDrop, Nonce, Question};
use outlast_wire::{ApiClient, Role};

use crate::support::{Agent, World, shop};

const LONG: Duration = Duration::from_secs(3600);

/// A vault that counts what `safe` says.
fn world(safe: Safe) -> World {
    let mut world = World::hurried(LONG, LONG);
    world.config.policy.default.part.safe = Some(safe);
    world
}

fn job(result: JobResult, status: Option<i64>) -> HandoverJob {
    HandoverJob {
        key: "agenthost_1700000000".to_owned(),
        shown: Some("agenthost_1700000000 (apps, daily, INCR)".to_owned()),
        schedule: Some("daily".to_owned()),
        kind: Some("INCR".to_owned()),
        began: Some(SystemClock.now()),
        ended: None,
        result,
        status,
        meaning: status.map(|_| "media write error".to_owned()),
        advice: status.map(|_| "look at the drive, and run the policy again".to_owned()),
        by: Some("bplist on agenthost".to_owned()),
    }
}

fn drop_of(agent: &Agent, seal: u8) -> DropIdentity {
    let drop = DropId::new(&SystemClock, &SystemRandom);
    let (share, day, seal) = (agent.share, SystemClock.now().day(), ContentHash([seal; 32]));
    DropIdentity { share, workload: shop(), day, drop, seal }
}

fn delivery(drop: &DropIdentity, state: DeliveryState) -> Delivery {
    Delivery {
        drop: drop.clone(),
        state,
        at: SystemClock.now(),
        size: 7,
        first_seen: Some(SystemClock.now()),
        sanity: None,
        sanity_rule: None,
        product: Some("NetBackup".to_owned()),
        jobs: vec![job(JobResult::Well, None)],
        evidence: Some(ContentHash([3; 32])),
        by: Some("bplist on agenthost".to_owned()),
        reason: (state == DeliveryState::Withdrawn).then(|| "the image is gone".to_owned()),
    }
}

fn handover(deliveries: Vec<Delivery>) -> HandoverReport {
    HandoverReport {
        name: "nbu".to_owned(),
        state: HandoverState::Ready,
        product: Some("NetBackup".to_owned()),
        instead: true,
        patterns: Vec::new(),
        offered: 0,
        read: 0,
        confirmed: 0,
        releasable: 0,
        oldest_unread: None,
        oldest_unconfirmed: None,
        last_read: None,
        last_confirmed: None,
        last_job: None,
        leases: 0,
        holders: Vec::new(),
        space: HandoverSpace { used: 70, budget: Some(100), free: None },
        problems: Vec::new(),
        deliveries,
    }
}

fn tell(agent: &Agent, handover: HandoverReport, rows: Vec<WorkloadReport>) -> Reported {
    let mut report = agent.report_of(rows, Vec::new());
    report.handovers = vec![handover];
    agent.client.report(&report, agent.speaker()).unwrap()
}

fn told(agent: &Agent, drop: &DropIdentity, state: DeliveryState) -> Reported {
    tell(agent, handover(vec![delivery(drop, state)]), Vec::new())
}

fn view(operator: &ApiClient) -> WorkloadView {
    operator.workload(&shop()).unwrap()
}

fn entries(world: &World, action: &str) -> usize {
    let audit = world.config.dir.join("audit");
    let segments = std::fs::read_dir(audit).unwrap().map(|entry| entry.unwrap().path());
    let texts = segments.map(|path| std::fs::read_to_string(path).unwrap());
    texts.map(|text| text.matches(&format!("\"action\":\"{action}\"")).count()).sum()
}

/// A detail of each entry of an action, in their order.
fn logged(world: &World, action: &str, detail: &str) -> Vec<Option<String>> {
    let audit = world.config.dir.join("audit");
    let mut segments: Vec<_> =
        std::fs::read_dir(audit).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let text: String = segments.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let entries = text.lines().filter_map(|it| serde_json::from_str::<serde_json::Value>(it).ok());
    let meant = entries.filter(|entry| entry["action"] == action);
    meant.map(|entry| entry["details"][detail].as_str().map(str::to_owned)).collect()
}

#[test]
fn what_a_product_confirmed_is_signed_and_counts_without_a_repository_through_restart_and_rebuild()
{
    let world = world(Safe::Confirmed);
    let vault = world.start();
    let agent = world.agent(&vault);
    let drop = drop_of(&agent, 9);
    let read = told(&agent, &drop, DeliveryState::Read);
    assert_eq!((read.deliveries.len(), &read.deliveries[0].countersigned), (1, &None));
    let said = delivery(&drop, DeliveryState::Confirmed);
    let confirmed = tell(&agent, handover(vec![said.clone()]), Vec::new());
    let answer = &confirmed.deliveries[0];
    assert_eq!((answer.drop, &answer.refused), (drop.drop, &None));
    let word = answer.countersigned.as_deref().unwrap();
    let word = Confirmation::read(word, agent.identity.ca_pem()).unwrap();
    assert!(word.is_about(&drop) && word.agent.name() == "road-1" && word.handover == "nbu");
    assert_eq!(word.delivery.evidence, Some(ContentHash([3; 32])));
    let operator = world.client(&vault, Role::Operator);
    let first = view(&operator);
    assert_eq!((first.state.as_str(), first.snapshots), ("fresh", 0));
    assert_eq!((first.safe.as_deref(), first.last_vaulted), (Some("confirmed"), None));
    assert!(!world.repository_directory(&shop()).exists(), "no repository was made for it");
    assert!(operator.incidents().unwrap().is_empty());
    let custody = operator.custody(drop.drop).unwrap().handed_over;
    assert!(custody[0].confirmed.is_some() && custody[0].read.is_some(), "{custody:?}");
    // Told again, it is the same word of the same moment, and nothing new in the log.
    let again = tell(&agent, handover(vec![said]), Vec::new());
    let again = again.deliveries[0].countersigned.as_deref().unwrap();
    assert_eq!(Confirmation::read(again, agent.identity.ca_pem()).unwrap(), word);
    assert_eq!(entries(&world, "drop_confirmed"), 1);
    std::mem::drop(vault);
    let vault = world.start();
    assert_eq!(view(&world.client(&vault, Role::Operator)).last_confirmed, first.last_confirmed);
    std::mem::drop(vault);
    outlast_vault::rebuild(&world.config, &outlast_types::Environment::system()).unwrap();
    let vault = world.start();
    let rebuilt = view(&world.client(&vault, Role::Operator));
    assert_eq!((rebuilt.last_confirmed, &*rebuilt.state), (first.last_confirmed, "fresh"));
    // A vault of yesterday is told again, and knows it again.
    std::mem::drop(vault);
    std::fs::remove_dir_all(world.config.dir.join("deliveries")).unwrap();
    let vault = world.start();
    let agent = Agent { share: agent.share, ..world.agent(&vault) };
    let again = told(&agent, &drop, DeliveryState::Confirmed);
    assert!(again.deliveries[0].countersigned.is_some());
    assert_eq!(entries(&world, "drop_confirmed"), 2);
}

/// What the vault says in answer to a question for these: which are confirmed now, of which workloads that is not enough,
/// and which are refused.
fn confirmed_now(agent: &Agent, drops: &[&DropIdentity]) -> (Vec<DropId>, usize, usize) {
    let nonce = Nonce::new(&SystemRandom);
    let handed = |drop: &&DropIdentity| HandedDrop {
        handover: "nbu".to_owned(),
        drop: DropIdentity::clone(drop),
    };
    let question = Question {
        nonce: nonce.clone(),
        drops: Vec::new(),
        receipts: Vec::new(),
        handed: drops.iter().map(handed).collect(),
        heeds_withheld: true,
        signed: None,
    };
    let answer = agent.client.holdings(&question).unwrap();
    let answer = answer.verify(agent.identity.ca_pem(), &nonce).unwrap();
    let handed = answer.handed.into_iter().map(|it| it.handed.drop.drop).collect();
    (handed, answer.unsafe_alone.len(), answer.refused.len())
}

#[test]
fn i1_a_vault_says_of_now_what_is_confirmed_and_nothing_where_policy_counts_that_alone_as_nothing()
{
    for (safe, is_enough) in
        [(Safe::Confirmed, true), (Safe::Either, true), (Safe::Both, false), (Safe::Vaulted, false)]
    {
        let world = world(safe);
        let vault = world.start();
        let agent = world.agent(&vault);
        let (first, second) = (drop_of(&agent, 9), drop_of(&agent, 8));
        told(&agent, &first, DeliveryState::Read);
        let nothing = (Vec::new(), usize::from(!is_enough), 0);
        assert_eq!(confirmed_now(&agent, &[&first]).0, [], "{safe}: read is not confirmed");
        told(&agent, &first, DeliveryState::Confirmed);
        told(&agent, &second, DeliveryState::Confirmed);
        let both = confirmed_now(&agent, &[&first, &second]);
        match is_enough {
            true => assert_eq!(both, (vec![first.drop, second.drop], 0, 0), "{safe}"),
            false => assert_eq!(both, nothing, "{safe}"),
        }
        // Of another content under the same id nobody has said anything.
        let other = DropIdentity { seal: ContentHash([7; 32]), ..first.clone() };
        assert_eq!(confirmed_now(&agent, &[&other]), nothing);
        told(&agent, &first, DeliveryState::Withdrawn);
        let left = confirmed_now(&agent, &[&first, &second]).0;
        assert!(!left.contains(&first.drop), "{safe}: it was taken back");
        let identity = world.identity_of(Role::Agent, "road-2", "crm-*");
        let stranger = Agent::new(&vault.url(), identity);
        assert_eq!(confirmed_now(&stranger, &[&second]), (Vec::new(), 0, 1), "not its workload");
    }
}

#[test]
fn nobody_is_believed_who_may_not_say_it_or_speaks_of_another_drop_than_is_known() {
    let world = world(Safe::Either);
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let refused = |agent: &Agent, drop: &DropIdentity| {
        let answer = told(agent, drop, DeliveryState::Confirmed).deliveries.remove(0);
        assert_eq!(answer.countersigned, None);
        answer.refused.unwrap()
    };
    // Another's workload.
    let identity = world.identity_of(Role::Agent, "road-2", "crm-*");
    let other = Agent::new(&vault.url(), identity);
    assert!(refused(&other, &drop_of(&other, 9)).contains("is not granted to agent road-2"));
    // Another share than the report is of.
    let elsewhere = DropIdentity { share: ShareId::new(&SystemRandom), ..drop_of(&agent, 9) };
    assert!(refused(&agent, &elsewhere).contains("on another share"));
    assert!(operator.workloads().unwrap().is_empty(), "and nothing is known of it");
    // Another content under the id of a drop that the vault holds, or that a product has.
    let bill = agent.ship(&shop(), b"one");
    let forged = DropIdentity { seal: ContentHash([5; 32]), ..bill.identity() };
    assert!(refused(&agent, &forged).contains("its seal is another one"));
    let drop = drop_of(&agent, 7);
    assert!(told(&agent, &drop, DeliveryState::Confirmed).deliveries[0].refused.is_none());
    let forged = DropIdentity { seal: ContentHash([5; 32]), ..drop };
    assert!(refused(&agent, &forged).contains("its seal is another one"));
    let incidents = operator.incidents().unwrap();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0].key, "contested-drop/shop-db");
    // More than a report may say is refused whole.
    let many = (0..501).map(|_| delivery(&drop_of(&agent, 9), DeliveryState::Read)).collect();
    let mut report = agent.report_of(Vec::new(), Vec::new());
    report.handovers = vec![handover(many)];
    let error = agent.client.report(&report, agent.speaker()).unwrap_err();
    assert!(error.to_string().contains("at most 500 drops"), "{error}");
}

#[test]
fn where_both_count_a_drop_counts_when_the_vault_and_the_product_have_it_in_either_order() {
    let world = world(Safe::Both);
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"one"));
    told(&agent, &bill.identity(), DeliveryState::Confirmed);
    assert_eq!(view(&operator).state, "never-seen", "it is confirmed alone");
    agent.hand_in(&bill).unwrap();
    assert_eq!(view(&operator).state, "fresh");
    let second = agent.ship(&WorkloadName::new("web").unwrap(), b"two");
    let web = |operator: &ApiClient| operator.workload(&second.workload).unwrap();
    assert_eq!(web(&operator).state, "never-seen", "it is vaulted alone");
    told(&agent, &second.identity(), DeliveryState::Confirmed);
    assert_eq!(web(&operator).state, "fresh");
}

#[test]
fn a_withdrawal_and_a_failed_job_are_pages_of_the_backup_team_and_end_by_themselves() {
    let mut world = world(Safe::Confirmed);
    // What has come is told within this time.
    world.config.agent_deadline = Duration::from_secs(5);
    world.config.any_handover.owner = "team-nbu".to_owned();
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let drop = drop_of(&agent, 9);
    told(&agent, &drop, DeliveryState::Confirmed);
    told(&agent, &drop, DeliveryState::Withdrawn);
    let open = |operator: &ApiClient| {
        let all = operator.incidents().unwrap().into_iter();
        // On a machine that is busy, the agent may seem silent, besides.
        let others = all.filter(|incident| !incident.key.starts_with("agent/"));
        others.filter(|incident| incident.resolved.is_none()).collect::<Vec<_>>()
    };
    let incidents = open(&operator);
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0].key, "handover-withdrawn/road-1/nbu");
    assert_eq!(incidents[0].team.as_deref(), Some("team-nbu"));
    assert_eq!(incidents[0].owner, "backup");
    assert!(incidents[0].cause.contains("shop-db (the image is gone)"), "{}", incidents[0].cause);
    assert_eq!(view(&operator).last_confirmed, None);
    assert_eq!(entries(&world, "confirmation_withdrawn"), 1);
    // The next night: the job fails with a status, and the drop waits.
    let appeared = SystemClock.now();
    let unconfirmed = UnconfirmedDrops { handover: "nbu".to_owned(), drops: 1, read: 0 };
    let row = WorkloadReport {
        name: shop(),
        declared: None,
        waiting: 0,
        waiting_bytes: 0,
        share_bytes: None,
        rejected: Vec::new(),
        stopped: None,
        unconfirmed: vec![unconfirmed],
    };
    let failed = HandoverReport {
        offered: 1,
        oldest_unread: Some(appeared),
        oldest_unconfirmed: Some(UnconfirmedDrop { workload: shop(), drop: drop.drop, appeared }),
        last_job: Some(job(JobResult::Failed, Some(84))),
        ..handover(Vec::new())
    };
    tell(&agent, failed, vec![row]);
    let told_of = open(&operator);
    let job_failed = told_of.iter().find(|it| it.key == "handover/road-1/nbu").unwrap();
    assert!(job_failed.cause.contains("failed with status 84 (media write error)"));
    let metrics = operator.metrics().unwrap();
    assert!(
        metrics.contains("outlast_handover_last_job_status{agent=\"road-1\",handover=\"nbu\"} 84")
    );
    // A later one takes it.
    told(&agent, &drop, DeliveryState::Confirmed);
    crate::support::eventually("the end of all that", || {
        tell(&agent, handover(Vec::new()), Vec::new());
        open(&operator).is_empty().then_some(())
    });
}

/// A confirmed drop of so many bytes that was seen so many seconds ago.
fn sized(agent: &Agent, size: u64, ago: u64) -> Delivery {
    let seen = SystemClock.now().saturating_sub(Duration::from_secs(ago));
    let drop = drop_of(agent, 9);
    Delivery { size, first_seen: Some(seen), ..delivery(&drop, DeliveryState::Confirmed) }
}

/// A product has two large ones, and then one that is suspiciously small.
fn shrank(agent: &Agent) -> Delivery {
    for (size, ago) in [(100 << 20, 5000), (101 << 20, 4000)] {
        tell(agent, handover(vec![sized(agent, size, ago)]), Vec::new());
    }
    sized(agent, 3 << 20, 3000)
}

#[test]
fn a_drop_that_is_only_handed_over_and_shrank_renews_nothing_until_an_operator_accepts_it() {
    let world = world(Safe::Confirmed);
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let small = shrank(&agent);
    let last = view(&operator).last_confirmed.unwrap();
    let id = small.drop.drop;
    let answer = tell(&agent, handover(vec![small.clone()]), Vec::new());
    let word = answer.deliveries[0].countersigned.clone().unwrap();
    let word = Confirmation::read(&word, agent.identity.ca_pem()).unwrap();
    assert_eq!(word.verdict, Verdict::Suspect, "the product has it, and it takes no one's place");
    let seen = view(&operator);
    assert_eq!(seen.last_confirmed, Some(last), "it renewed nothing");
    let suspect = seen.suspect.unwrap();
    assert_eq!(suspect.drop, id);
    assert!(suspect.reason.contains("more than 50% less"), "{}", suspect.reason);
    let custody = operator.custody(id).unwrap().handed_over.remove(0);
    assert!(!custody.is_safe && custody.suspect.is_some() && custody.countersigned.is_some());
    // So it stays when it is told again, and after a start.
    tell(&agent, handover(vec![small]), Vec::new());
    drop(vault);
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    assert_eq!(view(&operator).last_confirmed, Some(last));
    let accept = AcceptOrder { drop: id, reason: Some("orders were archived".to_owned()) };
    operator.accept(&shop(), &accept).unwrap();
    let accepted = view(&operator);
    assert!(accepted.suspect.is_none());
    let point = accepted.last_confirmed.unwrap();
    let age = SystemClock.now().since(point).as_secs();
    assert!(point > last && (2900..3900).contains(&age), "it is as old as it was: {age} s");
    assert_eq!(accepted.last_vaulted, None, "and the vault has it no more than before");
    assert!(operator.custody(id).unwrap().handed_over[0].is_safe);
    let error = operator.accept(&shop(), &accept).unwrap_err().to_string();
    assert!(error.contains("was accepted before"), "{error}");
    // It is the measure from now on.
    let agent = Agent { share: agent.share, ..world.agent(&vault) };
    let next =
        Delivery { size: 3 << 20, ..delivery(&drop_of(&agent, 9), DeliveryState::Confirmed) };
    tell(&agent, handover(vec![next.clone()]), Vec::new());
    assert!(view(&operator).suspect.is_none());
    assert!(operator.custody(next.drop.drop).unwrap().handed_over[0].is_safe);
    drop(vault);
    outlast_vault::rebuild(&world.config, &outlast_types::Environment::system()).unwrap();
    let vault = world.start();
    let rebuilt = view(&world.client(&vault, Role::Operator));
    assert!(rebuilt.last_confirmed > Some(point), "a rebuilt catalog knows that, too");
}

#[test]
fn a_withdrawal_says_in_the_log_which_recovery_point_is_left_as_policy_counts_them() {
    for safe in [Safe::Confirmed, Safe::Either, Safe::Both] {
        let world = world(safe);
        let vault = world.start();
        let agent = world.agent(&vault);
        let drops = [5, 6, 7].map(|seal| drop_of(&agent, seal));
        let mut points = Vec::new();
        for drop in &drops {
            told(&agent, drop, DeliveryState::Confirmed);
            points.push(view(&world.client(&vault, Role::Operator)).last_confirmed);
        }
        told(&agent, &drops[1], DeliveryState::Withdrawn);
        told(&agent, &drops[2], DeliveryState::Withdrawn);
        let left = logged(&world, "confirmation_withdrawn", "left_point");
        let points: Vec<_> = points.into_iter().map(|at| at.map(|at| at.to_string())).collect();
        match safe {
            // Nothing of it was vaulted.
            Safe::Both => assert_eq!(left, [None, None]),
            _ => assert_eq!(left, [points[2].clone(), points[0].clone()], "{safe}"),
        }
        // Another job has what is known already.
        let mut more = delivery(&drops[0], DeliveryState::Confirmed);
        more.evidence = Some(ContentHash([4; 32]));
        tell(&agent, handover(vec![more]), Vec::new());
        let again = logged(&world, "drop_confirmed", "again");
        assert_eq!(again, [None, None, None, Some("true".to_owned())]);
    }
}

#[test]
fn what_an_operator_accepted_counts_under_another_name_after_the_ledger_was_lost() {
    let world = world(Safe::Confirmed);
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let small = shrank(&agent);
    tell(&agent, handover(vec![small.clone()]), Vec::new());
    let accept = AcceptOrder { drop: small.drop.drop, reason: None };
    operator.accept(&shop(), &accept).unwrap();
    let point = view(&operator).last_confirmed.unwrap();
    let to = WorkloadName::new("shop-database").unwrap();
    let order = RenameOrder { to: to.clone(), until: None, reason: None };
    operator.rename(&shop(), &order).unwrap();
    vault.begin_again_if_due();
    assert_eq!(operator.workload(&to).unwrap().last_confirmed, Some(point));
    drop(vault);
    outlast_vault::rebuild(&world.config, &outlast_types::Environment::system()).unwrap();
    let vault = world.start();
    let rebuilt = world.client(&vault, Role::Operator).workload(&to).unwrap();
    assert_eq!(rebuilt.last_confirmed, Some(point), "the order is of the name of before");
}

#[test]
fn the_report_of_the_month_counts_what_a_product_confirmed_by_the_vaults_own_log() {
    let world = world(Safe::Confirmed);
    let vault = world.start();
    let agent = world.agent(&vault);
    let (first, second) = (drop_of(&agent, 9), drop_of(&agent, 8));
    told(&agent, &first, DeliveryState::Confirmed);
    told(&agent, &second, DeliveryState::Confirmed);
    told(&agent, &second, DeliveryState::Withdrawn);
    // What only the vault has is no point here.
    agent.ship(&shop(), b"one");
    // A start notes what is promised at once.
    drop(vault);
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    let row = crate::support::eventually("the month's first entries", || {
        let month = SystemClock.now().to_string()[..7].to_owned();
        let csv = operator.report_of(&month, "csv").ok()?.document;
        let cells = |line: usize| {
            let line = csv.lines().nth(line).unwrap_or_default();
            line.split(',').map(str::to_owned).collect::<Vec<_>>()
        };
        let row: std::collections::BTreeMap<_, _> = cells(0).into_iter().zip(cells(1)).collect();
        row.get("safe").is_some_and(|safe| safe == "confirmed").then_some(row)
    });
    for (column, figure) in
        [("points", "1"), ("vaulted", "1"), ("confirmed", "2"), ("withdrawn", "1"), ("missed", "0")]
    {
        assert_eq!(row[column], figure, "{column}: {row:?}");
    }
    assert_eq!(row["logical_bytes"], "21", "each drop once");
}
