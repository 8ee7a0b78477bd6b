//! Debian's php-fpm, running real scripts.

use std::process::Command;

use super::before;
use crate::harness::{Client, DEADLINE, Daemon, End, Php, get, request, run, wait_until};

const ECHO: &str = r#"<?php
header('Content-Type: text/plain');
foreach (['SCRIPT_FILENAME', 'SCRIPT_NAME', 'PATH_INFO', 'QUERY_STRING', 'REQUEST_METHOD', 'REQUEST_URI',
    'DOCUMENT_URI', 'DOCUMENT_ROOT', 'SERVER_PROTOCOL', 'REQUEST_SCHEME', 'SERVER_NAME', 'HTTP_HOST',
    'REMOTE_ADDR', 'CONTENT_TYPE', 'CONTENT_LENGTH', 'APP_ENV', 'HTTP_PROXY', 'PHP_SELF'] as $name) {
    echo $name, '=', $_SERVER[$name] ?? '(none)', "\n";
}
echo 'GET=', http_build_query($_GET), "\n", 'POST=', http_build_query($_POST), "\n";
echo 'COOKIE=', http_build_query($_COOKIE), "\n";
"#;

const BODY: &str = r#"<?php
header('Content-Type: text/plain');
$body = file_get_contents('php://input');
echo strlen($body), ' ', md5($body), ' ', $_SERVER['CONTENT_LENGTH'];
"#;

const UPLOAD: &str = r#"<?php
$file = $_FILES['file'];
echo $file['name'], ' ', $file['size'], ' ', md5_file($file['tmp_name']), ' ', $_POST['word'];
"#;

const BIG: &str = r#"<?php
header('Content-Type: application/octet-stream');
if (isset($_GET['length'])) { header('Content-Length: ' . $_GET['mib'] * 1048576); }
for ($i = 0; $i < $_GET['mib'] * 16; $i++) { echo str_repeat(chr(65 + $i % 26), 65536); }
"#;

const HEADERS: &str = r#"<?php
header('X-One: 1'); header('Set-Cookie: a=b; Path=/'); header('Set-Cookie: c=d', false);
if (isset($_GET['to'])) { header('Location: ' . $_GET['to']); }
if (isset($_GET['status'])) { http_response_code((int) $_GET['status']); }
if (!in_array($_GET['status'] ?? '', ['204', '304'])) { echo 'words'; }
"#;

const PID: &str = "<?php echo getmypid(), ' ', $_SERVER['REMOTE_PORT'];";

const NOTICE: &str = r#"<?php error_log("so it goes\nin two lines \e[31m"); trigger_error('mind this', E_USER_WARNING); echo 'served';"#;

const LATE: &str = r#"<?php
header('Content-Length: 4'); echo 'done'; ob_get_level() && ob_end_flush(); flush();
ignore_user_abort(false); usleep(200000); echo 'more than was told'; flush(); usleep(200000);
file_put_contents(__DIR__ . '/late.txt', connection_aborted() ? 'aborted' : 'whole');
"#;

const SLOW: &str = r#"<?php
header('Content-Type: text/plain'); echo str_repeat('x', 4096); ob_get_level() && ob_end_flush(); flush();
file_put_contents(__DIR__ . '/begun.txt', 'x'); sleep(60);
"#;

fn php(children: usize) -> Php {
    Php::start(
        children,
        &[
            (
                "index.php",
                "<?php echo 'index of ', $_SERVER['SCRIPT_NAME'], ' for ', $_SERVER['REQUEST_URI'];",
            ),
            ("echo.php", ECHO),
            ("body.php", BODY),
            ("upload.php", UPLOAD),
            ("big.php", BIG),
            ("headers.php", HEADERS),
            ("pid.php", PID),
            ("notice.php", NOTICE),
            ("late.php", LATE),
            ("slow.php", SLOW),
            ("folder/index.php", "<?php echo 'index of the folder';"),
            ("upload/cat.jpg", "<?php echo 'the trap was sprung';"),
        ],
    )
}

fn daemon(php: &Php, route: &str, pool: &str) -> Daemon {
    before(php.listens(), &php.root().display().to_string(), route, pool)
}

