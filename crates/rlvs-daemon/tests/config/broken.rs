//! Broken files, and word for word what is said of them.

use crate::parse;

/// The report of a file, without trailing spaces.
fn said(text: &str) -> String {
    parse(text).1.render(false).trim_end().to_owned()
}

/// Messages alone: line, column, message, way out.
fn found(text: &str) -> Vec<String> {
    let (_, report) = parse(text);
    report
        .findings()
        .map(|f| {
            let at = f.line.zip(f.column).map_or(String::new(), |(line, column)| format!("{line}:{column} "));
            format!("{at}{} | {}", f.message, f.help.unwrap_or("-"))
        })
        .collect()
}

#[test]
fn all_faults_at_once_each_with_its_line_and_the_way_out() {
    let text = "virtual_server 192.0.2.1 80 {
    lvs_schd rr
    protocol TCP
    real_server 10.0.0.300 80 {
        weight -1
        TCP_CHECK {
            conect_timeout 3
        }
    }
    real_server 10.0.0.2 {
        BFD_CHECK {
            name x
        }
    }
}
";
    assert_eq!(
        said(text),
        "\
error: unknown keyword lvs_schd in virtual_server
 --> keepalived.conf:2:5
  |
2 |     lvs_schd rr
  |     ^^^^^^^^
  |
  = help: did you mean lvs_sched?

error: \"10.0.0.300\" is no IP address
 --> keepalived.conf:4:17
  |
4 |     real_server 10.0.0.300 80 {
  |                 ^^^^^^^^^^
  |
  = help: write one, names are not resolved

error: \"-1\" is not a number from 0 to 2147483647
 --> keepalived.conf:5:16
  |
5 |         weight -1
  |                ^^
  |
  = help: write 0 to 2147483647

error: unknown keyword conect_timeout in TCP_CHECK
 --> keepalived.conf:7:13
  |
7 |             conect_timeout 3
  |             ^^^^^^^^^^^^^^
  |
  = help: did you mean connect_timeout?

error: BFD_CHECK is not supported, rlvs speaks no BFD
  --> keepalived.conf:11:9
   |
11 |         BFD_CHECK {
   |         ^^^^^^^^^
   |
   = help: PING_CHECK with a short delay_loop sees a dead host, too"
    );
}

#[test]
fn a_line_of_definitions_is_shown_as_it_was_read() {
    assert_eq!(
        said("$W=many\nvirtual_server 192.0.2.1 80 {\n  protocol TCP\n  weight ${W}x\n}\n"),
        "\
error: \"manyx\" is not a number from 0 to 2147483647
 --> keepalived.conf:4:3
  |
4 |   weight ${W}x
  |   ^^^^^^^^^^^^
  |
  = note: this line was read as: weight manyx
  = help: write 0 to 2147483647"
    );
}

#[test]
fn braces_and_quotes() {
    for (text, expected) in [
        (
            "virtual_server 192.0.2.1 80 {\nprotocol TCP\n",
            "1:1 the block virtual_server is never closed | write } on a line of its own where it ends",
        ),
        ("}\n", "1:1 this } closes nothing | remove it, or look for a { that is missing above"),
        ("{\n}\n", "1:1 this { belongs to no keyword | write the block's name before it"),
        ("SSL\n", "1:1 SSL needs a block | write SSL { on this line and } on one of its own"),
        (
            "SSL {\n ca \"x\n}\n",
            "2:5 this quote is never closed | write \" at the end of the string, on the same line",
        ),
    ] {
        assert!(found(text).contains(&expected.to_owned()), "{text}: {:#?}", found(text));
    }
    let comment = found("virtual_server 192.0.2.1 80 {\nprotocol TCP\nquorum_up '/bin/x # y'\n}\n");
    assert_eq!(
        comment[0],
        "3:11 this quote is never closed | write ' at the end of the string; # and ! begin a comment even in single \
         quotes, use double ones"
    );
}

#[test]
fn keywords_and_their_arguments() {
    let server = |line: &str| {
        found(&format!(
            "virtual_server 192.0.2.1 80 {{\nprotocol TCP\n{line}\nreal_server 10.0.0.1 80 {{\n}}\n}}"
        ))
    };
    for (line, expected) in [
        (
            "lvs_sched best",
            "3:11 \"best\" is no scheduler | there are rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, fo, ovf, mh, twos",
        ),
        ("lvs_method TUN type gue", "3:12 gue needs a port: TUN type gue port 6080 | -"),
        ("quorum 0", "3:8 \"0\" is not a number from 1 to 4294967295 | write 1 to 4294967295"),
        ("delay_loop 5 6", "3:14 \"6\" is too much for delay_loop | write delay_loop SECONDS"),
        ("delay_loop", "3:1 delay_loop is not complete | write delay_loop SECONDS"),
        ("delay_loop 5s", "3:12 \"5s\" is no time | write seconds, like 3 or 2.5"),
        ("delay_loop {\n}", "3:1 delay_loop has no block | write delay_loop SECONDS"),
        ("alpha perhaps", "3:7 \"perhaps\" is neither on nor off | write alpha, alpha on or alpha off"),
        ("TCP_CHECK {\n}", "3:1 TCP_CHECK stands in virtual_server | write it into each real_server"),
        (
            "persistence_granularity 255.255.255.0",
            "1:1 persistence_granularity has no effect without persistence | write persistence_timeout, too",
        ),
        (
            "notify_up /bin/x",
            "3:1 unknown keyword notify_up in virtual_server | remove it, or put # before it",
        ),
        (
            "hashed",
            "3:1 hashed is not for rlvs | it is a flag of old kernels without an effect: leave it out",
        ),
        ("ops", "1:1 ops is for UDP, or for firewall marks | leave it out, or write protocol UDP"),
        (
            "quorum 9",
            "1:1 the quorum of 9 is never gained: all real servers together weigh 1 | lower quorum or hysteresis, or raise weights",
        ),
        ("delay_loop 0", "1:1 a delay_loop below 1 ms | checks one after the other would do nothing else"),
    ] {
        assert_eq!(server(line), [expected], "{line}");
    }
}

#[test]
fn checkers() {
    let check =
        |block: &str| found(&format!("virtual_server fwmark 1 {{\nreal_server 10.0.0.1 {{\n{block}\n}}\n}}"));
    for (block, expected) in [
        ("TCP_CHECK {\n}", "3:1 TCP_CHECK needs a port, and neither server has one | write connect_port"),
        ("HTTP_GET {\nconnect_port 80\n}", "3:1 HTTP_GET without a URL | write url { with path / in it"),
        (
            "HTTP_GET {\nconnect_port 80\nenable_sni\nurl {\npath /\n}\n}",
            "5:1 enable_sni is for SSL_GET | write SSL_GET instead of HTTP_GET",
        ),
        ("MISC_CHECK {\n}", "3:1 MISC_CHECK without a program | write misc_path \"PROGRAM ARGUMENTS\""),
        ("FILE_CHECK {\ntrack_file x\n}", "3:1 there is no track_file x | write track_file x with a file"),
        (
            "PING_CHECK {\nbindto ::1\n}",
            "3:1 PING_CHECK cannot go from ::1 to 10.0.0.1 | bindto and the checked address must be of one family",
        ),
        ("TCP_CHEK {\n}", "3:1 unknown keyword TCP_CHEK in real_server | did you mean TCP_CHECK?"),
        (
            "SQL_CHECK {\n}",
            "3:1 SQL_CHECK is no checker | there are TCP_CHECK, HTTP_GET, SSL_GET, SMTP_CHECK, DNS_CHECK, MISC_CHECK, UDP_CHECK, PING_CHECK and FILE_CHECK",
        ),
        (
            "SMTP_CHECK {\nconnect_port 25\nhost {\n}\n}",
            "5:1 host blocks are not supported | write a SMTP_CHECK of its own for each host, with connect_ip and connect_port",
        ),
        (
            "UDP_CHECK {\nconnect_port 9\npayload 0g\n}",
            "5:9 'g' is no hexadecimal digit | bytes are written like 01 FF, with X for a digit that may be any",
        ),
    ] {
        assert_eq!(check(block), [expected], "{block}");
    }
}

#[test]
fn services_that_are_there_twice_and_servers_that_do_not_fit() {
    let text = "virtual_server_group g {
192.0.2.1-3 80
}
virtual_server group g {
protocol TCP
real_server 10.0.0.1 80 {
}
real_server 10.0.0.1 80 {
}
}
virtual_server 192.0.2.2 80 {
protocol TCP
real_server 2001:db8::1 80 {
}
}
virtual_server group h {
protocol TCP
}
virtual_server 192.0.2.9 80 {
real_server 10.0.0.1 80 {
}
}
";
    assert_eq!(
        found(text),
        [
            "19:1 no protocol is given, TCP is taken | write protocol TCP or UDP, as keepalived 2.2 takes UDP here",
            "8:1 the real server 10.0.0.1:80 is there twice | remove one, and give the other both weights",
            "13:1 the real server 2001:db8::1 is not of the service's family inet | only a tunnel (lvs_method TUN) \
             goes from one family to the other",
            "16:1 there is no group h | write virtual_server_group h",
            "16:1 group h has no real server | connections to it are refused",
            "11:1 TCP 192.0.2.2:80 is already a service of virtual_server group g | one service can be there only once",
        ]
    );
}

