//! What a route may have besides host, path and action.

use super::{RIGHT, check, told};
use crate::config::parse;
use std::path::Path;

/// The names that routes get, below the right file.
#[track_caller]
fn names(routes: &str) -> Vec<String> {
    let config = parse(&format!("{RIGHT}{routes}"), Path::new("e.toml"));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    config.routes.iter().skip(1).map(|route| route.name.to_string()).collect()
}

#[test]
#[rustfmt::skip]
fn conditions_that_can_not_be() {
    let row = |keys: &str| format!("[[route]]\npool = \"app\"\n{keys}");
    let rows = [
        ("methods = []", "16:11", "`methods` is empty", "leave it out"),
        ("methods = \"get\"", "16:11", "`get` is no value for `methods`", "write \"GET\""),
        ("methods = [\"GTE\"]", "", "", ""),
        ("methods = [\"GET \"]", "16:12", "`GET ` is no value", "expected `GET`, `HEAD`"),
        ("methods = [\"CONNECT\"]", "16:12", "`CONNECT` is no value", "not served"),
        ("methods = [1]", "16:12", "1 is no value for `methods`", "in quotes"),
        ("headers = \"X-A\"", "16:11", "this text is no value for `headers`", "{ KEY = \"value\" }"),
        ("headers = { \"X A\" = true }", "16:13", "`X A` can't be matched", "such as \"X-Canary\""),
        ("headers = { Host = \"a\" }", "16:13", "`Host` can't be matched", "`host` of the route"),
        ("headers = { cookie = \"a=b\" }", "16:13", "`cookie` can't be matched", "cookies = {"),
        ("headers = { X-A = 1 }", "16:19", "this number is no value for `X-A`", "true for present"),
        ("headers = { X-A = \" a\" }", "16:19", "this text is no value for `X-A`", "without white space"),
        ("headers = { X-A = \"1\", x-a = \"2\" }", "16:24", "`x-a` is in `headers` twice", "keep one"),
        ("query = { \"\" = true }", "16:11", "`` can't be matched", "a key of the query"),
        ("query = { a = [] }", "16:15", "an array is no value for `a`", "in quotes"),
        ("cookies = { \"a;b\" = true }", "16:13", "`a;b` can't be matched", "name of a cookie"),
        ("name = \"none\"", "16:8", "`none` is no value for `name`", "came to no route as `none`"),
        ("cookies = { a = \"b;c\" }", "16:17", "this text is no value for `a`", "holds no `;`"),
        ("cookie = { a = true }", "16:1", "unknown key `cookie`", "`cookies`?"),
    ];
    for (keys, place, message, help) in rows {
        match place {
            // A method of the application's own may look like a slip.
            "" => assert_eq!(names(&row(keys)).len(), 1),
            place => check(&[(&row(keys), place, message, help)]),
        }
    }
}

#[test]
#[rustfmt::skip]
fn redirects_that_can_not_be() {
    let route = |to: &str| format!("[[route]]\nredirect = \"{to}\"");
    check(&[
        (&route("https://{hots}/"), "15:12", "`https://{hots}/` is no value", "did you mean `{host}`?"),
        (&route("https://{host/"), "15:12", "`https://{host/` is no value", "written twice"),
        (&route("{host}/"), "15:12", "`{host}/` is no value", "a URL such as"),
        (&route("{scheme}:/{host}/"), "15:12", "`{scheme}:/{host}/` is no value", "a URL such as"),
        (&route("https://{path}"), "15:12", "`https://{path}` is no value", "a host behind the `//`"),
        (&route("https:///{path}"), "15:12", "`https:///{path}` is no value", "a host behind the `//`"),
        (&route("//{path}"), "15:12", "`//{path}` is no value", "a host behind the `//`"),
        (&route("{scheme}://{query}"), "15:12", "`{scheme}://{query}`", "a host behind the `//`"),
        (&route("https://a{request_id}/"), "15:12", "`https://a{request_id}/`", "`{request_id}` can't stand in the host"),
        (&route("https://a.example/ {path}"), "15:12", "`https://a.example/ {path}`", "visible ASCII"),
    ]);
    for to in ["{path}", "/x{path}", "{path}{query}", "//cdn.example{path}", "HTTPS://a{query}", "/{{{client}"] {
        assert_eq!(names(&route(to)).len(), 1, "{to}");
    }
}

