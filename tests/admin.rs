//! Property: the admin port changes nothing without its token, and no request,
//! however large or slow, is in the way of the events.

use crate::support::eventually;
use crate::support::relay::{PATIENCE, Relay};
use crate::support::swapping::{Port, Swapping, TOKEN, chameleon, short_digest};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// GIVEN a relay with a token, WHEN requests come without it or with another, THEN
/// they are refused before their body is read; probes need none.
#[test]
fn nothing_without_the_token() {
    let it = Swapping::new("", "");
    let (relay, port) = it.serve();
    let bytes = chameleon("pass2");
    for token in [None, Some(""), Some("wrong"), Some(&TOKEN[1..]), Some("0123456789abcdef-tesu")] {
        for (method, path) in [("GET", "/v1/status"), ("POST", "/v1/transforms/c"), ("POST", "/v1/rollback")] {
            let (code, answer) = port.request(method, path, token, &bytes);
            assert_eq!(code, 401, "{token:?} {path}: {answer}");
            assert!(answer["error"]["remedy"].is_string(), "{answer}");
        }
    }
    assert_eq!(port.request("GET", "/livez", None, b"").0, 200);
    assert_eq!(port.request("GET", "/metrics", None, b"").0, 200);
    assert_eq!(port.request("POST", "/v1/transforms/unknown", Some(TOKEN), &bytes).0, 404);
    assert_eq!(port.request("GET", "/v1/transforms/c", Some(TOKEN), b"").0, 405);
    assert_eq!(port.request("POST", "/v1/transforms/c?canary=x", Some(TOKEN), &bytes).0, 400);
    assert_eq!(port.request("POST", "/v1/transforms/c?reference=/etc/passwd", Some(TOKEN), b"").0, 400);
    assert_eq!(port.active(), short_digest(&it.path("chameleon.wasm")));
    assert!(!relay.log().contains(TOKEN), "a token is in the log");
    relay.stop().expect(0, &["without the right token"]);
}

/// GIVEN a relay without a token, WHEN somebody asks for a swap, THEN nobody may; a
/// token that is too short is refused at the start.
#[test]
fn no_token_is_not_an_open_door() {
    let it = Swapping::new("", "");
    let toml = std::fs::read_to_string(it.path("relay.toml")).expect("reads");
    std::fs::write(it.path("relay.toml"), toml.replace(&format!("token = \"{TOKEN}\""), "")).expect("writes");
    let (relay, port) = it.serve();
    for token in [None, Some(""), Some(TOKEN)] {
        let (code, answer) = port.request("POST", "/v1/transforms/c", token, &chameleon("pass2"));
        assert_eq!(code, 403, "{answer}");
    }
    relay.stop().expect(0, &[]);
    std::fs::write(it.path("relay.toml"), toml.replace(TOKEN, "short")).expect("writes");
    let config = it.path("relay.toml");
    Relay::run(&["check", "--offline", "-c", config.to_str().expect("a path")]).expect(3, &["the admin token has 5 characters"]);
}

/// GIVEN a relay at work, WHEN clients send endless heads, huge bodies, or nothing,
/// THEN they are cut off or refused, and events flow.
#[test]
fn huge_and_slow_requests() {
    let it = Swapping::new("max_component = \"1MB\"", "");
    let (relay, port) = it.serve();
    let mut idle: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(&port.0).expect("connects")).collect();
    idle.iter_mut().for_each(|stream| stream.write_all(b"GET /livez HTT").expect("writes"));
    // A body that is announced, and a head that does not end.
    let huge = format!("POST /v1/transforms/c HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 99999999999\r\n\r\n");
    assert_eq!(port.raw(&[huge.as_bytes(), &vec![0; 1_100_000]].concat()).0, 413);
    let head = [b"GET /livez HTTP/1.1\r\nX: ".as_slice(), &vec![b'x'; 2_000_000]].concat();
    assert!(matches!(port.raw(&head).0, 0 | 400 | 431), "a head of 2 MB");
    it.insert(&["a"], 100);
    it.until_published();
    assert_eq!(port.request("GET", "/readyz", None, b"").0, 200);
    // The heads that never end are cut off.
    let (begun, mut rest) = (Instant::now(), Vec::new());
    for mut stream in idle {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(begun.elapsed() < Duration::from_secs(50), "cut off by the relay, not by the test");
    relay.stop().expect(0, &[]);
}

/// GIVEN one relay, WHEN several ask for swaps at once, THEN each is made or told to
/// wait, and in the end one of them is active.
#[test]
fn concurrent_swaps() {
    let it = Swapping::new("", "");
    let (relay, port) = it.serve();
    let asked: Vec<_> = (0..8)
        .map(|n| {
            let (port, bytes) = (Port(port.0.clone()), chameleon(&format!("pass{n}")));
            std::thread::spawn(move || port.swap("", &bytes))
        })
        .collect();
    let codes: Vec<u16> = asked.into_iter().map(|thread| thread.join().expect("a thread").0).collect();
    assert!(codes.iter().all(|code| [200, 409].contains(code)) && codes.contains(&200), "{codes:?}");
    let made = codes.iter().filter(|code| **code == 200).count();
    eventually("each that was made is in the history", PATIENCE, || {
        port.generations()["history"].as_array().is_some_and(|all| all.len() == made)
    });
    assert_eq!(port.generations()["active"]["number"], made as u64 + 1);
    relay.stop().expect(0, &[]);
}
