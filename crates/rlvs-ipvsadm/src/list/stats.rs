//! The columns of `--stats` (totals) and `--rate` (per second), nine characters each.

use crate::number::{column, plain_column};
use rlvs_control::model::{Counters, Rates};

pub const COUNTER_TITLES: &str = "    Conns   InPkts  OutPkts  InBytes OutBytes";
pub const RATE_TITLES: &str = "      CPS    InPPS   OutPPS    InBPS   OutBPS";

pub fn counters(counters: &Counters, exact: bool) -> String {
    let Counters { conns, in_packets, out_packets, in_bytes, out_bytes } = *counters;
    columns([conns, in_packets, out_packets, in_bytes, out_bytes], exact)
}

pub fn service_rates(rates: &Rates, exact: bool) -> String {
    columns(in_order(rates), exact)
}

/// For servers only the bytes are abbreviated.
pub fn server_rates(rates: &Rates, exact: bool) -> String {
    let [conns, in_packets, out_packets, in_bytes, out_bytes] = in_order(rates);
    [
        plain_column(conns),
        plain_column(in_packets),
        plain_column(out_packets),
        column(in_bytes, exact),
        column(out_bytes, exact),
    ]
    .concat()
}

fn in_order(rates: &Rates) -> [u64; 5] {
    [
        rates.conns_per_sec,
        rates.in_packets_per_sec,
        rates.out_packets_per_sec,
        rates.in_bytes_per_sec,
        rates.out_bytes_per_sec,
    ]
}

fn columns(numbers: [u64; 5], exact: bool) -> String {
    numbers.map(|n| column(n, exact)).concat()
}
