//! Handshakes in memory: a real client of the same library on the other end.

use std::slice;

use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error,
    HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::SupportedKxGroup,
    crypto::aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::*;
use crate::net::fixture::Directory;

/// A listener of these pairs; `default` is the index of one of them.
fn listener(pairs: &[Arc<Pair>], default: Option<usize>) -> config::Tls {
    let certificate = |(index, pair): (usize, &Arc<Pair>)| config::Certificate {
        cert: pair.cert().to_path_buf(),
        key: pair.key().to_path_buf(),
        default: default == Some(index),
        place: Default::default(),
        key_place: Default::default(),
    };
    config::Tls {
        certificates: pairs.iter().enumerate().map(certificate).collect(),
        min_version: TlsVersion::Tls12,
        versions: Some(Versions::Http1),
        clients: None,
    }
}

fn server(pairs: &[Arc<Pair>], default: Option<usize>) -> Arc<ServerConfig> {
    server_with(pairs, default, &Tickets::new().expect("keys"))
}

fn server_with(
    pairs: &[Arc<Pair>],
    default: Option<usize>,
    tickets: &Tickets,
) -> Arc<ServerConfig> {
    server_config(&listener(pairs, default), pairs, None, tickets).expect("a server").config
}

/// A client that takes any certificate, since the tests look at which one it got, and signatures
/// of `schemes` alone.
struct Client {
    versions: &'static [&'static SupportedProtocolVersion],
    groups: Vec<&'static dyn SupportedKxGroup>,
    schemes: Vec<SignatureScheme>,
    alpn: Vec<Vec<u8>>,
    sni: bool,
}

impl Client {
    fn new() -> Client {
        Client {
            versions: ALL_VERSIONS,
            groups: aws_lc_rs::DEFAULT_KX_GROUPS.to_vec(),
            schemes: vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256],
            alpn: Vec::new(),
            sni: true,
        }
    }

    fn config(self) -> Arc<ClientConfig> {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = self.groups;
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(self.versions)
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(self.schemes)))
            .with_no_client_auth();
        config.alpn_protocols = self.alpn;
        config.enable_sni = self.sni;
        config.enable_early_data = true;
        Arc::new(config)
    }

    fn connect(self, server: &Arc<ServerConfig>, host: &str) -> Result<Met, Error> {
        meet(&self.config(), server, host)
    }
}

#[derive(Debug)]
struct Anyone(Vec<SignatureScheme>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// Both ends after their handshake, and after the server's tickets have arrived.
#[derive(Debug)]
struct Met {
    client: ClientConnection,
    server: ServerConnection,
}

impl Met {
    fn got(&self, pair: &Pair) -> bool {
        let chain = self.client.peer_certificates().expect("a certificate");
        chain[0] == *pair.leaf()
    }

    fn resumed(&self) -> bool {
        self.server.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn group(&self) -> NamedGroup {
        let group = self.client.negotiated_key_exchange_group();
        group.expect("a key exchange").name()
    }
}

/// The client's view of a refusal: the alert it was sent.
fn meet(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, host: &str) -> Result<Met, Error> {
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let mut client: Connection = ClientConnection::new(client.clone(), name)?.into();
    let mut server: Connection = ServerConnection::new(server.clone())?.into();
    while client.wants_write() || server.wants_write() {
        carry(&mut client, &mut server).ok();
        carry(&mut server, &mut client)?;
    }
    match (client, server) {
        (Connection::Client(client), Connection::Server(server)) => Ok(Met { client, server }),
        _ => unreachable!("made as they are above"),
    }
}

fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).expect("memory");
    }
    let mut unread = bytes.as_slice();
    while !unread.is_empty() {
        to.read_tls(&mut unread).expect("memory");
        to.process_new_packets()?;
    }
    Ok(())
}

fn refused() -> Error {
    Error::AlertReceived(AlertDescription::AccessDenied)
}

#[test]
fn the_exact_name_comes_before_the_wildcard_and_the_wildcard_before_the_default() {
    let directory = Directory::new();
    let pairs = [
        directory.pair("wild", &["*.example.com"]),
        directory.pair("exact", &["www.example.com", "example.com"]),
        directory.pair("other", &["example.org"]),
    ];
    let server = server(&pairs, Some(2));
    for (host, index) in [
        ("www.example.com", 1),
        ("WWW.Example.COM", 1),
        ("api.example.com", 0),
        ("example.com", 1),
        ("example.org", 2),
        ("www.example.org", 2),
        ("a.b.example.com", 2),
        ("unknown.test", 2),
        ("localhost", 2),
        ("192.0.2.1", 2),
    ] {
        let met = Client::new().connect(&server, host).expect(host);
        assert!(met.got(&pairs[index]), "{host}");
    }
}

#[test]
fn without_a_default_unknown_and_absent_names_are_refused() {
    let directory = Directory::new();
    let pairs = [directory.pair("a", &["a.example", "*.b.example"])];
    let server = server(&pairs, None);
    for host in ["c.example", "b.example", "x.y.b.example", "192.0.2.1"] {
        let error = Client::new().connect(&server, host).expect_err(host);
        assert_eq!(error, refused(), "{host}");
    }
    let silent = Client { sni: false, ..Client::new() };
    assert_eq!(silent.connect(&server, "a.example").expect_err("no SNI"), refused());
    assert!(Client::new().connect(&server, "a.example").is_ok());
}

