//! Ranges, and where the quorum turns.

use super::*;

fn addresses(text: &str) -> Vec<String> {
    text.parse::<Member>().unwrap().endpoints().map(|e| e.to_string()).collect()
}

#[test]
fn ranges() {
    assert_eq!(addresses("192.0.2.1"), ["192.0.2.1"]);
    assert_eq!(addresses("192.0.2.9-11:80"), ["192.0.2.9:80", "192.0.2.10:80", "192.0.2.11:80"]);
    assert_eq!(addresses("192.0.2.255-192.0.3.1"), ["192.0.2.255", "192.0.3.0", "192.0.3.1"]);
    assert_eq!(addresses("192.0.2.8/30").len(), 4);
    assert_eq!(addresses("[2001:db8::fe-ff]:53"), ["[2001:db8::fe]:53", "[2001:db8::ff]:53"]);
    assert_eq!(addresses("2001:db8::/126").len(), 4);
    assert_eq!(addresses("fwmark 3 inet6").len(), 0);
    assert_eq!(addresses("255.255.255.255").len(), 1);
}

#[test]
fn members_are_written_as_short_as_they_can_be() {
    for (text, short) in [
        ("192.0.2.1-192.0.2.10:80", "192.0.2.1-10:80"),
        ("192.0.2.8/29", "192.0.2.8-15"),
        ("[2001:db8::1-9]:80", "[2001:db8::1-2001:db8::9]:80"),
        ("fwmark 7 inet", "fwmark 7 inet"),
    ] {
        let member: Member = text.parse().unwrap();
        assert_eq!(member.to_string(), short);
        assert_eq!(short.parse::<Member>().unwrap(), member);
    }
}

#[test]
fn what_is_no_range() {
    for (text, why) in [
        ("192.0.2.10-1", "192.0.2.1 comes before 192.0.2.10; write the lower address first"),
        ("192.0.2.9/29", "192.0.2.9 is not where a network /29 begins; write 192.0.2.8/29"),
        ("192.0.2.1-2001:db8::1", "\"2001:db8::1\" ends no range that begins with 192.0.2.1"),
        ("192.0.2.1-", "\"\" ends no range that begins with 192.0.2.1"),
        ("192.0.0.0/33", "\"33\" is no prefix length of 192.0.0.0; it goes from 0 to 32"),
        ("10.0.0.0/8", "10.0.0.0/8 has more than 65536 addresses; use a firewall mark for so many"),
        ("fwmark 0", "\"0\" is no firewall mark; a mark is a number from 1 to 4294967295"),
        ("web", "\"web\" is no IP address; names are not resolved"),
    ] {
        assert_eq!(text.parse::<Member>(), Err(why.to_owned()));
    }
    // The bounds of the arithmetic.
    assert!("0.0.0.0/0".parse::<Member>().is_err());
    assert!("::/0".parse::<Member>().is_err());
}

#[test]
fn the_quorum_is_gained_above_and_lost_below() {
    let mut vs = VirtualServer::new(ServiceAddress::Fwmark(1));
    assert!(!vs.quorum_holds(0, true) && vs.quorum_holds(1, false));
    vs.quorum = Some(3);
    vs.hysteresis = 1;
    let gained: Vec<u64> = (0..6).filter(|w| vs.quorum_holds(*w, false)).collect();
    let kept: Vec<u64> = (0..6).filter(|w| vs.quorum_holds(*w, true)).collect();
    assert_eq!((gained, kept), (vec![4, 5], vec![2, 3, 4, 5]));
    // Nothing alive is never enough.
    vs.hysteresis = 3;
    assert!(!vs.quorum_holds(0, true));
}
