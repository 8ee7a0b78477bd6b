//! nginx and the daemon serve one root and are asked the same: each case is a request, and where the
//! answers differ, what each says and why. A difference that is not listed fails, and so does one that
//! is listed and is none.

mod cases;

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use crate::harness::{
    Answer, Client, DEADLINE, Daemon, End, Process, Setup, free_port, get, run, wait_until,
};
use cases::{
    CODINGS, CONDITIONS, CONTENT, CURL, Differs, EARLIER, FILES, LATER, METHODS, MODIFIED,
    MODIFIED_SECONDS, PATHS, RANGES,
};

const CONFIG: &str = r#"
    [listener.web]
    bind = ["$web"]
    [[route]]
    files = "site"
    [files.site]
    root = "$dir/root"
    precompressed = ["gzip"]
"#;

/// As it is without a word, but for what our defaults say otherwise (the charset, the number of ranges,
/// redirects that name no host) and for files that are there in gzip.
const NGINX: &str = "daemon off; master_process off; pid $dir/nginx.pid; error_log stderr;
    events {}
    http { access_log off; client_body_temp_path $dir/b; proxy_temp_path $dir/p;
    fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
    include /etc/nginx/mime.types; default_type application/octet-stream;
    charset utf-8; max_ranges 16; absolute_redirect off;
    gzip_static on; gzip_vary on;
    server { listen $address; root $dir/root; } }";

