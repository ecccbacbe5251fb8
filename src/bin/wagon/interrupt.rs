//! Ctrl-C, SIGTERM and SIGHUP: the first asks to stop at the next safe point, the second stops at once. Only passes arm
//! it; a verb that merely looks is ended by the system as any program is.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether somebody asked to stop.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Listens from now on. Doing it twice is harmless.
pub fn arm() {
    // It fails when a handler is there already, which is then this one.
    let _ = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        let _ = writeln!(std::io::stderr(), "\nstopping at the next safe point; a second interrupt stops at once");
    });
}
