//! Backends that speak TLS themselves, to clients that do and that don't: who they must be, and that
//! an end is passed on as what it is, clean or cut.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
};

use super::{ENDED, IN_FLIGHT, LOG, assert_closed, config, connect, log_line_with, said};
use crate::harness::{
    Authority, Broken, Client, DEADLINE, Daemon, Origin, Output, Pair, Peer, Process, Setup,
    TlsVersions, client_config, free_port, run, server_config, wait_until,
};

const VERSIONS: [TlsVersions; 2] = [TlsVersions::Only12, TlsVersions::Only13];

/// A daemon that re-encrypts: `relay` is plain and `secure` terminates TLS, before one pool.
struct Scene {
    authority: Authority,
    daemon: Daemon,
}

impl Scene {
    /// Before a backend whose certificate must be of `app.internal`.
    fn before(authority: Authority, backend: SocketAddr, pool: &str) -> Scene {
        let tls = r#"tls = { ca = "$dir/ca.pem", name = "app.internal" }"#;
        let secure = r#"
            [listener.secure]
            bind = ["$secure"]
            tcp = "app"
            certificates = [{ cert = "$dir/www.crt", key = "$dir/www.key" }]
        "#;
        let pool = format!("passive = {{ fall = 0 }}\n{tls}\n{pool}\n{secure}\n{LOG}");
        let setup = Setup::of(&config("", &pool)).with("origin", backend);
        authority.issue(&["www.example.com"]).write(setup.dir(), "www");
        fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
        Scene { authority, daemon: setup.start() }
    }

    fn relay(&self) -> SocketAddr {
        self.daemon.address("relay")
    }

    fn tls_client(&self, versions: TlsVersions) -> Client {
        let trust = client_config(&self.authority, versions);
        Client::tls(self.daemon.address("secure"), &trust, "www.example.com").expect("TLS")
    }
}

/// Before an origin of this script, which speaks these versions.
fn scene(
    versions: TlsVersions,
    script: impl Fn(&mut Peer) + Send + Sync + 'static,
) -> (Scene, Origin) {
    let authority = Authority::new();
    let pair = authority.issue(&["app.internal"]);
    let origin = Origin::tls(server_config(&pair, None, versions), script);
    (Scene::before(authority, origin.address(), ""), origin)
}

const LONG: usize = 300_000;

#[test]
fn a_client_that_is_done_gets_the_rest_of_the_answer() {
    for versions in VERSIONS {
        let (scene, _origin) = scene(versions, |peer| {
            let heard = peer.rest();
            assert_eq!(heard, b"you");
            peer.write(vec![b'x'; LONG]);
            peer.close_notify();
        });
        assert_eq!(said(scene.relay(), b"you").len(), LONG, "with a FIN at its end");
        let mut client = scene.tls_client(versions);
        client.send("you");
        client.close_notify();
        assert_eq!(client.rest().map(|heard| heard.len()), Ok(LONG), "with a close_notify");
        scene.daemon.wait_for_metric(ENDED, &[("ended", "client-closed")], 2.0);
        scene.daemon.wait_for_metric(IN_FLIGHT, &[], 0.0);
    }
}

#[test]
fn a_backend_that_is_done_hears_the_rest_of_the_client() {
    for versions in VERSIONS {
        let (scene, _origin) = scene(versions, |peer| {
            peer.write("bye");
            peer.close_notify();
            assert_eq!(peer.rest().len(), LONG);
        });
        let mut stream = connect(scene.relay());
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("a clean end of one half");
        assert_eq!(heard, b"bye");
        stream.write_all(&[b'x'; LONG]).expect("the other half is open");
        drop(stream);
        let mut client = scene.tls_client(versions);
        assert_eq!(client.rest(), Ok(b"bye".to_vec()));
        client.send([b'x'; LONG]);
        client.close_notify();
        drop(client);
        scene.daemon.wait_for_metric(ENDED, &[("ended", "backend-closed")], 2.0);
        let received = [("direction", "to")];
        let of_backend = "equipoise_backend_relayed_bytes_total";
        assert_eq!(scene.daemon.metric(of_backend, &received), 2.0 * LONG as f64);
    }
}

#[test]
fn a_backend_that_is_cut_off_makes_no_clean_end() {
    for versions in VERSIONS {
        let (scene, _origin) = scene(versions, |peer| {
            peer.read_exact(&mut [0; 3]).expect("what it is told");
            peer.write([b'x'; LONG]);
        });
        let mut client = scene.tls_client(versions);
        client.send("you");
        assert_eq!(client.take(LONG), Ok(vec![b'x'; LONG]), "what came is passed on");
        assert_eq!(client.rest(), Err(Broken::Reset), "and no close_notify");
        drop(client);
        scene.daemon.wait_for_metric(ENDED, &[("ended", "upstream-truncated")], 1.0);
        let line = log_line_with(&scene.daemon, "upstream-truncated");
        assert_eq!((&line["tls"], &line["bytes_out"]), (&true.into(), &LONG.into()), "{line}");
        // Plain TCP knows no third end: this client loses nothing, and the log tells.
        let mut client = Client::connect(scene.relay());
        client.send("you");
        assert_eq!(client.rest().map(|heard| heard.len()), Ok(LONG));
        drop(client);
        scene.daemon.wait_for_metric(ENDED, &[("ended", "upstream-truncated")], 2.0);
        scene.daemon.wait_for_metric(IN_FLIGHT, &[], 0.0);
    }
}

