//! Output behind the end of an answer: thrown away, and never read as anything else.

use super::before_any;
use crate::harness::{
    Client, End, Origin,
    fastcgi::{Asked, end, stdout},
};

/// An END_REQUEST, and what an attacker would like the next client to read: in the bytes of one answer.
fn poison() -> Vec<u8> {
    [end(0), stdout("Content-Length: 4\r\n\r\nevil"), end(0)].concat()
}

/// Answers the path's kind of request with too much, and everything else with a page.
fn excessive() -> Origin {
    Origin::start(|peer| {
        while let Some(asked) = Asked::read(peer) {
            let (head, cut) = match asked.param("QUERY_STRING") {
                Some("long") => ("Content-Length: 20000\r\n\r\n", 0),
                Some("unchanged") => ("Status: 304\r\n\r\n", 0),
                Some("cut") => ("Content-Length: 20000\r\nA: b\r\n\r\n", 25),
                _ => {
                    peer.write([stdout("Content-Length: 4\r\n\r\npage"), end(0)].concat());
                    continue;
                }
            };
            let body = [end(0).repeat(2_000), poison().repeat(4_000)].concat();
            let whole = [head.as_bytes(), &body[..200_000]].concat();
            peer.write(whole_records(&whole[..cut]));
            peer.pause(std::time::Duration::from_millis(5));
            peer.write([whole_records(&whole[cut..]), end(0)].concat());
        }
    })
}

fn whole_records(content: &[u8]) -> Vec<u8> {
    content.chunks(65_535).flat_map(stdout).collect()
}

#[test]
fn what_is_behind_an_answer_is_read_by_nobody() {
    let origin = excessive();
    let daemon = before_any(&origin, "", "max_idle = 1");
    let mut client = Client::connect(daemon.address("web"));
    for (query, status, length) in
        [("long", 200, 20_000), ("unchanged", 304, 0), ("cut", 200, 20_000)]
    {
        for _ in 0..5 {
            let answer = client.get(&format!("/a.php?{query}"));
            assert_eq!((answer.status, answer.body.len()), (status, length), "{query}");
            for _ in 0..3 {
                let answer = client.get("/a.php");
                assert_eq!((answer.status, answer.text().as_str()), (200, "page"), "{query}");
                assert_eq!(answer.end, End::Clean, "{query}");
            }
        }
    }
    assert_eq!(origin.violations(), [""; 0]);
}
