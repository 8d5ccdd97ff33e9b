//! What `rlvs status` shows.

use super::Director;
use crate::attach::{self, Attached};
use crate::{Result, bpffs};
use rlvs_core::maps::{DROP_REASONS, dest_flag, global, service_flag};
use rlvs_core::mem::Mem;
use rlvs_core::path::DropReason;
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub loaded: bool,
    pub kernel: String,
    pub interfaces: Vec<Attached>,
    pub maps: Vec<MapFill>,
    /// Reasons for which packets were dropped.
    pub drops: Vec<DropCount>,
    /// Ticks of the timer that expires connections, 16 each second.
    pub sweeper_ticks: u32,
}

#[derive(Clone, Debug, Serialize)]
pub struct MapFill {
    pub name: &'static str,
    pub used: u64,
    pub capacity: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct DropCount {
    pub reason: &'static str,
    pub packets: u64,
    pub meaning: &'static str,
}

impl Director {
    pub fn status(&mut self) -> Result<Status> {
        let kernel = bpffs::kernel_release();
        let Some(i) = self.instance()? else {
            let interfaces = attach::attached(None)?;
            return Ok(Status {
                loaded: false,
                kernel,
                interfaces,
                maps: Vec::new(),
                drops: Vec::new(),
                sweeper_ticks: 0,
            });
        };
        let services =
            i.service_slots().filter(|n| i.service.get(*n).flags & service_flag::IN_USE != 0).count();
        let dests = i.dest_slots().filter(|n| i.dest.get(*n).flags & dest_flag::IN_USE != 0).count();
        let global = i.global.words(0);
        let fill = |name, used, capacity| MapFill { name, used, capacity };
        Ok(Status {
            loaded: true,
            kernel,
            interfaces: attach::attached(Some(i))?,
            maps: vec![
                fill("services", services as u64, i.service.len() as u64),
                fill("destinations", dests as u64, i.dest.len() as u64),
                fill("connections", global.load(global::CONNS) as u64, i.conns.len() as u64 * 15),
                fill("connections6", global.load(global::CONNS6) as u64, i.conns6.len() as u64 * 7),
            ],
            drops: drops(i),
            sweeper_ticks: global.load(global::TICKS),
        })
    }
}

/// The words of all reasons there are.
pub fn drop_reasons() -> impl Iterator<Item = &'static str> {
    DropReason::ALL.iter().map(|reason| reason.word())
}

fn drops(i: &crate::instance::Instance) -> Vec<DropCount> {
    let count = |reason: DropReason| {
        (0..i.cpus).map(|cpu| i.drops.get(cpu * DROP_REASONS as u32 + reason as u32)).sum::<u64>()
    };
    DropReason::ALL
        .iter()
        .map(|r| DropCount { reason: r.word(), packets: count(*r), meaning: r.sentence().trim() })
        .filter(|d| d.packets > 0)
        .collect()
}
