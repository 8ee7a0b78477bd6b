//! `sticky` of `[pool.NAME]`: the cookie that keeps a client at its backend.

use std::{path::PathBuf, time::Duration};

use super::{
    conditions::is_token,
    diagnostic::Place,
    model::Sticky,
    reader::{Field, Shape, Table},
};

pub(super) static STICKY: Shape =
    Shape { name: "`sticky` of [pool.NAME]", keys: &["cookie", "secret_file", "max_age"] };

/// Browsers keep no cookie for longer than 400 days.
const AN_AGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(400 * 24 * 3600);

pub(super) fn read(pool: &Table<'_>) -> Option<Sticky> {
    let table = pool.field("sticky")?.table(&STICKY)?;
    let expected = r#"expected sticky = { cookie = "srv", secret_file = "secrets/sticky" }"#;
    let cookie = table.required("cookie", expected);
    // The key itself, pasted here, is not to be told to whoever reads the error.
    let secret_file = table.required("secret_file", expected).map(Field::secret);
    let max_age = table.field("max_age").and_then(|field| field.duration(AN_AGE));
    let (cookie, (secret_file, place)) = (name(&cookie?), path(&secret_file?)?);
    Some(Sticky { cookie: cookie?, secret_file, max_age, place })
}

fn name(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    let expected = || "expected a name for the cookie such as \"srv\"".to_owned();
    field.judge(is_token(name).then(|| name.to_owned()).ok_or_else(expected))
}

fn path(field: &Field<'_>) -> Option<(PathBuf, Place)> {
    let path = field.text()?;
    let valid = !path.is_empty() && !path.contains('\0');
    let expected = || "expected the path of a file with a key of 64 hex digits".to_owned();
    let path = field.judge(valid.then_some(path).ok_or_else(expected))?;
    Some((field.resolved(path), field.place()))
}