#[test]
fn includes_and_definitions() {
    for (text, expected) in [
        (
            "includea x.conf\n",
            "1:10 no file x.conf | include (without a letter after it) allows files that are not there",
        ),
        (
            "include x.conf\n",
            "1:9 no file x.conf | nothing is included here; names are relative to the including file",
        ),
        (
            "$I=include x\n$I\n",
            "2:1 include is looked for before definitions are replaced | write the include line out",
        ),
        (
            "$N= x \\\ny\n",
            "1:5 $N has lines after this one, so nothing may stand here | begin the definition's text on the next line",
        ),
        (
            "~SEQ(N, 1, 0, 3) x\n",
            "1:1 a step of 0 never ends | write ~SEQ(NAME, FIRST, STEP, LAST) or ~LST(NAME, VALUE, VALUE)",
        ),
        ("x ${_RANDOM 1 5}\n", "1:1 ${_RANDOM} would give other rules each time; write a number | -"),
        ("virtual_servr\n", "1:1 unknown keyword virtual_servr in the file | did you mean virtual_server?"),
    ] {
        assert_eq!(found(text), [expected], "{text}");
    }
}

#[test]
fn what_the_daemon_cannot_do() {
    let text = "SSL {
    certificate a.pem
}
virtual_server 192.0.2.1 80 {
    protocol TCP
    real_server 10.0.0.1 80 {
        HTTP_GET {
            url {
                path /
                regex \"(a\"
            }
        }
        HTTP_GET {
            url {
                path /
                regex \"a\"
                regex_options dupnames
            }
        }
    }
}
";
    let found = found(text);
    let begins = [
        "1:1 a certificate without a key, or a key without a certificate | the block SSL takes both or none",
        "7:9 the regular expression cannot be used: ",
        "13:9 the option dupnames of regular expressions is not supported | docs/config.md says how",
    ];
    assert_eq!(found.len(), begins.len(), "{found:?}");
    for (found, begin) in found.iter().zip(begins) {
        assert!(found.starts_with(begin), "{found}");
    }
}

