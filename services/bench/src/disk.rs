//! What a sync costs here: without it, a figure of durable messages says nothing.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::Outcome;

/// Syncs that are measured.
const SYNCS: usize = 200;

/// Median and 99th percentile of `fdatasync` after a write of 4 KiB.
pub(crate) fn sync_times(folder: &Path) -> Outcome<(Duration, Duration)> {
    let mut file = File::create(folder.join("sync"))?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[7; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok((times[SYNCS / 2], times[SYNCS * 99 / 100]))
}