#[test]
fn the_same_is_answered_by_nginx() {
    let both = Both::start();
    let mut findings = Vec::new();
    for (request, fields, differences) in
        [CONTENT, PATHS, METHODS, CONDITIONS, RANGES, CODINGS].concat()
    {
        let [nginx, ours] = both.sides().map(|side| side.ask(request, fields));
        for finding in compare(&nginx, &ours, differences) {
            findings.push(format!("{request} {fields}: {finding}"));
        }
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

/// The form of the tag is a difference of its own: nginx makes it of time and size, so that a content
/// that was replaced within a second keeps it, and two servers with one site tell different ones.
#[test]
fn tags_are_of_the_content_and_those_by_nginx_of_the_time() {
    let (both, others) = (Both::start(), Both::start());
    let of_time = format!("\"{MODIFIED_SECONDS:x}-{:x}\"", "0123456789".len());
    assert_eq!(both.nginx.tag, of_time);
    assert_eq!(both.ours.tag, others.ours.tag);
    write(&others.root, "ten.txt", b"9876543210");
    let tag = || tag(&get(others.ours.address, "/ten.txt"));
    wait_until(DEADLINE, "another tag", || !tag().starts_with("W/") && tag() != both.ours.tag);
    assert_eq!(self::tag(&get(others.nginx.address, "/ten.txt")), of_time);
}

/// What curl writes behind the body.
const CURL_SAYS: &str = "\n%{exitcode} %{http_code} %{size_download} %{num_redirects} \
    %{content_type}|%header{content-range}|%header{last-modified}|%header{content-length}";

#[test]
fn what_is_told_by_curl_is_the_same_by_nginx() {
    let both = Both::start();
    let mut findings = Vec::new();
    for (options, path, differences) in CURL {
        let [nginx, ours] = both.sides().map(|side| side.ask_by_curl(&both.root, options, path));
        for finding in compare(&nginx, &ours, differences) {
            findings.push(format!("curl {} {path}: {finding}", options.join(" ")));
        }
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

/// Two servers with one root.
struct Both {
    nginx: Side,
    ours: Side,
    root: PathBuf,
    _nginx: Process,
    _daemon: Daemon,
}

struct Side {
    name: &'static str,
    address: SocketAddr,
    /// Of /ten.txt.
    tag: String,
}

impl Both {
    fn start() -> Both {
        let setup = Setup::of(CONFIG);
        let dir = setup.dir().to_owned();
        let root = dir.join("root");
        for (name, content) in FILES {
            write(&root, name, content.as_bytes());
        }
        let large: Vec<u8> = (0..300_000_u32).map(|at| (at * 7 % 251) as u8).collect();
        write(&root, "large.bin", &large);
        let (nginx, process) = nginx(&dir);
        let daemon = setup.start();
        let ours = daemon.address("web");
        let mut own_tag = String::new();
        // It is weak until the content has been read.
        wait_until(DEADLINE, "a strong tag", || {
            own_tag = tag(&get(ours, "/ten.txt"));
            !own_tag.starts_with("W/")
        });
        let nginx = Side { name: "nginx", address: nginx, tag: tag(&get(nginx, "/ten.txt")) };
        let ours = Side { name: "ours", address: ours, tag: own_tag };
        Both { nginx, ours, root, _nginx: process, _daemon: daemon }
    }

    fn sides(&self) -> [&Side; 2] {
        [&self.nginx, &self.ours]
    }
}

fn nginx(dir: &Path) -> (SocketAddr, Process) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let dir = dir.display().to_string();
    let config = NGINX.replace("$dir", &dir).replace("$address", &address.to_string());
    let file = format!("{dir}/nginx.conf");
    fs::write(&file, config).expect("a writable folder");
    let process = Process::start(Command::new("nginx").args(["-p", &dir, "-c", &file]));
    wait_until(DEADLINE, "nginx to listen", || TcpStream::connect(address).is_ok());
    (address, process)
}

fn write(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a root")).expect("a writable folder");
    let mut file = File::create(path).expect("a writable folder");
    file.write_all(content).expect("room");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(MODIFIED_SECONDS)).expect("a file of ours");
}

fn tag(answer: &Answer) -> String {
    answer.field("etag").expect("a tag").to_owned()
}

/// What an answer says, and what of it is compared.
type Seen = Vec<(&'static str, String)>;

impl Side {
    fn ask(&self, request: &str, fields: &str) -> Seen {
        let mut head = format!("{request} HTTP/1.1\r\nHost: www.example.com\r\n");
        for line in fields.split('|').filter(|line| !line.is_empty()) {
            head.push_str(&self.filled(line));
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut client = Client::connect(self.address);
        client.send(head);
        let method = request.split(' ').next().expect("a method");
        let answer = client.answer_to(method);
        assert_eq!(answer.end, End::Clean, "{}: {request} {fields}", self.name);
        seen(method, &answer)
    }

    fn ask_by_curl(&self, dir: &Path, options: &[&str], path: &str) -> Seen {
        let tag = dir.with_file_name(format!("{}.tag", self.name));
        fs::write(&tag, &self.tag).expect("a writable folder");
        let tag = tag.display().to_string();
        let options = options.iter().map(|option| option.replace("{tag}", &tag));
        let url = format!("http://{}{path}", self.address);
        let mut curl = Command::new("curl");
        let output = run(curl.args(["-sS", "-w", CURL_SAYS]).args(options).arg(url));
        let (body, said) = output.stdout.rsplit_once('\n').expect("what it was told to write");
        // The words of an error's page are each one's own.
        let words: Vec<&str> = said.split(' ').collect();
        if words[1].starts_with(['4', '5']) {
            return vec![("code", words[..2].join(" "))];
        }
        let body = if body.starts_with("HTTP/") { String::new() } else { short(body.as_bytes()) };
        vec![("says", said.to_owned()), ("body", body)]
    }

    fn filled(&self, line: &str) -> String {
        let many = vec!["0-0"; 17].join(",");
        line.replace("{tag}", &self.tag)
            .replace("{modified}", MODIFIED)
            .replace("{earlier}", EARLIER)
            .replace("{later}", LATER)
            .replace("{17 ranges}", &many)
    }
}

fn seen(method: &str, answer: &Answer) -> Seen {
    let field = |name| answer.field(name).unwrap_or_default().to_owned();
    let mut seen = vec![
        ("status", answer.status.to_string()),
        ("content-range", field("content-range")),
        ("location", field("location")),
        ("allow", field("allow")),
        ("etag", if field("etag").is_empty() { String::new() } else { "one".to_owned() }),
        ("last-modified", field("last-modified")),
        ("content-encoding", field("content-encoding")),
        ("vary", field("vary")),
        ("framing", framing(method, answer)),
    ];
    // The words of an error's page, and of a redirect's, are each one's own.
    if answer.status >= 300 && answer.status != 304 {
        return seen;
    }
    // nginx says it with a whole file alone; that ranges are taken is true of an answer with one, too.
    if answer.status == 200 {
        seen.push(("accept-ranges", field("accept-ranges")));
    }
    let content_type = field("content-type");
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=");
    let Some(boundary) = boundary else {
        let length = field("content-length");
        seen.extend([("type", content_type), ("length", length), ("body", short(&answer.body))]);
        return seen;
    };
    // The boundary is each one's own, and nginx has an empty line before the first.
    let parts = answer.text().replace(boundary, "boundary");
    let parts = parts.trim_start_matches("\r\n").replace("\r\n", "|");
    seen.extend([("type", "multipart/byteranges".to_owned()), ("body", short(parts.as_bytes()))]);
    seen
}

/// Whether the length is that of the body: a body that breaks off is none.
fn framing(method: &str, answer: &Answer) -> String {
    let length = answer.field("content-length").map(|length| length.parse::<usize>());
    match (answer.framing(method), length) {
        (Ok(_), Some(Ok(length))) if length == answer.body.len() => "its length",
        (Ok(_), Some(Ok(_))) if answer.body.is_empty() => "the length of what GET has",
        (Ok(_), None) if answer.field("transfer-encoding").is_none() => "none",
        other => return format!("{other:?}"),
    }
    .to_owned()
}

fn short(body: &[u8]) -> String {
    const MOST: usize = 1000;
    if body.len() <= MOST {
        return String::from_utf8_lossy(body).into_owned();
    }
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("{} bytes, {:x}", body.len(), hasher.finish())
}

/// What differs and is not listed, or is listed and does not.
fn compare(nginx: &Seen, ours: &Seen, differences: &[Differs]) -> Vec<String> {
    let said = |seen: &Seen, what: &str| {
        let found = seen.iter().find(|(name, _)| *name == what);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let status_differs = said(nginx, "status") != said(ours, "status");
    let mut names: Vec<&str> = nginx.iter().chain(ours).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let mut findings = Vec::new();
    names.retain(|what| !status_differs || *what == "status");
    for what in names {
        let (theirs, own) = (said(nginx, what), said(ours, what));
        let listed = differences.iter().find(|(name, ..)| *name == what);
        let (expected_theirs, expected_own) = match listed {
            Some((_, theirs, own, _)) => (*theirs, *own),
            None if theirs == own => continue,
            None => ("the same", "the same"),
        };
        if (expected_theirs, expected_own) != (theirs.as_str(), own.as_str()) {
            findings.push(format!("{what}: nginx says {theirs:?}, we say {own:?}"));
        }
    }
    findings
}