#[test]
fn a_file_that_cannot_be_read() {
    let files = rlvs_daemon::config::source::Memory::default();
    let (_, report) = rlvs_daemon::config::load(
        std::path::Path::new("gone.conf"),
        rlvs_daemon::config::Format::Keepalived,
        "",
        &files,
    );
    assert_eq!(report.render(false).trim_end(), "error: gone.conf: entity not found");
}

#[test]
fn a_pool_of_fullnat() {
    let text = "global_defs {
    lvs_fullnat_source lb1
    lvs_fullnat_source 10.1.0.202 9-7
    lvs_fullnat_source
}
";
    assert_eq!(
        found(text),
        [
            "2:24 \"lb1\" is no IP address | write 10.1.0.201 or, with ports, 10.1.0.201 1024-65535",
            "3:24 ports 9-7 are no range | from 1 to 65535, the lower one first",
            "4:5 lvs_fullnat_source is not complete | write lvs_fullnat_source ADDRESS [FIRST-LAST]",
        ]
    );
    let twice = "global_defs {\n lvs_fullnat_source 10.1.0.201\n lvs_fullnat_source 10.1.0.201 7-9\n}\n";
    let said = found(twice);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0]
            .ends_with("10.1.0.201 is twice in the pool of FULLNAT | write it once, with one range of ports")
    );
}