#[test]
fn a_client_that_is_cut_off_makes_no_clean_end() {
    for versions in VERSIONS {
        let ends = Arc::<Mutex<Vec<Option<io::ErrorKind>>>>::default();
        let noted = ends.clone();
        let (scene, _origin) = scene(versions, move |peer| {
            let mut heard = Vec::new();
            let end = peer.read_to_end(&mut heard);
            assert_eq!(heard, b"you");
            noted.lock().unwrap().push(end.err().map(|error| error.kind()));
            peer.write("answer");
            peer.close_notify();
        });
        for clean in [true, false] {
            let mut client = scene.tls_client(versions);
            client.send("you");
            match clean {
                true => client.close_notify(),
                false => client.half_close(),
            }
            assert_eq!(client.rest(), Ok(b"answer".to_vec()), "it is answered all the same");
        }
        assert_eq!(*ends.lock().unwrap(), [None, Some(io::ErrorKind::UnexpectedEof)]);
        scene.daemon.wait_for_metric(ENDED, &[("ended", "client-closed")], 2.0);
    }
}

#[test]
fn a_cut_is_a_cut_for_who_was_waiting_for_a_place_meanwhile() {
    let authority = Authority::new();
    let ends = Arc::<Mutex<Vec<bool>>>::default();
    let noted = ends.clone();
    let config = server_config(&authority.issue(&["app.internal"]), None, TlsVersions::All);
    let origin = Origin::tls(config, move |peer| {
        peer.write("hello ");
        let end = peer.read_to_end(&mut Vec::new());
        noted.lock().unwrap().push(end.is_ok());
        peer.close_notify();
    });
    let pool = "max_requests = 1\nqueue = { timeout = \"10m\" }";
    let scene = Scene::before(authority, origin.address(), pool);
    let mut first = connect(scene.relay());
    first.read_exact(&mut [0; 6]).expect("hello");
    let mut second = scene.tls_client(TlsVersions::All);
    second.send("you");
    second.half_close();
    scene.daemon.wait_for_metric("equipoise_pool_queue_length", &[("pool", "app")], 1.0);
    drop(first);
    assert_eq!(second.rest(), Ok(b"hello ".to_vec()));
    assert_eq!(*ends.lock().unwrap(), [true, false]);
}

#[test]
fn a_reset_is_passed_on_through_tls() {
    let (scene, origin) = scene(TlsVersions::All, |peer| {
        let mut word = [0; 4];
        peer.read_exact(&mut word).expect("a word");
        match &word {
            b"stay" => peer.hang(),
            _ => peer.reset(),
        }
    });
    let mut client = scene.tls_client(TlsVersions::All);
    client.send("goes");
    assert_eq!(client.rest(), Err(Broken::Reset));
    scene.daemon.wait_for_metric(ENDED, &[("ended", "upstream-truncated")], 1.0);
    let mut stream = connect(scene.relay());
    stream.write_all(b"stay").expect("a connection that takes it");
    wait_until(DEADLINE, "the backend to hear it", || origin.received_bytes() == 8);
    let linger = Some(std::time::Duration::ZERO);
    socket2::SockRef::from(&stream).set_linger(linger).expect("an option");
    drop(stream);
    scene.daemon.wait_for_metric(ENDED, &[("ended", "client-gone")], 1.0);
    wait_until(DEADLINE, "the backend's connection to end", || origin.open_connections() == 0);
}

