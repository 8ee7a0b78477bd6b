//! A gRPC service of texts, by tonic, without generated code: a codec, four kinds of methods, and a
//! server on a thread of its own.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::Duration,
};

use bytes::{Buf, BufMut};
use tokio::sync::{mpsc, oneshot};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{
        BoxFuture, BoxStream, Service, http,
        tokio_stream::{StreamExt, wrappers::ReceiverStream},
    },
    metadata::{MetadataMap, MetadataValue},
    server::Grpc,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::harness::{Pair, free_port};

/// Messages are the bytes of a text.
#[derive(Clone, Copy, Default)]
pub struct Words;

impl Codec for Words {
    type Encode = String;
    type Decode = String;
    type Encoder = Words;
    type Decoder = Words;

    fn encoder(&mut self) -> Words {
        Words
    }

    fn decoder(&mut self) -> Words {
        Words
    }
}

impl Encoder for Words {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Words {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        let text = String::from_utf8(bytes.to_vec());
        text.map(Some).map_err(|_| Status::internal("a message of ours is UTF-8"))
    }
}

/// What the service has seen.
#[derive(Clone, Default)]
pub struct WordsService {
    /// Streams whose receiver has gone before they had ended.
    cancelled: Arc<AtomicUsize>,
    /// Calls that were begun.
    calls: Arc<AtomicUsize>,
}

impl Service<http::Request<Body>> for WordsService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let cancelled = Arc::clone(&self.cancelled);
        let mut grpc = Grpc::new(Words).max_decoding_message_size(64 << 20);
        let path = request.uri().path().to_owned();
        Box::pin(async move {
            Ok(match path.as_str() {
                "/test.Words/Unary" => grpc.unary(Method(unary), request).await,
                "/test.Words/Count" => grpc.server_streaming(Method(count), request).await,
                "/test.Words/Join" => grpc.client_streaming(Method(join), request).await,
                "/test.Words/Echo" => grpc.streaming(Method(echo), request).await,
                "/test.Words/Hang" => {
                    let hang = move |_: Request<String>| hang(Arc::clone(&cancelled));
                    grpc.server_streaming(Method(hang), request).await
                }
                _ => Status::unimplemented(path).into_http(),
            })
        })
    }
}

/// A function as tonic wants a method.
struct Method<F>(F);

impl<F, T, R, Answer> Service<Request<T>> for Method<F>
where
    F: FnMut(Request<T>) -> Answer,
    Answer: Future<Output = Result<Response<R>, Status>> + Send + 'static,
{
    type Response = Response<R>;
    type Error = Status;
    type Future = BoxFuture<Response<R>, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<T>) -> Self::Future {
        Box::pin((self.0)(request))
    }
}

/// Answers with the message and what came with it; some messages are asked to go wrong.
async fn unary(request: Request<String>) -> Result<Response<String>, Status> {
    let metadata = request.metadata().clone();
    let message = request.into_inner();
    match message.as_str() {
        "fail" => Err(failure(&metadata)),
        "sleep" => {
            // As long as the caller allows, and longer.
            std::future::pending::<()>().await;
            Ok(Response::new(String::new()))
        }
        _ => {
            let mut response = Response::new(message);
            copy_metadata(&metadata, response.metadata_mut());
            Ok(response)
        }
    }
}

/// A status with words that need to be encoded, details, and metadata.
fn failure(metadata: &MetadataMap) -> Status {
    let words = "no such thing: 100 % of it,\nnowhere — at all";
    let mut status = Status::with_details(Code::NotFound, words, vec![0, 1, 2, 0xff].into());
    copy_metadata(metadata, status.metadata_mut());
    status
}

fn copy_metadata(from: &MetadataMap, to: &mut MetadataMap) {
    if let Some(value) = from.get("x-word") {
        to.insert("x-word", value.clone());
    }
    if let Some(value) = from.get_bin("x-bytes-bin") {
        to.insert_bin("x-bytes-bin", value.clone());
    }
}

/// As many numbers as the message says; behind them a status, which is an error for odd counts.
async fn count(request: Request<String>) -> Result<Response<BoxStream<String>>, Status> {
    let count: usize =
        request.get_ref().parse().map_err(|_| Status::invalid_argument("a number is wanted"))?;
    let numbers = (0..count).map(|number| Ok(number.to_string()));
    let last = (count % 2 == 1).then(|| Err(Status::data_loss("an odd number of them")));
    let stream = tonic::codegen::tokio_stream::iter(numbers.chain(last));
    let stream: BoxStream<String> = Box::pin(stream);
    Ok(Response::new(stream))
}

/// All messages in one.
async fn join(request: Request<Streaming<String>>) -> Result<Response<String>, Status> {
    let mut messages = request.into_inner();
    let mut joined = String::new();
    while let Some(message) = messages.next().await {
        joined += &message?;
    }
    let sum = joined.len().to_string();
    let mut response = Response::new(joined);
    let sum = MetadataValue::try_from(sum).map_err(|_| Status::internal("digits"))?;
    response.metadata_mut().insert("x-length", sum);
    Ok(response)
}

/// Each message as soon as it comes.
async fn echo(request: Request<Streaming<String>>) -> Result<Response<BoxStream<String>>, Status> {
    let stream: BoxStream<String> = Box::pin(request.into_inner());
    Ok(Response::new(stream))
}

/// One message, and then none for as long as somebody waits for it.
async fn hang(cancelled: Arc<AtomicUsize>) -> Result<Response<BoxStream<String>>, Status> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _ = sender.send(Ok("first".to_owned())).await;
        sender.closed().await;
        cancelled.fetch_add(1, Ordering::SeqCst);
    });
    let stream: BoxStream<String> = Box::pin(ReceiverStream::new(receiver));
    Ok(Response::new(stream))
}

/// The service behind a socket.
pub struct GrpcServer {
    pub address: SocketAddr,
    service: WordsService,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl GrpcServer {
    pub fn plain() -> GrpcServer {
        GrpcServer::start(None)
    }

    pub fn tls(pair: &Pair) -> GrpcServer {
        let identity = Identity::from_pem(&pair.certificate, &pair.key);
        GrpcServer::start(Some(ServerTlsConfig::new().identity(identity)))
    }

    fn start(tls: Option<ServerTlsConfig>) -> GrpcServer {
        let service = WordsService::default();
        let served = service.clone();
        let (stop, stopped) = oneshot::channel();
        let (tell, address) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let port = SocketAddr::from(([127, 0, 0, 1], free_port()));
                let incoming = TcpIncoming::bind(port).expect("a free port");
                tell.send(incoming.local_addr().expect("bound")).expect("the test waits");
                let mut server = Server::builder();
                if let Some(tls) = tls {
                    server = server.tls_config(tls).expect("a pair of ours");
                }
                tokio::select! {
                    served = server.serve_with_incoming(served, incoming) => {
                        served.expect("it serves");
                    }
                    _ = stopped => {}
                }
            });
            // What hangs is not waited for.
            runtime.shutdown_timeout(Duration::ZERO);
        });
        let address = address.recv().expect("the server binds");
        GrpcServer { address, service, stop: Some(stop), thread: Some(thread) }
    }

    pub fn calls(&self) -> usize {
        self.service.calls.load(Ordering::SeqCst)
    }

    pub fn cancelled(&self) -> usize {
        self.service.cancelled.load(Ordering::SeqCst)
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
