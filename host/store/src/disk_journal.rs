//! Cuts the torn tail off the library's journal, where the library itself gives up.
//!
//! Batches that were committed but not persisted may reach the disk in any order, so a power failure can leave a hole with whole
//! batches after it. The library takes some of these for a clean end and refuses to open on others (a wrong checksum, a wrong count, a
//! failed assertion). All nodes of a cluster may lose power at once, so none may lose its tables by it. What lies before the first bad
//! batch is whole; what is cut was not persisted, and the node's own log holds it still. A bit that flipped in a persisted batch looks
//! the same; then the applied index falls below the start of the node's log, and there it is found out.
//!
//! Knows the layout of a journal of fjall 3 (FORMAT.md); tests cut and pierce real journals, so a change of it shows.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// Ends every batch.
const TRAILER: [u8; 4] = [b'F', b'J', b'L', 3];

/// Cuts the newest journal in `folder` after its last batch before the first bad one. Returns how many bytes that held something
/// were cut; 0 says that the journal is sound. Older journals were synced when they were closed and are left alone.
pub(crate) fn cut_torn_tail(folder: &Path) -> io::Result<u64> {
    let Some(path) = newest(folder)? else { return Ok(0) };
    let sound = Batches::open(&path)?.sound_bytes()?;
    let torn = used_bytes(&path)?.saturating_sub(sound);
    if torn > 0 {
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(sound)?;
        file.sync_all()?;
    }
    Ok(torn)
}

/// The journal with the highest number.
fn newest(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        if let Some(number) = number {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Length of a file without the zeros at its end: journals are preallocated.
fn used_bytes(path: &Path) -> io::Result<u64> {
    let (mut file, mut chunk, mut position, mut used) = (File::open(path)?, vec![0; 1 << 16], 0, 0);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(used);
        }
        if let Some(last) = chunk[..read].iter().rposition(|&byte| byte != 0) {
            used = position + last as u64 + 1;
        }
        position += read as u64;
    }
}

/// Walks a journal batch by batch.
struct Batches {
    reader: BufReader<File>,
    position: u64,
    /// Over the items of the batch that is being read.
    checksum: Xxh3,
    buffer: Vec<u8>,
}

impl Batches {
    fn open(path: &Path) -> io::Result<Batches> {
        let reader = BufReader::with_capacity(1 << 16, File::open(path)?);
        Ok(Batches { reader, position: 0, checksum: Xxh3::new(), buffer: Vec::new() })
    }

    /// Where the last batch before the first bad one ends.
    fn sound_bytes(mut self) -> io::Result<u64> {
        let mut sound = 0;
        loop {
            match self.batch() {
                Ok(true) => sound = self.position,
                Ok(false) => return Ok(sound),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(sound),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads one batch; false when it is none.
    fn batch(&mut self) -> io::Result<bool> {
        let [tag] = self.read()?;
        if tag != START {
            return Ok(false);
        }
        let count = u32::from_le_bytes(self.read()?);
        let _sequence: [u8; 8] = self.read()?;
        self.checksum.reset();
        for _ in 0..count {
            if !self.item()? {
                return Ok(false);
            }
        }
        let found = self.checksum.digest();
        let [tag] = self.read()?;
        let written = u64::from_le_bytes(self.read()?);
        Ok(tag == END && written == found && self.read()? == TRAILER)
    }

    /// Reads one item of a batch into its checksum; false when it is none.
    fn item(&mut self) -> io::Result<bool> {
        let tag = self.summed()?;
        match tag {
            [ITEM] => {
                let _value_type_and_compression: [u8; 2] = self.summed()?;
                let _keyspace: [u8; 8] = self.summed()?;
                let key_bytes = u16::from_le_bytes(self.summed()?);
                let _value_bytes: [u8; 4] = self.summed()?;
                let stored_bytes = u32::from_le_bytes(self.summed()?);
                self.skip_summed(u64::from(key_bytes) + u64::from(stored_bytes))?;
                Ok(true)
            }
            [CLEAR] => {
                let _keyspace: [u8; 8] = self.summed()?;
                Ok(true)
            }
            [_] => Ok(false),
        }
    }

    fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn summed<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = self.read()?;
        self.checksum.update(&bytes);
        Ok(bytes)
    }

    /// A length from the disk may be anything, so it is walked, not allocated.
    fn skip_summed(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            let part = bytes.min(1 << 16);
            self.buffer.resize(part as usize, 0);
            self.reader.read_exact(&mut self.buffer)?;
            self.checksum.update(&self.buffer);
            self.position += part;
            bytes -= part;
        }
        Ok(())
    }
}
