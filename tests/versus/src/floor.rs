//! What the machine itself takes, under everything: one sync to this disk, one round trip on the loopback.

use anyhow::Result;
use std::fs::OpenOptions;
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const SYNCS: u64 = 500;
const SYNC_BYTES: usize = 1 << 10;
const ROUND_TRIPS: usize = 5_000;

/// The median time of a write of 1 KiB and its fdatasync, one behind the other in a file whose blocks are there already,
/// which is the cheapest way to keep a log. In microseconds.
pub(crate) fn sync_us(folder: &Path) -> Result<f64> {
    let path = folder.join("sync");
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
    file.write_all_at(&vec![0; SYNC_BYTES * SYNCS as usize], 0)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for place in 0..SYNCS {
        let began = Instant::now();
        file.write_all_at(&[place as u8; SYNC_BYTES], place * SYNC_BYTES as u64)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(median_us(times))
}

/// The median time of a datagram of 1 KiB to another thread and back. In microseconds.
pub(crate) fn round_trip_us() -> Result<f64> {
    let (here, there) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    here.connect(there.local_addr()?)?;
    there.connect(here.local_addr()?)?;
    for socket in [&here, &there] {
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    }
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        let echo = scope.spawn(move || -> Result<()> {
            let mut buffer = [0; 2_048];
            for _ in 0..ROUND_TRIPS {
                let length = there.recv(&mut buffer)?;
                there.send(&buffer[..length])?;
            }
            Ok(())
        });
        let mut buffer = [0; 2_048];
        for _ in 0..ROUND_TRIPS {
            let began = Instant::now();
            here.send(&[7; 1_024])?;
            here.recv(&mut buffer)?;
            times.push(began.elapsed());
        }
        echo.join().expect("an echo doesn't panic")
    })?;
    Ok(median_us(times))
}

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / 1_000.0
}
