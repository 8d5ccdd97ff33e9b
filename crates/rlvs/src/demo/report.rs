//! What the demo prints. Everything goes through one writer; colour only where a person is looking.

use super::Mode;
use super::scene::{Proto, SERVERS, real_addr};
use super::traffic::{REQUESTS, Share};
use crate::lab::VIP;
use crate::lab::client::Transfer;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

pub struct Report {
    out: Box<dyn Write>,
    colour: bool,
}

impl Report {
    pub fn to_stdout() -> Report {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Report { out: Box::new(io::stdout()), colour }
    }

    pub fn opening(&mut self) -> io::Result<()> {
        writeln!(
            self.out,
            "A client, a director and {SERVERS} real servers, each in a network namespace of its own."
        )
    }

    pub fn mode(&mut self, mode: Mode) -> io::Result<()> {
        let (how, last) = match mode {
            Mode::Nat => ("the director rewrites addresses and ports; replies come back through it", "8080"),
            Mode::Dr => {
                ("the director changes the MAC address only; servers reply straight to the client", "80")
            }
            Mode::Tun => {
                ("packets travel to another subnet in IPIP; servers reply straight to the client", "80")
            }
        };
        let title = self.paint("1", mode.name());
        writeln!(self.out, "\n{title}: {how}\n")?;
        let servers: Vec<_> = (1..=SERVERS).map(|n| format!("{}:{last}", real_addr(mode, n as u8))).collect();
        writeln!(self.out, "  client 10.0.0.2 -> director {VIP}:80 -> {}\n", servers.join(" | "))?;
        self.out.flush()
    }

    /// The commands for the first service; the others look the same.
    pub fn commands(&mut self, commands: &[String]) -> io::Result<()> {
        for command in commands {
            writeln!(self.out, "  # ipvsadm {command}")?;
        }
        writeln!(self.out, "  ... and so on; the rules are now\n\n  # ipvsadm -Ln")
    }

    pub fn listing(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            writeln!(self.out, "  {line}")?;
        }
        self.out.flush()
    }

    pub fn shares(&mut self, shares: &[Share]) -> io::Result<()> {
        let title = self.paint("1", &format!("{:<36}", format!("Who served what, of {REQUESTS} requests")));
        writeln!(self.out, "\n  {title}  rs1  rs2  rs3   expected")?;
        for share in shares {
            let service = &share.service;
            let proto = match service.proto {
                Proto::Tcp => "TCP",
                Proto::Udp => "UDP",
            };
            let weights = service.weights.map(|w| w.to_string()).join(":");
            let what = format!("{proto} :{:<4} {:<4} weights {weights}", service.port, service.scheduler);
            let seen: String = share.seen.iter().map(|n| format!("{n:>5}")).collect();
            let expected: String = share.expected.iter().map(|n| format!("{n:>4}")).collect();
            let about = if service.tolerance > 0 { "about" } else { "     " };
            let verdict = self.verdict(share.is_right());
            writeln!(self.out, "    {what:<34}{seen}  {about}{expected}   {verdict}")?;
        }
        self.out.flush()
    }

    pub fn transfers(&mut self, transfers: &[(&str, Transfer)]) -> io::Result<()> {
        let title = self.paint("1", "In bulk, through the first service");
        writeln!(self.out, "\n  {title}")?;
        for (what, transfer) in transfers {
            let megabytes = transfer.bytes / 1_000_000;
            let speed = transfer.gbit_per_s();
            let verdict = self.verdict(true);
            writeln!(
                self.out,
                "    {what:<10} {megabytes} MB  {speed:>6.2} Gbit/s   SHA-256 compared   {verdict}"
            )?;
        }
        Ok(())
    }

    pub fn end_of_mode(&mut self, mode: Mode, took: Duration) -> io::Result<()> {
        writeln!(self.out, "\n  {} took {:.1} s.", mode.name(), took.as_secs_f64())?;
        self.out.flush()
    }

    /// What to try next; `directors` are the namespaces of labs that stay.
    pub fn closing(&mut self, directors: &[String]) -> io::Result<()> {
        let title = self.paint("1", "What to try next");
        writeln!(self.out, "\n{title}\n")?;
        let (rlvs, ipvsadm) = our_names();
        if directors.is_empty() {
            return self.hints(&[
                (format!("{rlvs} demo --mode dr --keep"), "a lab that stays, to play in (nat, dr, tun)"),
                (format!("{ipvsadm} -A -t ADDR:80 -s rr"), "a service on this machine"),
                (format!("{ipvsadm} -a -t ADDR:80 -r SERVER -m"), "a real server for it"),
                (format!("{rlvs} status"), "what is attached where, and counters"),
                (format!("{rlvs} down"), "remove everything of this machine's director"),
            ]);
        }
        for director in directors {
            let client = director.replace("director", "client");
            self.hints(&[
                (format!("ip netns exec {director} {ipvsadm} -Ln --stats"), "in the director"),
                (format!("ip netns exec {director} {ipvsadm} -Lnc"), "its connections"),
                (format!("ip netns exec {client} curl http://{VIP}/"), "in the client"),
            ])?;
            writeln!(self.out)?;
        }
        self.hints(&[(format!("{rlvs} demo --remove"), "when you are done")])
    }

    fn hints(&mut self, hints: &[(String, &str)]) -> io::Result<()> {
        let width = hints.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
        for (command, meaning) in hints {
            writeln!(self.out, "  {command:<width$}   {meaning}")?;
        }
        Ok(())
    }

    fn verdict(&self, right: bool) -> String {
        if right { self.paint("32", "ok") } else { self.paint("31;1", "WRONG") }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// How to call this program as `rlvs` and as `ipvsadm`: by name where it is installed, else by its path.
fn our_names() -> (String, String) {
    let Ok(exe) = std::env::current_exe() else { return ("rlvs".into(), "ipvsadm".into()) };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first =
        |name: &str| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.exists());
    let is_ours =
        |name: &str| first(name).and_then(|file| file.canonicalize().ok()).is_some_and(|file| file == exe);
    let rlvs = if is_ours("rlvs") { "rlvs".to_owned() } else { exe.display().to_string() };
    let ipvsadm = if is_ours("ipvsadm") { "ipvsadm".to_owned() } else { format!("{rlvs} ipvsadm") };
    (rlvs, ipvsadm)
}
