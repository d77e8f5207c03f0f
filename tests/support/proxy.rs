//! A network that fails: connections through it are cut, stand still, get slow, or lose one
//! direction.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nothing goes through, and nobody is told.
    Stall,
    /// A few KB a second.
    Slow,
    /// What the server says is lost.
    HalfOpen,
}

/// Bytes that go through together while it is slow, and the pause after.
const SLOW: (usize, Duration) = (512, Duration::from_millis(20));

/// See the module. Closed with its owner.
pub struct Proxy {
    pub port: u16,
    target: Arc<Mutex<String>>,
    fault: watch::Sender<Fault>,
    /// Counts up: connections made before it are cut.
    cut: watch::Sender<u64>,
    _runtime: Runtime,
}

impl Proxy {
    /// Listens, and leads nowhere yet.
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (target, fault, cut) = (Arc::<Mutex<String>>::default(), watch::Sender::new(Fault::None), watch::Sender::new(0));
        let (to, faults, cuts) = (Arc::clone(&target), fault.subscribe(), cut.subscribe());
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let target = to.lock().expect("the target").clone();
                tokio::spawn(serve(client, target, faults.clone(), cuts.clone()));
            }
        });
        Self { port, target, fault, cut, _runtime: runtime }
    }

    /// Leads there from now on.
    pub fn lead_to(&self, address: &str) {
        address.clone_into(&mut self.target.lock().expect("the target"));
    }

    /// Has a fault, or none any more. What lost a direction is cut when it ends.
    pub fn set(&self, fault: Fault) {
        if self.fault.send_replace(fault) == Fault::HalfOpen {
            self.reset();
        }
    }

    /// Cuts every connection, by a reset.
    pub fn reset(&self) {
        self.cut.send_modify(|cut| *cut += 1);
    }
}

async fn serve(client: TcpStream, target: String, fault: watch::Receiver<Fault>, mut cut: watch::Receiver<u64>) {
    cut.mark_unchanged();
    let Ok(address) = target.parse::<SocketAddr>() else { return };
    let Ok(server) = TcpStream::connect(address).await else { return };
    // A reset when they are dropped, and not an end in order.
    let _ = (client.set_zero_linger(), server.set_zero_linger());
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pass(from_client, to_server, fault.clone(), false) => {}
        () = pass(from_server, to_client, fault, true) => {}
        _ = cut.changed() => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut fault: watch::Receiver<Fault>, from_server: bool) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let most = if *fault.borrow() == Fault::Slow { SLOW.0 } else { buffer.len() };
        let Ok(count @ 1..) = from.read(&mut buffer[..most]).await else { return };
        if fault.wait_for(|fault| *fault != Fault::Stall).await.is_err() {
            return;
        }
        let now = *fault.borrow();
        match now {
            Fault::HalfOpen if from_server => continue,
            Fault::Slow => tokio::time::sleep(SLOW.1).await,
            _ => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
