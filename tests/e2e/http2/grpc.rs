//! gRPC end to end, by tonic on both sides: every kind of call, trailers, errors, deadlines, and
//! calls that are given up, over plain connections and TLS.

mod own_errors;
mod service;

use std::{fs, time::Duration};

use tokio::sync::mpsc;
use tonic::{
    Code, Request, Response, Status, Streaming,
    client::Grpc,
    codegen::{
        http::uri::PathAndQuery,
        tokio_stream::{StreamExt, wrappers::ReceiverStream},
    },
    metadata::MetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use super::{BOTH_DOORS, Front};
use crate::harness::{Authority, DEADLINE, Setup, TlsVersions, client_config, wait_until};
use service::{GrpcServer, Words};

/// A daemon before a gRPC server, and how to reach it over each door.
struct Calls {
    front: Front,
    /// `None`: it has been stopped.
    server: Option<GrpcServer>,
    authority: Authority,
}

impl Calls {
    /// To a backend without TLS.
    fn plain() -> Calls {
        Calls::start(Authority::new(), GrpcServer::plain(), "protocol = \"h2\"")
    }

    /// To a backend with TLS, which chooses HTTP/2 by ALPN.
    fn tls() -> Calls {
        let authority = Authority::new();
        let server = GrpcServer::tls(&authority.issue(&["grpc.internal"]));
        let keys = r#"
            protocol = "h2"
            tls = { ca = "$dir/ca.pem", name = "grpc.internal" }
        "#;
        Calls::start(authority, server, keys)
    }

    fn start(authority: Authority, server: GrpcServer, keys: &str) -> Calls {
        Calls::of(&format!("{BOTH_DOORS}\n{keys}"), authority, server)
    }

    fn of(config: &str, authority: Authority, server: GrpcServer) -> Calls {
        let setup = Setup::of(config).with("origin", server.address);
        authority.issue(&["www.example.com"]).write(setup.dir(), "www");
        fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
        fs::write(setup.dir().join("page.html"), "<h1>{status}</h1>").expect("a writable folder");
        let trust = client_config(&authority, TlsVersions::All);
        Calls { front: Front { daemon: setup.start(), trust }, server: Some(server), authority }
    }

    #[track_caller]
    fn server(&self) -> &GrpcServer {
        self.server.as_ref().expect("it runs")
    }

    /// A client of each door; not connected yet.
    fn endpoints(&self) -> [Endpoint; 2] {
        let address = |listener: &str| self.front.daemon.address(listener);
        let plain = Endpoint::from_shared(format!("http://{}", address("web")));
        let trust = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.pem()))
            .domain_name("www.example.com");
        let tls = Endpoint::from_shared(format!("https://{}", address("tls")))
            .and_then(|endpoint| endpoint.tls_config(trust));
        [plain.expect("an address"), tls.expect("a root of ours")]
    }
}

/// Runs what a client does, with a deadline.
#[track_caller]
fn run<T>(client: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("a runtime");
    let done = runtime.block_on(async { tokio::time::timeout(DEADLINE, client).await });
    done.expect("it is done within the deadline")
}

struct Client {
    grpc: Grpc<Channel>,
}

impl Client {
    async fn connect(endpoint: &Endpoint) -> Client {
        let channel = endpoint.connect().await.expect("the listener takes connections");
        let mut grpc = Grpc::new(channel).max_decoding_message_size(64 << 20);
        grpc.ready().await.expect("the connection is open");
        Client { grpc }
    }

    async fn unary(&mut self, request: Request<String>) -> Result<Response<String>, Status> {
        self.call("/test.Words/Unary", request).await
    }

    async fn call(
        &mut self,
        path: &'static str,
        request: Request<String>,
    ) -> Result<Response<String>, Status> {
        self.grpc.ready().await.expect("the connection is open");
        self.grpc.unary(request, PathAndQuery::from_static(path), Words).await
    }

    async fn streamed(
        &mut self,
        path: &'static str,
        message: &str,
    ) -> Result<Streaming<String>, Status> {
        self.grpc.ready().await.expect("the connection is open");
        let request = Request::new(message.to_owned());
        let path = PathAndQuery::from_static(path);
        let response = self.grpc.server_streaming(request, path, Words).await?;
        Ok(response.into_inner())
    }
}

