//! Short forms of the torture tests; the long ones are `pumice-bench torture` and `pumice-bench torture --edge`.

use pumice_bench::torture::clock::ClockTorture;
use pumice_bench::torture::edge::Edge;
use pumice_bench::torture::{Torture, pumice_beside};

#[test]
fn serve_killed_again_and_again_finishes_everything_once() {
    let pumice = pumice_beside().expect("the command");
    let survived = Torture { kills: 20, jobs: 400, seed: 1 }.run(&pumice).expect("carried out");
    assert_eq!(survived.wrong, Vec::<String>::new(), "{survived:?}");
    assert!(survived.runs > 400 && survived.commands > 100 && survived.crashes > 0, "{survived:?}");
}

#[test]
fn edge_of_the_engine_bears_every_torture() {
    let pumice = pumice_beside().expect("the command");
    let borne = Edge { rounds: 3, jobs: 150, at_once: 1, seed: 1 }.run(&pumice).expect("carried out");
    assert_eq!(borne.wrong, Vec::<String>::new(), "{borne:?}");
    if let Some(why) = &borne.left_out {
        eprintln!("left out: {why}");
    }
    let done = |name: &str| borne.harms.get(name).copied().unwrap_or(0);
    for name in ["stops", "halts", "kills", "freezes", "descriptors"] {
        assert!(done(name) > 0, "no {name}: {borne:?}");
    }
    assert!(borne.left_out.is_some() || done("full disks") > 0, "{borne:?}");
    assert!(borne.runs > 450 && borne.commands > 400, "{borne:?}");
}

#[test]
fn clock_of_a_server_that_is_killed_starts_each_slot_once() {
    let pumice = pumice_beside().expect("the command");
    let struck = ClockTorture { kills: 12, starts: 200, seed: 1 }.run(&pumice).expect("carried out");
    assert_eq!(struck.wrong, Vec::<String>::new(), "{struck:?}");
    assert!(struck.runs >= 200, "{} runs", struck.runs);
}
