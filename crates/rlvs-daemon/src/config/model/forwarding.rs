//! How packets reach a real server: `NAT`, `DR`, `FULLNAT [proxy]`, or `TUN [type ipip|gue port N|gre] [nocsum|csum|remcsum]`.

use super::text::as_string;
use rlvs_control::model::{Method, Tunnel, TunnelChecksum, TunnelKind};
use std::fmt;
use std::str::FromStr;

/// `lvs_method`. The tunnel is the default one unless the method is [`Method::Tunnel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarding {
    pub method: Method,
    pub tunnel: Tunnel,
    /// FULLNAT: the client's address is handed on by PROXY protocol.
    pub proxy_protocol: bool,
}

impl Forwarding {
    pub fn is_tunnel(self) -> bool {
        self.method == Method::Tunnel
    }
}

impl Default for Forwarding {
    fn default() -> Forwarding {
        Forwarding { method: Method::Masquerade, tunnel: Tunnel::default(), proxy_protocol: false }
    }
}

as_string!(Forwarding);

impl fmt::Display for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method {
            Method::Masquerade => return f.write_str("NAT"),
            Method::DirectRoute => return f.write_str("DR"),
            Method::FullNat if self.proxy_protocol => return f.write_str("FULLNAT proxy"),
            Method::FullNat => return f.write_str("FULLNAT"),
            Method::Tunnel => f.write_str("TUN")?,
        }
        match self.tunnel.kind {
            TunnelKind::Ipip => {}
            TunnelKind::Gue => write!(f, " type gue port {}", self.tunnel.port)?,
            TunnelKind::Gre => f.write_str(" type gre")?,
        }
        f.write_str(match self.tunnel.checksum {
            TunnelChecksum::None => "",
            TunnelChecksum::Full => " csum",
            TunnelChecksum::Remote => " remcsum",
        })
    }
}

impl FromStr for Forwarding {
    type Err = String;

    fn from_str(text: &str) -> Result<Forwarding, String> {
        let mut words = text.split_whitespace();
        let method = words.next().unwrap_or_default();
        let rest: Vec<&str> = words.collect();
        let plain = |method| match rest.first() {
            None => Ok(Forwarding { method, ..Forwarding::default() }),
            Some(word) => Err(format!("{word:?} is for TUN only")),
        };
        match method.to_ascii_uppercase().as_str() {
            "NAT" => plain(Method::Masquerade),
            "DR" => plain(Method::DirectRoute),
            "FULLNAT" => match rest[..] {
                [] => plain(Method::FullNat),
                ["proxy"] => {
                    Ok(Forwarding { method: Method::FullNat, proxy_protocol: true, ..Forwarding::default() })
                }
                _ => Err(format!("{:?} is unknown; FULLNAT takes proxy", rest.join(" "))),
            },
            "TUN" => {
                Ok(Forwarding { method: Method::Tunnel, tunnel: tunnel(&rest)?, ..Forwarding::default() })
            }
            _ => Err(format!("{method:?} is no forwarding method; there are NAT, DR, TUN and FULLNAT")),
        }
    }
}

fn tunnel(words: &[&str]) -> Result<Tunnel, String> {
    let mut tunnel = Tunnel::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "type" => {
                tunnel.kind = match words.next().copied() {
                    Some("ipip") => TunnelKind::Ipip,
                    Some("gue") => TunnelKind::Gue,
                    Some("gre") => TunnelKind::Gre,
                    other => {
                        return Err(format!(
                            "{:?} is no tunnel; there are ipip, gue and gre",
                            other.unwrap_or("")
                        ));
                    }
                }
            }
            "port" => tunnel.port = super::text::port(words.next().unwrap_or(&""))?,
            "nocsum" => tunnel.checksum = TunnelChecksum::None,
            "csum" => tunnel.checksum = TunnelChecksum::Full,
            "remcsum" => tunnel.checksum = TunnelChecksum::Remote,
            _ => return Err(format!("{word:?} is unknown; TUN takes type, port, nocsum, csum and remcsum")),
        }
    }
    match tunnel {
        Tunnel { kind: TunnelKind::Gue, port: 0, .. } => {
            Err("gue needs a port: TUN type gue port 6080".to_owned())
        }
        Tunnel { kind: TunnelKind::Ipip | TunnelKind::Gre, port: 1.., .. } => {
            Err(format!("port {} is for gue only", tunnel.port))
        }
        Tunnel {
            kind: TunnelKind::Ipip, checksum: TunnelChecksum::Full | TunnelChecksum::Remote, ..
        } => Err("ipip has no checksum; csum is for gue and gre".to_owned()),
        Tunnel { kind: TunnelKind::Gre, checksum: TunnelChecksum::Remote, .. } => {
            Err("remcsum is for gue only".to_owned())
        }
        tunnel => Ok(tunnel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_read() {
        for text in [
            "NAT",
            "DR",
            "FULLNAT",
            "TUN",
            "TUN type gre",
            "TUN type gre csum",
            "TUN type gue port 6080 remcsum",
        ] {
            assert_eq!(text.parse::<Forwarding>().unwrap().to_string(), text);
        }
        assert_eq!("tun type ipip nocsum".parse::<Forwarding>().unwrap().to_string(), "TUN");
    }

    #[test]
    fn what_ipvs_refuses() {
        for (text, why) in [
            ("", "\"\" is no forwarding method; there are NAT, DR, TUN and FULLNAT"),
            ("NAT type gre", "\"type\" is for TUN only"),
            ("FULLNAT toa", "\"toa\" is unknown; FULLNAT takes proxy"),
            ("TUN type vxlan", "\"vxlan\" is no tunnel; there are ipip, gue and gre"),
            ("TUN type gue", "gue needs a port: TUN type gue port 6080"),
            ("TUN type gre port 5", "port 5 is for gue only"),
            ("TUN csum", "ipip has no checksum; csum is for gue and gre"),
            ("TUN type gre remcsum", "remcsum is for gue only"),
        ] {
            assert_eq!(text.parse::<Forwarding>(), Err(why.to_owned()));
        }
    }
}
