//! What the data path decides, without a socket: heads, rules, routes, picks, chunks.
//!
//! `cargo bench --bench pure` measures; `cargo test --bench pure` runs each once. What could come out
//! wrong, and be the faster for it, is asserted before it is measured.

use std::{
    fmt::Write,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use equipoise::{
    config::{self, Address, Conditions, HostMatch, Limits, PathMatch},
    http::{
        conditions::Asked,
        h1::{
            body::Framing,
            chunked::{Chunked, LateFields, Piece},
            parse,
            rules::{self, RequestRules},
            scan::Scan,
        },
        header_rules::{Changes, HeaderRules},
        headers::{self, Connection, Inbound, Outbound, Sender, Shown},
        refusal::{self, Refusal},
        route::{self, Route, Router, Target},
        target,
        variables::Values,
    },
    message::{
        head::{Request, Response},
        method::Method,
    },
    observe::metrics::Metrics,
    pool::{
        backend::{Backend, Key, Verdict},
        balance::{self, Ask, Memory},
        members::{Member, Pool, PoolParts},
        place::InFlight,
    },
};

criterion_group! {
    name = pure;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = read, refused, write, header_rules, framing, route, round_robin, least_connections,
        random_two_choices, least_time, consistent_hash, chunked
}
criterion_main!(pure);

/// The limits of the reference.
const LIMITS: Limits = Limits {
    max_request_line: 8 << 10,
    max_header: 16 << 10,
    max_headers_size: 64 << 10,
    max_headers: 100,
    max_body: 100 << 20,
    max_requests: 100_000,
    max_streams: 128,
    max_control_frames: 2_000,
    max_resets: 500,
};

const SMALL: &str = "GET /small HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

const BROWSER: &str = "GET /assets/app.css?v=3f2a HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.com/shop/\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; basket=17\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\r\n";

const ANSWER: &str = "HTTP/1.1 200 OK\r\n\
    Server: origin\r\n\
    Date: Sat, 01 Nov 2025 12:00:00 GMT\r\n\
    Content-Type: text/css; charset=utf-8\r\n\
    Content-Length: 512\r\n\
    Last-Modified: Fri, 31 Oct 2025 08:00:00 GMT\r\n\
    Connection: keep-alive\r\n\
    ETag: \"69047a80-200\"\r\n\
    Cache-Control: max-age=3600\r\n\
    Accept-Ranges: bytes\r\n\r\n";

const CHUNKED_ANSWER: &str = "HTTP/1.1 200 OK\r\n\
    Content-Type: text/html\r\n\
    Transfer-Encoding: chunked\r\n\
    Connection: keep-alive\r\n\r\n";

/// A head of sixty lines that no rule names, but for Host.
fn sixty_lines() -> String {
    let mut head = "GET / HTTP/1.1\r\nHost: www.example.com\r\n".to_owned();
    for number in 1..60 {
        let _ = write!(head, "X-Service-Field-{number}: value-of-field-{number}\r\n");
    }
    head + "\r\n"
}

fn heads() -> [(&'static str, String); 3] {
    [
        ("small GET", SMALL.to_owned()),
        ("browser, 12 lines", BROWSER.to_owned()),
        ("60 lines", sixty_lines()),
    ]
}

/// All that is asked of a head before it is routed.
fn admit(head: &[u8], request: &mut Request) -> Result<RequestRules, Refusal> {
    let end = Scan::default().head_end(head, &LIMITS)?.unwrap_or_default();
    parse::request(&head[..end], request)?;
    let rules = rules::of_request(request, LIMITS.max_body)?;
    target::read(request)?;
    Ok(rules)
}

fn parsed(head: &str) -> Request {
    let mut request = Request::default();
    admit(head.as_bytes(), &mut request).expect("the head is legal");
    request
}

fn answered(head: &str) -> Response {
    let mut response = Response::default();
    parse::response(head.as_bytes(), &mut response).expect("the head is legal");
    response
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head read");
    let mut request = Request::default();
    for (name, head) in heads() {
        assert!(admit(head.as_bytes(), &mut request).is_ok(), "{name}");
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| admit(black_box(head.as_bytes()), &mut request).is_ok());
        });
    }
    let mut response = Response::default();
    group.throughput(Throughput::Bytes(ANSWER.len() as u64));
    group.bench_function("answer, 9 lines", |bencher| {
        bencher.iter(|| {
            let end = Scan::default().head_end(black_box(ANSWER.as_bytes()), &LIMITS);
            parse::response(ANSWER.as_bytes(), &mut response).is_ok() && end.is_ok()
        });
    });
    group.finish();
}

