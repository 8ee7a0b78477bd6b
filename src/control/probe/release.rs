//! The release that an answer names, in a field or in its JSON body. Pure.

use serde_json::Value;

use crate::pool::release::Reported;

/// From the value of the field `name`, where the answer has it.
pub fn from_field(name: &str, value: Option<&[u8]>) -> Reported {
    let Some(value) = value else {
        return Reported::Unread(format!("{name} is missing"));
    };
    reported(name, std::str::from_utf8(value).unwrap_or_default())
}

/// From a whole JSON body.
pub fn from_json(path: &[String], body: &[u8]) -> Reported {
    let Ok(whole) = serde_json::from_slice::<Value>(body) else {
        return Reported::Unread("the body is no whole JSON".to_owned());
    };
    let place = path.join(".");
    let found = path.iter().try_fold(&whole, |value, name| value.get(name.as_str()));
    match found {
        None => Reported::Unread(format!("{place} is missing in the body")),
        Some(Value::String(text)) => reported(&place, text),
        // A build number. A number with a point may be another one when it has been read: 1.10.
        Some(Value::Number(number)) if !number.is_f64() => reported(&place, &number.to_string()),
        Some(_) => Reported::Unread(format!("{place} is neither a text nor a whole number")),
    }
}

/// What stands there is not repeated: it is no name, and may be anything.
fn reported(place: &str, text: &str) -> Reported {
    let unread = |expected| Reported::Unread(format!("{place} is no name: {expected}"));
    text.parse().map_or_else(unread, Reported::Release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reported: &Reported, expected: &str) {
        match reported {
            Reported::Release(release) => assert_eq!(release.as_str(), expected),
            Reported::Unread(why) => assert!(why.starts_with(expected), "{why}"),
            Reported::NotAsked => panic!("it was asked"),
        }
    }

    #[test]
    fn in_a_field() {
        check(&from_field("X-Release", Some(b" 1.4.2")), "1.4.2");
        check(&from_field("X-Release", None), "X-Release is missing");
        check(&from_field("X-Release", Some(b"")), "X-Release is no name: expected 1 to 64");
        check(&from_field("X-Release", Some(b"a\xffb")), "X-Release is no name");
    }

    #[test]
    fn in_a_body() {
        let at = |path: &str, body: &str| {
            let names: Vec<String> = path.split('.').map(str::to_owned).collect();
            from_json(&names, body.as_bytes())
        };
        check(&at("version", r#"{"version":"1.4.2"}"#), "1.4.2");
        check(&at("build.number", r#"{"status":"ok","build":{"number":4711}}"#), "4711");
        check(&at("build.version", r#"{"build":"1"}"#), "build.version is missing in the body");
        check(&at("version", r#"{"version":1.10}"#), "version is neither a text nor");
        check(&at("version", r#"{"version":null}"#), "version is neither a text nor");
        check(&at("version", r#"{"version":"a b"}"#), "version is no name");
        check(&at("version", "[]"), "version is missing");
        check(&at("version", r#"{"version":"1.4"#), "the body is no whole JSON");
        check(&at("version", &"[".repeat(60_000)), "the body is no whole JSON");
    }
}