#[test]
fn a_call_brings_its_message_and_metadata() {
    for calls in [Calls::plain(), Calls::tls()] {
        for endpoint in calls.endpoints() {
            run(async {
                let mut client = Client::connect(&endpoint).await;
                for length in [0, 1, 100_000, 10 << 20] {
                    let mut request = Request::new("w".repeat(length));
                    let bytes = MetadataValue::from_bytes(&[0, 0xff, 7]);
                    request.metadata_mut().insert("x-word", MetadataValue::from_static("ahoy"));
                    request.metadata_mut().insert_bin("x-bytes-bin", bytes.clone());
                    let response = client.unary(request).await.expect("an answer");
                    assert_eq!(response.get_ref().len(), length);
                    assert_eq!(response.metadata().get("x-word").expect("kept"), "ahoy");
                    assert_eq!(response.metadata().get_bin("x-bytes-bin"), Some(&bytes));
                    // What ends the call stands in trailers.
                    assert_eq!(response.metadata().get("grpc-status").expect("trailers"), "0");
                }
            });
        }
    }
}

#[test]
fn an_error_keeps_its_words_details_and_metadata() {
    let calls = Calls::plain();
    for endpoint in calls.endpoints() {
        run(async {
            let mut client = Client::connect(&endpoint).await;
            let mut request = Request::new("fail".to_owned());
            request.metadata_mut().insert("x-word", MetadataValue::from_static("ahoy"));
            let status = client.unary(request).await.expect_err("it fails");
            assert_eq!(status.code(), Code::NotFound);
            assert_eq!(status.message(), "no such thing: 100 % of it,\nnowhere — at all");
            assert_eq!(status.details(), [0, 1, 2, 0xff]);
            assert_eq!(status.metadata().get("x-word").expect("kept"), "ahoy");
            let unknown = client.streamed("/test.Words/Unknown", "").await;
            assert_eq!(unknown.expect_err("no such method").code(), Code::Unimplemented);
        });
    }
}

#[test]
fn a_stream_of_answers_comes_in_order_and_with_its_end() {
    for calls in [Calls::plain(), Calls::tls()] {
        for endpoint in calls.endpoints() {
            run(async {
                let mut client = Client::connect(&endpoint).await;
                let mut numbers =
                    client.streamed("/test.Words/Count", "10000").await.expect("a stream");
                for expected in 0..10_000 {
                    let number = numbers.message().await.expect("a message");
                    assert_eq!(number, Some(expected.to_string()));
                }
                assert_eq!(numbers.message().await.expect("the end"), None);
                let mut odd = client.streamed("/test.Words/Count", "3").await.expect("a stream");
                for _ in 0..3 {
                    assert!(odd.message().await.expect("a message").is_some());
                }
                let status = odd.message().await.expect_err("an error behind the messages");
                assert_eq!(status.code(), Code::DataLoss);
                assert_eq!(status.message(), "an odd number of them");
            });
        }
    }
}

#[test]
fn a_stream_of_requests_is_answered_at_its_end() {
    let calls = Calls::plain();
    for endpoint in calls.endpoints() {
        run(async {
            let mut client = Client::connect(&endpoint).await;
            let words: Vec<String> = (0..10_000).map(|number| format!("{number},")).collect();
            let joined = words.concat();
            let request = Request::new(tonic::codegen::tokio_stream::iter(words));
            let path = PathAndQuery::from_static("/test.Words/Join");
            let response = client.grpc.client_streaming(request, path, Words).await;
            let response: Response<String> = response.expect("an answer");
            let length = response.metadata().get("x-length").expect("kept").clone();
            assert_eq!(length, joined.len().to_string());
            assert!(*response.get_ref() == joined);
        });
    }
}

