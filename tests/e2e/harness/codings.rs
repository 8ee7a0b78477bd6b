//! Content codings as a client reads them.

use compression_codecs::{
    BrotliDecoder, DecodeV2, GzipDecoder, ZstdDecoder,
    core::util::{PartialBuffer, WriteBuffer},
};

/// What a reader has of `bytes` in a coding, and whether they are the whole of it.
#[track_caller]
pub fn decoded(coding: &str, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut decoder: Box<dyn DecodeV2> = match coding {
        "gzip" => Box::new(GzipDecoder::new()),
        "br" => Box::new(BrotliDecoder::new()),
        "zstd" => Box::new(ZstdDecoder::new()),
        _ => panic!("{coding} is no coding that we make"),
    };
    let (mut output, mut input) = (Vec::new(), PartialBuffer::new(bytes));
    let mut room = vec![0; 65_536];
    loop {
        let mut writer = WriteBuffer::new_initialized(&mut room);
        let ended = decoder.decode(&mut input, &mut writer);
        let written = writer.written_len();
        output.extend_from_slice(&room[..written]);
        let is_read = input.unwritten().is_empty();
        match ended {
            Ok(true) => {
                assert!(is_read, "something follows the end");
                return (output, true);
            }
            Ok(false) if written > 0 || !is_read => {}
            Ok(false) => return (output, false),
            // One of the three tells so that it has no more to read.
            Err(_) if is_read => return (output, false),
            Err(error) => panic!("{coding}: {error}"),
        }
    }
}
