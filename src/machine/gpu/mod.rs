//! Graphics processors: NVIDIA's through its management library, others through the kernel's files.
//! One figure that cannot be read leaves the others as they are.

#[cfg(target_os = "linux")]
mod drm;
mod nvidia;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::nvidia::Nvidia;
use super::remarks::Remarks;
use crate::record::{Gpu, GpuSample, UnknownFigure};

/// A driver that was not there is looked for again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Opens the drivers, and keeps them open: that can take a tenth of a second.
pub struct Gpus {
    library: Option<PathBuf>,
    /// Where the kernel lists graphics cards.
    #[cfg(target_os = "linux")]
    cards: PathBuf,
    nvidia: Mutex<Option<Opened>>,
}

/// When the library was opened, and what came of it.
type Opened = (Instant, Result<Arc<Nvidia>, String>);

impl Gpus {
    /// `library` is NVIDIA's management library, where that is not in one of the usual places.
    pub fn new(library: Option<PathBuf>) -> Self {
        Self {
            library,
            #[cfg(target_os = "linux")]
            cards: PathBuf::from(drm::CARDS),
            nvidia: Mutex::default(),
        }
    }

    /// NVIDIA's library, or why it cannot be used.
    fn nvidia(&self) -> Result<Arc<Nvidia>, String> {
        let mut opened = self.nvidia.lock().unwrap_or_else(PoisonError::into_inner);
        let is_usable = |(at, result): &Opened| match result {
            Ok(nvidia) => nvidia.answers(),
            Err(_) => at.elapsed() < AGAIN_AFTER,
        };
        if let Some((_, result)) = opened.as_ref().filter(|it| is_usable(it)) {
            return result.clone();
        }
        // The library of a driver that was replaced must go before it is loaded again.
        *opened = None;
        let result = Nvidia::open(self.library.as_deref()).map(Arc::new);
        *opened = Some((Instant::now(), result.clone()));
        result
    }

    /// All devices with what is fixed about them, and what cannot be known.
    pub fn describe(&self) -> (Vec<Gpu>, Vec<UnknownFigure>) {
        let mut eye = self.eye();
        let mut remarks = Remarks::default();
        let described = eye.devices.iter().map(|device| match device {
            Device::Nvidia(device) => device.describe(),
            #[cfg(target_os = "linux")]
            Device::Kernel(device) => device.describe(),
        });
        let described: Vec<Gpu> = described.collect();
        eye.look(&BTreeSet::new(), &mut remarks);
        let mut unavailable = remarks.into_unavailable();
        if described.is_empty()
            && let Err(reason) = self.nvidia()
        {
            unavailable.push(UnknownFigure {
                field: "gpu".to_owned(),
                reason,
            });
        }
        (described, unavailable)
    }

    /// Looks at the devices that are there now.
    pub fn eye(&self) -> GpuEye {
        let mut devices: Vec<Device> = Vec::new();
        if let Ok(nvidia) = self.nvidia() {
            devices.extend(nvidia::devices(&nvidia).into_iter().map(Device::Nvidia));
        }
        #[cfg(target_os = "linux")]
        devices.extend(drm::devices(&self.cards).into_iter().map(Device::Kernel));
        GpuEye { devices }
    }
}

enum Device {
    Nvidia(nvidia::Device),
    #[cfg(target_os = "linux")]
    Kernel(drm::Device),
}

/// Looks at some devices.
pub struct GpuEye {
    devices: Vec<Device>,
}

impl GpuEye {
    /// The devices now; memory of `servers` is that of these processes.
    pub fn look(&mut self, servers: &BTreeSet<u32>, remarks: &mut Remarks) -> Vec<GpuSample> {
        let devices = self.devices.iter_mut().enumerate();
        devices
            .map(|(place, device)| {
                let mut tell = Teller { place, remarks };
                match device {
                    Device::Nvidia(device) => device.look(servers, &mut tell),
                    #[cfg(target_os = "linux")]
                    Device::Kernel(device) => device.look(&mut tell),
                }
            })
            .collect()
    }
}

/// Tells what of one device cannot be read.
struct Teller<'a> {
    place: usize,
    remarks: &'a mut Remarks,
}

impl Teller<'_> {
    fn value<T>(&mut self, field: &str, read: Result<T, String>) -> Option<T> {
        let field = format!("gpus[{}].{field}", self.place);
        self.remarks.value(&field, read)
    }

    /// Nothing of the device can be read.
    fn lost(&mut self, reason: String) {
        let field = format!("gpus[{}]", self.place);
        self.remarks.value::<()>(&field, Err(reason));
    }
}

/// A counter from the first time that it was read.
#[derive(Debug, Default)]
struct Counter {
    first: Option<f64>,
}

impl Counter {
    fn since_first(&mut self, now: f64) -> f64 {
        now - *self.first.get_or_insert(now)
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests;