/// A browser's head with one thing that is refused, by the stage that finds it.
fn refused(criterion: &mut Criterion) {
    let with = |line: &str| format!("{}{line}\r\n\r\n", BROWSER.trim_end_matches("\r\n\r\n"));
    let heads = [
        ("bare LF (scan)", with("\r\nA: b\nC: d"), refusal::BARE_LF),
        ("folded line (parse)", with("\r\nA: b\r\n c"), refusal::OBS_FOLD),
        (
            "length beside chunked (rules)",
            with("\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"),
            refusal::LENGTH_CONFLICT,
        ),
        ("second Host (target)", with("\r\nHost: example.org"), refusal::SEVERAL_HOSTS),
    ];
    let mut group = criterion.benchmark_group("head refused");
    let mut request = Request::default();
    for (name, head, expected) in heads {
        assert_eq!(admit(head.as_bytes(), &mut request), Err(expected), "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| admit(black_box(head.as_bytes()), &mut request).is_err());
        });
    }
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head write");
    let mut out = Vec::with_capacity(16 << 10);
    for (name, head) in heads() {
        let request = parsed(&head);
        write_request(&mut group, &format!("request: {name}"), &request, None, &mut out);
    }
    let response = answered(ANSWER);
    let inbound = Inbound {
        framing: Framing::Length(512),
        connection: Connection::Open,
        hsts: Some("max-age=31536000"),
        date: None,
        changes: None,
        set_cookie: None,
    };
    group.bench_function("answer, 9 lines, HSTS", |bencher| {
        bencher.iter(|| {
            out.clear();
            headers::write_response(&mut out, black_box(&response), &inbound);
            out.len()
        });
    });
    group.finish();
}

/// What the rules of a route add to the writing of a request's head: three lines set, two of them with
/// variables, one added, two names removed.
fn header_rules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header rules");
    let mut out = Vec::with_capacity(16 << 10);
    let text = r#"
        [listener.web]
        bind = "127.0.0.1:80"
        [[route]]
        pool = "app"
        request_headers.set = { X-Path = "{path}", X-Client = "{client}", X-Team = "web" }
        request_headers.add = { X-Seen = "front" }
        request_headers.remove = ["Accept-Language", "X-Debug"]
        [pool.app]
        backends = ["127.0.0.1:81"]
    "#;
    let config = config::parse(text, Path::new("bench.toml")).unwrap_or_else(|e| panic!("{e}"));
    let rules = HeaderRules::new(&config.routes[0].request_headers).expect("some are written");
    for (name, head) in heads() {
        write_request(&mut group, name, &parsed(&head), Some(&rules), &mut out);
    }
    group.finish();
}

fn write_request(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    request: &Request,
    rules: Option<&HeaderRules>,
    out: &mut Vec<u8>,
) {
    let target = target::read(request).expect("the head is legal");
    let sender = Sender {
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        trusted: false,
        tls: true,
        port: 443,
    };
    let request_id = "0123456789abcdef0123456789abcdef";
    let values = Values { sender, target, fields: &request.fields, request_id };
    let outbound = Outbound {
        target: &target,
        host: target.authority,
        framing: Framing::Empty,
        takes_trailers: false,
        upgrade: None,
        expects_continue: false,
        sender,
        certificate: Shown::NotAsked,
        request_id,
        changes: rules.map(|rules| Changes { rules, values }),
    };
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            out.clear();
            headers::write_request(out, black_box(request), &outbound);
            out.len()
        });
    });
}

