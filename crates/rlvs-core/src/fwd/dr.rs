//! DR (direct routing): only the link addresses change; replies go straight to the client.
//!
//! ```text
//!            client → director                       director → real server
//! request    MAC(director) | CIP:cport → VIP:vport   MAC(real server) | CIP:cport → VIP:vport
//! reply      real server → client: VIP:vport → CIP:cport
//! ```
//!
//! Director and real server share a link. The real server has the VIP on `lo` and must not answer ARP for it
//! (`rlvs realserver up --vip VIP`). Ports cannot be mapped.

use super::{Edit, Kind};

/// Nothing to change.
#[inline(always)]
pub fn plan<A>(edit: &mut Edit<A>) {
    edit.kind = Kind::Direct;
}
