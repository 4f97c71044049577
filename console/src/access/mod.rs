//! Access: the gate that each request passes, logins, roles and bounds.

mod bounds;
mod denials;
mod gate;
mod login;
mod proxy;
mod role;
mod room;

pub use bounds::Bounds;
pub(crate) use denials::Denials;
pub use gate::{BadUrl, PublicUrl};
pub(crate) use gate::{Hosts, Seen, look};
pub use login::{BadToken, Token};
pub(crate) use login::{Caller, LINK_NAME, Logins, Notice, cookie_name};
pub use proxy::{BadHeader, BadProxy, BadTrust, ProxyAddr, TrustedHeader, TrustedProxy, TrustedRole};
pub use role::Role;
pub(crate) use room::{Place, Room};
