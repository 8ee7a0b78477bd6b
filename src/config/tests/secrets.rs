//! What may be secret is in no error, whatever is wrong with it or beside it.

use super::*;

const SECRET: &str = "s3cr3t";

#[test]
fn no_error_shows_what_may_be_secret() {
    // Lines added, `line:column` of the error, what is still shown.
    for (added, place, shown) in [
        (
            "[[route]]\npath = \"/a\"\npool = \"app\"\n\
             request_headers = { set = { Authorization = \"Bearer s3cr3t-tök\" } }",
            "17:45",
            "{ Authorization = ••• } }\n   |                                             ^^^",
        ),
        (
            "[[route]]\nrequest_headers = { add = { X-Key = [\"a\", \" s3cr3t\"] } }",
            "15:43",
            "[•••, •••]",
        ),
        (
            "[[route]]\nrequest_headers = { set = { X-Key = \"{s3cr3t}\" } }",
            "15:37",
            "no variables but",
        ),
        ("[[route]]\nrequest_headers = { set = \"s3cr3t\" }", "15:27", "`set`"),
        ("[[route]]\nrequest_headers = \"s3cr3t\"", "15:19", "`request_headers`"),
        ("[[route]]\nrequest_headers = { sett = { X-Key = \"s3cr3t\" } }", "15:21", "sett"),
        ("[[route]]\nrequest_headers = { set = { Host = \"s3cr3t\" } }", "15:29", "Host = •••"),
        ("[[route]]\nheaders = { X-Key = \"s3cr3t \" }", "15:21", "X-Key"),
        ("[[route]]\nheaders = { X-Key = [\"s3cr3t\"] }", "15:21", "X-Key"),
        ("[[route]]\ncookies = { k = \"s3cr3t;\" }", "15:17", "`k`"),
        ("[[route]]\nquery = { \"\" = \"s3cr3t\" }", "15:11", "can't be matched"),
        ("sticky = { cookie = \"a b\", secret_file = \"s3cr3t\" }", "14:21", "cookie = \"a b\""),
        ("sticky = { cookie = \"a\", secret_file = \"s3cr3t\\u0000\" }", "14:40", "`secret_file`"),
        // The grammar is broken, in that line or above it.
        ("[[route]]\nrequest_headers = { set = { X-Key = \"s3cr3t } }", "15:", "request_headers ="),
        ("[[route]]\nrequest_headers = { set = { X-Key = s3cr3t } }", "15:", "request_headers ="),
        ("[[route]]\nheaders = { X-Key = \"1\"\nX-Other = \"s3cr3t }", "1", "X-Other"),
        ("[route.request_headers.set]\nX-Key = s3cr3t", "15:", "X-Key"),
    ] {
        let told = told(&format!("{RIGHT}{added}"));
        assert!(!told.contains(SECRET), "of:\n{added}\n\n{told}");
        assert!(
            told.contains(&format!("e.toml:{place}")),
            "expected {place} of:\n{added}\n\n{told}"
        );
        assert!(told.contains(shown), "expected `{shown}` of:\n{added}\n\n{told}");
    }
}

#[test]
fn a_file_in_another_encoding_does_not_show_its_secrets_either() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e.toml");
    let text = b"[[route]]\nrequest_headers = { set = { X-Key = \"s3cr3t-t\xf6k\" } }";
    std::fs::write(&file, text).unwrap();
    let told = load(&file).unwrap_err().to_string();
    assert!(told.contains(":2:46: this is no UTF-8"), "{told}");
    assert!(!told.contains(SECRET), "{told}");
}
