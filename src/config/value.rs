//! Values that many keys share: numbers, durations, sizes, shares, words, each with its bounds.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use super::{
    reader::{Field, Table},
    suggest,
    words::Words,
};
use crate::units::{duration_text, parse_duration, parse_share, parse_size, share_text, size_text};

impl<'a> Field<'a> {
    pub fn text(&self) -> Option<&'a str> {
        self.judge(self.as_text().ok_or("expected a text in quotes".to_owned()))
    }

    pub fn boolean(&self) -> Option<bool> {
        let expected = || "expected true or false, without quotes".to_owned();
        self.judge(self.as_boolean().ok_or_else(expected))
    }

    pub fn integer<N>(&self, range: RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<i128> + PartialOrd + Display,
    {
        let number = self.as_integer().and_then(|number| N::try_from(number).ok());
        let within = number.filter(|number| range.contains(number));
        self.judge(
            within.ok_or_else(|| {
                format!("expected a number from {} to {}", range.start(), range.end())
            }),
        )
    }

    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let within = self.as_number().filter(|number| range.contains(number));
        let expected = || format!("expected a number from {} to {}", range.start(), range.end());
        self.judge(within.ok_or_else(expected))
    }

    pub fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.as_text().unwrap_or_default();
        self.judge(parse_duration(text).and_then(|duration| {
            let (least, most) = (duration_text(*range.start()), duration_text(*range.end()));
            let expected = || format!("expected a duration from \"{least}\" to \"{most}\"");
            range.contains(&duration).then_some(duration).ok_or_else(expected)
        }))
    }

    pub fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.as_text().unwrap_or_default();
        self.judge(parse_size(text).and_then(|size| {
            let (least, most) = (size_text(*range.start()), size_text(*range.end()));
            let expected = || format!("expected a size from \"{least}\" to \"{most}\"");
            range.contains(&size).then_some(size).ok_or_else(expected)
        }))
    }

    pub fn share(&self, most: f64) -> Option<f64> {
        let text = self.as_text().unwrap_or_default();
        self.judge(parse_share(text).and_then(|share| {
            let expected = || format!("expected a share of at most \"{}\"", share_text(most));
            (share <= most).then_some(share).ok_or_else(expected)
        }))
    }

    pub fn word<T: Words>(&self) -> Option<T> {
        let words = || T::WORDS.iter().map(|(word, _)| *word);
        let text = self.as_text().unwrap_or_default();
        let named = T::WORDS.iter().find(|(word, _)| *word == text);
        self.judge(match named {
            Some((_, value)) => Ok(*value),
            None if self.as_text().is_none() => {
                let words: Vec<&str> = words().collect();
                Err(format!("{}, in quotes", suggest::one_of(&words)))
            }
            None => Err(suggest::did_you_mean(text, words())),
        })
    }
}

/// A key with its default.
impl Table<'_> {
    pub fn integer<N>(&self, key: &'static str, range: RangeInclusive<N>, default: N) -> N
    where
        N: TryFrom<i128> + PartialOrd + Display,
    {
        let field = self.field(key);
        field.and_then(|field| field.integer(range)).unwrap_or(default)
    }

    pub fn duration(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let field = self.field(key);
        field.and_then(|field| field.duration(range)).unwrap_or(default)
    }

    pub fn size(&self, key: &'static str, range: RangeInclusive<u64>, default: u64) -> u64 {
        let field = self.field(key);
        field.and_then(|field| field.size(range)).unwrap_or(default)
    }

    pub fn share(&self, key: &'static str, most: f64, default: f64) -> f64 {
        let field = self.field(key);
        field.and_then(|field| field.share(most)).unwrap_or(default)
    }

    pub fn boolean(&self, key: &'static str, default: bool) -> bool {
        let field = self.field(key);
        field.and_then(|field| field.boolean()).unwrap_or(default)
    }

    pub fn word<T: Words>(&self, key: &'static str, default: T) -> T {
        let field = self.field(key);
        field.and_then(|field| field.word()).unwrap_or(default)
    }
}
