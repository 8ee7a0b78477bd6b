//! A text with variables in braces, such as `https://{host}{path}`.

use std::fmt;

use super::{suggest, words::Words};

/// Read once; what it stands for is known with each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    written: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Never empty, and never beside another.
    Text(String),
    Variable(Variable),
}

/// What a request brings along. None has a byte that could end a header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `http` or `https`.
    Scheme,
    /// Of Host, without a port.
    Host,
    Port,
    /// As it came, without the query.
    Path,
    /// With its `?`; empty where there is none.
    Query,
    RequestId,
    /// The address that the request came from.
    Client,
}

impl Words for Variable {
    const WORDS: &'static [(&'static str, Variable)] = &[
        ("{scheme}", Variable::Scheme),
        ("{host}", Variable::Host),
        ("{port}", Variable::Port),
        ("{path}", Variable::Path),
        ("{query}", Variable::Query),
        ("{request_id}", Variable::RequestId),
        ("{client}", Variable::Client),
    ];
}

impl Template {
    /// `{{` and `}}` stand for one brace each. The error is what was expected.
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, braced) = rest.split_at(at);
            plain.push_str(before);
            let doubled = ["{{", "}}"].into_iter().find(|pair| braced.starts_with(pair));
            if let Some(pair) = doubled {
                plain.push_str(&pair[1..]);
                rest = &braced[2..];
                continue;
            }
            let variable = variable(braced)?;
            push_text(&mut pieces, &mut plain);
            pieces.push(Piece::Variable(variable));
            rest = &braced[variable.word().len()..];
        }
        plain.push_str(rest);
        push_text(&mut pieces, &mut plain);
        Ok(Template { pieces, written: text.to_owned() })
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub fn names(&self, variable: Variable) -> bool {
        self.pieces.contains(&Piece::Variable(variable))
    }
}

/// As written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn push_text(pieces: &mut Vec<Piece>, plain: &mut String) {
    if !plain.is_empty() {
        pieces.push(Piece::Text(std::mem::take(plain)));
    }
}

/// The variable that a text begins with, which begins with a brace.
fn variable(braced: &str) -> Result<Variable, String> {
    let Some(end) = braced.find('}').filter(|_| braced.starts_with('{')) else {
        return Err("expected variables such as `{host}`; a brace of its own is written twice, \
                    `{{` or `}}`"
            .to_owned());
    };
    let name = &braced[..=end];
    let known = || Variable::WORDS.iter();
    let found = known().find(|(word, _)| *word == name);
    found.map(|(_, variable)| *variable).ok_or_else(|| {
        let help = suggest::did_you_mean(name, known().map(|(word, _)| *word));
        format!("there is no variable `{name}`: {help}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_variables() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let variable = Piece::Variable;
        for (written, expected) in [
            ("", vec![]),
            ("a b", vec![text("a b")]),
            ("{host}", vec![variable(Variable::Host)]),
            ("{{{host}}}", vec![text("{"), variable(Variable::Host), text("}")]),
            ("{{host}}", vec![text("{host}")]),
            (
                "a{path}{query}b",
                vec![text("a"), variable(Variable::Path), variable(Variable::Query), text("b")],
            ),
        ] {
            let template = Template::parse(written).unwrap();
            assert_eq!(template.pieces(), expected, "{written}");
            assert_eq!(template.to_string(), written);
        }
    }

    #[test]
    fn what_is_no_template() {
        for (written, help) in [
            ("{hots}", "there is no variable `{hots}`: did you mean `{host}`?"),
            ("a{}", "there is no variable `{}`: expected `{scheme}`"),
            ("{host", "a brace of its own is written twice"),
            ("host}", "a brace of its own is written twice"),
            ("{ho{path}", "there is no variable `{ho{path}`"),
        ] {
            let told = Template::parse(written).unwrap_err();
            assert!(told.contains(help), "{written}: {told}");
        }
    }
}
