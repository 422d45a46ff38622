//! Samples as bytes: their JSON, packed like any document. They change little from one to the next, so a
//! tenth is left. Earlier versions kept them as JSON, and then as gzip (RFC 1952).

use std::io::{self, Read};
use std::ops::Range;

use flate2::read::GzDecoder;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{StoreError, packing};
use crate::record::{RemoteSamples, Samples};

/// More than any samples are, unpacked: damaged bytes must not fill the memory.
const LARGEST: u64 = 1 << 30;

/// What gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What machines did during a run.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Unpacked {
    /// The one that measured.
    pub here: Samples,
    /// Those of model servers.
    pub elsewhere: Vec<RemoteSamples>,
}

#[derive(Serialize)]
struct Packed<'a> {
    here: &'a Samples,
    elsewhere: &'a [RemoteSamples],
}

/// Packs samples.
pub fn pack(here: &Samples, elsewhere: &[RemoteSamples]) -> Result<Vec<u8>, StoreError> {
    let text = serde_json::to_vec(&Packed { here, elsewhere }).map_err(StoreError::Unwritable)?;
    let packed = packing::pack(&text);
    packed.map_err(|error| StoreError::Unwritable(serde_json::Error::io(error)))
}

/// Reads what [`pack`] wrote.
pub fn unpack(bytes: &[u8]) -> io::Result<Unpacked> {
    let mut text = Vec::new();
    unpack_onto(&mut text, bytes)?;
    serde_json::from_slice(&text).map_err(io::Error::from)
}

/// Its JSON, behind what a buffer holds.
pub fn unpack_onto(text: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    if !bytes.starts_with(&GZIP) {
        return packing::unpack_onto(text, bytes);
    }
    GzDecoder::new(bytes).take(LARGEST).read_to_end(text)?;
    Ok(())
}

/// The JSON of this machine's samples, and of the others', of that of both.
pub fn texts(text: &[u8]) -> io::Result<(&[u8], &[u8])> {
    if let Some((here, elsewhere)) = cut(text) {
        let part = |range| text.get(range).unwrap_or_default();
        return Ok((part(here), part(elsewhere)));
    }
    let texts: Texts = serde_json::from_slice(text)?;
    Ok((
        texts.here.get().as_bytes(),
        texts.elsewhere.get().as_bytes(),
    ))
}

/// Where both stand in what [`pack`] wrote. Nothing within samples is called as the second is, and
/// within a text there is no quote without a backslash before it.
fn cut(text: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    const FIRST: &[u8] = br#"{"here":"#;
    const SECOND: &[u8] = br#","elsewhere":"#;
    if !text.starts_with(FIRST) || text.last() != Some(&b'}') {
        return None;
    }
    let at = memmem::rfind(text, SECOND)?;
    Some((FIRST.len()..at, at + SECOND.len()..text.len() - 1))
}

#[derive(Deserialize)]
struct Texts<'a> {
    #[serde(borrow)]
    here: &'a RawValue,
    #[serde(borrow)]
    elsewhere: &'a RawValue,
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::record::{GpuSample, Pressure, Sample, ServerSample};

    /// As many samples as a run keeps, of a machine with 32 cores and two devices, all figures astir.
    fn day() -> Samples {
        let mut random = StdRng::seed_from_u64(4);
        let mut tenth = |most: f64| (random.random::<f64>() * most * 10.0).round() / 10.0;
        let items = (0..2048).map(|place| {
            let gpu = |joules: f64, figure: f64| GpuSample {
                utilization_percent: Some(figure.round()),
                memory_activity_percent: Some((figure / 2.0).round()),
                memory_used_bytes: Some(20 << 30),
                server_memory_bytes: Some(19 << 30),
                power_watts: Some(300.0 + figure),
                temperature_celsius: Some(70.0),
                clock_mhz: Some(1900.0),
                memory_clock_mhz: Some(2600.0),
                throttle_reasons: Some(vec!["sw_power_cap".into()]),
                energy_joules: Some(joules),
            };
            let joules = f64::from(place) * 42.0 + tenth(20.0);
            Sample {
                offset: f64::from(place) * 42.187_5 + tenth(1.0) / 1e6,
                cpu_percent: tenth(100.0),
                core_percent: (0..32).map(|_| tenth(100.0)).collect(),
                frequency_mean_mhz: Some(tenth(4000.0).round()),
                memory_used_bytes: random_pages(tenth(100.0)),
                memory_percent: tenth(100.0),
                pressure: Some(Pressure {
                    cpu_percent: Some(tenth(10.0)),
                    ..Pressure::default()
                }),
                servers: vec![ServerSample {
                    backend: "ollama".into(),
                    cpu_percent: Some(tenth(50.0)),
                    memory_bytes: Some(random_pages(tenth(1.0))),
                    ..ServerSample::default()
                }],
                gpus: vec![gpu(joules, tenth(100.0)), gpu(2.0 * joules, tenth(100.0))],
                ..Sample::default()
            }
        });
        Samples {
            interval: 64.0,
            items: items.collect(),
            ..Samples::default()
        }
    }

    /// Memory in whole pages whose digits are as good as random.
    fn random_pages(figure: f64) -> u64 {
        (figure.to_bits() >> 30) % 10_000_000 * 4096
    }

    fn text_of(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        unpack_onto(&mut text, bytes).unwrap();
        text
    }

    #[test]
    fn a_day_takes_less_than_a_megabyte_and_comes_back_as_it_was() {
        let here = day();
        let elsewhere = vec![RemoteSamples {
            backend: r#"a,"elsewhere":[]}"#.into(),
            error: Some("silent".into()),
            ..RemoteSamples::default()
        }];
        let packed = pack(&here, &elsewhere).unwrap();
        assert!(packed.len() < 1_000_000, "{}", packed.len());
        let text = text_of(&packed);
        let (first, second) = texts(&text).unwrap();
        assert_eq!(first, serde_json::to_vec(&here).unwrap());
        assert_eq!(second, serde_json::to_vec(&elsewhere).unwrap());
        assert_eq!(unpack(&packed).unwrap(), Unpacked { here, elsewhere });
        assert!(unpack(&packed[..packed.len() / 2]).is_err());
        assert!(unpack(b"not packed").is_err());
    }

    #[test]
    fn what_earlier_versions_kept_is_read() {
        let text = br#"{"here":{"interval":0.5,"items":[]},"elsewhere":[]}"#;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        for bytes in [text.to_vec(), encoder.finish().unwrap()] {
            assert_eq!(
                unpack(&bytes).unwrap().here.interval.to_bits(),
                0.5_f64.to_bits()
            );
            let text = text_of(&bytes);
            let (here, elsewhere) = texts(&text).unwrap();
            assert_eq!(here, br#"{"interval":0.5,"items":[]}"#);
            assert_eq!(elsewhere, b"[]");
        }
    }
}
