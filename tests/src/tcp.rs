//! A threaded TCP server on its own loopback port, for whatever protocol: each connection has a thread, and
//! dropping the server ends all of them. Knows nothing of what is spoken.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A loopback port that nobody listens on, for servers that cannot choose one themselves. It is below the ports that
/// systems give to connections, so that none takes it before the server does; no other call answers it soon again.
///
/// # Panics
/// When there is none.
pub fn unused_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin at different places.
    let start = std::process::id().wrapping_mul(2_654_435_761) % COUNT;
    let candidates = (0..COUNT).filter_map(|_| {
        let place = start.wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst)) % COUNT;
        u16::try_from(FIRST + place).ok()
    });
    let mut free = candidates.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.next().expect("a loopback port")
}

/// A server, stopped when dropped.
pub struct TcpServer {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    open: Mutex<HashMap<u64, TcpStream>>,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TcpServer {
    /// Serves each connection by `serve`, which returns when it is over.
    ///
    /// # Panics
    /// When no loopback port can be had.
    pub fn start(serve: impl Fn(&TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let (serving, serve) = (Arc::clone(&shared), Arc::new(serve));
        std::thread::spawn(move || {
            for (number, stream) in (0..).zip(listener.incoming().flatten()) {
                if serving.stop.load(Ordering::SeqCst) {
                    break;
                }
                if let Ok(copy) = stream.try_clone() {
                    serving.open().insert(number, copy);
                }
                let (shared, serve) = (Arc::clone(&serving), Arc::clone(&serve));
                std::thread::spawn(move || {
                    serve(&stream);
                    // The copy would keep the socket open.
                    shared.open().remove(&number);
                });
            }
        });
        Self { address, shared }
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for (_, stream) in self.shared.open().drain() {
            drop(stream.shutdown(Shutdown::Both));
        }
        drop(TcpStream::connect(self.address)); // wakes `accept`, which then sees `stop`
    }
}
