//! Reads the tree of a file, table by table, and keeps every error it meets.
//!
//! A value that can't be read is told once, with its place, and reading goes on without it: the
//! caller takes the default, which nobody sees, since a file with errors yields no `Config`.

use std::{
    cell::{Cell, RefCell},
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::{Diagnostic, Place},
    secret, suggest,
};

/// What is found on the way through one file.
pub(super) struct Findings<'a> {
    list: RefCell<Vec<Diagnostic>>,
    secrets: RefCell<Vec<Place>>,
    /// Where relative paths start.
    pub folder: &'a Path,
    /// Part of the file could not be read, so what is missing may well be there.
    broken: Cell<bool>,
}

impl<'a> Findings<'a> {
    pub fn new(folder: &'a Path, broken: bool) -> Findings<'a> {
        Findings {
            folder,
            broken: Cell::new(broken),
            list: RefCell::default(),
            secrets: RefCell::default(),
        }
    }

    pub fn add(&self, diagnostic: Diagnostic) {
        self.list.borrow_mut().push(diagnostic);
    }

    /// A part of the file is passed over, and that it is wrong is told.
    fn skip(&self) {
        self.broken.set(true);
    }

    /// Tells of something that isn't there, unless it may have stood in a broken part.
    pub fn missing(&self, diagnostic: Diagnostic) {
        if !self.broken.get() {
            self.add(diagnostic);
        }
    }

    /// Nothing that stands in this value is shown with an error.
    fn hide(&self, value: &Spanned<DeValue<'_>>) {
        secret::leaves(value, &mut self.secrets.borrow_mut());
    }

    /// What is wrong, and what is not to be shown of the file.
    pub fn into_lists(self) -> (Vec<Diagnostic>, Vec<Place>) {
        (self.list.into_inner(), self.secrets.into_inner())
    }
}

/// The keys that a table may have: what the reader knows, and what `known_keys` tells.
pub(super) struct Shape {
    /// How people write it: `[listener.NAME]`, `[[route]]`; empty for the top of the file.
    pub name: &'static str,
    pub keys: &'static [&'static str],
}

/// One table of the file, whose unknown keys have been told.
pub(super) struct Table<'a> {
    entries: &'a DeTable<'a>,
    shape: &'static Shape,
    place: Place,
    findings: &'a Findings<'a>,
}

impl<'a> Table<'a> {
    pub fn new(
        entries: &'a DeTable<'a>,
        place: Place,
        shape: &'static Shape,
        findings: &'a Findings<'a>,
    ) -> Table<'a> {
        let table = Table { entries, shape, place, findings };
        for (key, value) in entries {
            if shape.keys.contains(&key.get_ref().as_ref()) {
                continue;
            }
            if shape.name.is_empty() && value.get_ref().is_table() {
                // Such as [upstream.app], which would have been the pool that a route leads to.
                findings.skip();
            }
            // A key that is not known may be meant for one whose value is secret.
            findings.hide(value);
            table.unknown(key.get_ref(), key.span().into());
        }
        table
    }

    pub fn place(&self) -> Place {
        self.place
    }

    pub fn findings(&self) -> &'a Findings<'a> {
        self.findings
    }

    pub fn field(&self, key: &'static str) -> Option<Field<'a>> {
        debug_assert!(
            self.shape.keys.contains(&key),
            "`{key}` is not in the shape of {}",
            self.shape.name
        );
        let (written, value) = self.entries.get_key_value(key)?;
        Some(Field::new(written, value, self.findings))
    }

    /// A key without a default; its absence is told at the table's own place.
    pub fn required(&self, key: &'static str, help: &str) -> Option<Field<'a>> {
        let field = self.field(key);
        if field.is_none() {
            let message = format!("`{key}` is missing");
            self.findings.missing(Diagnostic::at(self.place, message).help(help));
        }
        field
    }

    fn unknown(&self, key: &str, place: Place) {
        let known = || self.shape.keys.iter().copied();
        let elsewhere = super::SHAPES.iter().find(|shape| shape.keys.contains(&key));
        let help = match (suggest::one_slip(key, known()), elsewhere) {
            (Some(candidate), _) => format!("did you mean `{candidate}`?"),
            (None, Some(shape)) if shape.name.is_empty() => {
                format!("`{key}` belongs above the first [table] of the file")
            }
            (None, Some(shape)) => format!("`{key}` is a key of {}", shape.name),
            (None, None) => suggest::did_you_mean(key, known()),
        };
        let message = match self.shape.name {
            "" => format!("unknown key `{}`", shortened(key)),
            name => format!("unknown key `{}` in {name}", shortened(key)),
        };
        self.findings.add(Diagnostic::at(place, message).help(help));
    }
}

/// One value of the file, with the name and the place of its key.
pub(super) struct Field<'a> {
    /// As written; of an item in an array, the array's key.
    pub key: &'a str,
    pub key_place: Place,
    value: &'a Spanned<DeValue<'a>>,
    /// What it says is named by no error.
    secret: bool,
    findings: &'a Findings<'a>,
}