#[test]
fn of_certificates_with_one_name_the_first_is_served_that_the_client_understands() {
    let directory = Directory::new();
    let pairs = [
        directory.rsa_pair("rsa", &["a.example"]),
        directory.pair("ecdsa", &["a.example"]),
        directory.pair("late", &["a.example"]),
    ];
    let server = server(&pairs, None);
    let ecdsa_only =
        || Client { schemes: vec![SignatureScheme::ECDSA_NISTP256_SHA256], ..Client::new() };
    let old = Client { versions: &ALL_VERSIONS[1..], ..ecdsa_only() };
    assert!(Client::new().connect(&server, "a.example").expect("both").got(&pairs[0]));
    assert!(ecdsa_only().connect(&server, "a.example").expect("1.3").got(&pairs[1]));
    assert!(old.connect(&server, "a.example").expect("1.2").got(&pairs[1]));
}

#[test]
fn a_host_of_another_certificate_is_told() {
    let directory = Directory::new();
    let pairs =
        [directory.pair("a", &["a.example", "*.a.example"]), directory.pair("b", &["b.example"])];
    let with_default = Resolver::new(&listener(&pairs, Some(0)), &pairs).expect("a resolver");
    let without = Resolver::new(&listener(&pairs, None), &pairs).expect("a resolver");
    for (sni, host, expected, expected_without) in [
        ("a.example", "a.example", true, true),
        ("a.example", "www.a.example", true, true),
        ("a.example", "b.example", false, false),
        ("b.example", "a.example", false, false),
        ("a.example", "unknown.example", true, false),
        ("b.example", "unknown.example", false, false),
        ("unknown.example", "a.example", true, false),
    ] {
        assert_eq!(with_default.same_certificate(sni, host), expected, "{sni} {host}");
        assert_eq!(without.same_certificate(sni, host), expected_without, "{sni} {host}");
    }
}