/// Each message is sent when the answer to the last has come: nothing waits for an end.
#[test]
fn both_streams_run_at_once() {
    for calls in [Calls::plain(), Calls::tls()] {
        for endpoint in calls.endpoints() {
            run(async {
                let mut client = Client::connect(&endpoint).await;
                let (sender, receiver) = mpsc::channel(1);
                let request = Request::new(ReceiverStream::new(receiver));
                let path = PathAndQuery::from_static("/test.Words/Echo");
                sender.send("0".to_owned()).await.expect("the call takes it");
                let response = client.grpc.streaming(request, path, Words).await;
                let mut answers: Streaming<String> = response.expect("a stream").into_inner();
                for number in 0..1_000 {
                    let answer = answers.next().await.expect("an answer").expect("a message");
                    assert_eq!(answer, number.to_string());
                    sender.send((number + 1).to_string()).await.expect("the call takes it");
                }
                drop(sender);
                assert_eq!(answers.message().await.expect("the last"), Some("1000".to_owned()));
                assert_eq!(answers.message().await.expect("the end"), None);
            });
        }
    }
}

#[test]
fn a_deadline_is_kept_by_the_server() {
    let calls = Calls::plain();
    for endpoint in calls.endpoints() {
        run(async {
            let mut client = Client::connect(&endpoint).await;
            let mut request = Request::new("sleep".to_owned());
            // It goes as grpc-timeout; the server ends the call by it.
            request.set_timeout(Duration::from_millis(300));
            let status = client.unary(request).await.expect_err("it takes too long");
            assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
            let kept = client.unary(Request::new("next".to_owned())).await.expect("it serves on");
            assert_eq!(kept.get_ref(), "next");
        });
    }
}

#[test]
fn a_call_that_is_given_up_is_given_up_at_the_server() {
    let calls = Calls::plain();
    for (before, endpoint) in calls.endpoints().iter().enumerate() {
        run(async {
            let mut client = Client::connect(endpoint).await;
            let mut stream = client.streamed("/test.Words/Hang", "").await.expect("a stream");
            assert_eq!(stream.message().await.expect("one"), Some("first".to_owned()));
            drop(stream);
            let other = client.unary(Request::new("other".to_owned())).await.expect("it serves on");
            assert_eq!(other.get_ref(), "other");
        });
        wait_until(DEADLINE, "the server to see it", || calls.server().cancelled() == before + 1);
    }
    wait_until(DEADLINE, "nothing to be in flight", || {
        calls.front.daemon.metric("equipoise_backend_in_flight", &[]) == 0.0
    });
}

#[test]
fn many_calls_at_once_are_kept_apart() {
    let calls = Calls::plain();
    for endpoint in calls.endpoints() {
        run(async {
            let client = Client::connect(&endpoint).await;
            let calls = (0..300).map(|number| {
                let mut client = Client { grpc: client.grpc.clone() };
                async move {
                    let word = format!("word {number} ").repeat(number);
                    let answer = client.unary(Request::new(word.clone())).await;
                    assert!(*answer.expect("an answer").get_ref() == word, "word {number}");
                }
            });
            let mut tasks = tokio::task::JoinSet::new();
            calls.for_each(|call| drop(tasks.spawn(call)));
            while let Some(done) = tasks.join_next().await {
                done.expect("a call fails");
            }
        });
    }
    assert_eq!(calls.server().calls(), 600);
}

/// What we say when no backend does is an error for a gRPC client as well.
#[test]
fn a_backend_that_is_gone_is_an_error() {
    let mut gone = Calls::plain();
    gone.server = None;
    for endpoint in gone.endpoints() {
        run(async {
            let mut client = Client::connect(&endpoint).await;
            let status = client.unary(Request::new("word".to_owned())).await.expect_err("nobody");
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            assert!(status.message().starts_with("502 connect-failed: "), "{status}");
        });
    }
}

/// A server that dies within a stream must not look like one that has said all.
#[test]
fn a_server_that_dies_within_a_stream_is_an_error() {
    for mut calls in [Calls::plain(), Calls::tls()] {
        let server = calls.server.take();
        let endpoints = calls.endpoints();
        run(async move {
            let mut streams = Vec::new();
            for endpoint in &endpoints {
                let mut client = Client::connect(endpoint).await;
                let mut stream = client.streamed("/test.Words/Hang", "").await.expect("a stream");
                assert_eq!(stream.message().await.expect("one"), Some("first".to_owned()));
                streams.push(stream);
            }
            drop(server);
            for mut stream in streams {
                let status = stream.message().await.expect_err("no clean end");
                assert_ne!(status.code(), Code::Ok, "{status}");
            }
        });
    }
}