#[test]
fn a_get_is_told_what_nginx_tells_by_php_fpm() {
    let php = php(1);
    let daemon = daemon(&php, ", params = { APP_ENV = \"test\" }", "");
    let door = daemon.address("web");
    let mut client = Client::connect(door);
    client.send(
        "GET /echo.php/in%20fo/x?a=1&b=%20 HTTP/1.1\r\nHost: www.example.com:81\r\nProxy: evil\r\n\
         Cookie: c=1\r\nCookie: d=2\r\n\r\n",
    );
    let answer = client.answer();
    let root = php.root().display().to_string();
    let expected = format!(
        "SCRIPT_FILENAME={root}/echo.php\nSCRIPT_NAME=/echo.php\nPATH_INFO=/in fo/x\n\
         QUERY_STRING=a=1&b=%20\nREQUEST_METHOD=GET\nREQUEST_URI=/echo.php/in%20fo/x?a=1&b=%20\n\
         DOCUMENT_URI=/echo.php/in fo/x\nDOCUMENT_ROOT={root}\nSERVER_PROTOCOL=HTTP/1.1\n\
         REQUEST_SCHEME=http\nSERVER_NAME=www.example.com\nHTTP_HOST=www.example.com:81\n\
         REMOTE_ADDR=127.0.0.1\nCONTENT_TYPE=\nCONTENT_LENGTH=\nAPP_ENV=test\nHTTP_PROXY=(none)\n\
         PHP_SELF=/echo.php/in fo/x\nGET=a=1&b=+\nPOST=\nCOOKIE=c=1&d=2\n"
    );
    assert_eq!((answer.status, answer.text()), (200, expected));
    assert_eq!(answer.field("content-type"), Some("text/plain;charset=UTF-8"));
    assert_eq!(answer.end, End::Clean);
    daemon.wait_for_metric("equipoise_backend_responses_total", &[("class", "2xx")], 1.0);
}

#[test]
fn a_form_and_bodies_of_any_kind_by_php_fpm() {
    let php = php(1);
    let daemon = daemon(&php, ", buffer = \"64KiB\"", "");
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "POST /echo.php HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\nx=1&y=%C3%A9",
    );
    assert!(client.answer().text().contains("\nPOST=x=1&y=%C3%A9\n"));
    let mut client = Client::connect(daemon.address("web"));
    for chunks in [vec![], vec!["abc"], vec!["a", "bc", "def"], vec!["x"; 5000]] {
        let framed: String =
            chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
        client.send(format!(
            "POST /body.php HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{framed}0\r\n\r\n"
        ));
        let length = chunks.concat().len();
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert!(answer.text().starts_with(&format!("{length} ")), "{}", answer.text());
        assert!(answer.text().ends_with(&format!(" {length}")), "{}", answer.text());
    }
    let long = format!("{:x}\r\n{}\r\n", 1 << 17, "y".repeat(1 << 17));
    let head = "POST /body.php HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head);
    let _ = client.try_send(long);
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (411, true));
    assert!(answer.text().contains("length-required"), "{}", answer.text());
}

#[test]
fn uploads_of_some_mebibytes_by_php_fpm() {
    let php = php(2);
    let daemon = daemon(&php, "", "");
    let file = daemon.dir().join("file.bin");
    let bytes: Vec<u8> = (0..5 << 20).map(|number: u32| (number / 7) as u8).collect();
    std::fs::write(&file, &bytes).expect("a writable folder");
    let url = |path: &str| format!("http://{}{path}", daemon.address("web"));
    let sum = run(Command::new("md5sum").arg(&file)).stdout;
    let sum = sum.split(' ').next().unwrap_or_default();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let form = format!("file=@{}", file.display());
        let upload = ["-sS", version, "-F", &form, "-F", "word=more", &url("/upload.php")];
        let output = run(Command::new("curl").args(upload));
        assert_eq!(output.stdout, format!("file.bin {} {sum} more", bytes.len()), "{output:?}");
        let data = format!("@{}", file.display());
        let put = ["-sS", version, "-X", "PUT", "--data-binary", &data, &url("/body.php")];
        let output = run(Command::new("curl").args(put));
        assert_eq!(output.stdout, format!("{0} {sum} {0}", bytes.len()), "{output:?}");
    }
}

