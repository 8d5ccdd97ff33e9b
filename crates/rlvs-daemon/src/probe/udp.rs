//! UDP_CHECK: a datagram is sent. Where a reply is required it must come and look right; otherwise only an ICMP error
//! (nobody listens) is a failure, and silence is not.

use super::via::Vias;
use super::{Reason, socket, step};
use crate::config::model::UdpCheck;
use crate::machine::CheckSpec;
use tokio::time::timeout;

/// What is sent if nothing is given.
const PAYLOAD: &[u8] = b"rlvs health check\n";
/// The longest reply there can be.
const MAX_REPLY: usize = 65_535;

pub async fn check(spec: &CheckSpec, udp: &UdpCheck, vias: &Vias) -> Result<(), Reason> {
    let socket = socket::udp(spec, vias).await?;
    step(spec, "sending", socket.send(udp.payload.as_deref().unwrap_or(PAYLOAD))).await?;
    let mut buffer = vec![0; MAX_REPLY];
    let Some(pattern) = &udp.require_reply else {
        return match timeout(spec.timing.connect_timeout, socket.recv(&mut buffer)).await {
            Ok(Err(error)) => Err(format!("the reply: {error}")),
            Ok(Ok(_)) | Err(_) => Ok(()),
        };
    };
    let length = step(spec, "the reply", socket.recv(&mut buffer)).await?;
    let reply = &buffer[..length];
    let (least, most) = (udp.min_reply_length.unwrap_or(0), udp.max_reply_length.unwrap_or(255));
    if length < usize::from(least) || length > usize::from(most) {
        return Err(format!("the reply has {length} bytes, not {least} to {most}"));
    }
    if !pattern.matches(reply) {
        let begin: String = reply.iter().take(16).map(|byte| format!("{byte:02X}")).collect();
        return Err(format!("the reply begins with {begin}, not with {pattern}"));
    }
    Ok(())
}
