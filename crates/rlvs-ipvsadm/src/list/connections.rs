//! `-L -c`: the connection table, in the balancer's order.

use crate::address::Printer;
use rlvs_control::model::{ConnectionView, Protocol};
use std::borrow::Cow;
use std::fmt::Write;

const TITLE: &str = "IPVS connection entries\n";
const HEADER: &str = "pro expire state       source             virtual            destination";

pub fn text(connections: &[ConnectionView], with_engine: bool, printer: &Printer) -> String {
    let mut text = format!("{TITLE}{HEADER}");
    text.push_str(if with_engine { "        pe name          pe_data\n" } else { "\n" });
    for connection in connections {
        row(&mut text, connection, with_engine, printer);
    }
    text
}

fn row(text: &mut String, c: &ConnectionView, with_engine: bool, printer: &Printer) {
    let protocol = Protocol::from_number(c.protocol);
    let source = printer.host_port(c.client, c.client_port, protocol);
    let virtual_ = printer.host_port(c.virtual_addr, c.virtual_port, protocol);
    let destination = printer.host_port(c.destination, c.destination_port, protocol);
    let (minutes, seconds) = (c.expires_secs / 60, c.expires_secs % 60);
    let name = protocol_name(c.protocol);
    let _ = write!(
        text,
        "{name:<3} {:<6} {:<11} {source:<18} {virtual_:<18} ",
        format!("{minutes:02}:{seconds:02}"),
        c.state
    );
    let _ = match c.engine.as_ref().filter(|_| with_engine) {
        Some((engine, data)) => writeln!(text, "{destination:<18} {engine:<16} {data}"),
        None => writeln!(text, "{destination}"),
    };
}

/// 0 stands on the template of a firewall-mark service.
pub fn protocol_name(number: u8) -> Cow<'static, str> {
    match number {
        0 => "IP".into(),
        1 => "ICMP".into(),
        6 => "TCP".into(),
        17 => "UDP".into(),
        132 => "SCTP".into(),
        _ => format!("IP_{number}").into(),
    }
}
