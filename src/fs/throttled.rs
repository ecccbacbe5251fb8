//! Files that are read or written no faster than a live site can bear: the throttle behind `--max-rate`. Connections to
//! servers take their share of the same throttle (`net::Stream`).
//!
//! Promises that over any stretch of time no more bytes pass than the rate allows plus one burst, whatever the number of
//! threads, and that a wait ends within a moment of the user's wish to stop; from then on nothing is held back, so that the
//! pass comes to its safe point at full speed. Counts the content of files, not listings, and not what SQLite does.

use super::forward::{forward_changes, forward_looking};
use super::{FileRead, FileWrite, Fs, Stat};
use crate::limits;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that may pass in a second, shared by all who hold it.
pub struct Throttle {
    pace: Mutex<Pace>,
    /// Most bytes of one operation, so that a slow rate gives a trickle and not a gush every few seconds.
    piece: usize,
    stop: fn() -> bool,
}

impl Throttle {
    /// `stop` tells whether the user wants an end; it is asked every few milliseconds of a wait.
    pub fn new(bytes_per_second: NonZeroU64, stop: fn() -> bool) -> Self {
        let burst = bytes_per_second.get() / limits::THROTTLE_BURSTS_A_SECOND;
        let piece = usize::try_from(burst).unwrap_or(usize::MAX).max(limits::THROTTLE_PIECE_BYTES);
        Self { pace: Mutex::new(Pace::new(bytes_per_second, Instant::now())), piece, stop }
    }

    /// At most as much of `len` as one operation may take.
    pub fn piece(&self, len: usize) -> usize {
        len.min(self.piece)
    }

    /// Notes that `bytes` have passed and waits until they were due.
    pub fn pay(&self, bytes: usize) {
        if (self.stop)() {
            return;
        }
        let due = self.pace.lock().unwrap_or_else(PoisonError::into_inner).pay(bytes as u64, Instant::now());
        // The time is agreed on under the lock and waited for outside it, so each thread waits for its own turn only.
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if (self.stop)() {
                return;
            }
            thread::sleep(left.min(limits::THROTTLE_LOOK));
        }
    }
}

/// A bucket of tokens, kept as one time (the generic cell rate algorithm): when all that has passed so far was due.
struct Pace {
    bytes_per_second: NonZeroU64,
    due: Instant,
}

impl Pace {
    fn new(bytes_per_second: NonZeroU64, now: Instant) -> Self {
        Self { bytes_per_second, due: now }
    }

    /// When `bytes` more are due. Time in which nothing passed is saved up, but no more than a burst's.
    fn pay(&mut self, bytes: u64, now: Instant) -> Instant {
        let saved = Duration::from_secs(1) / u32::try_from(limits::THROTTLE_BURSTS_A_SECOND).unwrap_or(1);
        let earliest = now.checked_sub(saved).unwrap_or(now);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let from = self.due.max(earliest);
        self.due = from.checked_add(takes).unwrap_or(from);
        self.due
    }
}

/// What a throttle counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    Reading,
    Writing,
}

/// Another file system's files through a throttle.
pub struct ThrottledFs {
    inner: Arc<dyn Fs>,
    throttle: Arc<Throttle>,
    counted: Counted,
}

impl ThrottledFs {
    /// Holds back what `counted` says; the other direction is free.
    pub fn new(inner: Arc<dyn Fs>, throttle: Throttle, counted: Counted) -> Self {
        Self { inner, throttle: Arc::new(throttle), counted }
    }

    fn read_through(&self, file: Box<dyn FileRead>) -> Box<dyn FileRead> {
        match self.counted {
            Counted::Reading => Box::new(ThrottledRead { file, throttle: Arc::clone(&self.throttle) }),
            Counted::Writing => file,
        }
    }

    fn write_through(&self, file: Box<dyn FileWrite>) -> Box<dyn FileWrite> {
        match self.counted {
            Counted::Reading => file,
            Counted::Writing => Box::new(ThrottledWrite { file, throttle: Arc::clone(&self.throttle) }),
        }
    }
}

struct ThrottledRead {
    file: Box<dyn FileRead>,
    throttle: Arc<Throttle>,
}

