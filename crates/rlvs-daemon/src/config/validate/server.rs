//! Real servers and their checkers.

use super::*;
use crate::config::pattern::Pattern;

/// The shortest time between two questions to an agent.
const MIN_ASKING: Duration = Duration::from_millis(100);
/// As an answer may say at most.
const MOST_PERCENT: u32 = 25_600;

impl<'a> Validation<'a> {
    pub(super) fn real_server(
        &mut self,
        (i, j): (usize, usize),
        server: &'a VirtualServer,
        real: &'a RealServer,
    ) {
        let place = Place::RealServer(i, j);
        let method = real.effective_method(server);
        self.weight(place, real.weight);
        self.timing(place, &real.timing);
        self.reachable(place, server, real.address, method, "real server");
        if real.upper_threshold > 0 && real.lower_threshold > real.upper_threshold {
            let (lower, upper) = (real.lower_threshold, real.upper_threshold);
            let message = format!("the lower threshold {lower} is above the upper one, {upper}");
            self.warn(place, message, "exchange them, or leave the lower one out (3/4 of the upper)");
        }
        self.agent(place, &real.agent, Some((server, real)));
        for (k, check) in real.checks.iter().enumerate() {
            self.check(Place::Check(i, j, k), server, real, check);
        }
    }

    /// Family and port of a server behind a service.
    pub(super) fn reachable(
        &mut self,
        place: Place,
        vs: &VirtualServer,
        server: Endpoint,
        method: Forwarding,
        what: &str,
    ) {
        let family = Family::of(server.addr);
        if !method.is_tunnel()
            && let Some(other) = rules::keys(self.config, vs).map(|key| key.family()).find(|f| *f != family)
        {
            let message =
                format!("the {what} {} is not of the service's family {}", server.addr, family_word(other));
            self.error(place, message, "only a tunnel (lvs_method TUN) goes from one family to the other");
        }
        let meant = rules::keys(self.config, vs)
            .map(|key| rules::destination_endpoint(&key, server, method))
            .find(|meant| meant.port != server.port);
        if let Some(meant) = meant.filter(|_| server.port != 0 && !method.method.maps_ports()) {
            let message =
                format!("the {what} {server} gets packets at port {}: {method} changes no port", meant.port);
            self.warn(place, message, format!("write port {}, or lvs_method NAT", meant.port));
        }
    }

    fn check(&mut self, place: Place, server: &VirtualServer, real: &RealServer, check: &Check) {
        self.timing(place, &check.timing);
        let name = check.kind.keyword();
        let target = server.check_target(real, check);
        if check.kind.needs_port() && target.port == 0 {
            self.error(
                place,
                format!("{name} needs a port, and neither server has one"),
                "write connect_port",
            );
        }
        if check.connect.port == Some(0)
            || check.connect.bind_port == Some(0)
            || check.connect.fwmark == Some(0)
        {
            self.error(
                place,
                format!("a port or mark of 0 in {name}"),
                "leave it out, the default is taken then",
            );
        }
        if let (to, Some(from)) = (target.addr, check.connect.bind_to)
            && to.is_ipv4() != from.is_ipv4()
        {
            let message = format!("{name} cannot go from {from} to {to}");
            self.error(place, message, "bindto and the checked address must be of one family");
        }
        self.via(place, server, real, check);
        match &check.kind {
            CheckKind::Http(http) => {
                if http.urls.is_empty() {
                    self.error(place, format!("{name} without a URL"), "write url with a path");
                }
                http.urls.iter().for_each(|url| self.url(place, url));
            }
            CheckKind::Misc(misc) if misc.script.argv().is_empty() => {
                self.error(place, format!("{name} without a program"), "write misc_path");
            }
            CheckKind::File(file) if !self.config.track_files.iter().any(|f| f.name == file.track_file) => {
                let message = format!("there is no track_file {}", file.track_file);
                self.error(place, message, format!("write track_file {} with a file", file.track_file));
            }
            CheckKind::Udp(udp) => {
                let (min, max) = (udp.min_reply_length.unwrap_or(0), udp.max_reply_length.unwrap_or(255));
                if min > max {
                    let message = format!("{name}: no reply is at least {min} and at most {max} bytes long");
                    self.error(place, message, "set max_reply_length");
                }
            }
            _ => {}
        }
    }

