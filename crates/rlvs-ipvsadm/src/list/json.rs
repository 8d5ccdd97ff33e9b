//! `--json`, ours: any listing for programs, one object on one line. Units are in the names (`…_secs`,
//! `…_per_sec`); addresses and ports are always numbers.

use rlvs_control::model::{ConnectionView, ServiceView, SyncDaemon, Timeouts};
use serde_json::{Value, json};

pub fn services(services: &[ServiceView]) -> String {
    line(&json!({ "services": services }))
}

pub fn connections(connections: &[ConnectionView]) -> String {
    line(&json!({ "connections": connections }))
}

pub fn timeouts(timeouts: &Timeouts) -> String {
    line(&json!({ "timeouts": timeouts }))
}

pub fn daemons(daemons: &[SyncDaemon]) -> String {
    line(&json!({ "sync_daemons": daemons }))
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}
