//! `coalmine lsp`: the language server protocol over the library. This folder alone names LSP types; what an
//! object, a finding or a name means is asked of the library.
//!
//! One thread takes messages in order and lints when there is none left. While it lints it looks, between two
//! rules, for an edit that has come meanwhile: what would be out of date is given up. So there are no locks, and
//! a request is always answered from the texts that the client has sent before it.

mod actions;
mod convert;
mod features;
mod server;
mod workspace;

use anyhow::Result;
use lsp_server::Connection;

use super::Exit;
use super::args::Common;

/// Arguments of `coalmine lsp`.
#[derive(clap::Args, Debug)]
pub(crate) struct LspArgs {
    /// Accepted and ignored: standard input and output are the only channel
    #[arg(long, hide = true)]
    pub stdio: bool,
}

/// Serves one client until it says `exit` or goes away.
///
/// # Errors
/// A mesh configuration or settings file of the command line that cannot be read, and a client that does not
/// speak the protocol.
pub(crate) fn run(_: &LspArgs, common: &Common) -> Result<Exit> {
    let (connection, threads) = Connection::stdio();
    let clean = server::serve(&connection, common)?;
    // The threads end once nobody can send any more.
    drop(connection);
    threads.join()?;
    Ok(if clean { Exit::Clean } else { Exit::Findings })
}
