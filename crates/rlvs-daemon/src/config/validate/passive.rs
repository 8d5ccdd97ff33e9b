//! Passive checks: settings that can be met, for servers that can be watched.

use super::*;

/// SYNs are sent again after one second, three, seven.
const SHORTEST_WINDOW: Duration = Duration::from_secs(3);
/// Then a connection that nobody answers is forgotten.
const LONGEST_WINDOW: Duration = Duration::from_secs(60);

impl Validation<'_> {
    pub(super) fn passive(&mut self, place: Place, passive: &Passive) {
        if let Some(window) = passive.window
            && !(SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&window)
        {
            let message = format!("a window of {window:?} for passive checks");
            self.error(
                place,
                message,
                "3s to 60s; SYNs are sent again after a second, and forgotten after 60",
            );
        }
        if passive.connections == Some(0) {
            self.error(place, "passive checks that need 0 connections", "1 is the least, and 5 the default");
        }
        if let Some(percent) = passive.percent.filter(|percent| !(1..=100).contains(percent)) {
            self.error(place, format!("{percent} percent of the connections of passive checks"), "1 to 100");
        }
        if passive.hold.is_some_and(|hold| hold < Duration::from_secs(1)) {
            self.error(place, "a hold of passive checks below 1 s", "30s is the default");
        }
    }

    /// Of one virtual server: what it says itself must be possible; what is said for all holds where it is.
    pub(super) fn passive_of(&mut self, i: usize, vs: &VirtualServer) {
        let place = Place::VirtualServer(i);
        self.passive(place, &vs.passive);
        let effective = vs.effective_passive(&self.config.global);
        let turned_on = vs.passive.mode.is_some_and(|mode| mode != PassiveMode::Off);
        if turned_on && !vs.has_syns() {
            let message = format!("passive checks see SYNs, and {} has none", vs.service);
            self.error(place, message, "leave them out; a check of its own finds a dead server");
        } else if turned_on && !vs.real_servers.iter().any(|real| real.answers_through_us(vs)) {
            let message =
                format!("passive checks of {}, whose servers' answers do not pass here", vs.service);
            self.error(
                place,
                message,
                "they need the method NAT; with DR and TUN write checks with via = \"vip\"",
            );
        }
        if vs.passive != Passive::default() && vs.passive.mode.is_none() && effective.is_none() {
            self.warn(
                place,
                "settings of passive checks, which are off",
                "write mode = \"advise\" or \"act\"",
            );
        }
        let Some(passive) = effective.filter(|p| p.acts && p.recovery == Recovery::Check) else { return };
        for (j, real) in vs.real_servers.iter().enumerate().filter(|(_, real)| real.answers_through_us(vs)) {
            if real.checks.is_empty() {
                let message = format!("no check says when {} may come back", real.address);
                let help = format!("write one, or recovery = \"hold\", which waits for {:?}", passive.hold);
                self.error(Place::RealServer(i, j), message, help);
            }
        }
    }
}
