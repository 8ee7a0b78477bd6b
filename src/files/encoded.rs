//! Files in codings that don't lie beside them: small ones are encoded once and kept, large ones are
//! encoded on their way. Pure.

use crate::{
    config::{Compress, Encoding},
    files::document::{Content, Document, Said},
    message::encoder::{Encoder, Then},
};

/// What there is of a file besides what lies on the disk.
#[derive(Clone, Debug)]
pub enum Made {
    Nothing,
    /// Encoded and kept, in the order in which we prefer them.
    Kept(Vec<(Encoding, Document)>),
    /// It can be encoded on its way, likewise.
    OnTheWay(Vec<Encoding>),
}

/// Whether a file is encoded: text of some length that may be (RFC 9111, section 5.2.2.6).
pub fn is_taken(compress: &Compress, said: &Said, length: u64) -> bool {
    let fixed = memchr::memmem::find(&said.kept.to_ascii_lowercase(), b"no-transform").is_some();
    length >= compress.min_length && compress.takes(said.content_type.as_bytes()) && !fixed
}

/// A document that is to be encoded, in the codings in which it does not lie on the disk.
pub fn make(compress: &Compress, document: &Document, lying: &[(Encoding, Document)]) -> Made {
    let lies = |coding: &Encoding| lying.iter().any(|(other, _)| other == coding);
    let codings = compress.encodings.iter().copied().filter(|coding| !lies(coding));
    match &document.content {
        Content::Open(_) => Made::OnTheWay(codings.collect()),
        Content::Memory(bytes) => {
            let made = codings.filter_map(|coding| {
                let encoded = Encoder::new(coding, compress.level).step(bytes, Then::End).ok()?;
                // What gains nothing is not worth its memory.
                let shorter = encoded.len() < bytes.len();
                let content = Content::Memory(encoded.into_boxed_slice().into());
                shorter.then(|| (coding, document.encoded(coding, content)))
            });
            Made::Kept(made.collect())
        }
    }
}

impl Made {
    /// Those that are kept.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        let kept = match self {
            Made::Kept(kept) => &kept[..],
            Made::Nothing | Made::OnTheWay(_) => &[],
        };
        kept.iter().map(|(_, document)| document)
    }

    pub fn codings(&self) -> impl Iterator<Item = Encoding> {
        let (kept, on_the_way) = match self {
            Made::Nothing => (&[][..], &[][..]),
            Made::Kept(kept) => (&kept[..], &[][..]),
            Made::OnTheWay(codings) => (&[][..], &codings[..]),
        };
        kept.iter().map(|(coding, _)| *coding).chain(on_the_way.iter().copied())
    }
}
