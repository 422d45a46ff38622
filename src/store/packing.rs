//! Documents as bytes: their JSON, compressed with a dictionary of what every document says, since most
//! of a short one is names of fields. About a fifth is left.
//!
//! The first byte says how: `{` is JSON as it is, as earlier versions wrote it; [`FIRST`] and [`SECOND`]
//! are deflate (RFC 1951) with a dictionary. A dictionary never changes once it was shipped; a better one
//! gets another byte.
//!
//! What compresses and what reads is made once a thread: a new one for each document costs as much as a
//! short document itself.

use std::cell::RefCell;
use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Deflate with a run and a result as they were first written, without the figures.
const FIRST: u8 = 1;
/// Deflate with samples, a result and a run, the most frequent last: what is near is told in fewer bits.
const SECOND: u8 = 2;

const FIRST_DICTIONARY: &[u8] = include_bytes!("dictionary-1.json");
const SECOND_DICTIONARY: &[u8] = include_bytes!("dictionary-2.json");

/// More than any document is: damaged bytes must not fill the memory.
const LARGEST: usize = 1 << 30;

/// Window of deflate, as a power of two.
const WINDOW: u8 = 15;

/// Room that is added each time, bytes.
const STEP: usize = 16 << 10;

thread_local! {
    static DEFLATE: RefCell<Compress> =
        RefCell::new(Compress::new_with_window_bits(Compression::default(), false, WINDOW));
    static INFLATE: RefCell<Decompress> =
        RefCell::new(Decompress::new_with_window_bits(false, WINDOW));
}

/// Packs the JSON of a document.
pub fn pack(json: &[u8]) -> io::Result<Vec<u8>> {
    DEFLATE.with_borrow_mut(|deflate| pack_with(deflate, json))
}

fn pack_with(deflate: &mut Compress, json: &[u8]) -> io::Result<Vec<u8>> {
    deflate.reset();
    deflate
        .set_dictionary(SECOND_DICTIONARY)
        .map_err(io::Error::other)?;
    let mut packed = Vec::with_capacity(json.len() / 2 + 64);
    packed.push(SECOND);
    loop {
        let rest = json.get(taken(deflate.total_in())..).unwrap_or_default();
        let status = deflate
            .compress_vec(rest, &mut packed, FlushCompress::Finish)
            .map_err(io::Error::other)?;
        if status == Status::StreamEnd {
            return Ok(packed);
        }
        packed.reserve(STEP);
    }
}

/// Reads what [`pack`] wrote, or what was never packed.
pub fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut json = Vec::new();
    unpack_onto(&mut json, bytes)?;
    Ok(json)
}

/// The same behind what a buffer holds: whoever reads a million of them needs room once.
pub fn unpack_onto(json: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    let (dictionary, packed) = match bytes.split_first() {
        Some((&FIRST, packed)) => (FIRST_DICTIONARY, packed),
        Some((&SECOND, packed)) => (SECOND_DICTIONARY, packed),
        Some((b'{', _)) => {
            json.extend_from_slice(bytes);
            return Ok(());
        }
        Some((other, _)) => {
            let words = format!("it is packed in a way ({other}) that this version does not know");
            return Err(io::Error::other(words));
        }
        None => return Err(io::Error::other("it is empty")),
    };
    INFLATE.with_borrow_mut(|inflate| unpack_with(inflate, dictionary, packed, json))
}

fn unpack_with(
    inflate: &mut Decompress,
    dictionary: &[u8],
    packed: &[u8],
    json: &mut Vec<u8>,
) -> io::Result<()> {
    inflate.reset(false);
    inflate
        .set_dictionary(dictionary)
        .map_err(io::Error::other)?;
    // Documents are mostly a tenth; what is larger grows.
    json.reserve(packed.len() * 14);
    let most = json.len().saturating_add(LARGEST);
    loop {
        let before = (inflate.total_in(), inflate.total_out());
        let rest = packed.get(taken(before.0)..).unwrap_or_default();
        let status = inflate
            .decompress_vec(rest, json, FlushDecompress::None)
            .map_err(io::Error::other)?;
        if status == Status::StreamEnd {
            return Ok(());
        }
        let is_stuck =
            json.len() < json.capacity() && before == (inflate.total_in(), inflate.total_out());
        if is_stuck || json.len() > most {
            return Err(io::Error::other("it is cut off"));
        }
        json.reserve(STEP);
    }
}

fn taken(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_document_like_the_dictionary_takes_little() {
        let packed = pack(SECOND_DICTIONARY).unwrap();
        assert!(
            packed.len() < SECOND_DICTIONARY.len() / 20,
            "{}",
            packed.len()
        );
        assert_eq!(unpack(&packed).unwrap(), SECOND_DICTIONARY);
    }

    /// A document as the first version of the packing wrote it.
    #[test]
    fn what_was_packed_with_the_first_dictionary_is_read() {
        let packed = hex::decode("01abc63e9b8d32a16c5e0b00").unwrap();
        assert_eq!(
            unpack(&packed).unwrap(),
            b"{\"status\":\"completed\",\"repetitions\":7}"
        );
    }

    #[test]
    fn what_was_never_packed_is_read_and_what_is_damaged_is_told() {
        assert_eq!(unpack(b"{\"a\":1}").unwrap(), b"{\"a\":1}");
        let packed = pack(&b"{\"a\":\"some words that are not there\"}".repeat(9)).unwrap();
        for (bytes, words) in [
            (&packed[..packed.len() / 2], "cut off"),
            (b"", "empty"),
            (b"x", "does not know"),
            (&[FIRST], "cut off"),
            (&[SECOND], "cut off"),
        ] {
            let error = unpack(bytes).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_document_comes_back(text in prop::collection::vec(any::<u8>(), 0..40_000), times in 1_usize..4) {
            let json = text.repeat(times);
            prop_assert_eq!(unpack(&pack(&json).unwrap()).unwrap(), json);
        }

        #[test]
        fn any_bytes_are_read_without_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpack(&bytes);
            bytes.insert(0, FIRST);
            let _ = unpack(&bytes);
            bytes[0] = SECOND;
            let _ = unpack(&bytes);
        }
    }
}
