//! Stand-ins for AWS, and realms in them. `cargo xtask standins` installs them; the variable
//! `PUMICE_STANDINS` names the folder.

mod cloud;
mod deployed;
mod emulator;
mod faulty;
mod logs;
mod proxy;
mod realm;
mod server;

pub use cloud::{
    ACCOUNT, Cloud, DISPATCHER, FunctionSpec, LIVE_DISPATCHER, SCHEDULES, archive, binary, function_folder,
    statuses, until,
};
pub use deployed::{Deployed, sam};
pub use emulator::Emulator;
pub use faulty::{Faulty, Worked, dispatch, key_of, log_job, request};
pub use proxy::{Fault, Proxy, Units};
pub use realm::{make_queue, make_realm, make_realm_without, make_schedule_group, mark_index, use_parts};
pub use server::{Server, command, config, folder, free_port};
