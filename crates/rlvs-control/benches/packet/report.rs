//! The result as a table for people, or as JSON.

use crate::Result;
use crate::cases::Row;
use std::io::Write;

/// To be seen while it runs.
pub fn progress(row: &Row) {
    eprintln!(
        "{:<12} {:<4} {:>5} {:>12} {:>6.0} ns",
        row.case,
        row.layer,
        row.servers,
        connections(row),
        row.net_ns
    );
}

pub fn table(rows: &[Row], rounds: usize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Nanoseconds per packet, medians of {rounds} rounds; net = less the empty program.\n")?;
    writeln!(
        out,
        "| {:<11} | {:<5} | {:>7} | {:>11} | {:>5} | {:>5} | {:>5} | {:>9} | {:>11} |",
        "", "layer", "servers", "connections", "empty", "net", "least", "net/empty", "forwarded %"
    )?;
    writeln!(out, "|{0:-<13}|{0:-<7}|{0:->9}|{0:->13}|{0:->7}|{0:->7}|{0:->7}|{0:->11}|{0:->13}|", "-")?;
    for row in rows {
        writeln!(
            out,
            "| {:<11} | {:<5} | {:>7} | {:>11} | {:>5.0} | {:>5.0} | {:>5.0} | {:>9.2} | {:>11.2} |",
            row.case,
            row.layer,
            row.servers,
            connections(row),
            row.empty_ns,
            row.net_ns,
            row.least_net_ns,
            row.ratio,
            row.forwarded * 100.0
        )?;
    }
    Ok(())
}

pub fn json(rows: &[Row], rounds: usize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &serde_json::json!({ "rounds": rounds, "rows": rows }))?;
    Ok(writeln!(out)?)
}

fn connections(row: &Row) -> String {
    match row.connections {
        0 => "new".to_string(),
        n if n >= 1 << 20 => format!("{} M", n >> 20),
        n => format!("{} k", n >> 10),
    }
}
