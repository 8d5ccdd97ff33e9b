//! The schedulers once more, as naive as can be: written from descriptions of what the kernel does, not from ours.
//!
//! Each keeps its servers in a list, the one added last in front, and walks it step by step. Slow, plain, and another
//! way to the same choice: where both agree over thousands of random situations, a mistake would have to be made twice.

/// A server as a model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: u8,
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
    pub active: u32,
    pub inactive: u32,
    pub overloaded: bool,
}

impl Server {
    pub fn new(name: u8, weight: u32) -> Server {
        Server { name, weight, upper: 0, lower: 0, active: 0, inactive: 0, overloaded: false }
    }

    fn usable(&self) -> bool {
        self.weight > 0 && !self.overloaded
    }

    /// An active connection weighs as much as 256 inactive ones.
    fn load(&self) -> u64 {
        256 * u64::from(self.active) + u64::from(self.inactive)
    }

    /// Out at `upper` connections; back below `lower`, or without it when less than three quarters are left.
    pub fn count_again(&mut self) {
        let all = self.active + self.inactive;
        let below = if self.lower > 0 { all < self.lower } else { 4 * all < 3 * self.upper };
        if self.upper == 0 || below {
            self.overloaded = false;
        } else if all >= self.upper {
            self.overloaded = true;
        }
    }
}

/// A service: its scheduler's memory and its servers, the one added last in front.
#[derive(Clone, Debug)]
pub struct Model {
    scheduler: String,
    pub servers: Vec<Server>,
    /// rr and wrr: who had the last turn; none is before the front.
    last: Option<u8>,
    /// wrr: the level of this walk; 0 before there was a server.
    level: u32,
}

impl Model {
    pub fn new(scheduler: &str) -> Model {
        Model { scheduler: scheduler.to_string(), servers: Vec::new(), last: None, level: 0 }
    }

    pub fn server(&mut self, name: u8) -> &mut Server {
        self.servers.iter_mut().find(|s| s.name == name).expect("a server of the model")
    }

    pub fn add(&mut self, server: Server) {
        self.servers.insert(0, server);
        self.weights_changed();
    }

    /// A server's weight and thresholds, as `-e` gives them.
    pub fn edit(&mut self, name: u8, weight: u32, upper: u32, lower: u32) {
        let server = self.server(name);
        (server.weight, server.upper, server.lower) = (weight, upper, lower);
        server.count_again();
        self.weights_changed();
    }

    pub fn remove(&mut self, name: u8) {
        let at = self.servers.iter().position(|s| s.name == name).expect("a server of the model");
        if self.scheduler == "rr" && self.last == Some(name) {
            self.last = at.checked_sub(1).map(|before| self.servers[before].name);
        }
        self.servers.remove(at);
        self.weights_changed();
    }

    fn divisor(&self) -> u32 {
        let weights = || self.servers.iter().map(|s| s.weight).filter(|w| *w > 0);
        (1..=weights().max().unwrap_or(1))
            .rev()
            .find(|d| weights().all(|w| w.is_multiple_of(*d)))
            .unwrap_or(1)
    }

    fn top_level(&self) -> u32 {
        let most = self.servers.iter().map(|s| s.weight).max().unwrap_or(0);
        (most + 1).saturating_sub(self.divisor())
    }

    fn weights_changed(&mut self) {
        if self.scheduler != "wrr" {
            return;
        }
        self.last = None;
        let (top, divisor) = (self.top_level(), self.divisor());
        if self.level > top || self.level == 0 {
            self.level = top;
        } else if divisor > 1 {
            self.level = self.level / divisor * divisor + 1;
        }
    }

    /// The server of a new connection.
    pub fn pick(&mut self) -> Option<u8> {
        match self.scheduler.as_str() {
            "rr" => self.rr(),
            "wrr" => self.wrr(),
            "lc" => self.least(|a, b| a.load() < b.load()),
            "wlc" => self.least(|a, b| a.load() * u64::from(b.weight) < b.load() * u64::from(a.weight)),
            other => panic!("no model of {other}"),
        }
    }

    /// Where the walk starts: after the one who had the last turn.
    fn start(&self) -> usize {
        self.last.and_then(|name| self.servers.iter().position(|s| s.name == name)).map_or(0, |at| at + 1)
    }

    fn rr(&mut self) -> Option<u8> {
        let start = self.start();
        let order = (start..self.servers.len()).chain(0..start);
        let found = order.map(|at| &self.servers[at]).find(|s| s.usable())?.name;
        self.last = Some(found);
        Some(found)
    }

    fn wrr(&mut self) -> Option<u8> {
        if !self.servers.iter().any(Server::usable) {
            return None;
        }
        let mut at = self.start();
        loop {
            if at == self.servers.len() {
                at = 0;
                self.level = self.level.saturating_sub(self.divisor());
                if self.level == 0 {
                    self.level = self.top_level();
                }
                continue;
            }
            if self.servers[at].usable() && self.servers[at].weight >= self.level {
                self.last = Some(self.servers[at].name);
                return self.last;
            }
            at += 1;
        }
    }

    /// The first in the list that no other beats.
    fn least(&self, beats: impl Fn(&Server, &Server) -> bool) -> Option<u8> {
        let mut best: Option<&Server> = None;
        for server in self.servers.iter().filter(|s| s.usable()) {
            if best.is_none_or(|b| beats(server, b)) {
                best = Some(server);
            }
        }
        best.map(|s| s.name)
    }
}