impl FileRead for ThrottledRead {
    fn stat(&self) -> io::Result<Stat> {
        self.file.stat()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let piece = self.throttle.piece(buf.len());
        let read = self.file.read_at(buf.get_mut(..piece).unwrap_or_default(), offset)?;
        self.throttle.pay(read);
        Ok(read)
    }
}

struct ThrottledWrite {
    file: Box<dyn FileWrite>,
    throttle: Arc<Throttle>,
}

impl Write for ThrottledWrite {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let piece = self.throttle.piece(buf.len());
        let written = self.file.write(buf.get(..piece).unwrap_or_default())?;
        self.throttle.pay(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl FileWrite for ThrottledWrite {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    fn set_mtime(&mut self, seconds: i64) -> io::Result<()> {
        self.file.set_mtime(seconds)
    }

    fn set_mode(&mut self, mode: u32) -> io::Result<()> {
        self.file.set_mode(mode)
    }

    fn write_behind(&mut self, offset: u64, bytes: u64) {
        self.file.write_behind(offset, bytes);
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    fn keep(self: Box<Self>) -> PathBuf {
        self.file.keep()
    }
}

impl Fs for ThrottledFs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        Ok(self.read_through(self.inner.open(path)?))
    }

    fn open_plain(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        Ok(self.read_through(self.inner.open_plain(path)?))
    }

    fn create_temp(&self, dir: &Path, prefix: &str) -> io::Result<Box<dyn FileWrite>> {
        Ok(self.write_through(self.inner.create_temp(dir, prefix)?))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileWrite>> {
        Ok(self.write_through(self.inner.create_new(path)?))
    }

    fn throttle(&self) -> Option<Arc<Throttle>> {
        Some(Arc::clone(&self.throttle))
    }

    forward_looking!();
    forward_changes!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn rate(bytes: u64) -> NonZeroU64 {
        NonZeroU64::new(bytes).unwrap()
    }

    const BURST: Duration = Duration::from_millis(1000 / limits::THROTTLE_BURSTS_A_SECOND);

    #[test]
    fn what_passes_is_due_at_the_rate_and_idle_time_saves_up_one_burst() {
        let start = Instant::now();
        let mut pace = Pace::new(rate(1000), start);
        assert_eq!(pace.pay(500, start), start + Duration::from_millis(500));
        assert_eq!(pace.pay(500, start), start + Duration::from_secs(1), "whoever comes second waits for both");
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.pay(500, later), later + Duration::from_millis(500) - BURST, "a minute's rest is no gigabyte");
    }

    #[test]
    fn several_threads_share_one_rate() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message");
        std::fs::write(&path, vec![7; 50_000]).unwrap();
        let fs = ThrottledFs::new(Arc::new(RealFs), Throttle::new(rate(400_000), || false), Counted::Reading);
        let started = Instant::now();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(fs.read(&path, 1 << 20).unwrap(), vec![7; 50_000]));
            }
        });
        assert!(started.elapsed() >= Duration::from_millis(500) - BURST, "{:?}", started.elapsed());
    }

    #[test]
    fn writing_is_held_back_and_reading_is_not_where_writing_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message");
        let fs = ThrottledFs::new(Arc::new(RealFs), Throttle::new(rate(200_000), || false), Counted::Writing);
        let started = Instant::now();
        fs.replace(&path, &[7; 100_000], 0o600).unwrap();
        assert!(started.elapsed() >= Duration::from_millis(500) - BURST, "{:?}", started.elapsed());
        let due = fs.throttle.pace.lock().unwrap().due;
        assert_eq!(fs.read(&path, 1 << 20).unwrap(), vec![7; 100_000]);
        assert_eq!(fs.throttle.pace.lock().unwrap().due, due, "reading is free");
    }

    #[test]
    fn the_wish_to_stop_ends_a_wait_and_the_throttle() {
        static STOP: AtomicBool = AtomicBool::new(false);
        let throttle = Throttle::new(rate(1), || STOP.load(Ordering::Relaxed));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| throttle.pay(1_000_000));
            while throttle.pace.lock().unwrap().due < Instant::now() + Duration::from_secs(1000) {
                thread::yield_now();
            }
            STOP.store(true, Ordering::Relaxed);
            waiting.join().unwrap(); // without the wish: eleven days
        });
        throttle.pay(1_000_000);
    }
}
