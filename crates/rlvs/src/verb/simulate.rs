//! `rlvs simulate`: schedulers compared without a network and without root. The work is in [`rlvs::simulate`].

use anyhow::{Result, bail};
use rlvs::simulate::{
    Event, Method, Scenario, Server, ServiceTime, comparison, details, run as simulate, words,
};
use rlvs_core::sched::Scheduler;
use serde_json::json;
use std::io::Write;
use std::sync::Arc;

#[derive(clap::Args)]
pub struct Args {
    /// Schedulers, separated by commas, or all
    #[arg(long, short, default_value = "all", value_parser = schedulers)]
    scheduler: Schedulers,
    /// The real servers rs1, rs2, …: SPEED[:WEIGHT[:UPPER]],… where speed 1 does the work of --service-time in that time,
    /// and UPPER is the upper threshold of connections. Each divides its speed among all its connections
    #[arg(long, default_value = "1,1,0.5", value_parser = servers)]
    servers: Servers,
    /// New connections per second [default: what keeps the servers busy for 70 % of the time]
    #[arg(long, value_parser = words::rate)]
    rate: Option<f64>,
    /// How long connections come: 90s, 5m
    #[arg(long, default_value = "60s", value_parser = words::time)]
    duration: u64,
    /// How much work a connection is: exp, fixed or pareto (shape 1.5), and the mean time on an idle server of speed 1
    #[arg(long, num_args = 2, value_names = ["KIND", "MEAN"], default_values = ["exp", "20ms"])]
    service_time: Vec<String>,
    /// Clients; each connection is from one of them
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,
    /// Virtual addresses; more than one are a service by firewall mark, as in front of caches
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    addresses: u32,
    /// Some clients and addresses are more popular: that of rank K in proportion to 1 / K^S (0: all alike)
    #[arg(long, value_name = "S", default_value = "0", value_parser = words::exponent)]
    zipf: f64,
    /// UDP: its connections are never active and stay for five minutes
    #[arg(long)]
    udp: bool,
    /// What the director sees of a connection
    #[arg(long, value_enum, default_value_t = Method::Nat)]
    method: Method,
    /// Persistence: a client keeps its server for so many seconds
    #[arg(long, value_name = "SECS", default_value_t = 0)]
    persistent: u32,
    /// Flags of schedulers, separated by commas: sh-port, sh-fallback, mh-port, mh-fallback
    #[arg(long, value_delimiter = ',')]
    flags: Vec<String>,
    /// Something that happens: "30s:weight rs3 0", "40s:delete rs2", "60s:add rs4 WEIGHT [SPEED]"; may be repeated
    #[arg(long, value_parser = words::event)]
    event: Vec<Event>,
    /// The same seed gives the same clients, connections and result
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the comparison, a line for each scheduler
    #[arg(long)]
    brief: bool,
    /// For programs
    #[arg(long, conflicts_with = "brief")]
    json: bool,
}

// clap takes a bare Vec for a repeated option.
type Schedulers = Arc<Vec<Scheduler>>;
type Servers = Arc<Vec<Server>>;

fn schedulers(list: &str) -> Result<Schedulers> {
    words::schedulers(list).map(Arc::new)
}

fn servers(list: &str) -> Result<Servers> {
    words::servers(list).map(Arc::new)
}

pub fn run(args: Args) -> Result<()> {
    let schedulers = args.scheduler.clone();
    let (brief, json) = (args.brief, args.json);
    let scenario = scenario(args)?;
    let outcomes = schedulers.iter().map(|s| simulate(&scenario, *s)).collect::<Result<Vec<_>>>()?;
    let mut out = std::io::stdout().lock();
    if json {
        let rate = scenario.rate;
        serde_json::to_writer_pretty(&mut out, &json!({ "rate": rate, "schedulers": outcomes }))?;
        writeln!(out)?;
        return Ok(());
    }
    if !brief {
        for outcome in &outcomes {
            writeln!(out, "{}", details(outcome, &scenario))?;
        }
    }
    if brief || outcomes.len() > 1 {
        write!(out, "{}", comparison(&outcomes, &scenario))?;
    }
    Ok(())
}

fn scenario(args: Args) -> Result<Scenario> {
    let service_time = match args.service_time[0].as_str() {
        "exp" => ServiceTime::Exponential,
        "fixed" => ServiceTime::Fixed,
        "pareto" => ServiceTime::Pareto,
        other => bail!("unknown kind of service time {other:?}; there are: exp, fixed, pareto"),
    };
    for flag in &args.flags {
        if !args.scheduler.iter().any(|s| words::flags(std::slice::from_ref(flag), *s).is_ok_and(|f| f != 0))
        {
            words::flags(std::slice::from_ref(flag), Scheduler::None)?;
            bail!("flag {flag:?} is of no scheduler that is simulated here");
        }
    }
    let mut events = args.event;
    events.sort_by_key(|e| e.at);
    let mut scenario = Scenario {
        servers: args.servers.to_vec(),
        rate: 0.0,
        duration: args.duration,
        service_time,
        mean_work_nanos: words::time(&args.service_time[1])?,
        clients: args.clients,
        addresses: args.addresses,
        zipf: args.zipf,
        udp: args.udp,
        method: args.method,
        persist_secs: args.persistent,
        flags: args.flags,
        events,
        seed: args.seed,
    };
    scenario.rate = args.rate.unwrap_or_else(|| scenario.rate_for(0.7));
    Ok(scenario)
}