#[test]
fn who_expects_it_is_told_to_continue_by_php_fpm() {
    let php = php(1);
    let daemon = daemon(&php, "", "");
    let mut client = Client::connect(daemon.address("web"));
    let head = "POST /body.php HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n";
    for framing in ["Content-Length: 20000", "Content-Length: 3", "Transfer-Encoding: chunked"] {
        client.send(format!("{head}{framing}\r\n\r\n"));
        assert_eq!(client.answer().status, 100);
        let length = match framing {
            "Content-Length: 20000" => 20_000,
            _ => 3,
        };
        let body = "z".repeat(length);
        match framing {
            "Transfer-Encoding: chunked" => client.send("3\r\nzzz\r\n0\r\n\r\n"),
            _ => client.send(body),
        }
        let answer = client.answer();
        assert!(answer.text().starts_with(&format!("{length} ")), "{}", answer.text());
    }
}

#[test]
fn big_answers_wait_for_who_reads_slowly_by_php_fpm() {
    let php = php(1);
    let daemon = daemon(&php, "", "");
    for query in ["mib=64", "mib=64&length=1"] {
        let mut client = Client::connect_with_small_buffer(daemon.address("web"));
        client.send(request(&format!("/big.php?{query}")));
        let before = daemon.resident_bytes();
        let head = client.answer_head();
        assert_eq!(head.status, 200);
        let told = if query.contains("length") { Some("67108864") } else { None };
        assert_eq!(head.field("content-length"), told);
        // It is not read, and so must not come: neither into our memory.
        crate::harness::wait_until_still("memory", || daemon.resident_bytes() / (1 << 20));
        assert!(daemon.resident_bytes() < before + (8 << 20));
        drop(client);
        let answer = get(daemon.address("web"), &format!("/big.php?{query}"));
        assert_eq!((answer.body.len(), answer.end), (64 << 20, End::Clean));
        assert!(answer.body.iter().enumerate().all(|(at, b)| *b == b'A' + (at / 65536 % 26) as u8));
    }
}

#[test]
fn a_kept_connection_serves_many_by_php_fpm() {
    let php = php(4);
    let daemon = daemon(&php, "", "max_idle = 1");
    let mut client = Client::connect(daemon.address("web"));
    let first = client.get("/pid.php").text();
    for _ in 0..20 {
        assert_eq!(client.get("/pid.php").text(), first);
        assert_eq!(client.get("/headers.php").status, 200);
    }
    assert_eq!(daemon.metric("equipoise_backend_connections_opened_total", &[]), 1.0);
    assert_eq!(daemon.metric("equipoise_backend_connections_reused_total", &[]), 40.0);
    // Without being told so, none is kept: each would hold a process of php-fpm.
    let daemon = self::daemon(&php, "", "");
    for _ in 0..3 {
        assert_eq!(get(daemon.address("web"), "/pid.php").status, 200);
    }
    assert_eq!(daemon.metric("equipoise_backend_connections_opened_total", &[]), 3.0);
}