#[test]
#[rustfmt::skip]
fn header_rules_that_can_not_be() {
    let request = |rules: &str| format!("[[route]]\npool = \"app\"\nrequest_headers = {{ {rules} }}");
    let response = |rules: &str| format!("[[route]]\npool = \"app\"\nresponse_headers = {{ {rules} }}");
    check(&[
        (&request("set = { Host = \"a\" }"), "16:29", "`Host` is not a route's to change", "`host_header` of the pool"),
        (&request("add = { x-forwarded-for = \"a\" }"), "16:29", "`x-forwarded-for` is not", "`trusted_proxies` of the listener"),
        (&request("remove = [\"X_Request_Id\"]"), "16:31", "`X_Request_Id` is not", "`trusted_proxies`"),
        (&request("remove = \"Connection\""), "16:30", "`Connection` is not", "how one connection carries"),
        (&request("set = { \"a b\" = \"c\" }"), "16:29", "`a b` is no name of a header", "hyphens"),
        (&request("set = { a = \"{clinet}\" }"), "16:33", "this text is no value for `a`", "did you mean `{client}`?"),
        (&request("set = { a = \"b\\nc\" }"), "16:33", "this text", "visible ASCII"),
        (&request("set = { a = \"b \" }"), "16:33", "this text is no value for `a`", "no space at either end"),
        (&request("set = { a = \"\" }"), "16:33", "an empty value for `a`", "remove = [\"a\"]"),
        (&request("set = { a = 1 }"), "16:33", "this number is no value for `a`", "in quotes"),
        (&request("set = { A = \"1\" }, remove = [\"a\"]"), "16:50", "`a` is set or removed twice", "keep one"),
        (&request("sett = {}"), "16:21", "unknown key `sett` in `request_headers` of [[route]]", "`set`?"),
        (&response("set = { Strict-Transport-Security = \"a\" }"), "16:30", "`Strict-Transport-Security` is not", "`hsts` of the listener"),
        (&response("remove = [\"content-length\"]"), "16:32", "`content-length` is not", "written anew"),
        ("[[route]]\nredirect = \"/\"\nrequest_headers = {}", "16:1", "`request_headers` on a route that forwards nothing", "change what `redirect` sends"),
    ]);
}

#[test]
#[rustfmt::skip]
fn splits_that_can_not_be() {
    let route = |split: &str| format!("[[route]]\nsplit = {split}");
    check(&[
        (&route("{}"), "15:9", "a `split` that gives no pool a share", "{ app = 95, canary = 5 }"),
        (&route("{ app = 0 }"), "15:9", "a `split` that gives no pool a share", "{ app = 95, canary = 5 }"),
        (&route("{ app = 1, cnary = 1 }"), "15:20", "there is no pool `cnary`", "expected `app`"),
        (&route("{ app = -1 }"), "15:17", "-1 is no value for `app`", "from 0 to 1000000"),
        (&route("\"app\""), "15:9", "`app` is no value for `split`", "expected a table"),
        (&route("{ app = 1 }\npool = \"app\""), "15:1", "a route with two actions, `pool` and `split`", "keep one"),
    ]);
}

#[test]
#[rustfmt::skip]
fn bounds_that_can_not_be() {
    let route = |keys: &str| format!("[[route]]\npool = \"app\"\n{keys}");
    check(&[
        (&route("limits = { max_body = 5 }"), "16:23", "5 is no value for `max_body`", "\"10MiB\""),
        (&route("limits = { max_headers = 5 }"), "16:12", "unknown key `max_headers` in `limits` of [[route]]", ""),
        (&route("timeouts = { connect = \"1s\" }"), "16:14", "unknown key `connect` in `timeouts` of [[route]]", ""),
        (&route("timeouts = { whole = \"0s\" }"), "16:22", "`0s` is no value for `whole`", "from \"1ms\""),
        ("[[route]]\nredirect = \"/\"\ntimeouts = {}", "16:1", "`timeouts` on a route that forwards nothing", "remove it"),
    ]);
}