    fn url(&mut self, place: Place, url: &Url) {
        if !url.path.starts_with('/') {
            self.error(
                place,
                format!("the path {:?} of a url does not begin with /", url.path),
                "write path /…",
            );
        }
        if let Some(digest) = &url.digest
            && !(digest.len() == 32 && digest.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            self.error(place, format!("{digest:?} is no MD5 digest"), "it has 32 hexadecimal digits");
        }
        for option in &url.regex_options {
            if !REGEX_OPTIONS.contains(&option.as_str()) {
                let message = format!("{option:?} is no option of regular expressions");
                self.error(place, message, format!("there are {}", REGEX_OPTIONS.join(", ")));
            }
        }
        if url.regex.is_some()
            && let Err(problem) = Pattern::new(url)
        {
            self.error(place, problem, "docs/config.md says how expressions differ from PCRE2");
        }
        let of_regex = url.regex_no_match
            || !url.regex_options.is_empty()
            || url.regex_min_offset.is_some()
            || url.regex_max_offset.is_some();
        if url.regex.is_none() && of_regex {
            self.error(place, "settings of a regular expression without one", "write regex \"EXPRESSION\"");
        }
    }

    /// Settings of dynamic weights, in a virtual server or in a real server of one.
    pub(super) fn agent(&mut self, place: Place, agent: &Agent, of: Option<(&VirtualServer, &RealServer)>) {
        let named = [agent.port.is_some(), agent.address.is_some(), agent.script.is_some()];
        if named.iter().filter(|is_there| **is_there).count() > 1 {
            self.error(place, "an agent with more than one of port, address and script", "one is asked");
        }
        if agent.port == Some(0) || agent.address.is_some_and(|at| at.port == 0) {
            self.error(place, "an agent without a port", "3333 is that of rlvs realserver agent");
        }
        if agent.address.is_some() && of.is_none() {
            let message =
                "an agent's address in a virtual server: one agent would speak for all real servers";
            self.error(place, message, "write a port there, or the address in each real server");
        }
        if agent.script.as_ref().is_some_and(|script| script.argv().is_empty()) {
            self.error(place, "an agent's script without a program", "write script = { command = \"…\" }");
        }
        if agent.interval.is_some_and(|interval| interval < MIN_ASKING) {
            self.error(place, "an agent's interval below 100 ms", "averages need no more; 2s is the default");
        }
        if agent.timeout == Some(Duration::ZERO) {
            self.error(place, "an agent's timeout of 0", "nobody can answer in no time; 1s is the default");
        }
        for percent in [agent.floor_percent, agent.ceiling_percent].into_iter().flatten() {
            if percent == 0 || percent > MOST_PERCENT {
                let help = format!("1 to {MOST_PERCENT}; only an answer makes a weight 0");
                self.error(place, format!("{percent} as a part of the weight in percent"), help);
            }
        }
        if agent.hysteresis_percent.is_some_and(|percent| percent > 100) {
            self.error(place, "a hysteresis above 100 %", "10 is the default");
        }
        if agent.missed == Some(0) {
            self.error(place, "0 answers that may be missed", "1 is the least, 3 the default");
        }
        let Some((vs, real)) = of else { return };
        match real.effective_agent(vs) {
            Some(agent) if agent.floor_percent > agent.ceiling_percent => {
                let (floor, ceiling) = (agent.floor_percent, agent.ceiling_percent);
                self.error(
                    place,
                    format!("a floor of {floor} % above a ceiling of {ceiling} %"),
                    "exchange them",
                );
            }
            Some(_) if (1..10).contains(&real.effective_weight(vs)) => {
                let weight = real.effective_weight(vs);
                let message =
                    format!("an agent for a server of weight {weight}, of which there are few parts");
                self.warn(place, message, "write larger weights, such as 100; only ratios count");
            }
            None if real.agent != Agent::default() && real.agent.enabled != Some(false) => {
                self.error(place, "an agent without port, address or script", "nobody would be asked");
            }
            _ => {}
        }
    }

    pub(super) fn timing(&mut self, place: Place, timing: &Timing) {
        if timing.delay_loop.is_some_and(|delay| delay < MIN_DELAY) {
            self.error(place, "a delay_loop below 1 ms", "checks one after the other would do nothing else");
        }
        if timing.connect_timeout == Some(Duration::ZERO) {
            self.error(place, "a connect_timeout of 0", "no server can answer in no time; 5 is the default");
        }
    }

    pub(super) fn weight(&mut self, place: Place, weight: Option<u32>) {
        if let Some(weight) = weight.filter(|weight| *weight > i32::MAX as u32) {
            self.error(place, format!("the weight {weight} is too large"), "2147483647 is the most");
        }
    }
}
