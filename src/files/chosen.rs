//! Which representation of a file a client gets (RFC 9110, section 12.5.3). Pure.

use crate::{
    config::Encoding,
    files::{directory::Found, document::Document, encoded::Made},
    message::{
        encoding::{Accepted, Choice},
        field::Name,
        head::Fields,
    },
};

/// What a client gets.
#[derive(Debug)]
pub enum Chosen<'a> {
    /// As it lies on the disk.
    Lying(&'a Document),
    /// What we have made of it, and kept.
    Made(Encoding, &'a Document),
    /// This, in a coding that it gets on its way.
    ToEncode(Encoding, &'a Document),
}

impl Found {
    /// What a client gets that says this of the codings that it takes. Who asks for a range gets one of
    /// what lies there: bytes that we make are not the same everywhere.
    pub fn chosen(&self, fields: &Fields) -> Chosen<'_> {
        let made = match fields.first(Name::Range) {
            None => &self.made,
            Some(_) => &Made::Nothing,
        };
        let lying = self.encoded.iter().map(|(coding, _)| *coding);
        let mut offered = lying.chain(made.codings()).peekable();
        if offered.peek().is_none() {
            return Chosen::Lying(&self.document);
        }
        let Choice::Encoded(coding) = Accepted::of_request(fields).choose(offered) else {
            return Chosen::Lying(&self.document);
        };
        let find = |list: &'_ [(Encoding, Document)]| list.iter().position(|it| it.0 == coding);
        if let Some(place) = find(&self.encoded) {
            return Chosen::Lying(&self.encoded[place].1);
        }
        match made {
            Made::Kept(kept) => match find(kept) {
                Some(place) => Chosen::Made(coding, &kept[place].1),
                None => Chosen::Lying(&self.document),
            },
            Made::OnTheWay(_) => Chosen::ToEncode(coding, &self.document),
            Made::Nothing => Chosen::Lying(&self.document),
        }
    }
}
