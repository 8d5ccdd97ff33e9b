//! The traffic of the demo: requests one after the other from connections of their own, counted by the server that
//! answered; then bulk transfers whose bytes are compared.

use super::scene::{Proto, SERVERS, Service};
use crate::lab::client::{self, Tally, Transfer};
use crate::lab::{Lab, VIP};
use anyhow::{Context, Result};

/// Requests for each service: a multiple of the sums of all weights, so that the shares are whole numbers.
pub const REQUESTS: usize = 36;

const BULK: u64 = 100_000_000;

/// How the requests for a service were shared out.
#[derive(Debug)]
pub struct Share {
    pub service: Service,
    pub expected: [usize; SERVERS],
    pub seen: [usize; SERVERS],
}

impl Share {
    fn new(service: &Service, tally: &Tally) -> Share {
        let total: usize = service.weights.iter().sum();
        let seen = std::array::from_fn(|i| tally.get(&format!("rs{}", i + 1)).copied().unwrap_or(0));
        Share { service: *service, expected: service.weights.map(|w| REQUESTS * w / total), seen }
    }

    pub fn is_right(&self) -> bool {
        self.seen
            .iter()
            .zip(self.expected)
            .all(|(&seen, wanted)| seen.abs_diff(wanted) <= self.service.tolerance)
    }
}

/// Runs the requests of one service.
pub fn share(lab: &Lab, service: &Service) -> Result<Share> {
    let port = service.port;
    let tally = lab.client().run(|| match service.proto {
        Proto::Tcp => client::tally_tcp(VIP, port, REQUESTS),
        Proto::Udp => client::tally_udp(VIP, port, REQUESTS),
    });
    let tally =
        tally.with_context(|| format!("{:?} service {VIP}:{port} ({})", service.proto, service.scheduler))?;
    Ok(Share::new(service, &tally))
}

/// Bulk both ways; a wrong byte is an error.
pub fn transfers(lab: &Lab) -> Result<[(&'static str, Transfer); 2]> {
    lab.client().run(|| {
        let down = client::download(VIP, 80, BULK).context("bulk download")?;
        let up = client::upload(VIP, 80, BULK).context("bulk upload")?;
        Ok([("download", down), ("upload", up)])
    })
}

#[cfg(test)]
mod tests {
    use super::super::scene::services;
    use super::*;

    #[test]
    fn shares_are_judged_by_weight_and_tolerance() {
        let tally = |counts: [usize; 3]| {
            counts.iter().enumerate().map(|(i, &n)| (format!("rs{}", i + 1), n)).collect::<Tally>()
        };
        let [rr, wrr, lc, ..] = services();
        assert!(Share::new(&rr, &tally([12, 12, 12])).is_right());
        assert!(!Share::new(&rr, &tally([13, 11, 12])).is_right());
        assert!(Share::new(&wrr, &tally([18, 12, 6])).is_right());
        assert!(Share::new(&lc, &tally([13, 11, 12])).is_right());
        assert!(!Share::new(&lc, &tally([36, 0, 0])).is_right());
    }
}