#[test]
#[rustfmt::skip]
fn error_pages_that_can_not_be() {
    let route = |pages: &str| format!("[[route]]\npool = \"app\"\nerror_pages = {pages}");
    check(&[
        (&route("{ 200 = \"a.html\" }"), "16:17", "`200` is no status of an error", "\"4xx\" or \"5xx\""),
        (&route("{ 6xx = \"a.html\" }"), "16:17", "`6xx` is no status of an error", "\"400\" to \"599\""),
        (&route("{ 502 = \"a.php\" }"), "16:23", "`a.php` is no value for `502`", ".html, .json"),
        (&route("{ 502 = 1 }"), "16:23", "1 is no value for `502`", "in quotes"),
        (&route("\"a.html\""), "16:15", "`a.html` is no value for `error_pages`", "expected a table"),
        ("[listener.x]\nbind = \"0.0.0.0:81\"\nerror_pages = { 99 = \"a.html\" }", "16:17", "`99` is no status", ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn mirrors_that_can_not_be() {
    let route = |mirror: &str| format!("[[route]]\npool = \"app\"\nmirror = {mirror}");
    check(&[
        (&route("{}"), "16:10", "`pool` is missing", "pool = \"shadow\""),
        (&route("\"app\""), "16:10", "`app` is no value for `mirror`", "expected a table"),
        (&route("{ pool = \"ap\" }"), "16:19", "there is no pool `ap`", "did you mean `app`?"),
        (&route("{ pool = \"app\", share = \"120%\" }"), "16:34", "`120%` is no value", "\"100%\""),
        (&route("{ pool = \"app\", max_in_flight = 0 }"), "16:42", "0 is no value", "from 1 to 10000"),
        ("[[route]]\nredirect = \"/\"\nmirror = { pool = \"app\" }", "16:1", "`mirror` on a route that forwards nothing", "remove it"),
    ]);
}

#[test]
#[rustfmt::skip]
fn rewrites_that_can_not_be() {
    let route = |keys: &str| format!("[[route]]\npool = \"app\"\n{keys}");
    let redirect = |keys: &str| format!("[[route]]\nredirect = \"/\"\n{keys}");
    check(&[
        (&route("strip_prefix = true"), "16:1", "`strip_prefix` on a route for every path", "give it the `path`"),
        (&route("path = \"/a\"\nstrip_prefix = \"/a\""), "17:16", "`/a` is no value", "true or false"),
        (&route("exact = \"/a\"\nstrip_prefix = true"), "17:1", "`strip_prefix` on a route for one path", "replace_prefix = \"/\""),
        (&route("path = \"/a\"\nstrip_prefix = true\nreplace_prefix = \"/b\""), "18:1", "a route with both", "e.toml:17:1"),
        (&route("replace_prefix = \"b\""), "16:18", "`b` is no value", "begins with \"/\""),
        (&route("replace_prefix = \"/b?c\""), "16:18", "`/b?c` is no value", "a path alone"),
        (&route("replace_prefix = \"/b/../c\""), "16:18", "`/b/../c` is no value", "`/../`"),
        (&redirect("path = \"/a\"\nstrip_prefix = true"), "17:1", "`strip_prefix` on a route that forwards nothing", "remove it"),
        (&redirect("replace_prefix = \"/b\""), "16:1", "`replace_prefix` on a route that forwards nothing", "remove it"),
        (&route("path = \"/caf%c3%a9\""), "16:8", "`/caf%c3%a9` is no value", "expected `%C3` in capitals"),
    ]);
}

/// Two routes for every request, the second with `one`, the third with `other`.
fn pair(one: &str, other: &str) -> String {
    format!("[[route]]\npool = \"app\"\n{one}\n[[route]]\npool = \"app\"\n{other}\n")
}

#[test]
fn routes_that_one_request_could_both_take_are_a_tie() {
    for (one, other) in [
        ("headers = { a = true }", "headers = { b = true }"),
        ("headers = { a = true }", "headers = { A = \"1\" }"),
        ("methods = [\"GET\", \"PUT\"]", "methods = [\"PUT\", \"POST\"]"),
        ("methods = \"GET\"\nquery = { a = true }", "query = { a = true }\ncookies = { b = true }"),
    ] {
        let told = told(&format!("{RIGHT}{}", pair(one, other)));
        let place = 14 + 2 + one.lines().count();
        assert!(told.contains(&format!("e.toml:{place}:1: a tie")), "{told}");
        assert!(told.contains("the other: e.toml:14:1"), "{told}");
        assert!(told.contains("want different values of one key"), "{told}");
        assert_eq!(told.matches("e.toml:").count(), 2, "one error: {told}");
    }
}

#[test]
fn routes_that_no_request_could_both_take_are_none() {
    assert_eq!(
        names(&pair("headers = { a = true }", "headers = { a = true, b = true }")),
        ["* header:a", "* header:a header:b"]
    );
    assert_eq!(
        names(&pair("methods = \"GET\"", "methods = [\"PUT\", \"POST\"]")),
        ["* GET", "* POST|PUT"]
    );
    let named =
        |name: &str, value: &str| format!("name = \"{name}\"\nquery = {{ v = \"{value}\" }}");
    assert_eq!(names(&pair(&named("one", "1"), &named("two", "2"))), ["one", "two"]);
    let listener = "listener = \"web\"\nheaders = { b = true }";
    let names = names(&pair("headers = { a = true }", listener));
    assert_eq!(names, ["* header:a", "web * header:b"]);
}

#[test]
fn routes_that_differ_in_values_alone_need_names() {
    let told = told(&format!("{RIGHT}{}", pair("query = { v = \"1\" }", "query = { v = \"2\" }")));
    assert!(told.contains("e.toml:17:1: two routes would be named `* query:v`"), "{told}");
    assert!(
        told.contains("the other: e.toml:14:1") && told.contains("give each a `name`"),
        "{told}"
    );
}

const PHP: &str = "[pool.php]\nprotocol = \"fastcgi\"\nbackends = [\"10.0.1.12:9000\"]\n";

#[test]
#[rustfmt::skip]
fn scripts_that_can_not_be_run() {
    let row = |keys: &str| format!("{PHP}[[route]]\nfastcgi = {{ {keys} }}");
    let full = |more: &str| row(&format!("pool = \"php\", root = \"/srv\", {more}"));
    let rows = [
        (row("root = \"/srv\""), "18:11", "`pool` is missing", "pool = \"php\""),
        (row("pool = \"php\""), "18:11", "`root` is missing", "/srv/app/public"),
        (row("pool = \"php\", root = \"srv\""), "18:34", "`srv` is no value for `root`", "an absolute path"),
        (row("pool = \"php\", root = \"/\""), "18:34", "`/` is no value for `root`", "an absolute path"),
        (row("pool = \"phq\", root = \"/srv\""), "18:20", "there is no pool `phq`", "`php`?"),
        (row("pool = \"app\", root = \"/srv\""), "18:20", "pool `app` does not speak FastCGI", "[pool.app]"),
        (full("index = \"a/b.php\""), "18:50", "`a/b.php` is no value", "the name of a script"),
        (full("index = \".php\""), "18:50", "`.php` is no value", "the name of a script"),
        (full("fallback = \"index.php\""), "18:53", "`index.php` is no value", "such as \"/index.php\""),
        (full("fallback = \"/../x.php\""), "18:53", "`/../x.php` is no value", "below `root`"),
        (full("split_path = \"php\""), "18:55", "`php` is no value", "such as \".php\""),
        (full("buffer = \"1GiB\""), "18:51", "`1GiB` is no value", "64MiB"),
        (full("params = { app = \"x\" }"), "18:53", "`app` is no parameter", "such as APP_ENV"),
        (full("params = { HTTP_X = \"x\" }"), "18:53", "`HTTP_X` is no parameter", "`request_headers`"),
        (full("params = { SCRIPT_FILENAME = \"x\" }"), "18:53", "`SCRIPT_FILENAME` is no", "made of the request"),
        (full("params = { A = 1 }"), "18:57", "this number is no value for `A`", "in quotes"),
        (full("roof = 1"), "18:42", "unknown key `roof` in `fastcgi` of [[route]]", "`root`?"),
        (format!("{}\nmirror = {{ pool = \"app\" }}", full("index = \"i.php\"")), "19:1", "`mirror` on a route with `fastcgi`", "remove it"),
        (format!("{PHP}[[route]]\npool = \"php\""), "18:8", "pool `php` speaks FastCGI", "fastcgi = { pool = \"php\""),
        (format!("{PHP}[[route]]\nsplit = {{ php = 1, app = 1 }}"), "18:11", "pool `php` speaks FastCGI", "root ="),
        (format!("{PHP}health = {{}}"), "17:1", "probes of a FastCGI pool without a `path`", "ping.path"),
        (format!("{PHP}proxy_protocol = \"v1\""), "17:1", "`proxy_protocol` beside protocol = \"fastcgi\"", "REMOTE_ADDR"),
        ("[pool.u]\nbackends = [\"unix:run/x\"]".to_owned(), "15:13", "`unix:run/x` is no value", "begins with \"/\""),
        ("[pool.u]\nbackends = [\"unix:/run/../x\"]".to_owned(), "15:13", "`unix:/run/../x`", "without `//`"),
        (format!("[pool.u]\nbackends = [\"unix:/{}\"]", "x".repeat(107)), "15:13", "`unix:/xxx", "at most 107 bytes"),
        ("[pool.u]\nbackends = [\"unix:/run/x\", \"unix:/run/x\"]".to_owned(), "15:28", "unix:/run/x is in this pool twice", "`weight`"),
        ("[pool.u]\nbackends = [\"unix:/run/x\"]\ntls = {}".to_owned(), "16:1", "`tls` in a pool with a Unix socket", "remove it"),
        ("[pool.u]\nbackends = [\"unix:/run/x\"]\nhealth = { port = 81 }".to_owned(), "16:12", "`port` in a pool with a Unix socket", "remove it"),
        ("[listener.b]\nbind = \"0.0.0.0:81\"\nprotocols = [\"fastcgi\"]".to_owned(), "16:14", "`fastcgi` is no value", "`http/1.1`"),
    ];
    for (added, place, message, help) in rows {
        check(&[(&added, place, message, help)]);
    }
}

#[test]
#[rustfmt::skip]
fn compression_that_can_not_be() {
    let route = |compress: &str| format!("[[route]]\npool = \"app\"\ncompress = {compress}");
    let twice = "{ encodings = [\"br\", \"br\"] }";
    check(&[
        (&route("\"gzip\""), "16:12", "`gzip` is no value for `compress`", "expected true, or a table"),
        (&route("{ types = [] }"), "16:22", "`types` is empty", "leave it out"),
        (&route("{ types = \"text/html\" }"), "16:22", "`text/html` is no value for `types`", "an array"),
        (&route("{ types = [\"html\"] }"), "16:23", "`html` is no value for `types`", "such as \"text/html\""),
        (&route("{ types = [\"text/html\", \"Text/HTML\"] }"), "16:36", "`Text/HTML` is in `types` twice", "keep one"),
        (&route("{ encodings = [\"deflate\"] }"), "16:27", "`deflate` is no value for `encodings`", "`br`"),
        (&route(twice), "16:33", "`br` is in `encodings` twice", "keep one"),
        (&route("{ min_length = \"0B\" }"), "16:27", "`0B` is no value for `min_length`", "from \"1B\""),
        (&route("{ level = 9 }"), "16:22", "9 is no value for `level`", "`fast`, `default` or `best`"),
        (&route("{ levels = 9 }"), "16:14", "unknown key `levels` in `compress` of [[route]]", "`level`?"),
        ("[[route]]\nredirect = \"/\"\ncompress = true", "16:1", "`compress` on a route that forwards nothing", "remove it"),
        (&route("true\nresponse_headers.set = { content-encoding = \"x\" }"), "17:1", "`response_headers` that write Content-Encoding", "remove either"),
    ]);
    let read = |compress: &str| {
        let config = parse(&format!("{RIGHT}{}", route(compress)), Path::new("e.toml"));
        config.unwrap_or_else(|errors| panic!("{errors}")).routes[1].compress.clone()
    };
    assert_eq!((read("false"), read("true")), (None, read("{}")));
    assert!(read("{}").is_some());
}
