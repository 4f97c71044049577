//! The console: pages and a JSON API over a realm, for a browser and for programs.
//!
//! [`Console::bind`] takes a [`Realm`](pumice_service::Realm), wherever it is kept, and listens; [`Console::serve`] answers.
//! Everything that is shown or done goes through the functions of `pumice-service`, as the command line's does. Pages are made
//! here and work without JavaScript.

mod access;
mod answer;
mod api;
mod app;
mod ask;
mod assets;
mod compress;
mod health;
mod hooks;
mod live;
mod offline;
mod pages;
mod router;
mod serve;
mod svg;
mod view;

pub use access::{
    BadHeader, BadProxy, BadToken, BadTrust, BadUrl, Bounds, ProxyAddr, PublicUrl, Role, Token,
    TrustedHeader, TrustedProxy, TrustedRole,
};
pub use app::{Meters, Refresh, Settings, StartError};
pub use offline::{OfflineError, run_as_document};
pub use pages::{SCREENS, Screen, WITHOUT_SCREEN};
pub use serve::Console;