#[test]
fn silence_is_no_clean_end() {
    let authority = Authority::new();
    let config = server_config(&authority.issue(&["app.internal"]), None, TlsVersions::All);
    let origin = Origin::tls(config, |peer| peer.hang());
    let idle = "timeouts = { tunnel_idle = \"200ms\" }";
    let scene = Scene::before(authority, origin.address(), idle);
    let mut client = scene.tls_client(TlsVersions::All);
    client.send("you");
    assert_eq!(client.rest(), Err(Broken::Reset), "no close_notify");
    scene.daemon.wait_for_metric(ENDED, &[("ended", "tunnel-idle")], 1.0);
    assert_eq!(log_line_with(&scene.daemon, "tunnel-idle")["reason"], "tunnel-idle");
    wait_until(DEADLINE, "the backend's connection to end", || origin.open_connections() == 0);
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_by_its_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let wrong: [(Pair, &str, &str); 3] = [
        (authority.issue(&["other.internal"]), "upstream-certificate-name", "other.internal"),
        (other.issue(&["app.internal"]), "upstream-certificate-issuer", "BadSignature"),
        (authority.issue_until(&["app.internal"], 2021), "upstream-certificate-expired", "expired"),
    ];
    let mut authority = Some(authority);
    for (pair, reason, words) in wrong {
        let origin = Origin::tls(server_config(&pair, None, TlsVersions::All), |peer| peer.hang());
        let scene = Scene::before(authority.take().expect("kept"), origin.address(), "");
        let mut stream = connect(scene.relay());
        stream.write_all(b"a secret").expect("a connection that takes it");
        assert_closed(&mut stream);
        scene.daemon.wait_for_metric(ENDED, &[("ended", reason)], 1.0);
        let line = log_line_with(&scene.daemon, reason);
        assert_eq!(line["backend"], origin.address().to_string(), "{line}");
        let line = scene.daemon.wait_for_log("TLS handshake failed");
        assert!(line.contains("pool app: 127.0.0.1:") && line.contains(words), "{line}");
        assert_eq!(origin.received_bytes(), 0, "it is told no secret");
        scene.daemon.wait_for_metric(IN_FLIGHT, &[], 0.0);
        authority = Some(scene.authority);
    }
}

#[test]
fn a_backend_that_speaks_no_tls_or_nothing_is_refused() {
    let talker = Origin::start(|peer| {
        peer.write("220 mail.example ESMTP\r\n");
        peer.hang();
    });
    let scene = Scene::before(Authority::new(), talker.address(), "");
    assert_closed(&mut connect(scene.relay()));
    scene.daemon.wait_for_metric(ENDED, &[("ended", "upstream-handshake-failed")], 1.0);
    scene.daemon.wait_for_log("does it speak TLS on this port?");
    let silent = Origin::start(|peer| peer.hang());
    let patience = "timeouts = { connect = \"200ms\" }";
    let scene = Scene::before(Authority::new(), silent.address(), patience);
    assert_closed(&mut connect(scene.relay()));
    scene.daemon.wait_for_metric(ENDED, &[("ended", "connect-timeout")], 1.0);
    wait_until(DEADLINE, "its connection to end", || silent.open_connections() == 0);
}

/// A server that says each line back in reverse.
fn s_server(authority: &Authority) -> (Process, SocketAddr, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    authority.issue(&["app.internal"]).write(dir.path(), "app");
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-rev", "-cert", "app.crt", "-key", "app.key", "-accept"]);
    let process = Process::start(command.arg(port.to_string()).current_dir(dir.path()));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait_until(DEADLINE, "the server to listen", || TcpStream::connect(address).is_ok());
    (process, address, dir)
}

/// A client that says these words, and hears what it is answered until the end.
fn s_client(scene: &Scene, words: &str) -> Output {
    let address = scene.daemon.address("secure");
    let root = scene.daemon.dir().join("ca.pem");
    run(Command::new("sh").arg("-c").arg(format!(
        "printf '{words}' | timeout 20 openssl s_client -quiet -ign_eof -connect {address} \
         -servername www.example.com -verify_return_error -CAfile {}",
        root.display()
    )))
}

#[test]
fn either_side_may_be_another_implementation_by_openssl() {
    let authority = Authority::new();
    let (_server, address, _dir) = s_server(&authority);
    let scene = Scene::before(authority, address, "");
    let mut plain = connect(scene.relay());
    plain.write_all(b"plain\n").expect("a connection that takes it");
    let mut heard = [0; 6];
    plain.read_exact(&mut heard).expect("an answer");
    assert_eq!(&heard, b"nialp\n");
    plain.shutdown(Shutdown::Write).expect("a half that can be closed");
    plain.read_to_end(&mut Vec::new()).expect("a clean end");
    for versions in VERSIONS {
        let mut client = scene.tls_client(versions);
        client.send("inside\n");
        assert_eq!(client.take(7), Ok(b"edisni\n".to_vec()), "{versions:?}");
    }
    // Its server takes this word for the end of the conversation.
    let both = s_client(&scene, "both\\nCLOSE\\n");
    assert!(both.stdout.contains("htob"), "{both:?}");
    assert_eq!(scene.daemon.metric("equipoise_backend_connect_failures_total", &[]), 0.0);
}

#[test]
fn another_client_can_tell_a_cut_from_an_end_by_openssl() {
    let (scene, _origin) = scene(TlsVersions::All, |peer| {
        let mut word = [0; 4];
        peer.read_exact(&mut word).expect("a word");
        peer.write("half\n");
        if &word == b"end\n" {
            peer.close_notify();
            peer.rest();
        }
    });
    let ended = s_client(&scene, "end\\n");
    assert!(ended.stdout.contains("half"), "{ended:?}");
    assert!(!ended.stderr.contains("unexpected eof"), "{ended:?}");
    let cut = s_client(&scene, "cut\\n");
    assert!(cut.stdout.contains("half") && cut.stderr.contains("unexpected eof"), "{cut:?}");
}
