//! A node that stands still: whoever is connected to it stays connected, and nothing is taken or answered any more.

use crate::lab::Node;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Stands in front of a node, at its own address and another port (see [`crate::proxy`]), and passes everything on, until it is
/// told to stop. Then it reads no byte, as the kernel of a machine does for a process that was stopped.
pub(crate) struct Stall {
    pub(crate) address: String,
    flows: watch::Sender<bool>,
}

impl Stall {
    pub(crate) fn before(node: &Node, runtime: &Arc<Runtime>) -> Stall {
        let listener = runtime.block_on(TcpListener::bind((node.host(), 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let (flows, open) = watch::channel(true);
        runtime.spawn(accept(listener, node.address.parse().unwrap(), open));
        Stall { address: address.to_string(), flows }
    }

    pub(crate) fn stop(&self) {
        self.flows.send(false).unwrap();
    }

    pub(crate) fn go_on(&self) {
        self.flows.send(true).unwrap();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, open: watch::Receiver<bool>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut open = open.clone();
        tokio::spawn(async move {
            if open.wait_for(|open| *open).await.is_err() {
                return;
            }
            let Ok(server) = TcpStream::connect(to).await else { return };
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::select! {
                () = pass(from_client, to_server, open.clone()) => {}
                () = pass(from_server, to_client, open) => {}
            }
        });
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut open: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    while open.wait_for(|open| *open).await.is_ok()
        && let Ok(length @ 1..) = from.read(&mut buffer).await
        && to.write_all(&buffer[..length]).await.is_ok()
    {}
}
