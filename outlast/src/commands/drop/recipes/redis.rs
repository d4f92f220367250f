//! `outlast drop redis`: what a Redis or Valkey server would send a replica.

mod info;
mod rdb;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use anyhow::Result;
use outlast_drop::{Claims, Source};

use self::info::Info;
use self::rdb::Whole;
use super::super::attempt::{Attempt, Sealed};
use super::super::carry_out::carry_out;
use super::super::options::DropOptions;
use super::advice::{Product, refused};
use super::feed::{Feed, Part};
use super::program::{Call, CallError, installed, one_line};
use super::version::Version;
use crate::commands::inputs::Stream;
use crate::exit::Code;
use crate::output::Output;

const PRODUCT: Product = Product::Redis;
const CLIENTS: [&str; 2] = ["redis-cli", "valkey-cli"];

/// A Redis or Valkey server: all its keys at one moment
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The password comes from REDISCLI_AUTH. redis-cli or valkey-cli must be in PATH. The server is asked
for what it would send a new replica, which needs memory for a fork there. A server that is loading,
and a replica that has lost its primary, are refused. Of a cluster, each server holds a part: drop
each of its primaries as a workload of its own. Users (ACL) and settings are in the server's files
and not in this.

Examples:
  outlast drop redis --share /mnt/efs --workload shop-cache
  outlast drop redis --share /mnt/efs --workload shop-cache --socket /run/redis/redis.sock

Load it again: stop the server, put the file there as dump.rdb, and start it with appendonly no."
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    options: DropOptions,
    /// The server's host [default: 127.0.0.1]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// The server's port [default: 6379]
    #[arg(long)]
    port: Option<u16>,
    /// The server's socket on this host
    #[arg(long, value_name = "FILE", conflicts_with_all = ["host", "port"])]
    socket: Option<PathBuf>,
    /// The user, where the server has more than one
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Connect by TLS
    #[arg(long)]
    tls: bool,
    /// The authority of the server's certificate
    #[arg(long, value_name = "FILE", requires = "tls")]
    cacert: Option<PathBuf>,
    /// Our own certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// And its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Args {
    fn call(&self, program: &OsStr) -> Call {
        let port = self.port.map(|port| port.to_string());
        let text = |text: &Option<String>| text.as_ref().map(OsString::from);
        let file = |file: &Option<PathBuf>| file.as_ref().map(OsString::from);
        let mut call = Call::of(program);
        for (option, value) in [
            ("-h", text(&self.host)),
            ("-p", text(&port)),
            ("-s", file(&self.socket)),
            ("--user", text(&self.user)),
            ("--cacert", file(&self.cacert)),
            ("--cert", file(&self.cert)),
            ("--key", file(&self.key)),
        ] {
            if let Some(value) = value {
                call = call.arg(option).arg(value);
            }
        }
        if self.tls { call.arg("--tls") } else { call }
    }
}

pub(super) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    carry_out(&arguments.options, output, &mut |attempt: &Attempt<'_>| dump(arguments, attempt))
}

fn dump(arguments: &Args, attempt: &Attempt<'_>) -> Result<Sealed> {
    let stop = || attempt.signals.look();
    let path = std::env::var_os("PATH");
    let program = installed(&CLIENTS, path.as_deref()).into_iter().next();
    let program = program
        .ok_or_else(|| PRODUCT.explained(CallError::Missing { program: CLIENTS.join(" or ") }))?;
    let client = Call::version(program.as_os_str(), &stop).map_err(|e| PRODUCT.explained(e))?;
    let call = arguments.call(program.as_os_str());
    let asked = call.clone().arg("INFO").ask_all(&stop);
    let (answer, said) = asked.map_err(|error| PRODUCT.explained(error))?;
    // It ends well whatever the server says.
    let info = Info::parse(&answer).ok_or_else(|| {
        let said = [said, answer].join("\n");
        let words = format!("the server does not tell of itself: {}", one_line(&said));
        refused(words, PRODUCT.advice(&said))
    })?;
    if let Some(trouble) = info.trouble() {
        return Err(refused(trouble, PRODUCT.advice(trouble)));
    }
    if info.is_of_a_cluster() {
        attempt.output.warn(
            "this server is one of a cluster and has a part of the data: drop each of its primaries",
        );
    }
    let source = Source {
        kind: "redis".to_owned(),
        server: info.version(),
        client: Version::find(&client).map(|version| version.to_string()),
        replica: info.is_replica(),
        ..Source::default()
    };
    let feed = Feed::of(
        PRODUCT,
        vec![Part::Output(call.args(["--rdb", "-"]))],
        &attempt.options.input,
        attempt.signals,
        attempt.output,
    );
    let trouble = feed.trouble();
    let stream = Stream::Reader("what the server sends".to_owned(), Box::new(Whole::of(feed)));
    let claims = Claims { source: Some(source), ..attempt.claims() };
    attempt.stream("redis.rdb", stream, claims).map_err(|error| trouble.or(error))
}