#[test]
fn the_hybrid_group_is_taken_where_offered_and_others_still_connect() {
    let directory = Directory::new();
    let server = server(&[directory.pair("a", &["a.example"])], None);
    let offers: [(&[&'static dyn SupportedKxGroup], NamedGroup); 5] = [
        (aws_lc_rs::DEFAULT_KX_GROUPS, NamedGroup::X25519MLKEM768),
        (&[X25519MLKEM768], NamedGroup::X25519MLKEM768),
        // Sends a key for the first alone: a second round trip would cost more than it gains.
        (&[X25519, X25519MLKEM768], NamedGroup::X25519),
        (&[X25519], NamedGroup::X25519),
        (&[SECP256R1], NamedGroup::secp256r1),
    ];
    for (groups, expected) in offers {
        let client = Client { groups: groups.to_vec(), ..Client::new() };
        let met = client.connect(&server, "a.example").expect("a handshake");
        assert_eq!(met.group(), expected);
    }
    let old = Client { versions: &ALL_VERSIONS[1..], ..Client::new() };
    assert_eq!(old.connect(&server, "a.example").expect("1.2").group(), NamedGroup::X25519);
}

#[test]
fn the_lowest_version_is_the_lowest_spoken() {
    let directory = Directory::new();
    let pairs = [directory.pair("a", &["a.example"])];
    let tickets = Tickets::new().expect("keys");
    let mut tls = listener(&pairs, None);
    let both = server_config(&tls, &pairs, None, &tickets).expect("a server");
    tls.min_version = TlsVersion::Tls13;
    let new = server_config(&tls, &pairs, None, &tickets).expect("a server");
    let old_client = || Client { versions: &ALL_VERSIONS[1..], ..Client::new() };
    let version = |met: Met| met.server.protocol_version();

    let met = Client::new().connect(&both.config, "a.example").expect("1.3");
    assert_eq!(version(met), Some(ProtocolVersion::TLSv1_3));
    let met = old_client().connect(&both.config, "a.example").expect("1.2");
    assert_eq!(version(met), Some(ProtocolVersion::TLSv1_2));
    let met = Client::new().connect(&new.config, "a.example").expect("1.3");
    assert_eq!(version(met), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(
        old_client().connect(&new.config, "a.example").expect_err("1.2"),
        Error::AlertReceived(AlertDescription::ProtocolVersion)
    );
}

#[test]
fn alpn_is_http_1_1_or_nothing() {
    let directory = Directory::new();
    let server = server(&[directory.pair("a", &["a.example"])], None);
    let offering = |protocols: &[&str]| Client {
        alpn: protocols.iter().map(|each| each.as_bytes().to_vec()).collect(),
        ..Client::new()
    };
    let met = offering(&["h2", "http/1.1"]).connect(&server, "a.example").expect("h1");
    assert_eq!(met.server.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let met = offering(&[]).connect(&server, "a.example").expect("no ALPN");
    assert_eq!(met.server.alpn_protocol(), None);
    assert_eq!(
        offering(&["h2"]).connect(&server, "a.example").expect_err("h2 alone"),
        Error::AlertReceived(AlertDescription::NoApplicationProtocol)
    );
}

#[test]
fn sessions_resume_over_reloads_and_over_listeners_of_the_same_certificates() {
    let directory = Directory::new();
    let pairs = [directory.pair("a", &["a.example"])];
    let tickets = Tickets::new().expect("keys");
    for versions in [&ALL_VERSIONS[..1], &ALL_VERSIONS[1..]] {
        let client = Client { versions, ..Client::new() }.config();
        let first = server_with(&pairs, None, &tickets);
        assert!(!meet(&client, &first, "a.example").expect("full").resumed());
        tickets.roll();
        let reloaded = server_with(&pairs, None, &tickets.clone());
        let met = meet(&client, &reloaded, "a.example").expect("resumed");
        assert!(met.resumed());
        assert!(!met.client.is_early_data_accepted());
    }
}

#[test]
fn sessions_do_not_resume_with_other_keys() {
    let directory = Directory::new();
    let pairs = [directory.pair("a", &["a.example"])];
    let client = Client::new().config();
    meet(&client, &server(&pairs, None), "a.example").expect("full");
    let met = meet(&client, &server(&pairs, None), "a.example").expect("full again");
    assert!(!met.resumed());
}

#[test]
fn sessions_never_cross_to_other_certificates() {
    let directory = Directory::new();
    let one = directory.pair("one", &["a.example"]);
    let two = directory.pair("two", &["a.example"]);
    let tickets = Tickets::new().expect("keys");
    let both = [one.clone(), two.clone()];
    let first = server_with(&both, Some(0), &tickets);
    for (other, what, expected) in [
        (server_with(slice::from_ref(&two), None, &tickets), "another certificate", &two),
        (server_with(&[two.clone(), one.clone()], Some(1), &tickets), "another order", &two),
        (server_with(&both, Some(1), &tickets), "another default", &one),
        (server_with(slice::from_ref(&one), None, &tickets), "fewer certificates", &one),
    ] {
        for versions in [&ALL_VERSIONS[..1], &ALL_VERSIONS[1..]] {
            let client = Client { versions, ..Client::new() }.config();
            meet(&client, &first, "a.example").expect("full");
            let met = meet(&client, &other, "a.example").expect("full again");
            assert!(!met.resumed(), "{what}");
            assert!(met.got(expected), "{what}");
        }
    }
}

#[test]
fn sessions_never_cross_to_where_other_client_certificates_are_asked_for() {
    let directory = Directory::new();
    let pairs = [directory.pair("a", &["a.example"])];
    let tickets = Tickets::new().expect("keys");
    let asking = |stem: &str| {
        let (file, _) = directory.write(stem, &["ca.example"]);
        let authorities = Authorities::load(&file).expect("authorities");
        let place = Default::default();
        let named = config::Authorities { file, place };
        let clients = config::ClientCertificates { authorities: named, required: false };
        let tls = config::Tls { clients: Some(clients), ..listener(&pairs, None) };
        server_config(&tls, &pairs, Some(&authorities), &tickets).expect("a server").config
    };
    let (none, one, other) = (server_with(&pairs, None, &tickets), asking("one"), asking("other"));
    for versions in [&ALL_VERSIONS[..1], &ALL_VERSIONS[1..]] {
        for (from, to, resumed) in
            [(&none, &one, false), (&one, &none, false), (&one, &other, false), (&one, &one, true)]
        {
            let client = Client { versions, ..Client::new() }.config();
            meet(&client, from, "a.example").expect("full");
            assert_eq!(meet(&client, to, "a.example").expect("a handshake").resumed(), resumed);
        }
    }
}

#[test]
fn a_client_without_sni_sees_a_renewed_default_on_its_next_connection() {
    let directory = Directory::new();
    let tickets = Tickets::new().expect("keys");
    let client = Client { sni: false, ..Client::new() }.config();
    let old = [directory.pair("a", &["a.example"])];
    meet(&client, &server_with(&old, Some(0), &tickets), "a.example").expect("full");
    let renewed = [directory.pair("a", &["a.example"])];
    let met = meet(&client, &server_with(&renewed, Some(0), &tickets), "a.example").expect("full");
    assert!(!met.resumed());
    assert!(met.got(&renewed[0]));
}

#[test]
fn a_certificate_that_no_client_could_be_given_is_refused() {
    let directory = Directory::new();
    let nameless = [directory.pair("nameless", &["192.0.2.1"])];
    let error = Resolver::new(&listener(&nameless, None), &nameless).expect_err("no name");
    assert!(error.to_string().contains("nameless.crt names no host"), "{error}");
    assert!(Resolver::new(&listener(&nameless, Some(0)), &nameless).is_ok());
    let error = Resolver::new(&listener(&[], None), &[]).expect_err("nothing");
    assert!(error.to_string().contains("no certificate"), "{error}");
}
