//! `sam local invoke`, and the worker's image, where a Docker engine answers.

use std::net::Ipv4Addr;

use crate::process::{Outcome, cargo, has, output, say};
use crate::standins::{self, StandIns};
use crate::test;

/// The tests' name, for people.
const TRIED: &str =
    "`sam local invoke` with every event of events/, and the worker's image (worker-image.yaml)";
/// The feature of tests that need an engine.
const FEATURE: &str = "pumice-testing/standins-docker";
/// The variable with the address under which containers reach the machine of the engine.
const GATEWAY: &str = "PUMICE_DOCKER_GATEWAY";
/// The variable with a folder of functions that were built before, as the Makefile has it.
const BUILT: &str = "PUMICE_BUILT";

/// Invokes every event in a container; says what it leaves out where no engine answers.
pub(crate) fn run() -> Outcome {
    // It asks the engine that DOCKER_HOST, or the context in use, names.
    if !has("docker", &["info"]) {
        say(&format!("left out: {TRIED}, because no Docker engine answers: see `docker info`"));
        return Ok(());
    }
    let gateway = gateway()?;
    let standins = standins::make()?;
    if !standins.features.contains(&"pumice-testing/standins-make") {
        standins.tell()?;
        return Err(format!("{TRIED} need the stand-ins of AWS, and make"));
    }
    let functions = built_before(&standins)?;
    say(TRIED);
    let features = [test::features(&standins), vec![FEATURE]].concat().join(",");
    let mut places = test::places(&standins).to_vec();
    for (name, place) in &mut places {
        if *name == test::FUNCTIONS {
            place.clone_from(&functions);
        }
    }
    places.push((GATEWAY, gateway.to_string()));
    let places: Vec<(&str, &str)> = places.iter().map(|(name, place)| (*name, place.as_str())).collect();
    // With what it prints: the answer to each event.
    let filter =
        ["test", "--workspace", "--features", &features, "--test", "it", "sam_local", "--", "--nocapture"];
    cargo(&filter, &places)
}

/// The folder of the functions: those that were built before, or that are built now.
fn built_before(standins: &StandIns) -> Result<String, String> {
    if let Some(folder) = std::env::var_os(BUILT) {
        let folder = std::path::absolute(folder).map_err(|error| format!("{BUILT}: {error}"))?;
        return Ok(folder.display().to_string());
    }
    test::build_functions()?;
    let place = test::places(standins).into_iter().find(|(name, _)| *name == test::FUNCTIONS);
    place.map(|(_, place)| place).ok_or_else(|| format!("{} has no place", test::FUNCTIONS))
}

/// The address under which containers of the engine's bridge reach the machine that it runs on.
fn gateway() -> Result<Ipv4Addr, String> {
    let format = "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}};{{end}}";
    let told = output("docker", &["network", "inspect", "bridge", "--format", format])?;
    gateway_of(&told).ok_or_else(|| format!("the engine's network bridge has no address: {told:?}"))
}

/// Reads `GATEWAY SUBNET;`, for each of the bridge's networks. An engine that chose the network itself may not say the gateway: it is
/// the first address then.
fn gateway_of(told: &str) -> Option<Ipv4Addr> {
    told.trim_end().split(';').find_map(|network| {
        let (gateway, subnet) = network.split_once(' ')?;
        if !gateway.is_empty() {
            return gateway.parse().ok();
        }
        let first: Ipv4Addr = subnet.split('/').next()?.parse().ok()?;
        Some(Ipv4Addr::from_bits(first.to_bits() + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_follows_from_the_subnet_where_it_is_not_said() {
        let address = |text: &str| Some(text.parse().expect("an address"));
        assert_eq!(gateway_of("172.17.0.1 172.17.0.0/16;\n"), address("172.17.0.1"));
        assert_eq!(gateway_of(" 172.17.0.0/16;\n"), address("172.17.0.1"));
        assert_eq!(gateway_of("fd00::1 fd00::/64;10.9.0.1 10.9.0.0/24;"), address("10.9.0.1"));
        assert_eq!(gateway_of("\n"), None);
    }
}
