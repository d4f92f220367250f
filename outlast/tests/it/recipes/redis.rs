//! Redis.

use super::{recipe, there_and_back};
use crate::harness::{Up, fail, scratch, succeed};
use crate::servers::Redis;

#[test]
fn a_redis_server_comes_back_and_one_that_has_not_all_is_refused() {
    let Some(server) = Redis::start(None, &[]) else { return };
    let directory = scratch();
    for number in 0..500 {
        server.ask(&["SET", &format!("key:{number}"), &"value".repeat(number % 50)]);
    }
    server.ask(&["HSET", "hash", "a", "1", "b", "2"]);
    server.ask(&["-n", "3", "ZADD", "scores", "1.5", "ann", "2", "bob"]);
    let digest = server.ask(&["DEBUG", "DIGEST"]);
    let mut up = Up::start(&directory.path().join("up"));
    let share = up.share.clone();
    let mut command = recipe(&share, "redis");
    command.arg("--socket").arg(server.socket());
    let back = there_and_back(&mut up, &mut command);
    assert_eq!(back.source["kind"], "redis");
    let second = Redis::start(Some(&back.find("redis.rdb")), &[]).unwrap();
    if digest.contains("ERR") {
        // Not every build lets itself be debugged.
        assert_eq!(second.ask(&["DBSIZE"]), server.ask(&["DBSIZE"]));
    } else {
        assert_eq!(second.ask(&["DEBUG", "DIGEST"]), digest);
    }
    assert_eq!(second.ask(&["-n", "3", "ZSCORE", "scores", "ann"]), "1.5\n");
    up.role.stop();

    let locked = Redis::start(None, &["--requirepass", "hunter2"]).unwrap();
    let base = |server: &Redis| {
        let mut command = recipe(&share, "redis");
        command.arg("--socket").arg(server.socket());
        command
    };
    let said = fail(&mut base(&locked), 1);
    assert!(said.contains("NOAUTH") && said.contains("REDISCLI_AUTH"), "{said}");
    let said = fail(base(&locked).env("REDISCLI_AUTH", "wrong"), 1);
    assert!(said.contains("password in REDISCLI_AUTH"), "{said}");
    succeed(base(&locked).env("REDISCLI_AUTH", "hunter2"));
    // A replica of nobody.
    let lost = Redis::start(None, &["--replicaof", "127.0.0.1", "1"]).unwrap();
    let said = fail(&mut base(&lost), 1);
    assert!(said.contains("lost its primary"), "{said}");
    let said = fail(recipe(&share, "redis").args(["--socket", "/nowhere"]), 1);
    assert!(said.contains("Does the server run"), "{said}");
}