fn framing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("framing");
    let upload = |line: &str| format!("POST /upload HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    let requests = [
        ("request: no body", BROWSER.to_owned(), Framing::Empty),
        ("request: length", upload("Content-Length: 67108864"), Framing::Length(64 << 20)),
        ("request: chunked", upload("Transfer-Encoding: chunked"), Framing::Chunked),
    ];
    for (name, head, expected) in requests {
        let request = parsed(&head);
        let rules = |request| rules::of_request(request, LIMITS.max_body);
        assert_eq!(rules(&request).map(|rules| rules.framing), Ok(expected), "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| rules(black_box(&request))));
    }
    let responses = [
        ("answer: length", ANSWER, Framing::Length(512)),
        ("answer: chunked", CHUNKED_ANSWER, Framing::Chunked),
    ];
    for (name, head, expected) in responses {
        let response = answered(head);
        let rules = |response| rules::of_response(Method::Get, response);
        assert_eq!(rules(&response).map(|rules| rules.framing), Ok(expected), "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| rules(black_box(&response))));
    }
    group.finish();
}

/// The worst of two files of many sites: hosts with ten paths each, of which all have to be looked
/// at before the shortest fits; and wildcards, of which the last fits.
fn route(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route find");
    let path = |depth: usize| "/area".to_owned() + &"/deeper".repeat(depth);
    let prefix = |number: usize| match number % 10 {
        0 => PathMatch::Prefix(path(0)),
        depth => PathMatch::Prefix(path(depth - 1) + "/dearer"),
    };
    for count in [10, 100, 1000] {
        let exact = |number: usize| HostMatch::Exact(format!("site{}.example.com", number / 10));
        let router = router(count, |number| (exact(number), prefix(number)));
        let host = format!("site{}.example.com", (count - 1) / 10);
        find(&mut group, ("exact host", count), &router, (&host, &path(10)));

        let suffix = |number: usize| format!(".site{number:04}.example.com");
        let wildcard = |number: usize| HostMatch::Wildcard(suffix(number));
        let root = || PathMatch::Prefix("/".to_owned());
        let router = self::router(count, |number| (wildcard(number), root()));
        // The routes of equal length stand in falling order, so that the first is looked at last.
        let host = format!("www{}", suffix(0));
        find(&mut group, ("last wildcard", count), &router, (&host, "/item/17"));
    }
    group.finish();
}

fn router(count: usize, matches: impl Fn(usize) -> (HostMatch, PathMatch)) -> Router {
    let metrics = Metrics::new(1);
    let mut router = Router::default();
    for number in 0..count {
        let (host, path) = matches(number);
        let name = format!("route{number}");
        let route = Route {
            metrics: metrics.route(&name),
            name: name.into(),
            target: Target::Pool(0),
            rules: route::Rules::default(),
        };
        router.add(&host, &path, &Conditions::default(), Arc::new(route));
    }
    router
}

fn find(
    group: &mut BenchmarkGroup<'_, WallTime>,
    (name, count): (&str, usize),
    router: &Router,
    (host, path): (&str, &str),
) {
    let request = parsed(SMALL);
    let asked = Asked { method: b"GET", query: b"", fields: &request.fields, trusted: false };
    let find = |host, path| router.find(host, path, &asked).is_ok_and(|found| found.is_some());
    assert!(find(host, path), "{name} of {count}");
    group.bench_function(BenchmarkId::new(name, count), |bencher| {
        bencher.iter(|| find(black_box(host), black_box(path)));
    });
}

const POOL_SIZES: [usize; 4] = [2, 10, 100, 1000];

fn round_robin(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("round-robin pick");
    for count in POOL_SIZES {
        pick(&mut group, BenchmarkId::from_parameter(count), &pool("round-robin", count));
    }
    group.finish();
}

fn least_connections(criterion: &mut Criterion) {
    idle_and_busy(criterion, "least-connections");
}

fn random_two_choices(criterion: &mut Criterion) {
    idle_and_busy(criterion, "random-two-choices");
}

/// With a time that is known of each.
fn least_time(criterion: &mut Criterion) {
    idle_and_busy(criterion, "least-time");
}

/// Idle: all are equal. Busy: 0 to 9 requests are in flight at each.
fn idle_and_busy(criterion: &mut Criterion, balance: &str) {
    let mut group = criterion.benchmark_group(format!("{balance} pick"));
    for count in POOL_SIZES {
        let pool = pool(balance, count);
        pick(&mut group, BenchmarkId::new("idle", count), &pool);
        let busy = |index| (0..index * 7 % 10).map(move |_| index);
        let in_flight: Vec<_> =
            (0..count).flat_map(busy).map(|index| InFlight::begin(&pool, index)).collect();
        pick(&mut group, BenchmarkId::new("busy", count), &pool);
        drop(in_flight);
    }
    group.finish();
}

/// By key alone; and bounded, where every backend is looked at: with 100 to 109 requests in flight at
/// each, so that the key's own has room.
fn consistent_hash(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("consistent-hash pick");
    for count in POOL_SIZES {
        let key = pool("consistent-hash", count);
        pick(&mut group, BenchmarkId::new("key", count), &key);
        let bounded = pool("consistent-hash\"\nhash = { bound = 1.25 }\n#", count);
        let busy = |index| (0..100 + index * 7 % 10).map(move |_| index);
        let in_flight: Vec<_> =
            (0..count).flat_map(busy).map(|index| InFlight::begin(&bounded, index)).collect();
        pick(&mut group, BenchmarkId::new("bounded", count), &bounded);
        drop(in_flight);
    }
    group.finish();
}

fn pick(group: &mut BenchmarkGroup<'_, WallTime>, id: BenchmarkId, pool: &Pool) {
    let mut memory = Memory::default();
    let ask = Ask::default().with_key(Some(17));
    assert!(balance::pick(pool, &mut memory, &ask, Instant::now).is_some());
    for (number, time) in memory.times.iter().enumerate() {
        let mut known = time.get();
        known.answered(Duration::from_millis(number as u64 % 7 + 1), Instant::now());
        time.set(known);
    }
    group.bench_function(id, |bencher| {
        bencher.iter(|| balance::pick(black_box(pool), &mut memory, &ask, Instant::now));
    });
}

/// A pool of so many backends, all up, of equal weight.
fn pool(balance: &str, count: usize) -> Pool {
    let address = |index: usize| format!("\"127.0.{}.{}:8080\"", index / 250, index % 250 + 1);
    let addresses: Vec<String> = (0..count).map(address).collect();
    let backends = addresses.join(", ");
    let text = format!(
        "[listener.a]\nbind = \"127.0.0.1:80\"\n[[route]]\npool = \"app\"\n\
         [pool.app]\nbalance = \"{balance}\"\nbackends = [{backends}]\n"
    );
    let mut config =
        config::parse(&text, Path::new("pure.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    let config = config.pools.remove(0);
    let metrics = Metrics::new(1);
    let members = config.backends.iter().map(|backend| {
        let Address::Socket(address) = backend.address else { unreachable!("none has a name") };
        let key = Key { pool: config.name.clone(), address: address.into() };
        let counters = metrics.backend(&config.name, &backend.address.to_string());
        Member {
            backend: Backend::new(key, Arc::default(), counters),
            name: None,
            weight: backend.weight,
            ramp: None,
            backup: backend.backup,
            max_requests: backend.max_requests,
            breaker: None,
            verdict: Verdict::Up,
            unjudged: false,
            deployed: None,
        }
    });
    let members = members.collect();
    let metrics = metrics.pool(&config.name);
    let parts = PoolParts { config: Arc::new(config), members, tls: None, keys: None };
    Pool::new(parts, None, metrics)
}

/// 1 KiB of data, in chunks of one size.
fn chunked(criterion: &mut Criterion) {
    const DATA: usize = 1024;
    let mut group = criterion.benchmark_group("chunked, 1 KiB");
    group.throughput(Throughput::Bytes(DATA as u64));
    for chunk in [16, 128, 1024] {
        let one = format!("{chunk:x}\r\n{}\r\n", "d".repeat(chunk));
        let body = one.repeat(DATA / chunk) + "0\r\n\r\n";
        assert_eq!(decode(body.as_bytes()), Ok(DATA), "chunks of {chunk}");
        group.bench_function(BenchmarkId::new("chunks of", chunk), |bencher| {
            bencher.iter(|| decode(black_box(body.as_bytes())));
        });
    }
    group.finish();
}

/// Bytes of data in a whole body.
fn decode(mut body: &[u8]) -> Result<usize, Refusal> {
    let mut chunked = Chunked::new(LateFields::Refused);
    let mut data = 0;
    while let Some(piece) = chunked.next(body)? {
        let count = match piece {
            Piece::Framing(count) | Piece::End(count) => count,
            Piece::Data(count) => {
                data += count;
                count
            }
        };
        body = &body[count..];
    }
    Ok(data)
}