#[test]
fn heads_are_passed_on_as_scripts_write_them_by_php_fpm() {
    let php = php(1);
    let daemon = daemon(&php, "", "max_idle = 1");
    let mut client = Client::connect(daemon.address("web"));
    let answer = client.get("/headers.php");
    assert_eq!((answer.status, answer.text().as_str()), (200, "words"));
    assert_eq!((answer.field("x-one"), answer.field("status")), (Some("1"), None));
    assert_eq!(answer.all("set-cookie"), ["a=b; Path=/", "c=d"]);
    assert_eq!(client.get("/headers.php?to=/else").status, 302);
    for status in [201, 404, 500, 503] {
        let answer = client.get(&format!("/headers.php?status={status}"));
        assert_eq!((answer.status, answer.text().as_str()), (status, "words"));
    }
    for status in [204, 304] {
        let answer = client.get(&format!("/headers.php?status={status}"));
        assert_eq!((answer.status, answer.body.len()), (status, 0));
    }
    client.send("HEAD /headers.php HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer_to("HEAD");
    assert_eq!((answer.status, answer.field("x-one")), (200, Some("1")));
    // All of it over the one connection, and in step.
    assert_eq!(client.get("/headers.php").text(), "words");
    assert_eq!(daemon.metric("equipoise_backend_connections_opened_total", &[]), 1.0);
}

#[test]
fn http2_clients_get_the_same_by_php_fpm() {
    let php = php(2);
    let daemon = daemon(&php, "", "max_idle = 2");
    let url = |path: &str| format!("http://{}{path}", daemon.address("web"));
    let curl = |arguments: &[&str]| {
        run(Command::new("curl").args(["-sS", "--http2-prior-knowledge"]).args(arguments)).stdout
    };
    assert!(curl(&[&url("/echo.php?x=1")]).contains("SERVER_PROTOCOL=HTTP/2.0\n"));
    assert!(curl(&["-d", "a=b", &url("/echo.php")]).contains("POST=a=b\n"));
    let chunked = ["-H", "Transfer-Encoding: chunked", "-d", "abc", &url("/body.php")];
    assert!(curl(&chunked).starts_with("3 "), "{}", curl(&chunked));
    assert_eq!(
        curl(&["-o", "/dev/null", "-w", "%{size_download}", &url("/big.php?mib=20")]),
        "20971520"
    );
    let head = curl(&["-I", &url("/headers.php?status=404")]);
    assert!(head.starts_with("HTTP/2 404"), "{head}");
}

#[test]
fn what_scripts_complain_of_is_in_the_log_by_php_fpm() {
    let php = php(1);
    let daemon = daemon(&php, "", "");
    assert_eq!(get(daemon.address("web"), "/notice.php").text(), "served");
    let line = daemon.wait_for_log("so it goes");
    let address = php.listens();
    for part in ["pool php", &address, "stderr: ", "request_id"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let line = daemon.wait_for_log("in two lines");
    assert!(line.contains(r"\u{1b}[31m"), "{line}");
    daemon.wait_for_log("mind this");
    assert!(daemon.metric("equipoise_backend_stderr_lines_total", &[("pool", "php")]) >= 2.0);
}

#[test]
fn the_trap_of_fix_pathinfo_by_php_fpm() {
    let php = php(1);
    let daemon = daemon(&php, "", "");
    let door = daemon.address("web");
    for path in [
        "/upload/cat.jpg/x.php",
        "/upload/cat.jpg%00.php",
        "/upload/cat.jpg/.php",
        "/upload/cat.jpg",
    ] {
        let answer = get(door, path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert!(!answer.text().contains("trap"), "{path}");
    }
    assert!(get(door, "/upload/cat.jpg/x.php").text().contains("no-script"));
    // To make sure that it is one.
    assert_eq!(daemon.metric("equipoise_backend_requests_total", &[]), 0.0);
}

#[test]
fn a_script_that_dies_in_mid_answer_cuts_it_by_php_fpm() {
    let mut php = php(1);
    let daemon = daemon(&php, "", "");
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/slow.php"));
    assert_eq!(client.answer_head().status, 200);
    wait_until(DEADLINE, "the script to hang", || php.root().join("begun.txt").exists());
    php.stop();
    assert!(client.rest().is_ok_and(|rest| !rest.ends_with(b"0\r\n\r\n")), "it is no clean end");
    daemon.wait_for_metric("equipoise_http_errors_total", &[("reason", "upstream-truncated")], 1.0);
    let answer = get(daemon.address("web"), "/pid.php");
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("connect-failed"), "{}", answer.text());
}

#[test]
fn a_restart_goes_unseen_over_idle_connections_by_php_fpm() {
    let mut php = php(2);
    let daemon = daemon(&php, "", "max_idle = 2");
    let mut client = Client::connect(daemon.address("web"));
    let first = client.get("/pid.php").text();
    php.stop();
    php.start_again(2);
    let second = client.get("/pid.php");
    assert_eq!(second.status, 200);
    assert_ne!(second.text(), first);
}

#[test]
fn a_script_goes_on_behind_its_answer_by_php_fpm() {
    let php = php(1);
    let daemon = daemon(&php, "", "max_idle = 1");
    let mut client = Client::connect(daemon.address("web"));
    let answer = client.get("/late.php");
    assert_eq!((answer.text().as_str(), answer.end), ("done", End::Clean));
    let file = php.root().join("late.txt");
    wait_until(DEADLINE, "the script's end", || file.exists());
    wait_until(DEADLINE, "what it wrote", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text == "whole")
    });
    // What it said too much is in no other answer.
    assert!(client.get("/echo.php").text().starts_with("SCRIPT_FILENAME"));
}