impl<'a> Field<'a> {
    pub fn new(
        key: &'a Spanned<std::borrow::Cow<'a, str>>,
        value: &'a Spanned<DeValue<'a>>,
        findings: &'a Findings<'a>,
    ) -> Field<'a> {
        Field { key: key.get_ref(), key_place: key.span().into(), value, secret: false, findings }
    }

    /// The same field, of whose value no error tells more than its place.
    pub fn secret(self) -> Field<'a> {
        self.findings.hide(self.value);
        Field { secret: true, ..self }
    }

    pub fn place(&self) -> Place {
        self.value.span().into()
    }

    /// The value of this key itself, as the one item where an array could stand.
    pub fn again(&self) -> Field<'a> {
        Field { ..*self }
    }

    /// A key of the table that stands here, before the table is read.
    pub fn entry(&self, key: &str) -> Option<Field<'a>> {
        let (key, value) = self.value.get_ref().as_table()?.get_key_value(key)?;
        Some(Field::new(key, value, self.findings))
    }

    pub fn tell(&self, diagnostic: Diagnostic) {
        self.findings.add(diagnostic);
    }

    pub fn fail(&self, message: impl Into<String>, help: impl Into<String>) {
        self.findings.add(Diagnostic::at(self.place(), message).help(help));
    }

    /// Keeps what was read, or tells why it is no value for this key.
    pub fn judge<T>(&self, judged: Result<T, String>) -> Option<T> {
        let help = match judged {
            Ok(value) => return Some(value),
            Err(help) => help,
        };
        self.fail(format!("{} is no value for `{}`", self.found(), self.key), help);
        None
    }

    /// What stands there, in words.
    pub fn found(&self) -> String {
        match self.value.get_ref() {
            DeValue::String(_) if self.secret => "this text".to_owned(),
            DeValue::Integer(_) | DeValue::Float(_) if self.secret => "this number".to_owned(),
            DeValue::String(text) => format!("`{}`", shortened(text)),
            DeValue::Integer(number) => format!("{}", number),
            DeValue::Float(number) => format!("{}", number),
            DeValue::Boolean(flag) => format!("{flag}"),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    pub fn as_text(&self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    pub fn as_integer(&self) -> Option<i128> {
        let number = self.value.get_ref().as_integer()?;
        i128::from_str_radix(number.as_str(), number.radix()).ok()
    }

    /// Of a number with or without a point.
    pub fn as_number(&self) -> Option<f64> {
        let number =
            self.value.get_ref().as_float().and_then(|number| number.as_str().parse().ok());
        number.or_else(|| self.as_integer().map(|number| number as f64))
    }

    pub fn as_boolean(&self) -> Option<bool> {
        self.value.get_ref().as_bool()
    }

    pub fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub fn table(&self, shape: &'static Shape) -> Option<Table<'a>> {
        let expected = format!("expected a table: {}", shape.name);
        let entries = self.judge(self.value.get_ref().as_table().ok_or(expected))?;
        Some(Table::new(entries, self.place(), shape, self.findings))
    }

    /// The named tables under this one, such as each `[pool.NAME]` of `pool`.
    pub fn named(&self, shape: &'static Shape) -> Vec<Field<'a>> {
        let expected = format!("expected a table with a name: {}", shape.name);
        let Some(entries) = self.judge(self.value.get_ref().as_table().ok_or(expected)) else {
            return Vec::new();
        };
        let nameless = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let key: &std::borrow::Cow<'_, str> = key.get_ref();
            !value.get_ref().is_table() && shape.keys.contains(&key.as_ref())
        };
        if entries.iter().any(nameless) {
            self.findings.skip();
            let message = format!("[{}] without a name", self.key);
            let help = format!("expected {}, with a name of your choice", shape.name);
            self.findings.add(Diagnostic::at(self.key_place, message).help(help));
            return Vec::new();
        }
        let fields = entries.iter();
        fields.map(|(key, value)| Field::new(key, value, self.findings)).collect()
    }

    /// The keys of a table that people name as they like.
    pub fn entries(&self) -> Option<Vec<Field<'a>>> {
        let expected = "expected a table: { KEY = \"value\" }".to_owned();
        let entries = self.judge(self.value.get_ref().as_table().ok_or(expected))?;
        let entry =
            |(key, value)| Field { secret: self.secret, ..Field::new(key, value, self.findings) };
        Some(entries.iter().map(entry).collect())
    }

    /// The items of an array; `None` where this is no array, which is not told.
    pub fn as_items(&self) -> Option<Vec<Field<'a>>> {
        let item = |value| Field { value, ..*self };
        let array = self.value.get_ref().as_array()?;
        Some(array.iter().map(item).collect())
    }

    /// Where a relative path of the file leads.
    pub fn resolved(&self, path: &str) -> PathBuf {
        self.findings.folder.join(path)
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
